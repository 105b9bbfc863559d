"""Figures of accuracy on degraded images, and of these images."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from wbc_pipeline.evaluation.figures.sheets import show_images
from wbc_pipeline.evaluation.figures.style import (
    DASHES,
    PALETTE,
    WIDTH,
    axis_label,
    distinct,
    drawn,
    legend_below,
    new_figure,
    protocol_title,
    variant_colours,
    with_spaces,
)
from wbc_pipeline.evaluation.scores.comparison import published_values

MOST_VARIANTS = 12  # whose lines can be told apart
MOST_LINES = 8  # of a panel: as many as there are colours
TILE = 1.3  # inches of an image in the sheet, at most
LETTERS = 16  # in a line of text beside it


@drawn(
    heading="Accuracy on degraded images",
    caption="Accuracy as the images get worse, mean over seeds, with intervals over sources; "
    "at 0 the same images as they came. Stars are what the paper prints. The image "
    "is degraded at its full size where the view begins with the file: what is scaled down "
    "afterwards averages noise away, a whole image more than a region.",
)
def robustness_curves(
    scores: pd.DataFrame,
    published: Mapping[str, Mapping[str, Mapping[float, object]]] | None = None,
    *,
    scales: Mapping[str, str] | None = None,
    dataset: str = "",
    variants: Sequence[str] | None = None,
) -> Figure:
    """Lines of accuracy over the amount of degradation, a column of panels per protocol.

    Of more than ``MOST_VARIANTS`` the first one is shown, and those whose mean accuracy is the
    highest, each in a colour of its own; the title says so.

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
    dataset, variants
        See ``style``.
    """
    title = "Accuracy on degraded images"
    if (every := scores["variant"].nunique()) > MOST_VARIANTS:
        first, *others = distinct(scores["variant"], variants)
        means = scores.groupby("variant", sort=False)["accuracy"].mean()[others]
        best = means.nlargest(len(PALETTE) - 1).index
        scores, variants = scores[scores["variant"].isin([first, *best])], [first]
        title = f"{title} ({with_spaces(first)} and the {len(best)} best of {every - 1} others)"
    colours, protocols = variant_colours(scores, variants), distinct(scores["protocol"])
    panels = _share_panels(scores)
    styles = _line_styles(panels, colours)
    figure = new_figure(title, dataset, height=1.4 + 2.9 * len(panels))
    grid = figure.subplots(len(panels), len(protocols), sharex="row", sharey=True, squeeze=False)
    for line, curves in zip(grid, panels, strict=True):
        for axes, protocol in zip(line, protocols, strict=True):
            shown = scores[(scores["protocol"] == protocol) & scores["curve"].isin(curves)]
            for (variant, curve), points in shown.groupby(["variant", "curve"], sort=False):
                _draw_curve(axes, points, styles[variant, curve])
            axes.set_title(protocol_title(protocol, len(protocols)))
            axes.set_xlabel(axis_label(curves, scales or {}))
        line[0].set_ylabel("accuracy")
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    legend = {name: styles[name, panels[0][0]] for name in distinct(scores["variant"], colours)}
    for curves in panels:
        if len(curves) > 1:
            first = next(iter(colours))
            legend |= {name: styles[first, name] | {"color": "#555555"} for name in curves}
    if _draw_published(grid, panels, published or {}, colours):
        legend["printed in the paper"] = {"marker": "*", "ls": "", "color": "#555555", "ms": 11}
    legend_below(figure, legend)
    return figure


@drawn(
    heading="What the network sees of a degraded image",
    caption="One test image as the networks see it, under each degradation and amount.",
)
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
    """
    columns = max(len(row) for row in pictures.values())
    tile = min(TILE, (WIDTH - 1) / columns)
    size = {"height": 0.9 + (tile + 0.25) * len(pictures), "width": max(6, tile * columns + 1)}
    figure = new_figure(f"What the networks see of one {label}", dataset, **size)
    grid = figure.subplots(len(pictures), columns, squeeze=False)
    for line, ((curve, view), row) in zip(grid, pictures.items(), strict=True):
        label = fill(with_spaces(f"{curve}, {view}"), LETTERS)
        show_images(line, row.values(), [*row], label=label, size=10.5)
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
    """Style each variant and curve: dashes tell apart curves, and variants of one colour."""
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
    """Draw a star for each published value; return whether there was one."""
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
