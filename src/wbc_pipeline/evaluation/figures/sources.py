"""Figures of what an accuracy rests on, from the tables of ``scores.by_source``."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import auc, roc_curve

from wbc_pipeline.evaluation.audit.wording import percent
from wbc_pipeline.evaluation.figures.sheets import show_images
from wbc_pipeline.evaluation.figures.style import (
    DASHES,
    PALETTE,
    PROTOCOL_COLOURS,
    WIDTH,
    accuracy_bars,
    clean_rows,
    distinct,
    drawn,
    empty_figure,
    legend_below,
    new_figure,
    shorten,
)
from wbc_pipeline.evaluation.scores.by_source import PROTOCOL_KEYS
from wbc_pipeline.evaluation.scores.comparison import published_values
from wbc_pipeline.evaluation.scores.metrics import class_names, each_run, read_outcomes
from wbc_pipeline.evaluation.scores.protocols import LEAKING

PANELS = 12  # of ROC curves
SOURCES = 12  # of a contact sheet
FALSE_POSITIVE_RATES = np.linspace(0, 1, 501)  # where seeds are averaged
NAME = 26  # characters of a class
TEXT_WIDTH = 2.3  # inches beside the images of a source


@drawn(
    heading="What the accuracy rests on",
    caption="Accuracy of each network under each protocol, mean over seeds, with its "
    "interval over cells. In each bar stands how many independent cells the test part shows: "
    "they, not the number of images, are what the accuracy rests on. Hatched protocols leak: "
    "other images of the tested cells are in training. The star is what the paper prints.",
)
def accuracy_by_protocol(
    summary: pd.DataFrame,
    published: Mapping[str, Mapping[str, object]] | None = None,
    *,
    dataset: str = "",
) -> Figure:
    """Bars of accuracy, grouped by variant, with the number of cells behind each in it.

    Parameters
    ----------
    summary
        Of ``by_source.protocol_summary``.
    published
        ``{variant: {metric: value}}``; a star for each ``accuracy``.
    """
    title = "Accuracy, and the cells that it rests on"
    if summary.empty:
        return empty_figure(title, dataset, "no experiment was run")
    protocols, variants = distinct(summary["protocol"]), distinct(summary["variant"])
    rank = [summary["variant"].map(variants.index), summary["protocol"].map(protocols.index)]
    table = summary.iloc[np.lexsort(rank[::-1])]
    names = {name: _name_protocol(name, summary) for name in protocols}
    places, tops = _group_places(table["variant"], headed=len(protocols) > 1)
    bottoms = dict(zip(table["variant"], places, strict=True))  # of several bars the last

    figure = new_figure(title, dataset, height=1.8 + 0.32 * max(places))
    axes = figure.subplots()
    colours = table["protocol"].map(PROTOCOL_COLOURS).fillna("#777777")
    bars = accuracy_bars(axes, table, places, color=colours, height=0.8, edgecolor="white")
    for place, row, bar in zip(places, table.itertuples(), bars, strict=True):
        bar.set_linewidth(0)
        if names[row.protocol] != row.protocol:
            bar.set_hatch("////")
        _write_cells(axes, row.test_sources, place, bar.get_facecolor())
        axes.text(1.03, place, f"{row.accuracy:.3f}", va="center", fontsize=9)
    printed = _draw_printed(axes, published or {}, tops, bottoms)
    if len(protocols) > 1:
        for variant, top in tops.items():
            axes.text(0, top, variant, va="center", fontsize=10, fontweight="bold")
        axes.set_yticks(places, table["protocol"].map(names))
    else:
        axes.set_yticks(places, table["variant"])
        axes.set_xlabel(f"accuracy on test images, protocol: {names[protocols[0]]}")
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 1.12), ylim=(max(places) + 0.6, min(tops.values()) - 0.6))
    legend = {"interval over cells": {"color": "#222222", "linewidth": 1.3}}
    if printed:
        legend |= {"printed in the paper": {"marker": "*", "color": "black", "ls": "", "ms": 11}}
    legend_below(figure, legend)
    return figure


@drawn(
    heading="Receiver operating characteristic",
    caption="Each class against all others: mean over seeds of the true positive rate at "
    "each false positive rate; the band reaches from the lowest to the highest seed. Beside each "
    "class stands its area under the curve, mean over seeds. The best variants come first.",
)
def roc_curves(predictions: pd.DataFrame, *, dataset: str = "") -> Figure:
    """ROC curves of each class against all others, a panel per variant and protocol.

    Seeds are averaged vertically: the true positive rate at each false positive rate. No more than
    ``PANELS`` panels, of the variants with the best accuracy (mean over protocols).

    References
    ----------
    Fawcett, *An introduction to ROC analysis*, Pattern Recognition Letters 27(8), 2006.
    """
    title, clean = "ROC curves", clean_rows(predictions)
    if clean.empty:
        return empty_figure(title, dataset, "no predictions")
    protocols, variants = distinct(clean["protocol"]), _rank_variants(clean)
    shown = variants[: max(1, PANELS // len(protocols))]
    if len(shown) < len(variants):
        title = f"{title} ({len(shown)} best of {len(variants)} variants)"
    columns = len(protocols) if len(protocols) > 1 else min(3, len(shown))
    rows = -(-len(shown) * len(protocols) // columns)
    classes = class_names(clean)
    # a long legend needs a panel of 3 inches
    side = min(4.2, max(WIDTH / columns, 3.0 if len(classes) > 6 else 0))
    figure = new_figure(title, dataset, height=side * rows + 0.7, width=max(5.0, side * columns))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = dict(zip(product(shown, protocols), grid.flat, strict=False))
    runs = dict([*clean.groupby(PROTOCOL_KEYS, observed=True)])
    for (variant, protocol), axes in panels.items():
        axes.set_title(f"{shorten(variant, NAME)} · {protocol}")
        _draw_roc(axes, runs.get((variant, protocol)), classes)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes in grid[:, 0]:
        axes.set_ylabel("true positive rate")
    for column in range(columns):
        lowest = [*panels.values()][column::columns][-1]
        lowest.set_xlabel("false positive rate")
        lowest.tick_params(labelbottom=True)
    return figure


@drawn(
    heading="Cells that fail",
    caption="The cells that are answered worst: some images of each, what it is, what it "
    "is most often taken for, and the share of right answers over all of its images and seeds.",
)
def hardest_sources(
    by_source: pd.DataFrame,
    tiles: Mapping[str, Sequence[np.ndarray]],
    *,
    columns: int = 7,
    dataset: str = "",
) -> Figure:
    """Contact sheet of the sources with the lowest accuracy, at most ``SOURCES``, worst first.

    Parameters
    ----------
    by_source
        Of ``by_source.accuracy_by_source``, the rows of one variant and protocol. Sources that are
        always answered right are not shown.
    tiles
        Images of each source, uint8 ``[H, W, 3]``, RGB, of any size; by ``source_id``.
    columns
        How many images of a source to show.

    Raises
    ------
    ValueError
        If the table has several variants or protocols.
    """
    title = "Cells that are answered worst"
    if by_source.empty:
        return empty_figure(title, dataset, "cells are not known")
    run = by_source[PROTOCOL_KEYS].drop_duplicates()
    if len(run) > 1:
        raise ValueError(
            f"by_source has {len(run)} pairs of variant and protocol, such as "
            f"{' · '.join(run.iloc[0])}: choose the rows of one"
        )
    title = f"{title} · {' · '.join(run.iloc[0])}"
    failing = by_source[by_source["accuracy"] < 1]
    if failing.empty:
        return empty_figure(title, dataset, "every answer is right")
    worst = failing.sort_values("accuracy", kind="stable").head(SOURCES)
    side = (WIDTH - TEXT_WIDTH) / max(columns, 6)  # a few images leave the right side empty
    ratios = [TEXT_WIDTH, *[side] * max(columns, 6)]
    figure = new_figure(title, dataset, height=0.6 + len(worst) * (side + 0.06))
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.04, wspace=0, hspace=0)
    grid = figure.subplots(len(worst), len(ratios), width_ratios=ratios, squeeze=False)
    for line, row in zip(grid, worst.itertuples(), strict=True):
        line[0].set_axis_off()
        _describe_source(line[0], row)
        show_images(line[1:], tiles.get(row.source_id, ())[:columns])
    return figure


def _name_protocol(protocol: str, summary: pd.DataFrame) -> str:
    """Name a protocol, and say so if the same cells are in training and test."""
    leaked = summary.loc[summary["protocol"] == protocol, "images_leaked"].mean()
    leaks = protocol in LEAKING if np.isnan(leaked) else leaked > 0
    return f"{protocol} (leaks)" if leaks else protocol


def _group_places(variants: pd.Series, *, headed: bool) -> tuple[list[float], dict[str, float]]:
    """Give each bar its height, and each variant that of its heading, or of its only bar."""
    places, tops, at = [], {}, 0.0
    for variant in variants:
        if variant not in tops:
            at += 0.35 if headed and tops else 0
            tops[variant] = at
            at += 0.85 if headed else 0
        places.append(at)
        at += 1
    return places, tops


def _write_cells(axes: Axes, cells: float, place: float, colour: object) -> None:
    text = "cells not known" if np.isnan(cells) else f"{cells:,.0f} cells"
    box = {"facecolor": colour, "edgecolor": "none", "boxstyle": "round,pad=0.15"}  # over the hatch
    axes.text(0.012, place, text, va="center", fontsize=9, color="white", bbox=box)


def _draw_printed(
    axes: Axes,
    published: Mapping[str, Mapping[str, object]],
    tops: Mapping[str, float],
    bottoms: Mapping[str, float],
) -> bool:
    """Draw a star above each variant for what is printed, and a line from it down its bars."""
    printed = [
        (variant, value)
        for variant in tops
        for value in published_values(published.get(variant, {}).get("accuracy"))
    ]
    for variant, value in printed:
        if bottoms[variant] > tops[variant]:
            ends = tops[variant], bottoms[variant] + 0.4
            axes.vlines(value, *ends, color="black", linewidth=0.9, linestyle=DASHES[2])
        axes.scatter(value, tops[variant], marker="*", s=90, color="black", zorder=5, lw=0)
    return bool(printed)


def _rank_variants(clean: pd.DataFrame) -> list[str]:
    """Variants from the best to the worst accuracy, mean over their protocols."""
    right = pd.Series(read_outcomes(clean).correct, index=clean.index)
    by_protocol = right.groupby([clean["variant"], clean["protocol"]], sort=False).mean()
    accuracy = by_protocol.groupby(level="variant", sort=False).mean()
    return [*accuracy.sort_values(ascending=False, kind="stable").index]


def _draw_roc(axes: Axes, runs: pd.DataFrame | None, classes: Sequence[str]) -> None:
    axes.plot([0, 1], [0, 1], color="#BBBBBB", linewidth=0.8, linestyle=DASHES[1])
    axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.015), box_aspect=1)
    axes.set(xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    if runs is None:
        axes.text(0.5, 0.5, "not run", ha="center", va="center", color="#666666")
        return
    outcomes = [found for _, _, found in each_run(runs, ["seed"])]
    faint = 0.15 if len(classes) <= 6 else 0.08
    for number, name in enumerate(classes):
        positives = [(found.truth == number, found.probability[:, number]) for found in outcomes]
        curves = [_roc(*pair) for pair in positives if 0 < pair[0].mean() < 1]
        if not curves:
            continue  # a class without tests has no curve
        rates, areas = np.array([rates for rates, _ in curves]), [area for _, area in curves]
        style = {"color": PALETTE[number % len(PALETTE)]}
        label = f"{shorten(name, NAME)} {np.mean(areas):.3f}"
        if len(curves) > 1:
            low, high = rates.min(axis=0), rates.max(axis=0)
            axes.fill_between(FALSE_POSITIVE_RATES, low, high, alpha=faint, lw=0, **style)
        style |= {"linestyle": DASHES[number // len(PALETTE) % len(DASHES)], "label": label}
        axes.plot(FALSE_POSITIVE_RATES, rates.mean(axis=0), linewidth=1.2, **style)
    if not axes.get_legend_handles_labels()[1]:
        axes.text(0.5, 0.5, "no curve: one class alone", ha="center", va="center", color="#666666")
        return
    size = {"fontsize": 6.5 if len(classes) > 6 else 8, "labelspacing": 0.2, "handlelength": 1.5}
    box = {"frameon": True, "framealpha": 0.8, "edgecolor": "none", "borderpad": 0.1}
    axes.legend(loc="lower right", title="AUC", title_fontsize=size["fontsize"], **size, **box)


def _roc(positive: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, float]:
    """Compute true positive rates at ``FALSE_POSITIVE_RATES``, and the exact area under them."""
    false_rates, true_rates, _ = roc_curve(positive, score)
    # of several true positive rates at one false positive rate, the highest
    return np.interp(FALSE_POSITIVE_RATES, false_rates, true_rates), auc(false_rates, true_rates)


def _describe_source(axes: Axes, row: tuple) -> None:
    lines = [
        (row.label, {"fontweight": "bold", "fontsize": 10}),
        (f"taken for {row.taken_for}", {"fontsize": 9}),
        (f"{percent(row.accuracy)} of {row.images:,} answers right", {"fontsize": 9}),
        (row.source_id, {"fontsize": 7, "color": "#777777"}),
    ]
    for place, (text, style) in zip(np.linspace(0.83, 0.17, len(lines)), lines, strict=True):
        axes.text(0.03, place, shorten(text, 2 * NAME), transform=axes.transAxes, **style)
