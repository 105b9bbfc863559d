"""What is fitted beside every training: how far its answers can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import lazy_loader as lazy
import numpy as np

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.keys import Key, code_digest, digest
from wbc_pipeline.pipelines.experiment.nodes import ALL, NO_RESTORERS, RUN_COLUMNS
from wbc_pipeline.pipelines.experiment.options import Selection, Variants
from wbc_pipeline.pipelines.predict.options import ConfidenceOptions, PredictOptions

pd = lazy.load("pandas")

PARTS = ("train", "validation")
SHOWN = ("temperature", "least_confidence", "farthest", "cell_share")
_MEASURED = 64  # training images in which the cell is measured


def fit_confidences(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    images: ImageArray,
    views: dict[str, ImageArray],
    trainings: dict[str, Result],
    predicted: dict[str, Result],
    variants: Variants,
    device: str,
    options: PredictOptions,
    chosen: Selection = ALL,
    cut: dict[str, ImageArray] | None = None,
) -> dict[str, Task]:
    """Describe what is fitted beside each training that a user may ask about images of their own.

    A network behind a restorer is not served, and has none.

    Returns
    -------
    dict of str to Task
        ``<variant>/<run>``; each makes a folder with the files of `models.confidence`.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.inputs import views_of_variant
    from wbc_pipeline.pipelines.experiment.runs import iterate_runs, views_of
    from wbc_pipeline.training.devices import choose_device

    rows = accepted(manifest)
    place, code = choose_device(device), code_digest(fit_confidence)
    tasks = {}
    for run in iterate_runs(splits, rows):
        measure = cache(partial(measure_framing, rows, images, run.rows["train"]))
        for name, variant in variants.select(chosen).networks.items():
            if variant.restorer is not None:
                continue
            shown = views_of_variant(variant, views, run, NO_RESTORERS, {}, cut=cut)
            seen = views_of(variant, shown)
            result, answers = trainings[f"{name}/{run.name}"], predicted[f"{name}/{run.name}"]
            labels = rows["label"].astype(str).to_numpy()
            key = Key(
                params={"variant": name, **run.key, **options.confidence.model_dump()},
                data={
                    "training": result.digest,
                    "predictions": answers.digest,
                    "images": images.digest,
                    "views": {view: array.digest for view, array in seen.items()},
                    "rows": digest({part: run.rows[part].tolist() for part in PARTS}),
                    "labels": digest(labels.tolist()),
                },
                code=code,
            )
            compute = partial(
                fit_confidence,
                result=result,
                answers=answers,
                views=seen,
                rows=run.rows,
                labels=labels,
                measure=measure,
                options=options.confidence,
                device=place,
            )
            tasks[f"{name}/{run.name}"] = Task(key, compute)
    return tasks


def fit_confidence(
    folder: Path,
    *,
    result: Result,
    answers: Result,
    views: Mapping[str, ImageArray],
    rows: Mapping[str, np.ndarray],
    labels: np.ndarray,
    measure: Callable[[], tuple[float | None, float]],
    options: ConfidenceOptions,
    device: object,
) -> None:
    """Fit calibration, abstention and likeness of a training, and write them.

    Parameters
    ----------
    folder
        Where to write.
    result, answers
        The training, and what it predicted of its validation part.
    views
        What its network looks at, by its names for them.
    rows
        Row numbers by part.
    labels
        Names of classes by row.
    measure
        Gives the framing of the training images; see `measure_framing`.
    options
        What is fitted, and on how much.
    device
        Where the network runs.
    """
    from wbc_pipeline.models import confidence as fitting
    from wbc_pipeline.training.classifier import Classifier

    classifier = Classifier(result.folder, device=device)
    classes = pd.Index(classifier.classes)
    chosen = {part: _some(rows[part], labels, options.images) for part in PARTS}
    seen = {
        part: classifier.answer([view.pixels[which] for view in views.values()]).features
        for part, which in chosen.items()
    }
    numbers = {part: classes.get_indexer(labels[which]) for part, which in chosen.items()}
    likeness = fitting.fit_likeness(seen["train"], numbers["train"], len(classes))
    table = answers.table("predictions")
    table = table[table["part"] == "validation"]
    probabilities = table[[f"p_{name}" for name in classes]].to_numpy()
    temperature = fitting.fit_temperature(
        probabilities, classes.get_indexer(table["label"].astype(object))
    )
    share, aspect = measure()
    found = fitting.Confidence(
        temperature=temperature,
        least_confidence=0.0,
        farthest=fitting.likeness_limit(likeness.distance(seen["validation"]), options.typical),
        cell_share=share,
        aspect=aspect,
        images={part: len(which) for part, which in chosen.items()},
    )
    sure = found.calibrate(probabilities).max(axis=1)
    limit = fitting.abstention_limit(sure, options.answered)
    fitting.save_confidence(folder, replace(found, least_confidence=limit), likeness)


def measure_framing(
    manifest: pd.DataFrame, images: ImageArray, rows: np.ndarray
) -> tuple[float | None, float]:
    """Measure how training images are framed.

    Parameters
    ----------
    manifest
        The ``ok`` rows.
    images
        The packed images.
    rows
        Row numbers of the training part.

    Returns
    -------
    share
        Part of the longer side that the cell takes, by stain, the median; None where none is found.
    aspect
        Width over height of the files, the median.
    """
    from wbc_pipeline.imaging.stained_cell import stain_region

    chosen = np.sort(rows)[np.linspace(0, len(rows) - 1, min(_MEASURED, len(rows))).astype(int)]
    found = [stain_region(images.pixels[row]) for row in chosen]
    side = images.pixels.shape[1]
    shares = [max(box.xmax - box.xmin, box.ymax - box.ymin) / side for box in found if box.found]
    sizes = manifest.iloc[rows]
    aspect = float((sizes["width"] / sizes["height"]).astype(float).median())
    return (float(np.median(shares)) if shares else None), aspect


def list_confidences(confidences: dict[str, Result]) -> dict[str, pd.DataFrame]:
    """List what was fitted beside the trainings of this command.

    Returns
    -------
    items
        ``confidences``: a row per training.
    """
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.models.confidence import load_confidence

    found = []
    for result in confidences.values():
        confidence, _ = load_confidence(result.folder)
        run = {column: result.key["params"][column] for column in RUN_COLUMNS}
        found.append({**run, **{name: getattr(confidence, name) for name in SHOWN}})
    table = describe(
        pd.DataFrame(found, columns=[*RUN_COLUMNS, *SHOWN]),
        "Limits of the answers",
        "What `predict` holds new images against: the temperature that calibrates confidences, the "
        "confidence below which the network abstains, the distance from the training images beyond "
        "which an image is unlike them, and the share of an image's longer side that cells take.",
    )
    return {"confidences": table} if found else {}


def _some(rows: np.ndarray, labels: np.ndarray, most: int) -> np.ndarray:
    """Pick rows evenly from each class, in order."""
    rows = np.sort(rows)
    names = labels[rows]
    each = max(most // max(len(np.unique(names)), 1), 2)
    picked = [
        of_class[np.linspace(0, len(of_class) - 1, min(each, len(of_class))).astype(int)]
        for of_class in (rows[names == name] for name in np.unique(names))
    ]
    return np.sort(np.concatenate(picked))
