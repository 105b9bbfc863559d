"""Figures of the leaderboard: the leaders of each protocol, and their ranks."""

from collections.abc import Iterable

import pandas as pd
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures.style import (
    PALETTE,
    PROTOCOL_COLOURS,
    UNKNOWN_COLOUR,
    distinct,
    drawn,
    label_rows,
    new_figure,
    shorten,
)
from wbc_pipeline.evaluation.scores.entries import metric_label
from wbc_pipeline.evaluation.scores.leaderboard import SUBMISSIONS, leaders
from wbc_pipeline.evaluation.scores.protocols import LEAKING, leak_of
from wbc_pipeline.evaluation.scores.ranks import RankTest

ROW = 0.3  # inches
LONGEST_NAME = 44  # characters


@drawn(
    heading="Leading models",
    caption="Macro F1 of the leading models of each protocol: means over seeds with intervals over "
    "cells. Diamonds are submissions; open markers stand for protocols that leak.",
)
def leading_models(
    board: pd.DataFrame, metric: str = "macro_f1", *, most: int = 12, dataset: str = ""
) -> Figure:
    """Forest plot of the leaders, a panel for each protocol, all on one axis.

    Parameters
    ----------
    board
        Of ``leaderboard.leaderboard``.
    metric
        One of its scores.
    most
        How many models of a protocol; every submission is shown.
    """
    board = leaders(board, most)
    protocols = distinct(board["protocol"])
    rows = [int((board["protocol"] == name).sum()) for name in protocols]
    height = 1.2 + sum(ROW * count + 0.55 for count in rows)
    figure = new_figure(f"Leading models by {metric_label(metric)}", dataset, height)
    ratios = [count + 1 for count in rows]
    panels = figure.subplots(
        len(protocols), sharex=True, squeeze=False, gridspec_kw={"height_ratios": ratios}
    )
    for axes, protocol in zip(panels[:, 0], protocols, strict=True):
        own = board[board["protocol"] == protocol]
        colour = PROTOCOL_COLOURS.get(protocol, UNKNOWN_COLOUR)
        face = "white" if protocol in LEAKING else colour
        for place, row in enumerate(own.to_dict("records")):
            axes.hlines(
                place, row[f"{metric}_low"], row[f"{metric}_high"], color=colour, linewidth=1.6
            )
            marker = "D" if row["paper"] == SUBMISSIONS else "o"
            axes.scatter(
                row[metric], place, s=40, marker=marker, facecolor=face, edgecolor=colour, zorder=3
            )
        axes.set_title(f"protocol: {protocol} ({leak_of(protocol)})")
        names = own["paper"] + " · " + own["variant"].astype(str)
        label_rows(axes, [shorten(name, LONGEST_NAME) for name in names])
    panels[-1, 0].set_xlabel(metric_label(metric))
    return figure


@drawn(
    heading="Critical differences",
    caption="Mean ranks by macro F1, the best on the left; models under one bar are not told apart "
    "by Nemenyi's test at 5 %.",
)
def critical_differences(
    tests: Iterable[tuple[str, RankTest]], *, blocks: str = "seeds and folds", dataset: str = ""
) -> Figure:
    """Critical-difference diagrams after Demšar, below each other.

    Parameters
    ----------
    tests
        Each with its protocol.
    blocks
        What models were ranked over.
    dataset
        See ``style``.
    """
    from scikit_posthocs import critical_difference_diagram

    tests = list(tests)
    rows = [len(test.ranks) for _, test in tests]
    figure = new_figure(
        "Ranks of the leading models", dataset, 1.0 + sum(0.9 + 0.3 * n for n in rows)
    )
    panels = figure.subplots(len(tests), squeeze=False, gridspec_kw={"height_ratios": rows})
    for axes, (protocol, test) in zip(panels[:, 0], tests, strict=True):
        axes.grid(visible=False)
        critical_difference_diagram(
            test.ranks,
            test.differences,
            ax=axes,
            color_palette=dict(zip(test.ranks.index, [PALETTE[0]] * len(test.ranks), strict=True)),
            label_fmt_left="{label} ({rank:.2g}) ",
            label_fmt_right=" ({rank:.2g}) {label}",
        )
        axes.set_title(
            f"protocol: {protocol} ({leak_of(protocol)}), {test.blocks} {blocks}, "
            f"Friedman p = {test.p_value:.2g}"
        )
    return figure
