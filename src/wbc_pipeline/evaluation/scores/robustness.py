"""How accuracy falls as images get worse, from predictions of clean and degraded images.

``predictions`` are those of the design, test rows alone. A condition is ``clean`` or a curve and
its amount, such as ``noise 0.15``; each image was predicted under all of them. A curve begins at
amount 0 with the clean images. Its area is that under the accuracy up to the last amount, as a
share of the area under a constant accuracy of 1.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import summarise_seeds
from wbc_pipeline.evaluation.scores.intervals import mean_interval, resampling_units
from wbc_pipeline.evaluation.scores.metrics import read_outcomes

CLEAN = "clean"
CURVE_KEYS = ["variant", "protocol", "curve"]


def split_condition(condition: str) -> tuple[str, float]:
    """Split the name of a degraded condition into curve and amount.

    Examples
    --------
    >>> split_condition("noise 0.15")
    ('noise', 0.15)
    """
    curve, amount = condition.rsplit(" ", 1)
    return curve, float(amount)


def robustness_scores(
    predictions: pd.DataFrame, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Score each variant under each protocol, curve and amount.

    Parameters
    ----------
    predictions
        One row per image, run and condition.
    level, resamples, seed
        Of the bootstrap; see ``comparison.summarise_seeds``.

    Returns
    -------
    DataFrame
        A row per variant, protocol, curve and ``amount``, which is 0 for the clean images:
        ``images`` and ``cells`` (over all seeds; cells are missing if no source is known), means
        over seeds of ``accuracy``, with ``_low`` and ``_high``, and of ``macro_f1``.
    """
    keys = ["variant", "protocol", "condition"]
    summary = summarise_seeds(
        predictions,
        metrics=("accuracy", "macro_f1"),
        level=level,
        resamples=resamples,
        seed=seed,
    )
    scores = summary.set_index([*keys, "metric"]).unstack("metric")
    groups = predictions.groupby(keys, sort=False, observed=True)
    table = groups.agg(images=("image_id", "nunique"), cells=("source_id", "nunique"))
    table["cells"] = table["cells"].astype("Int64").where(table["cells"] > 0)
    for column, end in {"accuracy": "mean", "accuracy_low": "low", "accuracy_high": "high"}.items():
        table[column] = scores[end, "accuracy"]
    table["macro_f1"] = scores["mean", "macro_f1"]
    return _sort(_list_curves(table.reset_index()))


@described(
    heading="Accuracy on degraded images",
    caption="Accuracy by amount of degradation, means over seeds; at 0 the same images as they "
    "came. Intervals, images and cells behind each are in robustness.csv.",
)
def widen_scores(
    scores: pd.DataFrame, published: Mapping[str, Mapping[str, Mapping[float, object]]]
) -> pd.DataFrame:
    """Put the amounts of each curve side by side, for reading.

    Parameters
    ----------
    scores
        Of `robustness_scores`.
    published
        ``{variant: {curve: {amount: accuracy}}}``, as printed.

    Returns
    -------
    DataFrame
        A row per curve, variant and protocol, in order of appearance, with a column for each
        amount. What the paper prints for a variant comes first, as the protocol ``printed``.
    """
    rows = []
    for (curve, variant), points in scores.groupby(["curve", "variant"], sort=False):
        printed = published.get(variant, {}).get(curve, {})
        of_protocols = dict(list(points.groupby("protocol", sort=False)))
        lines = {"printed": printed} if printed else {}
        lines |= {
            protocol: dict(zip(line["amount"], line["accuracy"], strict=True))
            for protocol, line in of_protocols.items()
        }
        for protocol, line in lines.items():
            values = {f"{float(amount):g}": value for amount, value in line.items()}
            rows.append({"curve": curve, "variant": variant, "protocol": protocol, **values})
    table = pd.DataFrame(rows)
    amounts = sorted(table.columns[3:], key=float)
    table = table.sort_values("curve", key=lambda names: pd.factorize(names)[0], kind="stable")
    return table[[*table.columns[:3], *amounts]].reset_index(drop=True)


@described(
    heading="Area under the accuracy curve",
    caption="Area under the accuracy from the clean images to the last amount, as a share of a "
    "curve that stays at 1, with intervals over sources; its difference to that of "
    " the first variant is on the same images.",
)
def robustness_areas(
    predictions: pd.DataFrame, *, level: float = 0.95, resamples: int = 1000
) -> pd.DataFrame:
    """Measure the area under each accuracy curve, and compare the variants.

    An image's own curve is 1 where its answer is right and 0 where it is wrong; the mean of the
    images' areas is the area under the accuracy curve.

    Parameters
    ----------
    predictions
        One row per image, run and condition.
    level, resamples
        Of the bootstrap over sources, which leaves out the spread between training seeds.

    Returns
    -------
    DataFrame
        A row per variant, protocol and curve: ``to_amount``, ``area`` (0 to 1, mean over seeds) and
        ``area_difference`` (to the first variant on the same images and seeds, missing for the
        first itself), both with ``_low`` and ``_high``.

    Raises
    ------
    ValueError
        If an image was not predicted under all conditions of a curve; the message names it.
    """
    answers = predictions.assign(right=read_outcomes(predictions).correct.astype(float))
    curves = _sort(_list_curves(answers)).groupby(CURVE_KEYS, sort=False, observed=True)
    by_curve = {keys: _image_areas(points) for keys, points in curves}
    first, options = predictions["variant"].iloc[0], {"level": level, "resamples": resamples}
    rows = []
    for (variant, *of_all), images in by_curve.items():
        row = dict(zip(CURVE_KEYS, (variant, *of_all), strict=True))
        row |= {"to_amount": images["to_amount"].iloc[0]}
        row |= _mean_over_seeds("area", images, least=0, **options)
        if variant != first and (reference := by_curve.get((first, *of_all))) is not None:
            paired = images.join(reference["area"], how="inner", rsuffix="_of_first")
            paired["area_difference"] = paired["area"] - paired["area_of_first"]
            row |= _mean_over_seeds("area_difference", paired, least=-1, **options)
        rows.append(row)
    ends = [f"{name}{end}" for name in ("area", "area_difference") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*CURVE_KEYS, "to_amount", *ends])


def _list_curves(table: pd.DataFrame) -> pd.DataFrame:
    """List each curve's rows with its name and amounts, repeating the clean ones for each."""
    conditions = [name for name in table["condition"].unique() if name != CLEAN]
    amounts = pd.DataFrame([split_condition(name) for name in conditions])
    amounts = amounts.set_axis(["curve", "amount"], axis=1).assign(condition=conditions)
    begins = amounts.drop_duplicates("curve").assign(amount=0.0, condition=CLEAN)
    points = table.merge(pd.concat([amounts, begins]), on="condition")
    first = [*CURVE_KEYS, "amount"]
    return points[[*first, *points.columns.drop([*first, "condition"])]]


def _sort(points: pd.DataFrame) -> pd.DataFrame:
    """Sort by amount within each curve; variants, protocols and curves as they first appear."""
    ranks = [pd.factorize(points[name])[0] for name in CURVE_KEYS]
    return points.iloc[np.lexsort([points["amount"], *ranks[::-1]])].reset_index(drop=True)


def _image_areas(points: pd.DataFrame) -> pd.DataFrame:
    """Measure the area of each image and seed, indexed by these."""
    image = ["seed", "image_id"]
    right = points.pivot(index=image, columns="amount", values="right")
    if right.isna().to_numpy().any():
        where = right.index[right.isna().any(axis=1)][0]
        curve = points["curve"].iloc[0]
        raise ValueError(
            f"image {where[1]!r} was not predicted under all conditions of curve {curve!r}: "
            "predict each sampled image under each of them"
        )
    amounts = right.columns.to_numpy(float)
    sources = points.drop_duplicates(image).set_index(image)[["source_id"]]
    area = np.trapezoid(right, amounts, axis=1) / amounts[-1]
    return sources.reindex(right.index).assign(area=area, to_amount=amounts[-1])


def _mean_over_seeds(
    name: str, images: pd.DataFrame, *, least: int, **options: float
) -> dict[str, float]:
    """Average a column over each seed's images, then over seeds, with an interval over sources.

    The interval ends at what a value can be: ``least`` and 1.
    """
    seeds = images.index.get_level_values("seed")
    tested = seeds.map(seeds.value_counts())
    values = images[name] * (len(images) / (seeds.nunique() * tested))  # seeds weigh the same
    units, _ = resampling_units(images.reset_index())
    low, high = np.clip(mean_interval(values, pd.Series(units), **options), least, 1)
    return {name: values.mean(), f"{name}_low": low, f"{name}_high": high}
