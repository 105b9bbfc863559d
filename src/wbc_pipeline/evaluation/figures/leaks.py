"""Figures of what a split leaks, what that is worth, and what can be guessed without the cell."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from wbc_pipeline.evaluation.audit.leaks import price_of_leak
from wbc_pipeline.evaluation.audit.wording import percent
from wbc_pipeline.evaluation.figures.style import (
    PALETTE,
    accuracy_bars,
    clean_rows,
    drawn,
    empty_figure,
    label_rows,
    legend_below,
    new_figure,
    patches_below,
    stacked_bars,
    variant_colours,
    write_beside,
)


@drawn(
    heading="What each protocol leaks",
    caption="Share of the test images whose source training or validation also has, and of those "
    "that have the field of view or a near-duplicate in common with such a source. Mean over "
    "seeds.",
)
def leak_shares(leaks: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Bars of the leaked share of the test images, by protocol.

    Parameters
    ----------
    leaks
        Of ``audit.leaks.measure_leaks``.
    """
    title = "Test images that show what training has seen"
    if leaks.empty:
        return empty_figure(title, dataset, "no splits")
    shares = leaks.set_index("protocol")[["images_leaked", "images_overlapping"]]
    names = ("source is trained on", "overlapping source is trained on")
    colours = dict(zip(names, (PALETTE[0], PALETTE[5]), strict=True))
    figure = new_figure(title, dataset, height=1.5 + 0.45 * len(leaks))
    axes = figure.subplots()
    ends = stacked_bars(axes, shares.set_axis(names, axis=1), colours)
    known = shares["images_leaked"].notna()
    for row, (share, is_known) in enumerate(zip(ends, known, strict=True)):
        write_beside(axes, percent(share) if is_known else "not known", share, row)
    axes.set(xlim=(0, 1.12), xticks=np.linspace(0, 1, 6), xlabel="share of the test images")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    patches_below(figure, colours)
    return figure


@drawn(
    heading="Guessing without the cell",
    caption="Balanced accuracy, with its interval, of a simple model that sees only what lies "
    "beside the cell; the vertical mark is chance.",
)
def guesses(table: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Balanced accuracy, without seeing a cell, with intervals and chance.

    Parameters
    ----------
    table
        A row per ``target`` and ``features``: ``balanced_accuracy`` with ``_low`` and ``_high``,
        and ``chance``.
    """
    title = "What can be guessed without the cell"
    table = table.dropna(subset="balanced_accuracy")
    if table.empty:
        return empty_figure(title, dataset, "nothing guessed")
    figure = new_figure(title, dataset, height=1.5 + 0.45 * len(table))
    axes = figure.subplots()
    for row, guess in enumerate(table.itertuples()):
        axes.plot([guess.chance] * 2, [row - 0.3, row + 0.3], color="#444444", linewidth=2.2)
        ends = [guess.balanced_accuracy_low, guess.balanced_accuracy_high]
        axes.plot(ends, [row, row], color=PALETTE[0])
        axes.scatter(guess.balanced_accuracy, row, s=48, color=PALETTE[0], zorder=3)
        right = np.nanmax([guess.balanced_accuracy, *ends])
        write_beside(axes, f"{guess.balanced_accuracy:.2f}", right, row)
    names = [
        f"{'class' if guess.target == 'label' else guess.target} from the {guess.features}"
        for guess in table.itertuples()
    ]
    label_rows(axes, names)
    axes.set(xlim=(0, 1.08), xlabel="balanced accuracy")
    mark = {"marker": "|", "markersize": 13, "markeredgewidth": 2.2, "linestyle": ""}
    guess = {"color": PALETTE[0], "marker": "o"}
    legend_below(figure, {"guess": guess, "chance": {"color": "#444444"} | mark})
    return figure


@drawn(
    heading="The price of a leak",
    caption="Accuracy of the same training under each protocol: bars are means over seeds with the "
    "interval of a typical seed, dots are single seeds. At each bar stands how many independent "
    "sources the test part shows.",
)
def leak_price(
    metrics: pd.DataFrame, *, dataset: str = "", variants: Sequence[str] | None = None
) -> Figure:
    """Bars of accuracy by protocol, with intervals, seeds and the number of test sources.

    Parameters
    ----------
    metrics
        Of ``scores.metrics.score_predictions``.
    dataset, variants
        See ``style``.
    """
    title = "What a leak is worth"
    if metrics.empty:
        return empty_figure(title, dataset, "no experiment was run")
    table, colours = price_of_leak(metrics), variant_colours(metrics, variants)
    names = table["protocol"]
    if len(colours) > 1:
        names = table["variant"] + " · " + names
    figure = new_figure(title, dataset, height=1.4 + 0.5 * len(table))
    axes = figure.subplots()
    accuracy_bars(axes, table, range(len(table)), color=table["variant"].map(colours), height=0.6)
    seed = {"facecolor": "white", "edgecolor": "#222222", "linewidth": 0.9, "zorder": 3}
    runs = clean_rows(metrics).groupby(["variant", "protocol"])["accuracy"]
    for row, price in enumerate(table.itertuples()):
        seeds = runs.get_group((price.variant, price.protocol))
        axes.scatter(seeds, [row] * len(seeds), s=16, **seed)
        right = np.nanmax([price.accuracy, price.accuracy_low, price.accuracy_high, *seeds])
        write_beside(axes, f"{price.accuracy:.3f}, {price.test_sources:,.0f} sources", right, row)
    label_rows(axes, names)
    axes.set_xlim(0, 1.32)
    return figure
