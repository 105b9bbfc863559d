"""Nodes that measure the image library: masks, boxes and restored images against annotations."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from wbc_pipeline.datasets.images import ImageArray, digest_files
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.keys import digest, source_digest
from wbc_pipeline.pipelines.quality.options import (
    IntervalOptions,
    MaskOptions,
    Method,
    RegionOptions,
    RestorationOptions,
)
from wbc_pipeline.pipelines.reporting.nodes import describe_command

TABLE_ROWS = 120  # of each table in the report; the CSV beside it has all
SHEET_SEVERITY = 3
AS_WRITTEN = "as written"
PRINTED = "printed in the paper"
BEST_SCORES = {"psnr": "PSNR (dB)", "ssim": "SSIM", "dice": "Dice of the nucleus"}
TABLE_CAPTIONS = {
    "parts": "Which parts of the library could be measured on these images.",
    "box_quality": "IoU of the found box with the best-fitting one of the image, with a bootstrap "
    "interval over sources. Tuned parameters were chosen on the half that is not tested. Where "
    "nothing is found the box is the whole image.",
    "masks_compared": "Mean Dice on the test half: with parameters as written, tuned on the other "
    "half of the same stain (within), tuned on other stains (cross stain).",
    "mask_quality": "The same with intervals over sources. IoU is a mean too; poor is the share of "
    "images with a Dice below 0.5.",
    "best_restoration": "The best method for each degradation, mean over images and severities. "
    "Equal images count as 60 dB. All methods and severities are in restoration.csv.",
    "box_parameters": "What was tuned to what.",
    "mask_parameters": "What was tuned to what.",
}


def try_masks(manifest: pd.DataFrame, images: ImageArray, options: MaskOptions) -> dict[str, Task]:
    """Describe the scoring of every combination of each method's values against expert masks.

    Returns
    -------
    dict of Task
        By method, makes the table ``dice``: a row per image, candidate and target. Nothing if the
        data set has no masks.
    """
    from wbc_pipeline.evaluation import mask_quality, tuning
    from wbc_pipeline.imaging.chain import chain_digest
    from wbc_pipeline.imaging.packing import accepted

    if images.masks is None:
        return {}
    rows = accepted(manifest)
    annotated = rows.index[rows["mask_path"].notna()].tolist()

    def compute(folder: Path, *, method: Method, name: str) -> None:
        candidates = tuning.list_candidates(method.steps, method.grid)
        scores = mask_quality.score_candidates(
            images.pixels, images.masks, annotated, candidates, title=f"Masks by {name}"
        )
        scores.insert(0, "image_id", rows["image_id"].to_numpy()[scores.pop("row")])
        scores.to_parquet(folder / "dice.parquet")

    return {
        name: Task(
            {
                "images": images.content_digest,
                "method": method.model_dump(),
                "code": digest([chain_digest(method.steps), source_digest(mask_quality)]),
            },
            partial(compute, method=method, name=name),
        )
        for name, method in options.methods.items()
    }


def list_true_boxes(
    manifest: pd.DataFrame, boxes: pd.DataFrame, images: ImageArray, options: RegionOptions
) -> pd.DataFrame:
    """List the annotated boxes of white cells, else those around masks; see `true_boxes`."""
    from wbc_pipeline.evaluation.regions import true_boxes

    return true_boxes(manifest, boxes, images.masks, names=options.names)


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
    from wbc_pipeline.evaluation import region_quality, tuning
    from wbc_pipeline.imaging.chain import chain_digest
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.imaging.views import FileImages

    rows = accepted(manifest)
    rows = rows[rows["image_id"].isin(truth["image_id"])]
    if rows.empty:
        return {}

    def compute(folder: Path, *, method: Method, name: str) -> None:
        files = FileImages(rows["path"], max_pixels=images.max_pixels)
        candidates = tuning.list_candidates(method.steps, method.grid)
        regions = region_quality.find_regions(
            files, rows["image_id"], candidates, title=f"Regions by {name}"
        )
        regions.to_parquet(folder / "regions.parquet")

    return {
        name: Task(
            {
                "images": digest_files(rows),
                "method": method.model_dump(),
                "code": digest([chain_digest(method.steps), source_digest(region_quality)]),
            },
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
    from wbc_pipeline.evaluation import restoration
    from wbc_pipeline.imaging.chain import build_chain, chain_digest

    rows = _sampled_rows(manifest, options, dataset)
    truth = _true_nuclei(images, rows)
    clean = images.pixels[rows]

    def compute(folder: Path, *, steps: list[dict], name: str) -> None:
        scores = restoration.score_restoration(
            build_chain(steps),
            clean,
            rows,
            build_chain(options.nucleus),
            truth,
            severities=options.severities,
            title=f"Restoring by {name}",
        )
        scores.to_parquet(folder / "scores.parquet")

    return {
        name: Task(
            {
                "images": images.content_digest,
                "rows": rows,
                "steps": steps,
                "nucleus": options.nucleus,
                "severities": options.severities,
                "code": digest(
                    [
                        chain_digest(steps),
                        chain_digest(options.nucleus),
                        source_digest(restoration),
                    ]
                ),
            },
            partial(compute, steps=steps, name=name),
        )
        for name, steps in options.methods.items()
    }


def list_parts(
    *,
    manifest: pd.DataFrame,
    boxes: pd.DataFrame,
    truth: pd.DataFrame,
    images: ImageArray,
    options: RegionOptions,
    restoration: RestorationOptions,
    dataset: str,
) -> pd.DataFrame:
    """Say which parts could be measured, against what, or why not: a row per part."""
    from wbc_pipeline.evaluation.mask_quality import targets_in
    from wbc_pipeline.imaging.packing import accepted

    targets = targets_in(images.masks) if images.masks is not None else []
    rows = _sampled_rows(manifest, restoration, dataset)
    if boxes["name"].isin(options.names).any():
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
    return pd.DataFrame(parts)


def tune_masks(
    manifest: pd.DataFrame,
    results: dict[str, Result],
    options: MaskOptions,
    interval: IntervalOptions,
    dataset: str,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Tune each method on half of each stain and test it on the other half of every stain.

    Returns
    -------
    tests
        A row per test image, target, method and domain that was tuned on.
    quality
        A row per target, method and pair of domains, with the chosen parameters.
    compared
        A row per target, domain and method: untuned, tuned within, tuned on other stains.
    """
    from wbc_pipeline.evaluation import mask_quality, tuning

    by = ["target", "method"]
    tables = {name: results[name].table("dice") for name in options.methods if name in results}
    scores = _joined(tables, [*by, "image_id", "candidate", "dice"])
    images = _images(manifest, dataset)
    tests = tuning.tune_and_test(scores, images, by=by, score="dice")
    summary = mask_quality.summarise_masks(tests, **interval.model_dump())
    return tests, _with_parameters(summary, options.methods), mask_quality.compare_tuning(tests)


def tune_regions(
    *,
    manifest: pd.DataFrame,
    truth: pd.DataFrame,
    results: dict[str, Result],
    options: RegionOptions,
    interval: IntervalOptions,
    dataset: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tune each method on half of the images and test it on the others.

    Returns
    -------
    tests
        A row per test image, method and domain that was tuned on.
    quality
        A row per method and pair of domains, with the chosen parameters; what the paper prints
        first, if these are its images.
    """
    from wbc_pipeline.evaluation import region_quality, tuning

    known = _images(manifest, dataset)
    tables = {
        name: region_quality.score_regions(results[name].table("regions"), truth)
        for name in options.methods
        if name in results
    }
    scores = _joined(tables, ["method", "image_id", "found", "boxes", "iou", "candidate"])
    tests = tuning.tune_and_test(scores, known, by=["method"], score="iou")
    summary = region_quality.summarise_quality(tests, scores, known, **interval.model_dump())
    return tests, _beside_printed(_with_parameters(summary, options.methods), options, dataset)


def summarise_restoration(
    results: dict[str, Result], options: RestorationOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Average what each method brings back.

    Returns
    -------
    restoration
        A row per method, degradation and severity.
    best
        A row per degradation and score: the best method, and what it gains.
    """
    from wbc_pipeline.evaluation import restoration

    tables = {name: results[name].table("scores") for name in options.methods}
    summary = restoration.summarise_restoration(_joined(tables, ["method"]))
    return summary, restoration.find_best_methods(summary, BEST_SCORES)


def draw_masks(
    *,
    manifest: pd.DataFrame,
    images: ImageArray,
    tests: pd.DataFrame,
    compared: pd.DataFrame,
    options: MaskOptions,
    dataset: str,
) -> dict[str, Any]:
    """Draw scores and outlines of masks, by name of the figure."""
    from wbc_pipeline.evaluation import quality_figures as figures
    from wbc_pipeline.evaluation.mask_quality import TARGETS, target_mask
    from wbc_pipeline.imaging.packing import accepted

    row_of = {image_id: row for row, image_id in enumerate(accepted(manifest)["image_id"])}
    chain_of = _chains(options.methods)

    def look(test: pd.Series) -> figures.Outlines:
        row = row_of[test["image_id"]]
        found = chain_of(test).run(images.pixels[row]).mask
        return figures.Outlines(
            images.pixels[row], target_mask(images.masks[row], test["target"]), found
        )

    drawn = {
        f"{target}_masks": figures.mask_overlays(tests, look, target=target, dataset=dataset)
        for target in TARGETS
    }
    return {"mask_scores": figures.mask_scores(compared, dataset=dataset), **drawn}


def draw_boxes(
    *,
    images: ImageArray,
    manifest: pd.DataFrame,
    truth: pd.DataFrame,
    tests: pd.DataFrame,
    options: RegionOptions,
    dataset: str,
) -> dict[str, Any]:
    """Draw boxes and their scores, by name of the figure."""
    from wbc_pipeline.evaluation import quality_figures as figures
    from wbc_pipeline.evaluation.regions import SIDES
    from wbc_pipeline.imaging.reading import read_image
    from wbc_pipeline.imaging.steps import settle

    path_of = manifest.set_index("image_id")["path"]
    chain_of = _chains(options.methods)

    def look(test: pd.Series) -> figures.Boxes:
        pixels = read_image(path_of[test["image_id"]], max_pixels=images.max_pixels).pixels
        true = truth.loc[truth["image_id"] == test["image_id"], SIDES]
        return figures.Boxes(
            pixels, true.to_numpy().tolist(), settle(chain_of(test).run(pixels)).place[:4]
        )

    published = options.published
    printed = float(published.mean) if dataset == published.dataset else None
    return {
        "iou_histogram": figures.iou_histogram(tests, published_mean=printed, dataset=dataset),
        "box_overlays": figures.box_overlays(tests, look, dataset=dataset),
    }


def draw_restoration(
    images: ImageArray,
    manifest: pd.DataFrame,
    restoration: pd.DataFrame,
    options: RestorationOptions,
    dataset: str,
) -> dict[str, Any]:
    """Draw gains, curves and examples of restored images, by name of the figure."""
    from wbc_pipeline.evaluation import quality_figures as figures
    from wbc_pipeline.evaluation.restoration import NONE, degrade_images
    from wbc_pipeline.imaging.chain import build_chain
    from wbc_pipeline.imaging.degrade import DEGRADATIONS

    row = _sampled_rows(manifest, options, dataset)[0]
    degraded = {
        kind: degrade_images(images.pixels[[row]], kind, SHEET_SEVERITY, [row])[0]
        for kind in DEGRADATIONS
    }
    chains = {name: build_chain(steps) for name, steps in options.methods.items() if name != NONE}
    restored = {
        kind: {name: chain(image) for name, chain in chains.items()}
        for kind, image in degraded.items()
    }
    return {
        "psnr_gain": figures.psnr_gain(restoration, dataset=dataset),
        "nucleus_dice": figures.nucleus_dice(restoration, dataset=dataset),
        "restoration_sheet": figures.restoration_sheet(
            images.pixels[row], degraded, restored, dataset=dataset
        ),
    }


def write_report(*, dataset: str, command: str, parts: pd.DataFrame, **shown: Any) -> str:
    """Write all that was measured as one page of HTML that opens offline."""
    from wbc_pipeline.evaluation.quality_figures import CAPTIONS
    from wbc_pipeline.evaluation.report import render_report
    from wbc_pipeline.sources.listing import load_source

    tables = {}
    for name, table in shown.items():
        if isinstance(table, pd.DataFrame) and len(table):
            tables |= _without_parameters(name, table)
    captions = CAPTIONS | TABLE_CAPTIONS
    for name, table in tables.items():
        if len(table) > TABLE_ROWS:
            part = f"The first {TABLE_ROWS} of {len(table):,} rows; all are in {name}.csv."
            captions[name] = f"{captions.get(name, '')} {part}".strip()
    left_out = parts[parts["left_out"].notna()]
    return render_report(
        title="Quality of the image library",
        dataset=dataset,
        is_demo=dataset == "demo",
        summary=describe_command(dataset, command, {}),
        tables={"parts": parts} | {name: table.head(TABLE_ROWS) for name, table in tables.items()},
        figures={name: figure for name, figure in shown.items() if isinstance(figure, bytes)},
        notes=[
            *(
                f"{row.part.capitalize()} were not measured: {row.left_out}."
                for row in left_out.itertuples()
            ),
            *load_source(dataset).CAVEATS,
        ],
        captions=captions,
    )


def _images(manifest: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Name image, source and domain; one domain, called after the data set, if none is known."""
    from wbc_pipeline.imaging.packing import accepted

    images = accepted(manifest)[["image_id", "source_group", "domain"]]
    return images.assign(domain=images["domain"].astype(object).fillna(dataset))


def _sampled_rows(manifest: pd.DataFrame, options: RestorationOptions, dataset: str) -> list[int]:
    from wbc_pipeline.evaluation.restoration import sample_evenly

    return sample_evenly(_images(manifest, dataset)["domain"], options.images)


def _true_nuclei(images: ImageArray, rows: list[int]) -> Any:
    """Give the expert masks of the nucleus; None if one is missing."""
    import numpy as np

    from wbc_pipeline.evaluation.mask_quality import target_mask

    if images.masks is None:
        return None
    nuclei = np.stack([target_mask(images.masks[row], "nucleus") for row in rows])
    return nuclei if nuclei.any(axis=(1, 2)).all() else None


def _joined(tables: Mapping[str, pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """Put the tables of methods below each other; no rows if there are none."""
    named = [table.assign(method=name) for name, table in tables.items()]
    return pd.concat(named or [pd.DataFrame(columns=columns)], ignore_index=True)


def _chains(methods: dict[str, Method]) -> Any:
    """Give the function that builds the chain behind a row of tests."""
    from wbc_pipeline.evaluation.tuning import list_candidates
    from wbc_pipeline.imaging.chain import build_chain

    def chain_of(test: pd.Series) -> Any:
        method = methods[test["method"]]
        return build_chain(list_candidates(method.steps, method.grid)[test["candidate"]].steps)

    return chain_of


def _with_parameters(summary: pd.DataFrame, methods: dict[str, Method]) -> pd.DataFrame:
    """Write out what each candidate changes."""
    from wbc_pipeline.evaluation.tuning import list_candidates

    candidates = {name: list_candidates(m.steps, m.grid) for name, m in methods.items()}
    pairs = zip(summary["method"], summary["candidate"], strict=True)
    texts = [str(candidates[name][number]) or AS_WRITTEN for name, number in pairs]
    keys = [key for key in ("target", "method") if key in summary]
    named = summary.drop(columns="candidate").assign(parameters=texts)
    return named.sort_values(keys, kind="stable", ignore_index=True)


def _without_parameters(name: str, table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Put parameters, which are long, into a table of their own."""
    if "parameters" not in table:
        return {name: table}
    tuned = table[table["parameters"].notna() & (table["parameters"] != AS_WRITTEN)]
    keys = [key for key in ("target", "method", "tuned_on", "parameters") if key in table]
    return {
        name: table.drop(columns="parameters"),
        name.replace("quality", "parameters"): tuned[keys].drop_duplicates(),
    }


def _beside_printed(summary: pd.DataFrame, options: RegionOptions, dataset: str) -> pd.DataFrame:
    printed = options.published.model_dump()
    if printed.pop("dataset") != dataset:
        return summary
    first = pd.DataFrame([{"method": PRINTED, "part": "all", **printed}])
    return pd.concat([first, summary.astype(object)], ignore_index=True)[summary.columns]
