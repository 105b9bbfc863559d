"""Scores of each run from its table of predictions; no model is needed to recompute a number."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.confusion import Interval, confusion_intervals
from wbc_pipeline.evaluation.scores.directions import SHIFTS
from wbc_pipeline.evaluation.scores.entries import METRICS
from wbc_pipeline.evaluation.scores.intervals import (
    bootstrap_interval,
    resampling_units,
    sum_by_unit,
    unit_labels,
    widen_for_runs,
)
from wbc_pipeline.evaluation.scores.outcomes import Outcomes

RUN_KEYS = ["variant", "protocol", "seed", "condition"]
FOLD_KEYS = ["variant", "protocol", "seed", "fold", "condition"]


def class_names(predictions: pd.DataFrame) -> list[str]:
    """Classes in the order of their ``p_<class>`` columns."""
    return [name.removeprefix("p_") for name in predictions.columns if name.startswith("p_")]


def tested(predictions: pd.DataFrame) -> pd.DataFrame:
    """Rows of the test part: the only ones that scores are computed from."""
    return predictions[predictions["part"] == "test"]


def read_outcomes(predictions: pd.DataFrame, bins: int = 15) -> Outcomes:
    """Check labels and probabilities of test rows and return them as arrays.

    Raises
    ------
    ValueError
        If columns are missing, no row is there, a row is not of the test part, a label has no
        probability column, or a run has probabilities that are NaN, negative or do not sum to 1;
        the message names part, label or run.
    """
    classes = class_names(predictions)
    missing = {*RUN_KEYS, "image_id", "source_id", "label", "part"} - {*predictions.columns}
    if missing or not classes:
        wanted = ", ".join(sorted(missing)) or "p_<class>"
        raise ValueError(f"predictions lack the columns {wanted}: see design, predictions")
    if predictions.empty:
        raise ValueError("predictions hold no row: did the split leave a test part?")
    other = predictions["part"] != "test"
    if other.any():
        raise ValueError(
            f"{other.sum()} of {len(other)} rows of predictions are of the part "
            f"{predictions.loc[other, 'part'].iloc[0]!r}, which training looked at: score "
            "tested(predictions), the test rows alone"
        )
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
    needed = {column for metric in METRICS.values() for column in metric.columns}
    measured = {
        column: predictions[column].to_numpy(float, na_value=np.nan)
        for column in predictions.columns.intersection(sorted(needed))
    }
    return Outcomes(classes, truth, probability, bins, measured)


def each_run(
    predictions: pd.DataFrame, keys: list[str] = RUN_KEYS, bins: int = 15
) -> Iterator[tuple[dict, pd.DataFrame, Outcomes]]:
    """Yield keys, rows and outcomes of each run, in order of appearance."""
    outcomes = read_outcomes(predictions, bins)
    groups = predictions.reset_index(drop=True).groupby(
        keys, sort=False, observed=True, dropna=False
    )
    for values, run in groups:
        yield dict(zip(keys, values, strict=True)), run, outcomes.take(run.index.to_numpy())


def measured_metrics(outcomes: Outcomes) -> list[str]:
    """Name the metrics with ``of_image`` whose columns the predictions have."""
    return [
        name for name, metric in METRICS.items() if metric.of_image and metric.is_measured(outcomes)
    ]


@dataclass(frozen=True)
class ImageStatistics:
    """What each image adds to the sums behind all scores that are functions of sums."""

    values: np.ndarray  # [N, k]; the first column is 1, which counts images
    columns: dict[str, slice]  # of each metric

    @classmethod
    def of(cls, outcomes: Outcomes, names: Sequence[str] | None = None) -> "ImageStatistics":
        """Compute them for some of `METRICS` with ``of_image``; by default all measured ones."""
        parts, columns, start = [np.ones((len(outcomes.truth), 1))], {}, 1
        for name in measured_metrics(outcomes) if names is None else names:
            parts.append(METRICS[name].of_image(outcomes).reshape(len(outcomes.truth), -1))
            columns[name] = slice(start, start + parts[-1].shape[1])
            start = columns[name].stop
        return cls(np.hstack(parts), columns)

    def scores(self, totals: np.ndarray) -> np.ndarray:
        """Scores [..., m] from sums of ``values``, [..., k], in the order of ``columns``."""
        images = totals[..., 0]
        with np.errstate(invalid="ignore"):  # a resample may hold no image: NaN
            scores = [
                METRICS[name].of_sums(totals[..., columns], images)
                for name, columns in self.columns.items()
            ]
        return np.stack(scores, axis=-1)


def score_runs(
    outcomes: Outcomes,
    units: np.ndarray,
    runs: np.ndarray | None = None,
    *,
    metrics: Collection[str] = METRICS,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Interval]:
    """Score each of several runs, with the interval of the mean over them.

    Parameters
    ----------
    outcomes
        Of N images.
    units
        What each image belongs to, such as its source, codes ``0 … U-1``, [N].
    runs
        Codes ``0 … S-1``, such as of seeds, [N]; by default all images are of one.
    metrics
        Names of those that are asked for.
    resamples, level, seed
        Of the bootstrap, for scores that are no function of the confusion matrix.

    Returns
    -------
    dict
        Of each metric that is a score and is measured, in the order of `METRICS`.
    """
    runs = np.zeros(len(units), int) if runs is None else runs
    found = confusion_intervals(
        outcomes.truth,
        outcomes.predicted,
        units,
        {
            name: metric.of_confusion
            for name, metric in METRICS.items()
            if metric.of_confusion and name in metrics
        },
        classes=len(outcomes.classes),
        runs=runs,
        level=level,
    )
    names = [name for name in measured_metrics(outcomes) if name in metrics]
    if not names:
        return found
    of_runs = [np.flatnonzero(runs == run) for run in range(int(runs.max()) + 1)]
    statistics = [ImageStatistics.of(outcomes.take(seen), names) for seen in of_runs]
    totals = np.stack(  # [units, runs, k]
        [
            sum_by_unit(statistic.values, units[seen], int(units.max()) + 1)
            for statistic, seen in zip(statistics, of_runs, strict=True)
        ],
        axis=1,
    )
    low, high = bootstrap_interval(
        totals,
        lambda sums: statistics[0].scores(sums).mean(axis=-2),
        totals[..., 0].sum(axis=1),
        strata=unit_labels(outcomes.truth, units),
        resamples=resamples,
        level=level,
        seed=seed,
    )
    values = statistics[0].scores(totals.sum(axis=0))  # [runs, m]
    low, high = widen_for_runs(low, high, values, level)
    for i, name in enumerate(statistics[0].columns):
        ends = np.clip([low[i], high[i]], *METRICS[name].bounds)
        found[name] = Interval(values[:, i], *map(float, ends))
    return {name: found[name] for name in METRICS if name in found}


@described(
    heading="Scores of each run",
    caption="Every run on its test images, with intervals over sources.",
)
def score_predictions(
    predictions: pd.DataFrame,
    *,
    bins: int = 15,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score each variant, protocol, seed and condition, with intervals over sources.

    The folds of a run are pooled: with cross-validation that is every source once.

    Parameters
    ----------
    predictions
        One row per test image and run (design: predictions); probabilities sum to 1.
    bins
        Equal-width confidence bins of the expected calibration error.
    resamples, level, seed
        Of the bootstrap, which draws sources with all their images, class by class.

    Returns
    -------
    DataFrame
        A row per run, in order of appearance: ``RUN_KEYS``, ``images``, ``sources`` (units drawn),
        ``interval_unit`` (``source``, or ``image`` where a source is unknown), each score of
        `METRICS`, with ``_low`` and ``_high`` where it has an interval, and the mean
        ``inference_ms`` where predictions have it. ``log_loss`` is in nats, ``brier`` is summed
        over classes (0 to 2). ``macro_…`` and ``auc`` (one-vs-rest) are means over the classes that
        the run tests; NaN for the latter where that is one. Scores of masks are columns where a run
        has any, NaN for the others.

    Raises
    ------
    ValueError
        See ``read_outcomes``.

    Notes
    -----
    Scores of the confusion matrix have the intervals of `confusion_intervals`, all others those of
    `bootstrap_interval`. ECE is a sum of absolute values and biased upwards: its interval, which
    allows for that, may lie below it.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, *On Calibration of Modern Neural Networks*, ICML 2017 (ECE).
    Obuchowski, *Nonparametric analysis of clustered ROC curve data*, Biometrics 53, 1997 (AUC).
    """
    bootstrap = {"resamples": resamples, "level": level, "seed": seed}
    return pd.DataFrame(
        [
            keys | _score_run(run, outcomes, **bootstrap)
            for keys, run, outcomes in each_run(predictions, bins=bins)
        ]
    )


@described(
    heading="Scores of each fold",
    caption="Every fold on its own; under domain and dataset, what it tests is left out of "
    "training.",
)
def score_by_fold(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    pooled: pd.DataFrame | None = None,
    bins: int = 15,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score each fold by itself, as each direction of ``domain`` is a result of its own.

    Parameters
    ----------
    predictions, bins, resamples, level, seed
        As for `score_predictions`.
    manifest
        Of the same data set: the ``domain`` of each image.
    pooled
        Of `score_predictions`, if that is known: scores of the runs that have a single fold.

    Returns
    -------
    DataFrame
        A row per ``FOLD_KEYS``: ``tested`` (the domain or data set that the fold tests, missing
        for other protocols), then the columns of `score_predictions`.
    """
    bootstrap = {"resamples": resamples, "level": level, "seed": seed}
    domains = manifest.set_index("image_id")["domain"]
    known = {}
    if pooled is not None:
        folds = predictions.groupby(RUN_KEYS, sort=False, observed=True)["fold"].nunique()
        scores = pooled.set_index(RUN_KEYS).to_dict("index")
        known = {run: scores[run] for run in folds.index[folds == 1]}
    rows = []
    for keys, run, outcomes in each_run(predictions, FOLD_KEYS, bins):
        scored = known.get(tuple(keys[name] for name in RUN_KEYS))
        tests = {"tested": held_out(run, keys["protocol"], domains)}
        rows.append(keys | tests | (scored or _score_run(run, outcomes, **bootstrap)))
    return pd.DataFrame(rows)


def held_out(run: pd.DataFrame, protocol: str, domains: pd.Series) -> str | None:
    """Name the domain or data set that a fold tests; None under other protocols.

    Parameters
    ----------
    run
        Rows of the predictions.
    protocol
        Of the run.
    domains
        By ``image_id``.
    """
    if protocol not in SHIFTS:
        return None
    names = run["dataset"] if protocol == "dataset" else run["image_id"].map(domains)
    return " + ".join(sorted(names.dropna().unique()))


def _score_run(
    run: pd.DataFrame, outcomes: Outcomes, *, resamples: int, level: float, seed: int
) -> dict:
    units, kind = resampling_units(run)
    row = {"images": len(run), "sources": int(units.max()) + 1, "interval_unit": kind}
    found = score_runs(outcomes, units, resamples=resamples, level=level, seed=seed)
    for name, (values, low, high) in found.items():
        row[name] = float(values[0])
        if METRICS[name].interval:
            row |= {f"{name}_low": low, f"{name}_high": high}
    if "inference_ms" in run:
        row["inference_ms"] = run["inference_ms"].mean()
    return row
