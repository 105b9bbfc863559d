"""Does one variant score higher than another? Paired tests over seeds and sources, and verdicts."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp
from statsmodels.stats.multitest import multipletests

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import summarise_seeds
from wbc_pipeline.evaluation.scores.confusion import macro_f1, mean_recall
from wbc_pipeline.evaluation.scores.directions import SHIFTS, split_directions
from wbc_pipeline.evaluation.scores.entries import METRICS, metric_label
from wbc_pipeline.evaluation.scores.intervals import (
    NO_SPREAD,
    bootstrap_interval,
    resampling_units,
    unit_labels,
    widen_for_runs,
)
from wbc_pipeline.evaluation.scores.metrics import held_out, read_outcomes
from wbc_pipeline.evaluation.scores.outcomes import Outcomes
from wbc_pipeline.evaluation.scores.overlaps import mean_over_known

COMPARED = ("iou_cell", "macro_f1")
MEAN_RECALL = "mean_recall"  # of the classes that are asked for
PLACE = ["protocol", "fold", "tested"]  # what is a result of its own
FAMILY = [*PLACE, "metric"]  # whose p values are corrected together
PAIR = ["protocol", "seed", "fold", "image_id"]
COLUMNS = [
    *(*PLACE, "metric", "reference", "variant", "reference_score", "variant_score"),
    *("gain", "gain_low", "gain_high", "p_sources", "p_sources_holm", "d_sources"),
    *("p_seeds", "p_seeds_holm", "d_seeds", "sources", "seeds", "interval_unit"),
]
VERDICT_COLUMNS = [
    *("hypothesis", "verdict", "finding", "protocol", "tested"),
    *("gain", "gain_low", "gain_high", "margin"),
]


class _Sums(NamedTuple):
    """A score that is a function of sums over images."""

    total: Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # rows, groups, G -> [G, k]
    known: np.ndarray  # bool [N], whether a prediction has it
    score: Callable[[np.ndarray], np.ndarray]  # sums [..., k] -> [...]
    is_mean: bool  # of values and, in the second column, how many there are


class _Arms(NamedTuple):
    """Predictions of two variants for the same images: row numbers [P] each."""

    reference: np.ndarray
    variant: np.ndarray


@described(
    heading="Paired tests",
    caption="The reference against each variant on the same images. The gain has a bootstrap "
    "interval over sources, to which the variance over seeds is added. p_sources: permutation test "
    "that exchanges both answers source by source; p_seeds: paired t test over seeds, as in the "
    "paper; _holm: corrected after Holm over the variants of a protocol, fold and metric. d: "
    "Cohen's d of the paired differences. One seed has no test over seeds.",
)
def paired_tests(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    reference: str,
    metrics: Sequence[str] = COMPARED,
    classes: Sequence[str] = (),
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Test a reference against every other variant, by protocol and fold.

    Parameters
    ----------
    predictions
        One row per test image and run; the condition ``clean`` counts.
    manifest
        Of the same data set: the ``domain`` of each image.
    reference
        The variant that others are taken from.
    metrics
        Of `COMPARED`, or `MEAN_RECALL`.
    classes
        Those whose recall `MEAN_RECALL` averages, as far as they are tested.
    resamples
        Of the bootstrap over sources, and of the permutations.
    level, seed
        Of the bootstrap.

    Returns
    -------
    DataFrame
        A row per protocol, fold, metric and variant (`COLUMNS`). Under ``domain`` and ``dataset``
        each fold stands alone, and ``tested`` names what it tests; the folds of other protocols are
        pooled as fold 0. ``gain`` is the reference's score minus the variant's, means over seeds;
        ``d_sources`` is that of the mean difference of each source, NaN for scores that are no
        means over images. What is not known (one seed; no spread) is NaN. No row where one of both
        lacks the metric.

    Raises
    ------
    ValueError
        See ``metrics.read_outcomes``.

    References
    ----------
    Holm, *A simple sequentially rejective multiple test procedure*, Scandinavian Journal of
    Statistics 6, 1979. Cohen, *Statistical Power Analysis for the Behavioral Sciences*, 1988 (d_z).
    """
    clean = predictions[predictions["condition"] == "clean"].reset_index(drop=True)
    outcomes = read_outcomes(clean)
    sums = {
        name: found for name in metrics if (found := _sums_of(name, outcomes, classes)) is not None
    }
    domains = manifest.set_index("image_id")["domain"]
    rows = []
    for (protocol, fold, variant), arms in _pairs(clean, reference).items():
        place = {
            "protocol": protocol,
            "fold": fold,
            "tested": held_out(clean.loc[arms.reference], protocol, domains),
        }
        for metric, each in sums.items():
            both = each.known[arms.reference] & each.known[arms.variant]
            if both.any():
                kept = _Arms(arms.reference[both], arms.variant[both])
                found = _compare(clean, kept, each, resamples=resamples, level=level, seed=seed)
                names = {"metric": metric, "reference": reference, "variant": variant}
                rows.append(place | names | found)
    table = pd.DataFrame(rows, columns=[name for name in COLUMNS if "_holm" not in name])
    for name in ("p_sources", "p_seeds"):
        families = table.groupby(FAMILY, sort=False, dropna=False)[name]
        table[f"{name}_holm"] = families.transform(_holm)
    return table.sort_values(FAMILY, kind="stable", ignore_index=True)[COLUMNS]


@described(
    heading="Scores by direction",
    caption="Means over seeds, each direction of a shift alone. Intervals are over sources, to "
    "which the variance over seeds is added.",
)
def scores_by_direction(
    predictions: pd.DataFrame, manifest: pd.DataFrame, **options
) -> pd.DataFrame:
    """Summarise the scores of each variant, by protocol and direction of a shift.

    Parameters
    ----------
    predictions, manifest
        As of `paired_tests`.
    **options
        ``resamples``, ``level``, ``seed`` of ``comparison.summarise_seeds``.

    Returns
    -------
    DataFrame
        As ``comparison.summarise_seeds`` gives it, of the condition ``clean``; a direction is a
        protocol, such as ``to cellavision``.
    """
    clean = predictions[predictions["condition"] == "clean"].reset_index(drop=True)
    domains = manifest[["image_id", "domain"]].drop_duplicates("image_id")
    placed = clean.merge(domains, on="image_id", how="left")
    return summarise_seeds(split_directions(placed), **options).drop(columns="condition")


@described(
    heading="Hypotheses",
    caption="What the paper claims, judged by the interval of the gain: supported where all of it "
    "is at or above the margin, refuted where all of it is below, else undecided. Each "
    "direction of a shift is a result of its own.",
)
def judge_hypotheses(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    hypotheses: Mapping[str, Mapping],
    **options,
) -> pd.DataFrame:
    """Judge claims that one variant gains so much over another.

    Parameters
    ----------
    predictions, manifest
        As of `paired_tests`.
    hypotheses
        By name: ``claim`` (in words), ``better`` and ``than`` (variants), ``metric``, ``margin``
        (the least gain, from 0 to 1), ``protocols`` (under which it is claimed), and perhaps
        ``classes`` (of `MEAN_RECALL`).
    **options
        ``resamples``, ``level``, ``seed`` of `paired_tests`.

    Returns
    -------
    DataFrame
        `VERDICT_COLUMNS`. For each hypothesis a row over all that was tested, whose ``verdict`` is
        the one that all folds agree on, else ``undecided``; then a row per protocol and fold, with
        ``gain``, its interval and the ``margin``. ``not run`` where variants or protocols lack, and
        ``not measured`` where predictions lack the metric; ``finding`` says what to run.
    """
    rows = []
    for name, hypothesis in hypotheses.items():
        known = {"hypothesis": name, "margin": hypothesis["margin"]}
        rows += [known | row for row in _judge(predictions, manifest, hypothesis, **options)]
    return pd.DataFrame(rows, columns=VERDICT_COLUMNS)


def verdict_of(low: float, high: float, margin: float) -> str:
    """Hold the interval of a gain against the least gain that is claimed.

    Examples
    --------
    >>> [verdict_of(low, high, 0.02) for low, high in [(0.03, 0.05), (-0.01, 0.01), (0, 0.05)]]
    ['supported', 'refuted', 'undecided']
    >>> verdict_of(float("nan"), float("nan"), 0.02)
    'undecided'
    """
    if low >= margin:
        return "supported"
    return "refuted" if high < margin else "undecided"


def _judge(
    predictions: pd.DataFrame, manifest: pd.DataFrame, hypothesis: Mapping, **options
) -> list[dict]:
    claim, better, than, metric, margin, protocols = (
        hypothesis[key] for key in ("claim", "better", "than", "metric", "margin", "protocols")
    )
    both = predictions[predictions["variant"].isin([better, than])]
    both = both[both["protocol"].isin(protocols)]
    if both.groupby("protocol", observed=True)["variant"].nunique().max() != 2:  # NaN of none
        followed = set(predictions["protocol"])
        protocol = next((name for name in protocols if name in followed), protocols[0])
        asked = f"--params=protocols={protocol},variants={better}+{than}"
        return [{"verdict": "not run", "finding": f"{claim}: not run. Ask for {asked}."}]
    classes = hypothesis.get("classes", ())
    tests = paired_tests(
        both, manifest, reference=better, metrics=[metric], classes=classes, **options
    )
    if tests.empty:
        lacking = f"no test image has {_label(metric)} by both {better} and {than}"
        advice = "Take a data set with masks." if metric.startswith("iou") else ""
        finding = f"{claim}: not measured, as {lacking}. {advice}".strip()
        return [{"verdict": "not measured", "finding": finding}]
    found = []
    for test in tests.to_dict("records"):
        verdict = verdict_of(test["gain_low"], test["gain_high"], margin)
        finding = _in_words(test, verdict, margin, options.get("level", 0.95))
        found.append({key: test.get(key) for key in VERDICT_COLUMNS if key in test})
        found[-1] |= {"verdict": verdict, "finding": finding}
    verdicts = {_place(row): row["verdict"] for row in found}
    agreed = {*verdicts.values()}
    overall = agreed.pop() if len(agreed) == 1 else "undecided"
    each = "; ".join(f"{verdict} {place}" for place, verdict in verdicts.items())
    return [{"verdict": overall, "finding": f"{claim}: {overall} ({each})."}, *found]


def _place(test: Mapping) -> str:
    return f"under {test['protocol']}" + (f" on {test['tested']}" if test["tested"] else "")


def _in_words(test: Mapping, verdict: str, margin: float, level: float) -> str:
    low, high = 100 * test["gain_low"], 100 * test["gain_high"]
    interval = (
        f"{level:.0%} interval {low:+.1f} to {high:+.1f}"
        if np.isfinite([low, high]).all()
        else "no interval, as resamples do not differ"
    )
    return (
        f"{test['reference']} gains {100 * test['gain']:+.1f} points of "
        f"{_label(test['metric'])} over {test['variant']} {_place(test)} ({interval}; "
        f"{test['sources']} sources, {test['seeds']} seeds); claimed are {100 * margin:g}: "
        f"{verdict}."
    )


def _label(metric: str) -> str:
    return "mean recall" if metric == MEAN_RECALL else metric_label(metric)


def _sums_of(metric: str, outcomes: Outcomes, asked: Sequence[str]) -> _Sums | None:
    """Take what each prediction adds to the sums behind a metric; None if none has it."""
    if metric in ("macro_f1", MEAN_RECALL):
        classes = len(outcomes.classes)
        score = macro_f1
        if metric == MEAN_RECALL:
            rows = [place for place, name in enumerate(outcomes.classes) if name in asked]
            if not np.isin(outcomes.truth, rows).any():
                return None
            score = partial(mean_recall, classes=rows)
        cells = outcomes.truth * classes + outcomes.predicted
        return _Sums(
            partial(_count_cells, cells, classes**2),
            np.ones(len(cells), bool),
            lambda sums: score(_square(sums, classes)),
            False,
        )
    if not METRICS[metric].is_measured(outcomes):
        return None
    values = METRICS[metric].of_image(outcomes)  # [N, 2]
    return _Sums(
        partial(_add_values, values),
        values[:, 1] > 0,
        lambda sums: mean_over_known(sums, None),
        True,
    )


def _count_cells(
    cells: np.ndarray, number: int, rows: np.ndarray, groups: np.ndarray, size: int
) -> np.ndarray:
    """Count the cells of some rows by group, [size, number].

    A column for each cell and prediction would take gigabytes of many classes.
    """
    counts = np.bincount(groups * number + cells[rows], minlength=size * number)
    return counts.reshape(size, number).astype(float)


def _add_values(values: np.ndarray, rows: np.ndarray, groups: np.ndarray, size: int) -> np.ndarray:
    """Add the values of some rows by group, [N, k] -> [size, k]."""
    sums = np.zeros((size, values.shape[1]))
    np.add.at(sums, groups, values[rows])
    return sums


def _square(sums: np.ndarray, classes: int) -> np.ndarray:
    return sums.reshape(*sums.shape[:-1], classes, classes)


def _pairs(clean: pd.DataFrame, reference: str) -> dict[tuple, _Arms]:
    """Pair the rows of each variant with those of the reference, by protocol, fold and variant."""
    table = clean[[*PAIR, "variant"]].assign(row=np.arange(len(clean)))
    is_reference = table["variant"] == reference
    pairs = table[~is_reference].merge(
        table[is_reference].drop(columns="variant"), on=PAIR, suffixes=("", "_reference")
    )
    own_fold = pairs["fold"].where(pairs["protocol"].isin(SHIFTS), 0)
    groups = pairs.groupby(["protocol", own_fold, "variant"], sort=False, observed=True)
    return {
        names: _Arms(rows["row_reference"].to_numpy(), rows["row"].to_numpy())
        for names, rows in groups
    }


def _compare(
    clean: pd.DataFrame, arms: _Arms, sums: _Sums, *, resamples: int, level: float, seed: int
) -> dict:
    rows = clean.loc[arms.reference]
    units, kind = resampling_units(rows)
    seeds = pd.factorize(rows["seed"])[0]
    shape = (units.max() + 1, seeds.max() + 1)
    groups = np.ravel_multi_index((units, seeds), shape)
    totals = np.stack([sums.total(arm, groups, np.prod(shape)) for arm in arms], axis=1)
    totals = totals.reshape(*shape, *totals.shape[1:])  # [units, seeds, 2, k]

    def gain(of: np.ndarray) -> np.ndarray:  # [..., seeds, 2, k] -> [..., seeds]
        with np.errstate(invalid="ignore"):  # a resample may hold no image of a seed: NaN
            scores = sums.score(of)
        return scores[..., 0] - scores[..., 1]

    low, high = bootstrap_interval(
        totals,
        lambda of: gain(of).mean(axis=-1, keepdims=True),
        np.bincount(units),
        strata=unit_labels(rows["label"].to_numpy(), units),
        resamples=resamples,
        level=level,
        seed=seed,
    )
    gains = gain(totals.sum(axis=0))  # [seeds]
    low, high = np.clip(widen_for_runs(low, high, gains[:, None], level), -1, 1)
    scores = sums.score(totals.sum(axis=0)).mean(axis=0)
    return {
        "reference_score": scores[0],
        "variant_score": scores[1],
        "gain": gains.mean(),
        "gain_low": low[0],
        "gain_high": high[0],
        "p_sources": _permutation_test(totals, gain, resamples, seed),
        "d_sources": _effect_over_sources(totals) if sums.is_mean else np.nan,
        "p_seeds": ttest_1samp(gains, 0).pvalue if _spreads(gains) else np.nan,
        "d_seeds": _effect(gains),
        "sources": len(totals),
        "seeds": len(gains),
        "interval_unit": kind,
    }


def _permutation_test(
    totals: np.ndarray, gain: Callable[[np.ndarray], np.ndarray], permutations: int, seed: int
) -> float:
    """Two-sided p value of the mean gain, if each unit's two answers could be exchanged."""
    rng = np.random.default_rng(seed)
    exchanged = rng.integers(2, size=(permutations, len(totals))).astype(float)
    change = (totals[:, :, ::-1] - totals).reshape(len(totals), -1)
    observed = totals.sum(axis=0)
    drawn = observed + (exchanged @ change).reshape(permutations, *observed.shape)
    least = abs(gain(observed).mean()) - NO_SPREAD
    extreme = (np.abs(gain(drawn).mean(axis=-1)) >= least).sum()
    return float((1 + extreme) / (1 + permutations))


def _effect_over_sources(totals: np.ndarray) -> float:
    """Cohen's d of the differences of each source, of sums of values and their number."""
    values, counts = np.moveaxis(totals.sum(axis=1), -1, 0)  # [units, 2] each
    return _effect((values[:, 0] - values[:, 1]) / counts[:, 0])


def _effect(differences: np.ndarray) -> float:
    return differences.mean() / differences.std(ddof=1) if _spreads(differences) else np.nan


def _spreads(differences: np.ndarray) -> bool:
    return len(differences) > 1 and np.ptp(differences) > NO_SPREAD


def _holm(p_values: pd.Series) -> pd.Series:
    known = p_values.dropna()
    if len(known) < 2:
        return p_values  # nothing to correct, and statsmodels collects garbage at each call
    corrected = multipletests(known, method="holm")[1]
    return pd.Series(corrected, index=known.index).reindex(p_values.index)
