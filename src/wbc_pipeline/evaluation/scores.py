"""Every score of a run from its table of predictions; no model is needed to recompute a number."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from wbc_pipeline.evaluation.intervals import (
    bootstrap_totals,
    percentile_interval,
    resampling_units,
    sum_by_unit,
    unit_labels,
)

RUN_KEYS = ["variant", "protocol", "seed", "condition"]
INTERVAL_METRICS = ("accuracy", "macro_f1", "log_loss", "ece")
METRIC_LABELS = {
    "accuracy": "accuracy",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "macro_f1": "macro F1",
    "log_loss": "log loss (nats)",
    "ece": "ECE",
    "brier": "Brier score",
    "auc": "macro AUC",
    "inference_ms": "inference (ms per image)",
    "training_seconds": "training (s)",
    "seconds_per_epoch": "training (s per epoch)",
    "epoch_time_ratio": "epoch time ratio",
}


@dataclass(frozen=True)
class Outcomes:
    """The arrays behind the scores of N predictions over C classes."""

    classes: list[str]
    truth: np.ndarray  # [N], a class's position
    probability: np.ndarray  # [N, C], rows sum to 1

    @cached_property
    def predicted(self) -> np.ndarray:
        """Most probable class, the first of equals, [N]."""
        return self.probability.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class, [N]."""
        return self.probability.max(axis=1)

    @cached_property
    def correct(self) -> np.ndarray:
        """Whether the predicted class is the label, [N]."""
        return self.predicted == self.truth

    @cached_property
    def loss(self) -> np.ndarray:
        """Cross-entropy in nats, [N]; probabilities are cut off at 2e-16, as in scikit-learn."""
        chosen = self.probability[np.arange(len(self.truth)), self.truth]
        return -np.log(np.maximum(chosen, np.finfo(float).eps))


def class_names(predictions: pd.DataFrame) -> list[str]:
    """Classes in the order of their ``p_<class>`` columns."""
    return [name.removeprefix("p_") for name in predictions.columns if name.startswith("p_")]


def read_outcomes(predictions: pd.DataFrame) -> Outcomes:
    """Check labels and probabilities and return them as arrays.

    Raises
    ------
    ValueError
        If columns are missing, no row is there, a label has no probability column, or a run has
        probabilities that are NaN, negative or do not sum to 1; the message names label or run.
    """
    classes = class_names(predictions)
    missing = {*RUN_KEYS, "image_id", "source_id", "label"} - {*predictions.columns}
    if missing or not classes:
        wanted = ", ".join(sorted(missing)) or "p_<class>"
        raise ValueError(f"predictions lack the columns {wanted}: see design, predictions")
    if predictions.empty:
        raise ValueError("predictions hold no row: did the split leave a test part?")

    truth = pd.Index(classes).get_indexer(predictions["label"].astype(object))
    if (truth < 0).any():
        label = predictions["label"][truth < 0].iloc[0]
        raise ValueError(
            f"label {label!r} has no column 'p_{label}' among the probabilities of "
            f"{', '.join(classes)}: predict with a model of the same classes"
        )
    probability = predictions[[f"p_{name}" for name in classes]].to_numpy(float)
    valid = (probability >= 0).all(axis=1) & np.isclose(probability.sum(axis=1), 1, atol=1e-6)
    if not valid.all():
        run = predictions.loc[~valid, RUN_KEYS].iloc[0]
        named = ", ".join(f"{key}={value}" for key, value in run.items())
        raise ValueError(
            f"{(~valid).sum()} rows of predictions have probabilities that are NaN, negative or do "
            f"not sum to 1, the first in run {named}: did its training diverge?"
        )
    return Outcomes(classes, truth, probability)


def each_run(
    predictions: pd.DataFrame, keys: list[str] = RUN_KEYS
) -> Iterator[tuple[dict, pd.DataFrame, Outcomes]]:
    """Yield the keys, rows and outcomes of each run, in order of appearance."""
    read_outcomes(predictions)  # refuse a bad frame whole, before any run of it is scored
    for values, run in predictions.groupby(keys, sort=False, observed=True, dropna=False):
        yield dict(zip(keys, values, strict=True)), run, read_outcomes(run)


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Index of the equal-width bin (low, high] of [0, 1] that holds each confidence."""
    edges = np.linspace(0, 1, bins + 1)
    return np.maximum(np.searchsorted(edges, confidence, side="left") - 1, 0)


def image_statistics(outcomes: Outcomes, bins: int = 15) -> np.ndarray:
    """Compute what each image adds to the sums behind ``scores_from_totals``.

    Returns
    -------
    array of float, shape [N, C * C + 2 + bins]
        Its cell of the confusion matrix, log loss, Brier score, and confidence minus correctness
        in its confidence bin.
    """
    images, classes = np.arange(len(outcomes.truth)), len(outcomes.classes)
    values = np.zeros((len(images), classes**2 + 2 + bins))
    values[images, outcomes.truth * classes + outcomes.predicted] = 1
    values[:, classes**2] = outcomes.loss
    target = np.eye(classes)[outcomes.truth]
    values[:, classes**2 + 1] = ((outcomes.probability - target) ** 2).sum(axis=1)
    gap_column = classes**2 + 2 + bin_of(outcomes.confidence, bins)
    values[images, gap_column] = outcomes.confidence - outcomes.correct
    return values


def scores_from_totals(totals: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Scores from sums of ``image_statistics``, [..., k] to one array [...] per score.

    Macro averages run over all classes; one that is neither present nor predicted counts as 0,
    which is scikit-learn's ``zero_division=0`` with all labels listed.
    """
    confusion = totals[..., : classes**2].reshape(*totals.shape[:-1], classes, classes)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    support, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    with np.errstate(invalid="ignore"):  # a resample may hold no image: NaN
        mean = totals / support.sum(axis=-1)[..., None]
    return {
        "accuracy": mean[..., : classes**2 : classes + 1].sum(axis=-1),
        "macro_precision": (hits / np.maximum(predicted, 1)).mean(axis=-1),
        "macro_recall": (hits / np.maximum(support, 1)).mean(axis=-1),
        "macro_f1": (2 * hits / np.maximum(support + predicted, 1)).mean(axis=-1),
        "log_loss": mean[..., classes**2],
        "ece": np.abs(mean[..., classes**2 + 2 :]).sum(axis=-1),
        "brier": mean[..., classes**2 + 1],
    }


def _macro_auc(outcomes: Outcomes) -> float:
    """Macro one-vs-rest area under the ROC curve from rank sums; NaN where a class is absent."""
    positive = np.eye(len(outcomes.classes))[outcomes.truth]
    present = positive.sum(axis=0)
    absent = len(positive) - present
    if not (present * absent).all():
        return np.nan
    rank_sum = (rankdata(outcomes.probability, axis=0) * positive).sum(axis=0)
    return float(((rank_sum - present * (present + 1) / 2) / (present * absent)).mean())


def score_predictions(
    predictions: pd.DataFrame,
    *,
    bins: int = 15,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score each variant, protocol, seed and condition, with intervals over sources.

    Parameters
    ----------
    predictions
        One row per image and run (design: predictions); probabilities sum to 1.
    bins
        Equal-width confidence bins of the expected calibration error.
    resamples, level, seed
        Of the bootstrap, which draws sources with all their images, class by class.

    Returns
    -------
    DataFrame
        A row per run, in order of appearance: ``RUN_KEYS``, ``images``, ``sources`` (units drawn),
        ``interval_unit`` (``source``, or ``image`` where a source is unknown), ``accuracy``,
        ``macro_precision``, ``macro_recall``, ``macro_f1``, ``log_loss`` (nats), ``ece``,
        ``brier`` (summed over classes, 0 to 2), ``auc`` (macro one-vs-rest, NaN if a class is
        missing), ``<metric>_low`` and ``_high`` for ``INTERVAL_METRICS``, and the mean
        ``inference_ms`` where predictions have it.

    Raises
    ------
    ValueError
        See ``read_outcomes``.

    Notes
    -----
    ECE is a sum of absolute values and biased upwards, more so when resampled: its interval may
    lie above its estimate. A run without any error has no accuracy interval.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017 (ECE).
    Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993.
    """
    rows = []
    for keys, run, outcomes in each_run(predictions):
        units, kind = resampling_units(run)
        totals = sum_by_unit(image_statistics(outcomes, bins), units)
        samples = bootstrap_totals(
            totals, strata=unit_labels(outcomes.truth, units), resamples=resamples, seed=seed
        )
        scores = scores_from_totals(totals.sum(axis=0), len(outcomes.classes))
        spread = scores_from_totals(samples, len(outcomes.classes))

        row = keys | {"images": len(run), "sources": len(totals), "interval_unit": kind}
        for metric, value in scores.items():
            row[metric] = float(value)
            if metric in INTERVAL_METRICS:
                interval = percentile_interval(spread[metric], len(totals), level)
                row[f"{metric}_low"], row[f"{metric}_high"] = map(float, interval)
        row["auc"] = _macro_auc(outcomes)
        if "inference_ms" in run:
            row["inference_ms"] = run["inference_ms"].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def per_class_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Precision, recall, F1 and support of each class: a row per run and class.

    A ratio whose denominator is 0 is 0, as scikit-learn has it with ``zero_division=0``.
    """
    tables = []
    for keys, _, outcomes in each_run(predictions):
        confusion = _confusion(outcomes)
        hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
        scores = {
            "label": outcomes.classes,
            "precision": hits / np.maximum(predicted, 1),
            "recall": hits / np.maximum(support, 1),
            "f1": 2 * hits / np.maximum(support + predicted, 1),
            "support": support,
        }
        tables.append(pd.DataFrame(keys | scores))
    return pd.concat(tables, ignore_index=True)


def confusion_counts(predictions: pd.DataFrame) -> pd.DataFrame:
    """Images per run, ``label`` and ``predicted`` class, zeros included."""
    tables = []
    for keys, _, outcomes in each_run(predictions):
        classes = np.array(outcomes.classes)
        cells = {
            "label": classes.repeat(len(classes)),
            "predicted": np.tile(classes, len(classes)),
            "images": _confusion(outcomes).ravel(),
        }
        tables.append(pd.DataFrame(keys | cells))
    return pd.concat(tables, ignore_index=True)


def _confusion(outcomes: Outcomes) -> np.ndarray:
    """Count images by [label, predicted]."""
    classes = len(outcomes.classes)
    cells = outcomes.truth * classes + outcomes.predicted
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)
