"""Scores of each class: answers, and masks."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.intervals import (
    bootstrap_interval,
    mean_of_sums,
    resampling_units,
    sum_by_unit,
    unit_labels,
)
from wbc_pipeline.evaluation.scores.metrics import RUN_KEYS, each_run
from wbc_pipeline.evaluation.scores.overlaps import REGIONS, with_overlaps


@described(
    heading="Scores of each class",
    caption="Scores of each class and run; support is the number of test images. Without any, "
    "nothing is known of the class.",
)
def per_class_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Precision, recall, F1 and support of each class: a row per run and class.

    A ratio whose denominator is 0 is 0, but all are missing (NaN) of a class without test images.
    """
    tables = []
    for keys, _, outcomes in each_run(predictions):
        scores = precision_recall_fscore_support(
            outcomes.truth,
            outcomes.predicted,
            labels=range(len(outcomes.classes)),
            zero_division=0,
        )
        names = ["precision", "recall", "f1", "support"]
        columns = {"label": outcomes.classes} | dict(zip(names, scores, strict=True))
        table = pd.DataFrame(keys | columns)
        table.loc[table["support"] == 0, names[:3]] = np.nan
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def confusion_counts(predictions: pd.DataFrame) -> pd.DataFrame:
    """Images per run, ``label`` and ``predicted`` class, zeros included."""
    tables = []
    for keys, _, outcomes in each_run(predictions):
        classes = np.array(outcomes.classes)
        cells = {
            "label": classes.repeat(len(classes)),
            "predicted": np.tile(classes, len(classes)),
            "images": outcomes.confusion.ravel(),
        }
        tables.append(pd.DataFrame(keys | cells))
    return pd.concat(tables, ignore_index=True)


@described(
    heading="Overlap of masks",
    caption="Mean IoU and Dice of each region, over all images and by class, with intervals over "
    "sources.",
)
def overlaps_by_class(
    predictions: pd.DataFrame, *, resamples: int = 1000, level: float = 0.95
) -> pd.DataFrame:
    """Score the masks of each class and run.

    Parameters
    ----------
    predictions
        One row per image and run.
    resamples, level
        Of the bootstrap over sources, within all images or within the class.

    Returns
    -------
    DataFrame
        A row per run, region, and class with a known mask: `RUN_KEYS`, ``region``, ``label``
        (``all`` for all classes together), ``images`` (with a known mask), ``iou`` and ``dice``,
        each with ``_low`` and ``_high``. No row where no run predicts masks.
    """
    measured = with_overlaps(predictions)
    rows = []
    for region in (region for region in REGIONS if f"iou_{region}" in measured):
        known = measured[measured[f"iou_{region}"].notna()]
        for keys, run in known.groupby(RUN_KEYS, sort=False, observed=True):
            for label, images in {"all": run, **dict(list(run.groupby("label")))}.items():
                where = dict(zip(RUN_KEYS, keys, strict=True)) | {"region": region, "label": label}
                rows.append(where | _mean_overlaps(images, region, resamples, level))
    return pd.DataFrame(rows)


def _mean_overlaps(images: pd.DataFrame, region: str, resamples: int, level: float) -> dict:
    """Mean IoU and Dice of some images of a run, with intervals."""
    names = ["iou", "dice"]
    values = images[[f"{name}_{region}" for name in names]].to_numpy()
    units, _ = resampling_units(images)
    totals = sum_by_unit(np.column_stack([values, np.ones(len(values))]), units)
    ends = bootstrap_interval(
        totals,
        mean_of_sums,
        totals[:, -1],
        strata=unit_labels(images["label"].to_numpy(), units),
        resamples=resamples,
        level=level,
    )
    row = {"images": len(images)}
    for name, mean, low, high in zip(names, values.mean(axis=0), *np.clip(ends, 0, 1), strict=True):
        row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    return row
