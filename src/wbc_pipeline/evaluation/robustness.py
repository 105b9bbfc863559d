"""How accuracy falls as images get worse, from predictions of clean and degraded images.

``predictions`` are those of the design. A condition is ``clean`` or a curve and its amount, such as
``noise 0.15``; each image was predicted under all of them. A curve begins with the clean images, at
amount 0. Its area is that under the accuracy, up to the last amount, as a share of a curve that
stays at 1.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from wbc_pipeline.evaluation.comparison import published_values, summarise_seeds
from wbc_pipeline.evaluation.figures import (
    DASHES,
    PALETTE,
    WIDTH,
    _colours,
    _figure,
    _legend_below,
    _order,
    _styled,
)
from wbc_pipeline.evaluation.intervals import resampling_units
from wbc_pipeline.evaluation.scores import read_outcomes
from wbc_pipeline.evaluation.tuning import mean_interval

CLEAN = "clean"
CURVE_KEYS = ["variant", "protocol", "curve"]
MOST_LINES = 8  # of a panel: as many as there are colours
TILE = 1.3  # inches of an image in the sheet, at most
LETTERS = 16  # in a line of text beside it

CAPTIONS = {
    "robustness_by_amount": "Accuracy by amount of degradation, means over seeds; at 0 the same "
    "images as they came. Intervals, images and cells behind each are in robustness.csv.",
    "robustness_area": "Area under the accuracy from the clean images to the last amount, as a "
    "share of a curve that stays at 1, with bootstrap intervals over sources; its difference to "
    "that of the first variant is on the same images.",
    "robustness_curves": "Accuracy as the images get worse, mean over seeds, with bootstrap "
    "intervals over sources; at 0 the same images as they came. Stars are what the paper prints. "
    "The image is degraded at its full size where the view begins with the file: what is scaled "
    "down afterwards averages noise away, a whole image more than a region.",
    "degraded_sheet": "One test image as the networks see it, under each degradation and amount.",
}


def split_condition(condition: str) -> tuple[str, float]:
    """Take the name of a degraded condition apart.

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
        ``images`` and ``cells`` (over all seeds; known ones, missing if there are none), means
        over seeds of ``accuracy``, with ``_low`` and ``_high``, and of ``macro_f1``.
    """
    keys = ["variant", "protocol", "condition"]
    summary = summarise_seeds(predictions, level=level, resamples=resamples, seed=seed)
    scores = summary.set_index([*keys, "metric"]).unstack("metric")
    groups = predictions.groupby(keys, sort=False, observed=True)
    table = groups.agg(images=("image_id", "nunique"), cells=("source_id", "nunique"))
    table["cells"] = table["cells"].astype("Int64").where(table["cells"] > 0)
    for column, end in {"accuracy": "mean", "accuracy_low": "low", "accuracy_high": "high"}.items():
        table[column] = scores[end, "accuracy"]
    table["macro_f1"] = scores["mean", "macro_f1"]
    return _sort(_list_curves(table.reset_index()))


def widen_scores(
    scores: pd.DataFrame, published: Mapping[str, Mapping[str, Mapping[float, object]]]
) -> pd.DataFrame:
    """Put the amounts of each curve side by side, for people to read.

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
        amount; what is printed for a variant stands above its rows, under the protocol
        ``printed``.
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


def robustness_areas(
    predictions: pd.DataFrame, *, level: float = 0.95, resamples: int = 1000
) -> pd.DataFrame:
    """Measure the area under each curve of accuracy, and compare the variants.

    The area of an image is that under its own curve, which is 1 where its answer is right and 0
    where it is wrong; the mean over images is the area under the curve of the accuracy.

    Parameters
    ----------
    predictions
        One row per image, run and condition.
    level, resamples
        Of the bootstrap over sources; the spread between training seeds is not in it.

    Returns
    -------
    DataFrame
        A row per variant, protocol and curve: ``to_amount``, ``area`` (0 to 1, mean over seeds) and
        ``area_difference`` (to the first variant on the same images and seeds, missing for that
        itself), both with ``_low`` and ``_high``.

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
        row |= _mean_over_seeds("area", images, **options)
        if variant != first and (reference := by_curve.get((first, *of_all))) is not None:
            paired = images.join(reference["area"], how="inner", rsuffix="_of_first")
            paired["area_difference"] = paired["area"] - paired["area_of_first"]
            row |= _mean_over_seeds("area_difference", paired, **options)
        rows.append(row)
    ends = [f"{name}{end}" for name in ("area", "area_difference") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*CURVE_KEYS, "to_amount", *ends])


def _list_curves(table: pd.DataFrame) -> pd.DataFrame:
    """Give the rows of each curve with its name and their amounts, the clean ones first."""
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


def _mean_over_seeds(name: str, images: pd.DataFrame, **options: float) -> dict[str, float]:
    """Average a column over each seed's images and over seeds, with an interval over sources."""
    seeds = images.index.get_level_values("seed")
    tested = seeds.map(seeds.value_counts())
    values = images[name] * (len(images) / (seeds.nunique() * tested))  # seeds weigh the same
    units, _ = resampling_units(images.reset_index())
    low, high = mean_interval(values, pd.Series(units), **options)
    return {name: values.mean(), f"{name}_low": low, f"{name}_high": high}


@_styled
def robustness_curves(
    scores: pd.DataFrame,
    published: Mapping[str, Mapping[str, Mapping[float, object]]] | None = None,
    *,
    scales: Mapping[str, str] | None = None,
    dataset: str = "",
    variants: Sequence[str] | None = None,
) -> Figure:
    """Lines of accuracy over the amount of degradation, a column of panels per protocol.

    Curves over the same amounts share a panel, told apart by their dashes, as long as it has no
    more than ``MOST_LINES`` lines.

    Parameters
    ----------
    scores
        Of `robustness_scores`.
    published
        ``{variant: {curve: {amount: accuracy}}}``; a star for each.
    scales
        What the axis of a curve shows, such as ``jpeg, severity``.
    dataset
        For the title.
    variants
        See ``figures``.
    """
    title = "Accuracy on degraded images"
    colours, protocols = _colours(scores, variants), _order(scores["protocol"])
    panels = _share_panels(scores)
    styles = _line_styles(panels, colours)
    figure = _figure(title, dataset, height=1.4 + 2.9 * len(panels))
    grid = figure.subplots(len(panels), len(protocols), sharex="row", sharey=True, squeeze=False)
    for line, curves in zip(grid, panels, strict=True):
        for axes, protocol in zip(line, protocols, strict=True):
            shown = scores[(scores["protocol"] == protocol) & scores["curve"].isin(curves)]
            for (variant, curve), points in shown.groupby(["variant", "curve"], sort=False):
                _draw_curve(axes, points, styles[variant, curve])
            axes.set_title(f"protocol: {protocol}")
            axes.set_xlabel(_axis_label(curves, scales or {}))
        line[0].set_ylabel("accuracy")
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    legend = {name: styles[name, panels[0][0]] for name in _order(scores["variant"], colours)}
    for curves in panels:
        if len(curves) > 1:
            first = next(iter(colours))
            legend |= {name: styles[first, name] | {"color": "#555555"} for name in curves}
    if _draw_published(grid, panels, published or {}, colours):
        legend["printed in the paper"] = {"marker": "*", "ls": "", "color": "#555555", "ms": 11}
    _legend_below(figure, legend, columns=5)
    return figure


def _share_panels(scores: pd.DataFrame) -> list[list[str]]:
    """Group curves over the same amounts, as far as their lines can be told apart."""
    amounts = scores.groupby("curve", sort=False)["amount"].agg(lambda values: tuple(set(values)))
    groups = [[*curves.index] for _, curves in amounts.groupby(amounts, sort=False)]
    variants = scores["variant"].nunique()
    return [
        panel
        for curves in groups
        for panel in ([curves] if variants * len(curves) <= MOST_LINES else [[c] for c in curves])
    ]


def _line_styles(panels: list[list[str]], colours: Mapping[str, str]) -> dict[tuple, dict]:
    """Style each variant and curve: dashes tell curves apart, and colours that begin anew."""
    return {
        (variant, curve): {
            "color": colour,
            "linestyle": DASHES[(number + place // len(PALETTE)) % len(DASHES)],
        }
        for curves in panels
        for number, curve in enumerate(curves)
        for place, (variant, colour) in enumerate(colours.items())
    }


def _draw_curve(axes: Axes, points: pd.DataFrame, style: Mapping[str, object]) -> None:
    axes.plot(points["amount"], points["accuracy"], marker="o", markersize=4, **style)
    ends = points["accuracy_low"], points["accuracy_high"]
    axes.fill_between(points["amount"], *ends, color=style["color"], alpha=0.1, linewidth=0)


def _draw_published(
    grid: np.ndarray,
    panels: list[list[str]],
    published: Mapping[str, Mapping[str, Mapping[float, object]]],
    colours: Mapping[str, str],
) -> bool:
    """Put a star in every panel of the curve, and tell whether there was one."""
    points = [
        (axes, amount, value, colours[variant])
        for line, curves in zip(grid, panels, strict=True)
        for variant in colours
        for curve in curves
        for amount, printed in published.get(variant, {}).get(curve, {}).items()
        for value in published_values(printed)
        for axes in line
    ]
    for axes, amount, value, colour in points:
        style = {"marker": "*", "s": 120, "edgecolor": "black", "linewidth": 0.7, "zorder": 5}
        axes.scatter(amount, value, facecolor=colour, **style)
    return bool(points)


def _axis_label(curves: Sequence[str], scales: Mapping[str, str]) -> str:
    if len(curves) == 1:
        return f"{curves[0]} ({scales[curves[0]]})" if curves[0] in scales else curves[0]
    return " / ".join(dict.fromkeys(scales.get(curve, curve) for curve in curves))


@_styled
def degraded_sheet(
    pictures: Mapping[tuple[str, str], Mapping[str, np.ndarray]], *, label: str, dataset: str = ""
) -> Figure:
    """One image as networks see it, a row per curve and view, a column per amount.

    Parameters
    ----------
    pictures
        By curve and view the images of a row, RGB uint8 ``[H, W, 3]``, by what stands above each.
    label
        Class of the image.
    dataset
        For the title.
    """
    columns = max(len(row) for row in pictures.values())
    tile = min(TILE, (WIDTH - 1) / columns)
    size = {"height": 0.9 + (tile + 0.25) * len(pictures), "width": max(6, tile * columns + 1)}
    figure = _figure(f"What the networks see of one {label}", dataset, **size)
    grid = figure.subplots(len(pictures), columns, squeeze=False)
    for line, ((curve, view), row) in zip(grid, pictures.items(), strict=True):
        for axes in line[len(row) :]:
            axes.set_axis_off()
        for axes, (title, image) in zip(line, row.items(), strict=False):
            axes.imshow(image, vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
            axes.set_title(title, loc="center")
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(fill(f"{curve}, {view}".replace("_", " "), LETTERS))
    return figure
