"""Scores of a confusion matrix, and their intervals from those of the classes' accuracies."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from wbc_pipeline.evaluation.scores.intervals import (
    normal_quantile,
    unit_labels,
    wilson_interval,
)

ConfusionScore = Callable[[np.ndarray], np.ndarray]  # [..., label, predicted] -> [...]


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Share of the images that are right."""
    return _hits(confusion).sum(axis=-1) / confusion.sum(axis=(-2, -1))


def macro_precision(confusion: np.ndarray) -> np.ndarray:
    """Mean of precision over the tested classes; 0 for one that is never predicted.

    This and the other means are over the classes that some image is labelled with: of a class that
    the test part lacks nothing is known. With every class tested they are scikit-learn's with
    ``zero_division=0``.
    """
    return _mean_over_tested(_hits(confusion), confusion.sum(axis=-2), confusion)


def macro_recall(confusion: np.ndarray) -> np.ndarray:
    """Mean of recall over the tested classes: balanced accuracy."""
    return _mean_over_tested(_hits(confusion), confusion.sum(axis=-1), confusion)


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean of F1 over the tested classes."""
    answers = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    return _mean_over_tested(2 * _hits(confusion), answers, confusion)


def mean_recall(confusion: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    """Mean recall of some classes, as far as they are tested; NaN if none of them is."""
    asked = confusion[..., classes, :].sum(axis=-1)
    hits = _hits(confusion)[..., classes]
    recall = np.divide(hits, asked, out=np.zeros(hits.shape), where=asked > 0)
    with np.errstate(invalid="ignore"):
        return recall.sum(axis=-1) / (asked > 0).sum(axis=-1)


def _hits(confusion: np.ndarray) -> np.ndarray:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _mean_over_tested(parts: np.ndarray, wholes: np.ndarray, confusion: np.ndarray) -> np.ndarray:
    ratio = np.divide(parts, wholes, out=np.zeros(parts.shape), where=wholes > 0)
    tested = (confusion.sum(axis=-1) > 0).sum(axis=-1)
    return ratio.sum(axis=-1) / np.maximum(tested, 1)  # a ratio of no hits is 0


class Interval(NamedTuple):
    """A score of each run, [S], and the interval of its mean over runs."""

    values: np.ndarray
    low: float
    high: float


def confusion_intervals(
    truth: np.ndarray,
    predicted: np.ndarray,
    units: np.ndarray,
    scores: Mapping[str, ConfusionScore],
    *,
    classes: int,
    runs: np.ndarray | None = None,
    level: float = 0.95,
) -> dict[str, Interval]:
    """Score a confusion matrix, with intervals by variance recovery over classes.

    Each class in turn has its share of right answers moved to the ends of `wilson_interval`, its
    mistakes staying as they are among themselves (alike if there are none). The changes of a
    score that follow are independent, so that its interval reaches as far as the root of the sum
    of their squares, downwards and upwards on its own. For accuracy that is Newcombe's method of
    variance recovery (MOVER); for others, such as macro-F1, its extension to a function of shares.
    Where there are several runs, z² times the variance of their mean is added.

    Parameters
    ----------
    truth, predicted
        Class of each image, int [N].
    units
        What each image belongs to, such as its source, codes ``0 … U-1``, [N]; a unit of images
        of several classes counts for that of its first.
    scores
        Functions of a confusion matrix [..., label, predicted], each between 0 and 1.
    classes
        How many, C.
    runs
        Codes ``0 … S-1``, such as of seeds, [N]; by default all images are of one.
    level
        Coverage, strictly between 0 and 1.

    Returns
    -------
    dict
        Of each score.

    References
    ----------
    Zou and Donner, *Construction of confidence limits about effect measures: a general approach*,
    Statistics in Medicine 27, 2008. Newcombe, *Two-sided confidence intervals for the single
    proportion*, Statistics in Medicine 17, 1998.
    """
    runs = np.zeros(len(truth), int) if runs is None else runs
    present, strata = np.unique(unit_labels(truth, units), return_inverse=True)
    shape = (len(present), int(runs.max()) + 1, classes, classes)
    places = np.ravel_multi_index((strata[units], runs, truth, predicted), shape)
    confusion = np.bincount(places, minlength=np.prod(shape)).reshape(shape).astype(float)
    total = confusion.sum(axis=0)  # [S, C, C]

    weights = 1 / total.sum(axis=(1, 2))[runs]  # every run counts alike
    images = np.bincount(units, weights)
    hits = np.bincount(units, weights * (truth == predicted))
    ends = [
        (hits[rows].sum() / images[rows].sum(), *wilson_interval(hits[rows], images[rows], level))
        for rows in (strata == stratum for stratum in range(len(present)))
    ]
    rest = total - confusion  # [strata, S, C, C], as all below
    asked = confusion.sum(axis=-1, keepdims=True)
    worse = rest + _mix(
        confusion,
        asked * _mistakes(total.sum(axis=0)),
        [low / share if share else 1.0 for share, low, _ in ends],
    )
    better = rest + _mix(
        confusion,
        asked * np.eye(classes),
        [(1 - high) / (1 - share) if share < 1 else 1.0 for share, _, high in ends],
    )
    z, intervals = normal_quantile(level), {}
    for name, score in scores.items():
        values = score(total)
        mean, runs_part = values.mean(), z**2 * _variance_of_mean(values)
        down, up = (
            np.sqrt(((score(moved).mean(axis=-1) - mean) ** 2).sum() + runs_part)
            for moved in (worse, better)
        )
        intervals[name] = Interval(values, max(0.0, float(mean - down)), min(1.0, float(mean + up)))
    return intervals


def _mistakes(confusion: np.ndarray) -> np.ndarray:
    """Share of each wrong answer among the mistakes of each class, [C, C]; alike if none."""
    classes = len(confusion)
    others = 1 - np.eye(classes)
    wrong = confusion * others
    wrong = np.where(wrong.sum(axis=1, keepdims=True) > 0, wrong, others)
    return wrong / np.maximum(wrong.sum(axis=1, keepdims=True), 1)


def _mix(ours: np.ndarray, extreme: np.ndarray, share_of_ours: list[float]) -> np.ndarray:
    share = np.array(share_of_ours)[:, None, None, None]
    return share * ours + (1 - share) * extreme


def _variance_of_mean(values: np.ndarray) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
