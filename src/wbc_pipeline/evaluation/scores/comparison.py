"""Published against reproduced against leak-free, and variants against each other."""

from collections.abc import Collection, Mapping
from decimal import Decimal

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.entries import METRICS
from wbc_pipeline.evaluation.scores.intervals import (
    bootstrap_interval,
    mean_of_sums,
    resampling_units,
    sum_by_unit,
    unit_labels,
)
from wbc_pipeline.evaluation.scores.metrics import each_run, read_outcomes, score_runs
from wbc_pipeline.evaluation.scores.protocols import leak_free_protocol


def summarise_seeds(
    predictions: pd.DataFrame,
    *,
    metrics: Collection[str] = METRICS,
    bins: int = 15,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean of each score over the seeds of a variant, protocol and condition.

    The interval is that of the mean over seeds: a source that is tested under several seeds is one
    unit, and the variance of the mean over seeds is added. With few seeds it still understates what
    training anew would change; one seed counts for none of it.

    Parameters
    ----------
    predictions
        One row per test image, run and condition.
    metrics
        Names of the scores that are asked for.
    bins, resamples, level, seed
        As of ``metrics.score_predictions``.

    Returns
    -------
    DataFrame
        A row per variant, protocol, condition and score of ``METRICS``: ``mean``, ``sd`` (over
        seeds, NaN for one), ``low``, ``high``, ``seeds``, ``interval_unit``.
    """
    rows, keys = [], ["variant", "protocol", "condition"]
    for group, runs, outcomes in each_run(predictions, keys, bins):
        units, kind = resampling_units(runs)
        codes, names = pd.factorize(runs["seed"])
        found = score_runs(
            outcomes, units, codes, metrics=metrics, resamples=resamples, level=level, seed=seed
        )
        rows += [
            group
            | {"metric": name, "mean": values.mean(), "sd": _sd(values), "low": low, "high": high}
            | {"seeds": len(names), "interval_unit": kind}
            for name, (values, low, high) in found.items()
        ]
    return pd.DataFrame(rows)


def measured_times(
    runs: pd.DataFrame,
    predictions: pd.DataFrame | None = None,
    *,
    reference_variant: str = "normal",
) -> pd.DataFrame:
    """List the times of each run in long form, for ``compare_published(extra=…)``.

    Parameters
    ----------
    runs
        A row per run and fold with ``training_seconds`` and ``seconds_per_epoch``.
    predictions
        For ``inference_ms``, where that column is there.
    reference_variant
        ``epoch_time_ratio`` is a run's seconds per epoch over those of this variant at the same
        protocol, seed, fold and hardware; without such a run it is left out.

    Returns
    -------
    DataFrame
        ``variant``, ``protocol``, ``seed``, ``metric``, ``value``.
    """
    run = ["variant", "protocol", "seed"]
    place = [key for key in ("protocol", "seed", "fold", "device", "hardware") if key in runs]
    reference = runs.loc[runs["variant"] == reference_variant, [*place, "seconds_per_epoch"]]
    paired = runs.merge(reference, on=place, suffixes=("", "_reference"))
    ratio = paired["seconds_per_epoch"] / paired["seconds_per_epoch_reference"]
    times = ["training_seconds", "seconds_per_epoch"]
    parts = [
        runs.melt(run, times, var_name="metric"),
        paired[run].assign(metric="epoch_time_ratio", value=ratio),
    ]
    if predictions is not None and "inference_ms" in predictions:
        clean = predictions[predictions["condition"] == "clean"]
        mean = clean.groupby(run, sort=False, observed=True)["inference_ms"].mean()
        parts.append(mean.rename("value").reset_index().assign(metric="inference_ms"))
    return pd.concat(parts, ignore_index=True).dropna(subset="value")


@described(
    heading="Published, reproduced, leak-free",
    caption="What the paper prints, what we get under the paper's protocol, and what is left when "
    "no cell is on two sides of the split: means over seeds with intervals over cells, SDs "
    "for times. ECE is biased upwards, so its interval may lie below it.",
)
def compare_published(
    predictions: pd.DataFrame,
    published: Mapping[str, Mapping[str, object]],
    *,
    paper_protocol: str = "random",
    extra: pd.DataFrame | None = None,
    **options,
) -> pd.DataFrame:
    """Put published, reproduced and leak-free numbers of each metric in one row.

    Parameters
    ----------
    predictions
        One row per image and run; only the condition ``clean`` is compared.
    published
        ``{variant: {metric: value}}``; a list where the paper prints several values, a string to
        keep trailing zeros.
    paper_protocol
        Whose scores are ``reproduced``; ``leak_free`` are those of ``source``, or of ``domain`` or
        ``dataset`` where only these were run.
    extra
        Further measurements in long form (``variant``, ``protocol``, ``seed``, ``metric``,
        ``value``), as ``measured_times`` makes them; they have an SD over seeds and no interval.
    **options
        ``bins``, ``resamples``, ``level``, ``seed`` of ``summarise_seeds``.

    Returns
    -------
    DataFrame
        A row per variant and metric (scores with an interval, and all that is published or extra):
        ``published`` (text as printed, such as ``0.9907 / 0.9993``; empty if not printed),
        ``reproduced`` and ``leak_free`` (means over seeds), each with ``_low``, ``_high`` and
        ``_sd``, ``difference`` (of scores: reproduced minus leak-free), ``seeds`` (of the paper's
        protocol, else of the other), ``interval_unit``, ``leak_free_protocol`` (which one it is).
        What was not run or measured is NaN.

    Raises
    ------
    ValueError
        If a published metric is not in ``METRICS``; the message names it.
    """
    compared = predictions[predictions["condition"] == "clean"]
    summary = summarise_seeds(compared, **options)
    if extra is not None and not extra.empty:
        summary = pd.concat([summary, _summarise_extra(extra)], ignore_index=True)
    check_published(published)

    printed_metrics = [metric for values in published.values() for metric in values]
    extra_metrics = [] if extra is None else [*extra["metric"]]
    variants = dict.fromkeys([*summary["variant"], *published])
    always = [name for name, metric in METRICS.items() if metric.interval]
    metrics = dict.fromkeys([*always, *printed_metrics, *extra_metrics])
    leak_free = leak_free_protocol(compared["protocol"].unique())
    found = summary.set_index(["variant", "metric", "protocol"]).to_dict("index")
    rows = []
    for variant in variants:
        for metric in metrics:
            printed = published.get(variant, {}).get(metric)
            ours = found.get((variant, metric, paper_protocol), {})
            clean = found.get((variant, metric, leak_free), {})
            if printed is None and not ours and not clean:
                continue
            gap = ours.get("mean", np.nan) - clean.get("mean", np.nan)
            rows.append(
                {"variant": variant, "metric": metric, "published": printed_text(printed)}
                | interval_columns("reproduced", ours)
                | interval_columns("leak_free", clean)
                | {"difference": gap if metric in METRICS and METRICS[metric].is_score else np.nan}
                | {"seeds": (ours or clean).get("seeds", 0)}
                | {"interval_unit": (ours or clean).get("interval_unit", "")}
                | {"leak_free_protocol": leak_free}
            )
    return pd.DataFrame(rows)


def published_values(value: object) -> list[float]:
    """Numbers behind a published value: one, a list, or text.

    >>> published_values(["0.9907", 0.9993])
    [0.9907, 0.9993]
    """
    return [float(item) for item in _as_list(value)]


@described(
    heading="Variants against the reference",
    caption="Each variant minus the reference on the same images. The p value is McNemar's exact "
    "test with each source as one vote, corrected after Holm over the variants of a "
    "protocol.",
)
def paired_differences(
    predictions: pd.DataFrame,
    reference_variant: str = "normal",
    *,
    condition: str = "clean",
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare each variant with a reference on the same images and seeds.

    The p value is that of McNemar's exact test with a source as the unit: a source votes once, by
    whether the variant gets more or fewer of its predictions right than the reference. With one
    image per source and one seed that is McNemar's test itself; with several, counting each image
    would take copies of one cell for independent evidence.

    Parameters
    ----------
    predictions
        One row per image and run.
    reference_variant, condition
        What to compare with, and under which condition.
    resamples, level, seed
        Of the bootstrap over sources, which leaves out the spread between training seeds.

    Returns
    -------
    DataFrame
        A row per protocol and variant: ``reference``, ``accuracy_difference`` and
        ``log_loss_difference`` (variant minus reference) with ``_low`` and ``_high``, ``p_value``,
        ``p_holm`` (corrected over the variants of a protocol), ``better`` and ``worse`` (sources),
        ``pairs`` (images × seeds), ``sources``, ``seeds``, ``interval_unit``. Without the
        reference: no rows.

    Raises
    ------
    ValueError
        If an image occurs twice in a run.

    References
    ----------
    McNemar, Psychometrika 12, 1947. Holm, Scandinavian Journal of Statistics 6, 1979.
    """
    clean = predictions[predictions["condition"] == condition]
    outcomes = read_outcomes(clean)
    pair = ["protocol", "seed", "image_id"]
    images = clean[["variant", *pair, "source_id", "label"]].assign(
        accuracy=outcomes.correct.astype(float), log_loss=outcomes.loss
    )
    if images.duplicated(["variant", *pair]).any():
        twice = images.loc[images.duplicated(["variant", *pair]), "image_id"].iloc[0]
        raise ValueError(f"image {twice!r} occurs twice in one run: predict each image once")

    reference = images[images["variant"] == reference_variant].drop(
        columns=["variant", "source_id", "label"]
    )
    others = images[images["variant"] != reference_variant]
    pairs = others.merge(reference, on=pair, suffixes=("", "_reference"))
    options = {"resamples": resamples, "level": level, "seed": seed}
    rows = [
        {"protocol": protocol, "variant": variant, "reference": reference_variant}
        | _difference(group, **options)
        for (protocol, variant), group in pairs.groupby(["protocol", "variant"], sort=False)
    ]
    if not rows:
        return pd.DataFrame(columns=["protocol", "variant", "reference", "p_value", "p_holm"])
    table = pd.DataFrame(rows)
    table = table.sort_values(
        "protocol", key=lambda names: pd.factorize(names)[0], kind="stable", ignore_index=True
    )
    by_protocol = table.groupby("protocol", sort=False)["p_value"]
    after_p = table.columns.get_loc("p_value") + 1
    corrected = by_protocol.transform(lambda p_values: multipletests(p_values, method="holm")[1])
    table.insert(after_p, "p_holm", corrected)
    return table


def _difference(pairs: pd.DataFrame, *, resamples: int, level: float, seed: int) -> dict:
    """Mean differences of one variant with intervals, and the test over sources."""
    units, kind = resampling_units(pairs)
    names = ["accuracy", "log_loss"]
    gaps = pairs[names].to_numpy() - pairs[[f"{name}_reference" for name in names]].to_numpy()
    totals = sum_by_unit(np.column_stack([gaps, np.ones(len(gaps))]), units)
    strata = unit_labels(pairs["label"].to_numpy(), units)
    low, high = bootstrap_interval(
        totals,
        mean_of_sums,
        totals[:, -1],
        strata=strata,
        resamples=resamples,
        level=level,
        seed=seed,
    )
    row = {}
    for i, name in enumerate(names):
        row[f"{name}_difference"] = gaps[:, i].mean()
        row[f"{name}_difference_low"], row[f"{name}_difference_high"] = low[i], high[i]
    better, worse = int((totals[:, 0] > 0).sum()), int((totals[:, 0] < 0).sum())
    p_value = binomtest(better, better + worse).pvalue if better + worse else 1.0
    row |= {"p_value": p_value, "better": better, "worse": worse, "pairs": len(pairs)}
    return row | {
        "sources": len(totals),
        "seeds": pairs["seed"].nunique(),
        "interval_unit": kind,
    }


def _summarise_extra(extra: pd.DataFrame) -> pd.DataFrame:
    keys = ["variant", "protocol", "metric"]
    by_seed = extra.groupby([*keys, "seed"], sort=False, observed=True)["value"].mean()  # of folds
    groups = by_seed.groupby(keys, sort=False, observed=True)
    summary = groups.agg(mean="mean", sd="std", seeds="count").reset_index()
    return summary.assign(interval_unit="")


def check_published(published: Mapping[str, Mapping]) -> None:
    """Check that each printed metric is one of ``METRICS``.

    Raises
    ------
    ValueError
        Naming the metric, its variant and the known metrics.
    """
    for variant, values in published.items():
        for metric in values:
            if metric not in METRICS:
                raise ValueError(
                    f"published metric {metric!r} of variant {variant!r} is not one of "
                    f"{', '.join(sorted(METRICS))}: correct its name"
                )


def interval_columns(name: str, summary: dict) -> dict:
    """Name a summary's mean, interval and SD after what they are of; NaN where one is missing."""
    keys = {"": "mean", "_low": "low", "_high": "high", "_sd": "sd"}
    return {name + suffix: summary.get(key, np.nan) for suffix, key in keys.items()}


def _as_list(value: object) -> list:
    if value is None:
        return []
    return [*value] if isinstance(value, list | tuple) else [value]


def printed_text(value: object) -> str:
    """Write down what a paper prints, several values with a slash between."""
    return " / ".join(str(item) for item in _as_list(value))


def printed_percent(text: str) -> str:
    """Write printed shares in per cent, with the digits that they have.

    >>> printed_percent("0.9907 / 0.9993")
    '99.07 / 99.93'
    """
    return " / ".join(f"{Decimal(share).scaleb(2):f}" for share in text.split(" / "))


def _sd(values: np.ndarray) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
