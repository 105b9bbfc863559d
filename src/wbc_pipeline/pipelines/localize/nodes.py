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
from wbc_pipeline.keys import Key, digest, run_name
from wbc_pipeline.pipelines.experiment.options import Selection, Variants
from wbc_pipeline.pipelines.localize.options import (
    STATISTICS,
    DetectorOptions,
    LocalizationOptions,
)
from wbc_pipeline.pipelines.preprocessing.nodes import make_view
from wbc_pipeline.pipelines.preprocessing.options import PreprocessingOptions
from wbc_pipeline.pipelines.reporting.options import PaperOptions, Published, ScoreOptions
from wbc_pipeline.pipelines.splitting.options import Protocols

pd = lazy.load("pandas")

IMAGE, FIELD = "image", "field"  # what was shown
RUN = ["protocol", "seed", "fold"]
BY = ["method", "part", *RUN, "shown"]
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
    "from its pixels to the boxes, without reading the file."
)
ONE_SOURCE = "white cells of one source alone are annotated: there is nothing to test on"


def list_true_boxes(
    manifest: pd.DataFrame, boxes: pd.DataFrame, images: ImageArray, options: LocalizationOptions
) -> pd.DataFrame:
    """List the annotated boxes of white cells, else those around masks; see `true_boxes`."""
    from wbc_pipeline.evaluation.localization.regions import true_boxes

    return true_boxes(manifest, boxes, images.masks, names=options.names)


def split_annotated(
    *,
    manifest: pd.DataFrame,
    boxes: pd.DataFrame,
    truth: pd.DataFrame,
    options: LocalizationOptions,
    protocols: Protocols,
    seeds: int,
) -> pd.DataFrame:
    """Share the annotated images out to training and test, by source.

    An image takes part if a white cell in it has a box, or if other things have and no label names
    a white cell: then it shows none. Boxes of other things alone beside such a label are an
    annotation that is not complete; a detector would learn the cell as background.

    The protocol ``source``, under which a photograph stands on one side, is always among them:
    what is left out under ``dataset`` or ``domain`` is compared with it.

    Returns
    -------
    DataFrame
        ``image_id``, ``protocol``, ``seed``, ``fold``, ``part`` (train, test); no rows if fewer
        than two sources have a white cell with a box.
    """
    from wbc_pipeline.evaluation.localization.away import AWAY, HOME
    from wbc_pipeline.imaging.packing import accepted, independent_sources

    rows = accepted(manifest)
    has_cell = rows["image_id"].isin(truth["image_id"])
    shows_none = rows["image_id"].isin(boxes["image_id"]) & rows["label"].isna() & ~has_cell
    rows = rows[has_cell | shows_none]
    groups = independent_sources(rows)
    if groups[has_cell].nunique() < 2:
        return pd.DataFrame(columns=["image_id", *RUN, "part"])
    names = rows["image_id"]
    splits = []
    for seed in range(seeds):
        parts = _deal_groups(groups, options.test, seed)
        splits.append(_split(names, parts, HOME, seed, 0))
        for protocol in (name for name in AWAY if name in protocols.root):
            for fold, parts in enumerate(_leave_out(rows[protocol], groups)):
                splits.append(_split(names, parts, protocol, seed, fold))
    return pd.concat(splits, ignore_index=True)


def _split(names: pd.Series, parts: pd.Series, protocol: str, seed: int, fold: int) -> pd.DataFrame:
    identity = {"protocol": protocol, "seed": seed, "fold": fold}
    split = pd.DataFrame({"image_id": names, **identity, "part": parts})
    return split.dropna(subset="part")


def _leave_out(column: pd.Series, groups: pd.Series) -> Iterator[pd.Series]:
    """Test all of each value, and train on what shows none of its sources; else a part is None."""
    known = sorted(column.dropna().unique())
    for name in known if len(known) > 1 else ():
        tested = column == name
        trains = column.notna() & ~groups.isin(groups[tested])
        yield tested.map({True: "test", False: None}).mask(trains & ~tested, "train")


def _deal_groups(groups: pd.Series, test: float, seed: int) -> pd.Series:
    """Deal whole groups, at random, to the test part until it has its share of the images."""
    sizes = groups.value_counts(sort=False).sort_index()
    order = np.random.default_rng(seed).permutation(sizes.index)
    until = sizes[order].cumsum() <= max(round(test * len(groups)), sizes[order].iloc[0])
    chosen = groups.isin(until.index[until])
    return chosen.map({True: "test", False: "train"})


def make_frames(
    *,
    images: ImageArray,
    manifest: pd.DataFrame,
    annotated: pd.DataFrame,
    options: LocalizationOptions,
    preprocessing: PreprocessingOptions,
    variants: Variants,
    chosen: Selection,
) -> dict[str, Task]:
    """Describe what the detectors see that are trained here, or for a chosen variant's view.

    Nothing where no box is annotated to learn from.
    """
    if annotated.empty:
        return {}
    trained = {*_chosen(options), *variants.select(chosen).detectors}
    asked = {options.frames_of(options.detectors[name]) for name in trained}
    return {
        name: make_view(images, manifest, steps, preprocessing)
        for name, steps in options.frame_steps.items()
        if name in asked
    }


def draw_scenes(
    images: ImageArray,
    manifest: pd.DataFrame,
    truth: pd.DataFrame,
    annotated: pd.DataFrame,
    options: LocalizationOptions,
) -> dict[str, Task]:
    """Describe the scenes that detectors learn from beside their frames, by detector and seed."""
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.localize.drawn import scenes_task

    rows = accepted(manifest)
    return {
        f"{name}/{seed}": scenes_task(
            rows,
            truth[truth["image_id"].isin(annotated["image_id"])],
            options.detectors[name].scenes,
            size=options.size_of(options.detectors[name]),
            files=images.digest_files(rows),
            max_pixels=images.max_pixels,
            seed=seed,
        )
        for name in _chosen(options)
        if options.detectors[name].scenes
        for seed in annotated["seed"].unique().tolist()
    }


def draw_fields(
    images: ImageArray,
    manifest: pd.DataFrame,
    truth: pd.DataFrame,
    annotated: pd.DataFrame,
    options: LocalizationOptions,
) -> dict[str, Task]:
    """Describe the fields that every method is tested on too, of images that seed 0 tests."""
    from wbc_pipeline.evaluation.localization.away import HOME
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.localize.drawn import fields_task

    if options.fields is None or options.fields.images == 0 or annotated.empty:
        return {}
    rows = accepted(manifest)
    tested = annotated[(annotated["protocol"] == HOME) & (annotated["seed"] == 0)]
    tested = rows[rows["image_id"].isin(tested.loc[tested["part"] == "test", "image_id"])]
    known = {"files": images.digest_files(rows), "max_pixels": images.max_pixels}
    return {"fields": fields_task(tested, truth, options.fields, **known)}


def train_detectors(
    *,
    manifest: pd.DataFrame,
    truth: pd.DataFrame,
    annotated: pd.DataFrame,
    frames: dict[str, ImageArray],
    scenes: dict[str, ImageArray],
    options: LocalizationOptions,
    dataset: str,
    device: str,
) -> dict[str, Task]:
    """Describe the training of each detector under each protocol, seed and fold.

    Returns
    -------
    dict of str to Task
        ``<detector>/<protocol>-<seed>``, and ``-fold<k>`` from the second fold on; each makes a
        folder with ``weights.safetensors``, ``network.json``, ``history.parquet``,
        ``paths.parquet`` and ``summary.json``. Nothing where no box is annotated.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.runs import Run
    from wbc_pipeline.pipelines.localize.detectors import describe_training

    images = accepted(manifest)
    tasks = {}
    for name, detector, run in _trainings(options, annotated):
        rows = np.array(_rows(images, annotated, run, "train"))
        training = describe_training(
            name,
            Run(*run, {"train": rows}),
            options=options,
            images=images,
            truth=truth,
            frames=frames,
            scenes=scenes[f"{name}/{run[1]}"] if detector.scenes else None,
            dataset=dataset,
            device=device,
        )
        tasks[_run(name, run)] = training.work()
    return tasks


def detect_cells(
    *,
    manifest: pd.DataFrame,
    images: ImageArray,
    annotated: pd.DataFrame,
    fields: dict[str, Result],
    detectors: dict[str, Result],
    options: LocalizationOptions,
    device: str,
) -> dict[str, Task]:
    """Describe what each trained detector finds in the test images, and in fields of them.

    Returns
    -------
    dict of str to Task
        By the detector's run; each makes the tables ``detections`` (a row per box, in pixels of
        the file) and ``times`` (a row per image).
    """
    from wbc_pipeline.imaging.chain import chain_code, chain_data
    from wbc_pipeline.models import network_class
    from wbc_pipeline.pipelines.localize.detectors import detect_run
    from wbc_pipeline.training.devices import choose_device

    place = choose_device(device)
    shown, _ = _all_shown(manifest, fields)
    tasks = {}
    for name, detector, run in _trainings(options, annotated):
        steps = options.frame_steps[options.frames_of(detector)]
        tested = annotated[_of_run(annotated, run) & (annotated["part"] == "test")]["image_id"]
        rows = shown[shown["of"].isin(tested)]
        key = Key(
            params={"detector": name, **dict(zip(RUN, run, strict=True))},
            data={
                "training": detectors[_run(name, run)].digest,
                "images": digest_files(rows),
                "fitted": chain_data(steps),
            },
            code=chain_code(steps, detect_run, network_class(detector.network)),
        )
        compute = partial(
            detect_run,
            result=detectors[_run(name, run)],
            images=rows,
            max_pixels=images.max_pixels,
            device=place,
        )
        tasks[_run(name, run)] = Task(key, compute)
    return tasks


def find_by_colour(
    manifest: pd.DataFrame,
    annotated: pd.DataFrame,
    images: ImageArray,
    fields: dict[str, Result],
    options: LocalizationOptions,
) -> dict[str, Task]:
    """Describe what each colour method finds in every annotated file: the table ``regions``."""
    from wbc_pipeline.evaluation.localization import region_quality
    from wbc_pipeline.imaging.chain import chain_code, chain_data
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.runs import refuse_fitted
    from wbc_pipeline.pipelines.localize.drawn import open_files

    rows = accepted(manifest)
    measured = np.flatnonzero(rows["image_id"].isin(annotated["image_id"]))
    for name, steps in options.colour.root.items():
        refuse_fitted(steps, rows, measured, f"localization.colour.{name}", "it is measured on")
    if not len(measured):
        return {}
    shown, _ = _all_shown(manifest, fields)
    shown = shown[shown["of"].isin(annotated["image_id"])]

    def compute(folder: Path, *, steps: list[dict], name: str) -> None:
        regions = region_quality.find_cells_by_chain(
            open_files(shown, images.max_pixels),
            shown["image_id"],
            steps,
            title=f"Regions by {name}",
        )
        regions.to_parquet(folder / "regions.parquet")

    return {
        name: Task(
            Key(
                params={"steps": steps},
                data={
                    "images": digest([images.digest_files(rows), digest_files(shown)]),
                    "fitted": chain_data(steps),
                },
                code=chain_code(steps, region_quality.find_cells_by_chain, open_files),
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
    fields: dict[str, Result],
    detections: dict[str, Result],
    colour_regions: dict[str, Result],
    options: LocalizationOptions,
) -> pd.DataFrame:
    """Match what every method found with the annotated boxes.

    Returns
    -------
    DataFrame
        A row per method, part, run and image or field; see ``detections.score_localization``.
        ``dice`` where a method and the set have masks.
    """
    from wbc_pipeline.evaluation.localization import detections as evaluation

    shown, boxes = _all_shown(manifest, fields)
    found, looked = _all_found(annotated, shown, detections, colour_regions, options)
    scored = evaluation.score_localization(
        found,
        looked,
        pd.concat([truth, boxes], ignore_index=True),
        shown,
        by=BY,
        iou=options.overlap,
        score=options.score,
    )
    masked = [
        result.table("regions")[["image_id", "dice"]].assign(method=name)
        for name, result in colour_regions.items()
    ]
    if not masked:
        return scored.assign(dice=np.nan)
    dices = pd.concat(masked, ignore_index=True)
    return scored.merge(dices, on=["method", "image_id"], how="left", validate="m:1")


def report_localization(
    *,
    annotated_manifest: pd.DataFrame,
    annotated_images: ImageArray,
    truth: pd.DataFrame,
    annotated: pd.DataFrame,
    fields: dict[str, Result],
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
        ``localization``: a row per method, part and run, IoU as printed and ours with an interval,
        or why there is none. ``matches``: boxes matched, missed and found where none is, average
        precision and times. ``home_and_away``: sets that were left out of training.
        ``trained_detectors``: a row per training. Four figures.
    """
    from wbc_pipeline.evaluation.figures import localization as figures
    from wbc_pipeline.evaluation.localization.away import (
        HOME,
        compare_home_with_away,
        worst_away,
    )
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.scores.comparison import published_values

    rows = [
        {
            "method": name,
            **dict(zip(RUN, run, strict=True)),
            **detectors[_run(name, run)].json("summary"),
        }
        for name, _, run in _trainings(localization, annotated)
    ]
    trained = pd.DataFrame(rows, columns=None if rows else ["method", *RUN])
    in_images = overlaps[overlaps["shown"] == IMAGE]
    tested = in_images[
        (in_images["part"] == "test") & (in_images["seed"] == 0) & (in_images["protocol"] == HOME)
    ]
    printed = {
        name: published_values(values["mean"])[0]
        for name, values in localization.published.items()
        if "mean" in values and boxes_from in paper.datasets.values()
    }
    shown, boxes = _all_shown(annotated_manifest, fields)
    everywhere = pd.concat([truth, boxes], ignore_index=True)
    look = _looker(shown, annotated_images, everywhere)
    found, _ = _all_found(annotated, shown, detections, colour_regions, localization)
    of_images = found[found["shown"] == IMAGE]
    summary, matches = _summarise(in_images, of_images, truth, localization, score)
    away = compare_home_with_away(overlaps, shown, resamples=score.resamples, level=score.level)
    return {
        "localization": describe(summary, "Where the cell is", LOCALIZATION_CAPTION),
        "iou_histograms": figures.iou_histograms(tested, published=printed, dataset=boxes_from),
        "matches": describe(matches, "Boxes matched, missed, and too many", MATCHES_CAPTION),
        "home_and_away": away,
        "worst_ten_away": figures.worst_ten_away(worst_away(overlaps), look, dataset=boxes_from),
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
    shown: pd.DataFrame, images: ImageArray, truth: pd.DataFrame
) -> Callable[[pd.Series], Any]:
    """Make what reads a photograph with its true boxes and the found one."""
    from wbc_pipeline.evaluation.figures.sheets import Boxes
    from wbc_pipeline.imaging.reading import read_image
    from wbc_pipeline.imaging.roi import SIDES

    path_of = shown.set_index("image_id")["path"]

    def look(row: pd.Series) -> Boxes:
        pixels = read_image(path_of[row["image_id"]], max_pixels=images.max_pixels).pixels
        true = truth.loc[truth["image_id"] == row["image_id"], SIDES]
        return Boxes(pixels, true.to_numpy().tolist(), row[SIDES].tolist())

    return look


def _all_shown(
    manifest: pd.DataFrame, fields: dict[str, Result]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give all that methods look at, images and fields ``of`` them, and the boxes of the fields."""
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.imaging.roi import SIDES
    from wbc_pipeline.pipelines.localize.drawn import read_fields

    images = accepted(manifest)
    images = images.assign(of=images["image_id"], shown=IMAGE)
    if not fields:
        return images, pd.DataFrame(columns=["image_id", *SIDES])
    rows, boxes = read_fields(fields["fields"])
    rows = rows.reindex(columns=images.columns.drop("shown")).assign(shown=FIELD)
    return pd.concat([images, rows], ignore_index=True), boxes[["image_id", *SIDES]]


def _all_found(
    annotated: pd.DataFrame,
    shown: pd.DataFrame,
    detections: dict[str, Result],
    colour_regions: dict[str, Result],
    options: LocalizationOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put the boxes of all methods together, and the images that each looked at."""
    from wbc_pipeline.evaluation.localization.away import HOME

    found, looked = [], []
    for name, _, run in _trainings(options, annotated):
        result = detections[_run(name, run)]
        identity = {"method": name, "part": "test", **dict(zip(RUN, run, strict=True))}
        found.append(result.table("detections").assign(**identity))
        looked.append(result.table("times").assign(**identity))
    kinds = shown[["image_id", "of", "shown"]]
    for name, result in colour_regions.items():
        regions = result.table("regions").assign(method=name, score=1.0, inference_ms=None)
        regions = regions.merge(kinds, on="image_id")
        tests = annotated[annotated["part"] == "test"].rename(columns={"image_id": "of"})
        test = tests.merge(regions, on="of").drop(columns="shown")
        whole = regions[regions["shown"] == IMAGE].drop(columns="shown")
        whole = whole.assign(part="all", protocol=HOME, seed=0, fold=0)
        for part in (test, whole):
            found.append(part[part["found"]])
            looked.append(part[["method", "part", *RUN, "image_id", "inference_ms"]])
    if not looked:
        return (pd.DataFrame(columns=[*BY, "image_id", *extra]) for extra in (BOX, TIME))
    tables = (pd.concat(tables, ignore_index=True) for tables in (found, looked))
    return tuple(table.merge(kinds[["image_id", "shown"]], on="image_id") for table in tables)


def _run(name: str, run: tuple[str, int, int]) -> str:
    return f"{name}/{run_name(*run)}"


def _chosen(options: LocalizationOptions) -> Iterator[str]:
    return filter(options.chosen.include, options.detectors)


def _trainings(
    options: LocalizationOptions, annotated: pd.DataFrame
) -> Iterator[tuple[str, DetectorOptions, tuple[str, int, int]]]:
    runs = annotated[RUN].drop_duplicates().itertuples(index=False, name=None)
    runs = [(str(protocol), int(seed), int(fold)) for protocol, seed, fold in runs]
    for name in _chosen(options):
        for run in runs:
            yield name, options.detectors[name], run


def _of_run(annotated: pd.DataFrame, run: tuple[str, int, int]) -> pd.Series:
    return (annotated[RUN] == list(run)).all(axis=1)


def _rows(
    images: pd.DataFrame, annotated: pd.DataFrame, run: tuple[str, int, int], part: str
) -> list[int]:
    chosen = annotated.loc[_of_run(annotated, run) & (annotated["part"] == part), "image_id"]
    return images.index[images["image_id"].isin(chosen)].tolist()
