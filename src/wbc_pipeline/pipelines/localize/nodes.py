"""Nodes that look for white cells, and the localization paper's own tables and figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import lazy_loader as lazy
import numpy as np

from wbc_pipeline.datasets.images import ImageArray, digest_files
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.keys import Key, code_digest, digest, run_name
from wbc_pipeline.pipelines.localize.options import (
    STATISTICS,
    DetectorOptions,
    LocalizationOptions,
)
from wbc_pipeline.pipelines.preprocessing.nodes import make_view
from wbc_pipeline.pipelines.preprocessing.options import PreprocessingOptions
from wbc_pipeline.pipelines.reporting.options import PaperOptions, Published, ScoreOptions
from wbc_pipeline.training.options import merge_stages

pd = lazy.load("pandas")

PROTOCOL = "source"  # a photograph stands on one side
BY = ["method", "part", "seed"]
BOX, TIME = ["xmin", "ymin", "xmax", "ymax", "score"], ["inference_ms"]
NOTHING_ANNOTATED = (
    "no box of a white cell and no mask is annotated in this data set: no detector was trained"
)
LOCALIZATION_CAPTION = (
    "IoU of the box that each method finds in an image with the annotated box that fits it best, "
    "with intervals over photographs, beside what the paper prints. Where nothing is found the box "
    "is the whole image."
)
MATCHES_CAPTION = (
    "Every annotated box of a white cell is matched or missed, and what is found beside them is a "
    "false alarm; average precision as COCO defines it. Times are of one image after the other, "
    "without reading and scaling the file."
)
ONE_SOURCE = "white cells of one source alone are annotated: there is nothing to test on"


def list_true_boxes(
    manifest: pd.DataFrame, boxes: pd.DataFrame, images: ImageArray, options: LocalizationOptions
) -> pd.DataFrame:
    """List the annotated boxes of white cells, else those around masks; see `true_boxes`."""
    from wbc_pipeline.evaluation.localization.regions import true_boxes

    return true_boxes(manifest, boxes, images.masks, names=options.names)


def split_annotated(
    manifest: pd.DataFrame,
    boxes: pd.DataFrame,
    truth: pd.DataFrame,
    options: LocalizationOptions,
    seeds: int,
) -> pd.DataFrame:
    """Share the annotated images out to training and test, by source.

    An image takes part if a white cell in it has a box, or if other things have and no label names
    a white cell: then it shows none. Boxes of other things alone beside such a label are an
    annotation that is not complete; a detector would learn the cell as background.

    Returns
    -------
    DataFrame
        ``image_id``, ``seed``, ``part`` (train, test); no rows if fewer than two sources have a
        white cell with a box.
    """
    from wbc_pipeline.imaging.packing import accepted, independent_sources

    rows = accepted(manifest)
    has_cell = rows["image_id"].isin(truth["image_id"])
    shows_none = rows["image_id"].isin(boxes["image_id"]) & rows["label"].isna() & ~has_cell
    rows = rows[has_cell | shows_none]
    groups = independent_sources(rows)
    if groups[has_cell].nunique() < 2:
        return pd.DataFrame(columns=["image_id", "seed", "part"])
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "image_id": rows["image_id"],
                    "seed": seed,
                    "part": _deal_groups(groups, options.test, seed),
                }
            )
            for seed in range(seeds)
        ],
        ignore_index=True,
    )


def _deal_groups(groups: pd.Series, test: float, seed: int) -> pd.Series:
    """Deal whole groups, at random, to the test part until it has its share of the images."""
    sizes = groups.value_counts(sort=False).sort_index()
    order = np.random.default_rng(seed).permutation(sizes.index)
    until = sizes[order].cumsum() <= max(round(test * len(groups)), sizes[order].iloc[0])
    chosen = groups.isin(until.index[until])
    return chosen.map({True: "test", False: "train"})


def make_frames(
    images: ImageArray,
    manifest: pd.DataFrame,
    annotated: pd.DataFrame,
    options: LocalizationOptions,
    preprocessing: PreprocessingOptions,
) -> dict[str, Task]:
    """Describe what the detectors see; nothing where no box is annotated to learn from."""
    if annotated.empty:
        return {}
    return {"frame": make_view(images, manifest, options.frame_steps, preprocessing)}


def train_detectors(
    *,
    manifest: pd.DataFrame,
    truth: pd.DataFrame,
    annotated: pd.DataFrame,
    frames: dict[str, ImageArray],
    options: LocalizationOptions,
    dataset: str,
    device: str,
) -> dict[str, Task]:
    """Describe the training of each detector under each seed.

    Returns
    -------
    dict of str to Task
        ``<detector>/<protocol>-<seed>``; each makes a folder with ``weights.safetensors``,
        ``network.json``, ``history.parquet``, ``paths.parquet`` and ``summary.json``. Nothing
        where no box is annotated.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.options import weights_file
    from wbc_pipeline.pipelines.experiment.runs import Run
    from wbc_pipeline.pipelines.localize.detectors import DetectorTraining
    from wbc_pipeline.training.devices import check_devices, choose_device

    images = accepted(manifest)
    place = choose_device(device)
    check_devices(options.trainer, place)
    tasks = {}
    for name, detector, seed in _trainings(options, annotated):
        rows = np.array(_rows(images, annotated, seed, "train"))
        training = DetectorTraining(
            identity={"paper": "localize", "variant": name, "dataset": dataset},
            run=Run(PROTOCOL, seed, 0, {"train": rows}),
            network=detector.network,
            arguments={"image_size": options.frame, **detector.arguments},
            weights=weights_file(detector),
            weights_asked=detector.weights,
            stages=merge_stages(options.train, detector.stages),
            trainer=options.trainer,
            device=place,
            views={"image": frames["frame"]},
            images=images,
            truth=truth,
        )
        run = _run(name, seed)
        tasks[run] = training.work()
    return tasks


def detect_cells(
    *,
    manifest: pd.DataFrame,
    annotated: pd.DataFrame,
    frames: dict[str, ImageArray],
    detectors: dict[str, Result],
    options: LocalizationOptions,
    device: str,
) -> dict[str, Task]:
    """Describe what each trained detector finds in the test images.

    Returns
    -------
    dict of str to Task
        By the detector's run; each makes the tables ``detections`` (a row per box, in pixels of
        the file) and ``times`` (a row per image).
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.localize.detectors import detect_run
    from wbc_pipeline.training.devices import choose_device

    images = accepted(manifest)
    place = choose_device(device)
    tasks = {}
    for name, _, seed in _trainings(options, annotated):
        run = _run(name, seed)
        rows = _rows(images, annotated, seed, "test")
        key = Key(
            params={"detector": name, "seed": seed},
            data={
                "training": detectors[run].digest,
                "frame": frames["frame"].result.digest,
                "rows": digest(rows),
            },
            code=code_digest(detect_run),
        )
        compute = partial(
            detect_run,
            result=detectors[run],
            images=images,
            rows=rows,
            frame=frames["frame"],
            device=place,
        )
        tasks[run] = Task(key, compute)
    return tasks


def find_by_colour(
    manifest: pd.DataFrame,
    annotated: pd.DataFrame,
    images: ImageArray,
    options: LocalizationOptions,
) -> dict[str, Task]:
    """Describe what each colour method finds in every annotated file: the table ``regions``."""
    from wbc_pipeline.evaluation.localization import region_quality
    from wbc_pipeline.evaluation.localization.tuning import Candidate
    from wbc_pipeline.imaging.chain import chain_code, chain_data
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.imaging.views import FileImages
    from wbc_pipeline.pipelines.experiment.runs import refuse_fitted

    rows = accepted(manifest)
    measured = np.flatnonzero(rows["image_id"].isin(annotated["image_id"]))
    for name, steps in options.colour.root.items():
        refuse_fitted(steps, rows, measured, f"localization.colour.{name}", "it is measured on")
    rows = rows.iloc[measured]
    if rows.empty:
        return {}

    def compute(folder: Path, *, steps: list[dict], name: str) -> None:
        regions = region_quality.find_regions(
            FileImages(rows["path"], max_pixels=images.max_pixels, sha256=rows["sha256"]),
            rows["image_id"],
            [Candidate(steps, {})],
            title=f"Regions by {name}",
        )
        regions.drop(columns="candidate").to_parquet(folder / "regions.parquet")

    return {
        name: Task(
            Key(
                params={"steps": steps},
                data={"images": digest_files(rows), "fitted": chain_data(steps)},
                code=chain_code(steps, region_quality.find_regions, FileImages),
            ),
            partial(compute, steps=steps, name=name),
        )
        for name, steps in options.colour.root.items()
    }


def score_localization(
    *,
    manifest: pd.DataFrame,
    truth: pd.DataFrame,
    annotated: pd.DataFrame,
    detections: dict[str, Result],
    colour_regions: dict[str, Result],
    options: LocalizationOptions,
) -> pd.DataFrame:
    """Match what every method found with the annotated boxes.

    Returns
    -------
    DataFrame
        A row per method, part, seed and image; see ``detections.score_localization``.
    """
    from wbc_pipeline.evaluation.localization import detections as evaluation
    from wbc_pipeline.imaging.packing import accepted

    found, looked = _all_found(annotated, detections, colour_regions, options)
    return evaluation.score_localization(
        found,
        looked,
        truth,
        accepted(manifest),
        by=BY,
        iou=options.overlap,
        score=options.score,
    )


def report_localization(
    *,
    annotated_manifest: pd.DataFrame,
    annotated_images: ImageArray,
    truth: pd.DataFrame,
    annotated: pd.DataFrame,
    detectors: dict[str, Result],
    detections: dict[str, Result],
    colour_regions: dict[str, Result],
    overlaps: pd.DataFrame,
    localization: LocalizationOptions,
    paper: PaperOptions,
    score: ScoreOptions,
    boxes_from: str,
) -> dict[str, Any]:
    """Report how well cells are found: detectors on test images, colour on all.

    Returns
    -------
    dict
        ``localization``: a row per method, part and seed, IoU as printed and ours with an interval,
        or why there is none. ``matches``: boxes matched, missed and found where none is, average
        precision and times. ``trained_detectors``: a row per training. Three figures.
    """
    from wbc_pipeline.evaluation.figures import localization as figures
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.scores.comparison import published_values

    rows = [
        {"method": name, "seed": seed, **detectors[_run(name, seed)].json("summary")}
        for name, _, seed in _trainings(localization, annotated)
    ]
    trained = pd.DataFrame(rows, columns=None if rows else ["method", "seed"])
    tested = overlaps[(overlaps["part"] == "test") & (overlaps["seed"] == 0)]
    printed = {
        name: published_values(values["mean"])[0]
        for name, values in localization.published.items()
        if "mean" in values and boxes_from in paper.datasets.values()
    }
    look = _looker(annotated_manifest, annotated_images, truth)
    found, _ = _all_found(annotated, detections, colour_regions, localization)
    summary, matches = _summarise(overlaps, found, truth, localization, score)
    return {
        "localization": describe(summary, "Where the cell is", LOCALIZATION_CAPTION),
        "iou_histograms": figures.iou_histograms(tested, published=printed, dataset=boxes_from),
        "matches": describe(matches, "Boxes matched, missed, and too many", MATCHES_CAPTION),
        "detection_overlays": figures.detection_overlays(tested, look, dataset=boxes_from),
        "worst_ten": figures.worst_ten(tested, look, dataset=boxes_from),
        "trained_detectors": describe(
            trained,
            "Trained detectors",
            "The trainings behind the boxes. Where a box holds no violet, all of it is the mask.",
        ),
    }


def compare_whole_with_region(
    predictions: pd.DataFrame,
    pairs: dict[str, tuple[str, str]],
    published: Published,
    score: ScoreOptions,
) -> dict[str, pd.DataFrame]:
    """Compare whole-image and region accuracy of each network."""
    from wbc_pipeline.evaluation.localization import whole_and_region
    from wbc_pipeline.evaluation.scores.metrics import tested

    table = whole_and_region.compare_whole_with_region(
        tested(predictions),
        pairs,
        published,
        resamples=score.resamples,
        level=score.level,
    )
    return {"whole_and_region": table}


def _summarise(
    overlaps: pd.DataFrame,
    found: pd.DataFrame,
    truth: pd.DataFrame,
    options: LocalizationOptions,
    score: ScoreOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    from wbc_pipeline.evaluation.localization import detections as evaluation

    if overlaps.empty:
        why = NOTHING_ANNOTATED if truth.empty else ONE_SOURCE
        return pd.DataFrame([{"method": "none", "left_out": why}]), overlaps
    summary = evaluation.summarise_localization(
        overlaps, found, truth, by=BY, resamples=score.resamples, level=score.level
    )
    summary = summary.rename(columns={"boxes": "true_boxes"})
    printed = pd.DataFrame([options.published.get(name, {}) for name in summary["method"]])
    printed = printed.reindex(columns=STATISTICS).add_prefix("published_")
    in_images = [*BY, "images", "not_found"]
    shares = [*STATISTICS, "mean_low", "mean_high"]
    matches = summary.drop(columns=[name for name in shares if name in summary])
    return pd.concat([summary[in_images], printed, summary[shares]], axis=1), matches


def _looker(
    manifest: pd.DataFrame, images: ImageArray, truth: pd.DataFrame
) -> Callable[[pd.Series], Any]:
    """Make what reads a photograph with its true boxes and the found one."""
    from wbc_pipeline.evaluation.figures.sheets import Boxes
    from wbc_pipeline.imaging.reading import read_image
    from wbc_pipeline.imaging.roi import SIDES

    path_of = manifest.set_index("image_id")["path"]

    def look(row: pd.Series) -> Boxes:
        pixels = read_image(path_of[row["image_id"]], max_pixels=images.max_pixels).pixels
        true = truth.loc[truth["image_id"] == row["image_id"], SIDES]
        return Boxes(pixels, true.to_numpy().tolist(), row[SIDES].tolist())

    return look


def _all_found(
    annotated: pd.DataFrame,
    detections: dict[str, Result],
    colour_regions: dict[str, Result],
    options: LocalizationOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put the boxes of all methods together, and the images that each looked at."""
    found, looked = [], []
    for name, _, seed in _trainings(options, annotated):
        result = detections[_run(name, seed)]
        identity = {"method": name, "part": "test", "seed": seed}
        found.append(result.table("detections").assign(**identity))
        looked.append(result.table("times").assign(**identity))
    for name, result in colour_regions.items():
        regions = result.table("regions").assign(method=name, score=1.0, inference_ms=None)
        test = annotated[annotated["part"] == "test"].merge(regions, on="image_id")
        for part in (test, regions.assign(part="all", seed=0)):
            found.append(part[part["found"]])
            looked.append(part[[*BY, "image_id", "inference_ms"]])
    if not looked:
        return (pd.DataFrame(columns=[*BY, "image_id", *extra]) for extra in (BOX, TIME))
    return tuple(pd.concat(tables, ignore_index=True) for tables in (found, looked))


def _run(name: str, seed: int) -> str:
    return f"{name}/{run_name(PROTOCOL, seed, 0)}"


def _trainings(
    options: LocalizationOptions, annotated: pd.DataFrame
) -> Iterator[tuple[str, DetectorOptions, int]]:
    for name in filter(options.chosen.include, options.detectors):
        for seed in annotated["seed"].unique():
            yield name, options.detectors[name], int(seed)


def _rows(images: pd.DataFrame, annotated: pd.DataFrame, seed: int, part: str) -> list[int]:
    of_part = (annotated["seed"] == seed) & (annotated["part"] == part)
    chosen = annotated.loc[of_part, "image_id"]
    return images.index[images["image_id"].isin(chosen)].tolist()
