"""Nodes that measure the image library: masks, boxes and restored images against annotations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lazy_loader as lazy
import numpy as np

from wbc_pipeline.datasets.images import ImageArray, digest_files
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.keys import Key
from wbc_pipeline.pipelines.quality.options import (
    MaskOptions,
    Method,
    QualityOptions,
    RegionOptions,
    RestorationOptions,
)
from wbc_pipeline.pipelines.reporting.nodes import describe_command, explain_kept

pd = lazy.load("pandas")

SHEET_SEVERITY = 3
PRINTED = "printed in the paper"
# What a reader is led to, by the name of its item.
NEXT = {
    "box_quality": "How well cells are found",
    "mask_scores": "How well nucleus and cell are outlined",
    "nucleus_masks": "The best and the worst outlines",
    "psnr_gain": "What restoration gives back of a degraded image",
}
BEST_SCORES = {"psnr": "PSNR (dB)", "ssim": "SSIM", "dice": "Dice of the nucleus"}


def try_masks(manifest: pd.DataFrame, images: ImageArray, options: MaskOptions) -> dict[str, Task]:
    """Describe the scoring of every combination of each method's values against expert masks.

    Returns
    -------
    dict of Task
        By method, makes the table ``dice``: a row per image, candidate and target. Nothing if the
        data set has no masks.
    """
    from wbc_pipeline.evaluation.localization.mask_quality import score_candidates
    from wbc_pipeline.evaluation.localization.tuning import list_candidates
    from wbc_pipeline.imaging.packing import accepted

    if images.masks is None:
        return {}
    rows = accepted(manifest)
    annotated = rows.index[rows["mask_path"].notna()].tolist()

    def compute(folder: Path, *, method: Method, name: str) -> None:
        candidates = list_candidates(method.steps, method.grid)
        scores = score_candidates(
            images.pixels, images.masks, annotated, candidates, title=f"Masks by {name}"
        )
        scores.insert(0, "image_id", rows["image_id"].to_numpy()[scores.pop("row")])
        scores.to_parquet(folder / "dice.parquet")

    return {
        name: Task(
            _key_of(method, images.content_digest, score_candidates),
            partial(compute, method=method, name=name),
        )
        for name, method in options.methods.items()
    }


def try_regions(
    manifest: pd.DataFrame, truth: pd.DataFrame, images: ImageArray, options: RegionOptions
) -> dict[str, Task]:
    """Describe the finding of a region in every file with every combination of values.

    Returns
    -------
    dict of Task
        By method, makes the table ``regions``: a row per image and candidate. Nothing if the data
        set has neither boxes of white cells nor masks.
    """
    from wbc_pipeline.evaluation.localization.region_quality import find_regions
    from wbc_pipeline.evaluation.localization.tuning import list_candidates
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.imaging.views import FileImages
    from wbc_pipeline.pipelines.experiment.runs import refuse_fitted

    rows = accepted(manifest)
    measured = np.flatnonzero(rows["image_id"].isin(truth["image_id"]))
    for name, method in options.methods.items():
        refuse_fitted(method.steps, rows, measured, f"boxes.methods.{name}", "it is measured on")
    rows = rows.iloc[measured]
    if rows.empty:
        return {}

    def compute(folder: Path, *, method: Method, name: str) -> None:
        files = FileImages(rows["path"], max_pixels=images.max_pixels, sha256=rows["sha256"])
        candidates = list_candidates(method.steps, method.grid)
        regions = find_regions(files, rows["image_id"], candidates, title=f"Regions by {name}")
        regions.to_parquet(folder / "regions.parquet")

    return {
        name: Task(
            _key_of(method, digest_files(rows), find_regions, FileImages),
            partial(compute, method=method, name=name),
        )
        for name, method in options.methods.items()
    }


def restore_images(
    manifest: pd.DataFrame, images: ImageArray, options: RestorationOptions, dataset: str
) -> dict[str, Task]:
    """Describe the restoring of some images after every degradation.

    Returns
    -------
    dict of Task
        By method, makes the table ``scores``: a row per image, degradation and severity.
    """
    from wbc_pipeline.evaluation.scores.restoration import score_restoration
    from wbc_pipeline.imaging.chain import build_chain, chain_code, chain_data

    rows = _sampled_rows(manifest, options, dataset)
    truth = _true_nuclei(images, rows)
    clean = images.pixels[rows]

    def compute(folder: Path, *, steps: list[dict], name: str) -> None:
        scores = score_restoration(
            build_chain(steps),
            clean,
            rows,
            build_chain(options.nucleus),
            truth,
            severities=options.severities,
            title=f"Restoring by {name}",
        )
        scores.to_parquet(folder / "scores.parquet")

    tasks = {}
    for name, steps in options.methods.items():
        every_step = [*steps, *options.nucleus]
        key = Key(
            params={"steps": steps, **options.model_dump(include={"nucleus", "severities"})},
            data={
                "images": images.content_digest,
                "rows": rows,
                "fitted": chain_data(every_step),
            },
            code=chain_code(every_step, score_restoration),
        )
        tasks[name] = Task(key, partial(compute, steps=steps, name=name))
    return tasks


def list_parts(
    *,
    manifest: pd.DataFrame,
    boxes: pd.DataFrame,
    truth: pd.DataFrame,
    images: ImageArray,
    options: QualityOptions,
    dataset: str,
) -> dict[str, pd.DataFrame]:
    """Say which parts could be measured, against what, or why not: a row per part."""
    from wbc_pipeline.evaluation.localization.mask_quality import targets_in
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.imaging.packing import accepted

    targets = targets_in(images.masks) if images.masks is not None else []
    rows = _sampled_rows(manifest, options.restoration, dataset)
    if boxes["name"].isin(options.boxes.names).any():
        compared = "annotated boxes"
    else:
        compared = "boxes around the masks" if len(truth) else None
    parts = [
        {
            "part": "boxes",
            "images": truth["image_id"].nunique(),
            "compared_with": compared,
            "left_out": None if compared else "no box of a white cell and no mask is annotated",
        },
        {
            "part": "masks",
            "images": int(accepted(manifest)["mask_path"].notna().sum()) if targets else 0,
            "compared_with": f"expert masks of {' and '.join(targets)}" if targets else None,
            "left_out": None if targets else "no mask is annotated",
        },
        {
            "part": "restoration",
            "images": len(rows),
            "compared_with": "the clean images, and "
            + (
                "the nucleus in the clean images, as found"
                if _true_nuclei(images, rows) is None
                else "expert masks of the nucleus"
            ),
            "left_out": None,
        },
    ]
    caption = "Which parts of the library could be measured on these images."
    return {"parts": describe(pd.DataFrame(parts), "Parts", caption)}


def report_masks(
    *,
    manifest: pd.DataFrame,
    images: ImageArray,
    results: dict[str, Result],
    options: QualityOptions,
    dataset: str,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Tune each method on half of each stain and test it on the other half of every stain.

    Returns
    -------
    tests
        A row per test image, target, method and domain that was tuned on.
    items
        ``masks_compared``: a row per target, domain and method: untuned, tuned within, tuned on
        other stains. ``mask_quality``: a row per target, method and pair of domains, and
        ``mask_parameters``, what was chosen there. Three figures.
    """
    from wbc_pipeline.evaluation.figures import masks as figures
    from wbc_pipeline.evaluation.figures.sheets import Outlines
    from wbc_pipeline.evaluation.localization import mask_quality, tuning
    from wbc_pipeline.imaging.masks import REGIONS, region_mask
    from wbc_pipeline.imaging.packing import accepted

    by, methods = ["target", "method"], options.masks.methods
    tables = {name: results[name].table("dice") for name in methods if name in results}
    scores = _join(tables, [*by, "image_id", "candidate", "dice"])
    tests = tuning.tune_and_test(scores, _domains(manifest, dataset), by=by, score="dice")
    summary = mask_quality.summarise_masks(tests, **options.interval.model_dump())
    quality, parameters = _part_parameters(summary, methods)
    compared = mask_quality.compare_tuning(tests)
    row_of = {image_id: row for row, image_id in enumerate(accepted(manifest)["image_id"])}
    chain_of = _chains(methods)

    def look(test: pd.Series) -> Outlines:
        row = row_of[test["image_id"]]
        found = chain_of(test).run(images.pixels[row]).mask
        return Outlines(images.pixels[row], region_mask(images.masks[row], test["target"]), found)

    return tests, {
        "masks_compared": compared,
        "mask_quality": quality,
        "mask_parameters": parameters,
        "mask_scores": figures.mask_scores(compared, dataset=dataset),
        **{
            f"{target}_masks": figures.mask_overlays(tests, look, target=target, dataset=dataset)
            for target in REGIONS
        },
    }


def report_boxes(
    *,
    manifest: pd.DataFrame,
    images: ImageArray,
    truth: pd.DataFrame,
    results: dict[str, Result],
    options: QualityOptions,
    dataset: str,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Tune each method on half of the images and test it on the others.

    Returns
    -------
    tests
        A row per test image, method and domain that was tuned on.
    items
        ``box_quality``: a row per method and pair of domains; what the paper prints first, if these
        are its images. ``box_parameters``: what was chosen there. Two figures.
    """
    from wbc_pipeline.evaluation.figures import localization as figures
    from wbc_pipeline.evaluation.figures.sheets import Boxes
    from wbc_pipeline.evaluation.localization import region_quality, tuning
    from wbc_pipeline.imaging.reading import read_image
    from wbc_pipeline.imaging.roi import SIDES
    from wbc_pipeline.imaging.steps import settle

    methods, known = options.boxes.methods, _domains(manifest, dataset)
    tables = {
        name: region_quality.score_regions(results[name].table("regions"), truth)
        for name in methods
        if name in results
    }
    scores = _join(tables, ["method", "image_id", "found", "boxes", "iou", "candidate"])
    tests = tuning.tune_and_test(scores, known, by=["method"], score="iou")
    summary = region_quality.summarise_quality(
        tests, scores, known, **options.interval.model_dump()
    )
    quality, parameters = _part_parameters(summary, methods)
    path_of = manifest.set_index("image_id")["path"]
    chain_of = _chains(methods)

    def look(test: pd.Series) -> Boxes:
        pixels = read_image(path_of[test["image_id"]], max_pixels=images.max_pixels).pixels
        true = truth.loc[truth["image_id"] == test["image_id"], SIDES]
        return Boxes(pixels, true.to_numpy().tolist(), settle(chain_of(test).run(pixels)).place[:4])

    printed = options.boxes.published if dataset == options.boxes.published.dataset else None
    if printed:
        first = {"method": PRINTED, "part": "all", **printed.model_dump(exclude={"dataset"})}
        rows = pd.concat([pd.DataFrame([first]), quality.astype(object)], ignore_index=True)
        rows.attrs = quality.attrs
        quality = rows[quality.columns]
    mean = float(printed.mean) if printed else None
    return tests, {
        "box_quality": quality,
        "box_parameters": parameters,
        "iou_histogram": figures.iou_histogram(tests, published_mean=mean, dataset=dataset),
        "box_overlays": figures.box_overlays(tests, look, dataset=dataset),
    }


def report_restoration(
    *,
    manifest: pd.DataFrame,
    images: ImageArray,
    results: dict[str, Result],
    options: QualityOptions,
    dataset: str,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Average what each method restores, and draw gains, curves and examples.

    Returns
    -------
    restoration
        A row per method, degradation and severity.
    items
        ``best_restoration``: a row per degradation and score: the best method, and what it gains.
        Three figures.
    """
    from wbc_pipeline.evaluation.figures import restoration as figures
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.scores import restoration
    from wbc_pipeline.imaging.chain import build_chain
    from wbc_pipeline.imaging.degrade import DEGRADATIONS

    methods = options.restoration.methods
    summary = restoration.summarise_restoration(
        _join({name: results[name].table("scores") for name in methods}, ["method"])
    )
    row = _sampled_rows(manifest, options.restoration, dataset)[0]
    degraded = {
        kind: restoration.degrade_images(images.pixels[[row]], kind, SHEET_SEVERITY, [row])[0]
        for kind in DEGRADATIONS
    }
    chains = {
        name: build_chain(steps) for name, steps in methods.items() if name != restoration.NONE
    }
    restored = {
        kind: {name: chain(image) for name, chain in chains.items()}
        for kind, image in degraded.items()
    }
    return summary, {
        "best_restoration": describe(
            restoration.find_best_methods(summary, BEST_SCORES),
            "Restored images",
            "The best method for each degradation, mean over images and severities. Equal images "
            "count as 60 dB. All methods and severities are in restoration.csv.",
        ),
        "psnr_gain": figures.psnr_gain(summary, dataset=dataset),
        "nucleus_dice": figures.nucleus_dice(summary, dataset=dataset),
        "restoration_sheet": figures.restoration_sheet(
            images.pixels[row], degraded, restored, dataset=dataset
        ),
    }


def write_report(*, dataset: str, command: str, **items: dict[str, Any]) -> str:
    """Write all that was measured as one page of HTML that opens offline."""
    from wbc_pipeline.evaluation.report.page import Opening, render_report
    from wbc_pipeline.sources.combined import caveats

    found = {name: item for group in items.values() for name, item in group.items()}
    parts = found.pop("parts")
    left_out = parts.dropna(subset="left_out")
    return render_report(
        title="Quality of the image library",
        dataset=dataset,
        is_demo=dataset == "demo",
        summary=describe_command(dataset, command, {}),
        opening=Opening(items={"parts": parts}, next=NEXT),
        items={
            name: item
            for name, item in found.items()
            if not isinstance(item, pd.DataFrame) or len(item)
        },
        notes=[
            *(
                f"{row.part.capitalize()} were not measured: {row.left_out}."
                for row in left_out.itertuples()
            ),
            *explain_kept(),
            *caveats(dataset),
        ],
    )


def _key_of(method: Method, images: str, *code: Callable) -> Key:
    """Give the key of a method that is tried in every combination of its values."""
    from wbc_pipeline.evaluation.localization.tuning import list_candidates
    from wbc_pipeline.imaging.chain import chain_code, chain_data

    return Key(
        params=method.model_dump(),
        data={"images": images, "fitted": chain_data(method.steps)},
        code=chain_code(method.steps, *code, list_candidates),
    )


def _domains(manifest: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Name image, source and domain; one domain, called after the data set, if none is known."""
    from wbc_pipeline.imaging.packing import accepted

    images = accepted(manifest)[["image_id", "source_group", "domain"]]
    return images.assign(domain=images["domain"].astype(object).fillna(dataset))


def _sampled_rows(manifest: pd.DataFrame, options: RestorationOptions, dataset: str) -> list[int]:
    from wbc_pipeline.evaluation.scores.restoration import sample_evenly

    return sample_evenly(_domains(manifest, dataset)["domain"], options.images)


def _true_nuclei(images: ImageArray, rows: list[int]) -> np.ndarray | None:
    """Give the expert masks of the nucleus; None if one is missing."""
    from wbc_pipeline.imaging.masks import region_mask

    if images.masks is None:
        return None
    nuclei = np.stack([region_mask(images.masks[row], "nucleus") for row in rows])
    return nuclei if nuclei.any(axis=(1, 2)).all() else None


def _join(tables: Mapping[str, pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Put the tables of methods below each other; no rows if there are none."""
    named = [table.assign(method=name) for name, table in tables.items()]
    return pd.concat(named or [pd.DataFrame(columns=columns)], ignore_index=True)


def _chains(methods: dict[str, Method]) -> Callable[[pd.Series], Any]:
    """Give the function that builds the chain behind a row of tests."""
    from wbc_pipeline.evaluation.localization.tuning import list_candidates
    from wbc_pipeline.imaging.chain import build_chain

    def chain_of(test: pd.Series) -> Any:
        method = methods[test["method"]]
        return build_chain(list_candidates(method.steps, method.grid)[test["candidate"]].steps)

    return chain_of


def _part_parameters(
    summary: pd.DataFrame, methods: dict[str, Method]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part a summary into scores and what was tuned to what, which is long text."""
    from wbc_pipeline.evaluation.localization.tuning import list_candidates
    from wbc_pipeline.evaluation.report.described import describe, heading_of

    keys = [key for key in ("target", "method") if key in summary]
    summary = summary.sort_values(keys, kind="stable", ignore_index=True)
    candidates = {name: list_candidates(each.steps, each.grid) for name, each in methods.items()}
    pairs = zip(summary["method"], summary.pop("candidate"), strict=True)
    texts = [str(candidates[name][number]) for name, number in pairs]
    tuned = summary[[*keys, "tuned_on"]].assign(parameters=texts)
    tuned = tuned[tuned["parameters"] != ""].drop_duplicates(ignore_index=True)
    return summary, describe(tuned, heading_of(summary), "What was tuned to what.")
