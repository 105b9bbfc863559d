"""Nodes that cut views of the classified images by detectors of the same split.

The paper classifies what Mask R-CNN finds. A detector that has learnt a photograph cuts its copies
better than others', so that none may have learnt what its split validates or tests on: each split
has detectors of its own, trained on the annotated images behind its training part.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.errors import UserError
from wbc_pipeline.pipelines.experiment.options import Selection, Variants
from wbc_pipeline.pipelines.localize.options import LocalizationOptions
from wbc_pipeline.pipelines.preprocessing.nodes import make_view
from wbc_pipeline.pipelines.preprocessing.options import PreprocessingOptions, Views

if TYPE_CHECKING:
    from wbc_pipeline.pipelines.experiment.runs import Run

np = lazy.load("numpy")
pd = lazy.load("pandas")


def rows_behind(
    annotated: pd.DataFrame, images: pd.DataFrame, rows: dict[str, np.ndarray], protocol: str
) -> np.ndarray:
    """Find the annotated images behind the training part of a split.

    Parameters
    ----------
    annotated
        Annotated images, which may be of another data set: ``dataset``, ``source_id``,
        ``source_group``, ``sha256``.
    images
        The classified images, likewise, in the order of the arrays.
    rows
        Row numbers of the parts of the split, among `images`.
    protocol
        Of the split. Where it leaks, an image that is also behind another part counts: the copies
        of a photograph stand in all parts anyway.

    Returns
    -------
    np.ndarray
        Numbers of rows of `annotated`: those of which the training part shows a copy or another
        image of the same source, and no other part does.
    """
    from wbc_pipeline.evaluation.scores.protocols import LEAKING

    def behind(part: np.ndarray) -> pd.Series:
        own = images.iloc[part]
        own = images[
            images.index.isin(own.index) | images["source_group"].isin(own["source_group"])
        ]
        seen = annotated["sha256"].isin(own["sha256"].dropna())
        return seen | _sources(annotated).isin(_sources(own).dropna())

    learnt = behind(rows["train"])
    if protocol not in LEAKING:
        held_out = behind(np.concatenate([of for part, of in rows.items() if part != "train"]))
        alike = annotated.loc[held_out, "source_group"].dropna()
        learnt &= ~held_out & ~annotated["source_group"].isin(alike)
    return np.flatnonzero(learnt)


def _sources(images: pd.DataFrame) -> pd.Series:
    from wbc_pipeline.sources.combined import unique_source_ids

    return unique_source_ids(images)


def train_split_detectors(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    annotated_manifest: pd.DataFrame,
    truth: pd.DataFrame,
    annotated: pd.DataFrame,
    frames: dict[str, ImageArray],
    options: LocalizationOptions,
    variants: Variants,
    chosen: Selection,
    dataset: str,
    device: str,
) -> dict[str, Task]:
    """Describe the training of each detector that cuts a chosen variant's view, for each run.

    Parameters
    ----------
    manifest, splits
        Of the classified images.
    annotated_manifest, truth, annotated, frames, options, dataset, device
        As of ``nodes.train_detectors``.
    variants, chosen
        All variants, and those that take part.

    Returns
    -------
    dict of str to Task
        ``<detector>/<run>``; see ``nodes.train_detectors``.

    Raises
    ------
    UserError
        If nothing is annotated, or nothing behind the training part of a run.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.runs import Run, iterate_runs
    from wbc_pipeline.pipelines.localize.detectors import describe_training

    detectors = variants.select(chosen).detectors
    if not detectors:
        return {}
    photographs, images = accepted(annotated_manifest), accepted(manifest)
    usable = photographs["image_id"].isin(annotated["image_id"]).to_numpy()
    tasks = {}
    for run in iterate_runs(splits, images):
        rows = rows_behind(photographs, images, run.rows, run.protocol)
        rows = rows[usable[rows]]
        if not np.isin(photographs["image_id"].iloc[rows], truth["image_id"]).any():
            raise UserError(
                f"{', '.join(sorted(detectors))} cannot be trained for {run.name}: no annotated "
                f"image of {dataset} is behind its training part and behind no other. Name the "
                "annotated images of these photographs by boxes=…, or leave out the variants with "
                "a detector."
            )
        for name in sorted(detectors):
            training = describe_training(
                name,
                Run(run.protocol, run.seed, run.fold, {"train": rows}),
                options=options,
                images=photographs,
                truth=truth,
                frames=frames,
                scenes=None,
                dataset=dataset,
                device=device,
            )
            tasks[f"{name}/{run.name}"] = training.work()
    return tasks


def cut_views(
    *,
    images: ImageArray,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    chains: Views,
    split_detectors: dict[str, Result],
    variants: Variants,
    chosen: Selection,
    preprocessing: PreprocessingOptions,
) -> dict[str, Task]:
    """Describe each run's views whose cells its own detector finds.

    Returns
    -------
    dict of str to Task
        ``<view>-<detector>/<run>``; see ``preprocessing.nodes.make_view``. The key names the
        detector by its training and not by its folder, which may be moved.

    Raises
    ------
    UserError
        If a detector has learnt an image, or another of its source, that its run validates or
        tests on, unless the run's protocol does the same.
    """
    from wbc_pipeline.evaluation.scores.protocols import LEAKING
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.inputs import cut_name, cut_steps
    from wbc_pipeline.pipelines.experiment.runs import iterate_runs, refuse_fitted, views_of

    def cut(view: str, detector: str, run: Run) -> Task:
        trained = split_detectors[f"{detector}/{run.name}"]
        steps = cut_steps(chains.root[view], trained)
        if run.protocol not in LEAKING:
            held_out = [rows for part, rows in run.rows.items() if part != "train"]
            what, use = f"The view {view} of {run.name}", "it validates or tests on"
            refuse_fitted(steps, rows, np.concatenate(held_out), what, use)
        task = make_view(images, manifest, steps, preprocessing)
        known = {"steps": chains.root[view], "detector": detector, **run.key}
        data = {**task.key.data, "detector": trained.digest}
        return replace(task, key=replace(task.key, params=known, data=data))

    rows = accepted(manifest)
    names = {view: view for view in chains.root}
    asked = {
        (view, variant.detector)
        for variant in variants.select(chosen).networks.values()
        if variant.detector is not None
        for view in views_of(variant, names).values()
    }
    runs = list(iterate_runs(splits, rows)) if asked else []
    return {
        cut_name(view, detector, run): cut(view, detector, run)
        for run in runs
        for view, detector in sorted(asked)
    }


def open_cut_views(
    cut: dict[str, ImageArray], split_detectors: dict[str, Result]
) -> dict[str, ImageArray]:
    """Put each cut view and the detector that has cut it together; see ``inputs.CutArray``."""
    from wbc_pipeline.pipelines.experiment.inputs import CutArray

    opened = {}
    for name, array in cut.items():
        detector = array.result.key["params"]["detector"]
        trained = split_detectors[f"{detector}/{name.partition('/')[2]}"]
        opened[name] = CutArray(array.pixels, array.masks, array.result, trained)
    return opened
