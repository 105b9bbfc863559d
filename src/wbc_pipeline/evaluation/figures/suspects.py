"""Figures of suspect labels: the cells themselves, what they explain, and what more cells gain."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from wbc_pipeline.evaluation.audit.ceiling import ALL_CLASSES
from wbc_pipeline.evaluation.audit.suspects import SAYS
from wbc_pipeline.evaluation.figures.sheets import show_images
from wbc_pipeline.evaluation.figures.style import (
    MARKERS,
    PALETTE,
    drawn,
    empty_figure,
    label_rows,
    legend_below,
    new_figure,
    shorten,
    variant_colours,
    write_beside,
)

COLUMNS, ROWS = 8, 6  # of the sheet
LINE = 32  # characters that fit below a picture
TILE_INCHES = 1.7  # of a picture's side, with the space beside it
SIZE_ABOVE, SIZE_BELOW = 8, 6  # points of the text
LINE_INCHES = 1.3 / 72  # of a line's height, for each point of its text


@drawn(
    heading="Suspect labels, the worst first",
    caption="Above each cell its label and what the networks take it for; below, how many of them "
    "deny the label, each network's answer, and the file. The reader judges: a rare but right cell "
    "looks suspect, too.",
)
def suspect_sheet(
    cells: pd.DataFrame, read: Callable[[Sequence[str]], list[np.ndarray]], *, dataset: str = ""
) -> Figure:
    """Show the cells with suspect labels.

    Parameters
    ----------
    cells
        Of ``audit.suspects.find_suspects``.
    read
        Gives the RGB uint8 images ``[H, W, 3]`` of ids.
    """
    title = "Suspect labels"
    suspects = cells[cells["suspect"]]
    if suspects.empty:
        return empty_figure(title, dataset, "no suspect labels found")
    says = [name for name in cells if name.startswith(SAYS)]
    return _sheet(title, dataset, suspects, read, partial(_below, says=says))


@drawn(
    heading="Images that every network misses",
    caption="Above each cell its label and what the networks take it for on average; below, how "
    "many gave which answer, and the file. The label may be wrong, or the cell hard.",
)
def missed_sheet(
    missed: pd.DataFrame, read: Callable[[Sequence[str]], list[np.ndarray]], *, dataset: str = ""
) -> Figure:
    """Show the cells that every network misses.

    Parameters
    ----------
    missed
        Of ``audit.suspects.missed_by_all``.
    read
        Gives the RGB uint8 images ``[H, W, 3]`` of ids.
    """
    title = "Missed by every network"
    if missed.empty:
        return empty_figure(title, dataset, "none: each cell is recognised by a network")
    return _sheet(title, dataset, missed, read, _answers)


@drawn(
    heading="How many errors suspect labels explain",
    caption="Share of each network's wrong cells whose label the other networks find suspect, with "
    "Wilson's interval; the vertical mark is the share of suspect labels among all cells.",
)
def explained_errors(explained: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Draw the share of errors on suspect labels, by network, over all classes.

    Parameters
    ----------
    explained
        Of ``audit.ceiling.explain_errors``.
    """
    title = "Errors on suspect labels"
    rows = explained[(explained["label"] == ALL_CLASSES) & (explained["wrong"] > 0)]
    if rows.empty:
        return empty_figure(title, dataset, "no errors, or a single network")
    figure = new_figure(title, dataset, height=1.5 + 0.45 * len(rows))
    axes = figure.subplots()
    for place, row in enumerate(rows.itertuples()):
        axes.plot([row.by_chance] * 2, [place - 0.3, place + 0.3], color="#444444", linewidth=2.2)
        axes.plot([row.explained_low, row.explained_high], [place] * 2, color=PALETTE[0])
        axes.scatter(row.explained, place, s=48, color=PALETTE[0], zorder=3)
        text = f"{row.on_suspects} of {row.wrong}"
        write_beside(axes, text, max(row.explained_high, row.by_chance), place)
    label_rows(axes, rows["variant"].tolist())
    axes.set(xlim=(0, 1.15), xticks=np.linspace(0, 1, 6), xlabel="share of the wrong cells")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure


@drawn(
    heading="Would more cells help?",
    caption="Accuracy on the same cells over the number of cells trained on, with intervals.",
)
def learning_curves(curve: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Draw accuracy over training cells, a line per network.

    Parameters
    ----------
    curve
        Of ``audit.ceiling.learning_curve``; a single share is no curve.
    """
    title = "Accuracy over the number of training cells"
    if curve["percent"].nunique() < 2:
        return empty_figure(
            title, dataset, "trained on all cells alone (audit.suspects.split.shares)"
        )
    figure = new_figure(title, dataset, height=4.0)
    axes = figure.subplots()
    styles = {}
    for number, (variant, colour) in enumerate(variant_colours(curve).items()):
        own = curve[curve["variant"] == variant]
        means = own.groupby("training_cells")[["accuracy", "accuracy_low", "accuracy_high"]].mean()
        styles[variant] = {"color": colour, "marker": MARKERS[number % len(MARKERS)]}
        axes.plot(means.index, means["accuracy"], **styles[variant])
        axes.vlines(means.index, *means[["accuracy_low", "accuracy_high"]].T.to_numpy(), colour)
    axes.set(xlabel="cells trained on", ylabel="accuracy", xscale="log")
    ticks = sorted(curve["training_cells"].unique())
    axes.set_xticks(ticks, [f"{tick:,.0f}" for tick in ticks])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    legend_below(figure, styles)
    return figure


def _sheet(
    title: str,
    dataset: str,
    cells: pd.DataFrame,
    read: Callable[[Sequence[str]], list[np.ndarray]],
    below: Callable[[pd.Series], str],
) -> Figure:
    """Draw cells with their label, the suggested class, and what ``below`` says of each."""
    shown = cells.head(COLUMNS * ROWS)
    if len(shown) < len(cells):
        title = f"{title} ({len(shown)} of {len(cells):,})"
    rows = -(-len(shown) // COLUMNS)
    columns = min(COLUMNS, max(len(shown), 4))
    texts = [below(cell) for _, cell in shown.iterrows()]
    lines = max(text.count("\n") + 1 for text in texts)
    height = TILE_INCHES + 0.15 + LINE_INCHES * (2 * SIZE_ABOVE + lines * SIZE_BELOW)
    figure = new_figure(title, dataset, height=0.6 + height * rows, width=TILE_INCHES * columns)
    figure.get_layout_engine().set(w_pad=0.04, h_pad=0.1, wspace=0, hspace=0)
    grid = figure.subplots(rows, columns, squeeze=False)
    pictures = read(shown["image_id"].tolist())
    for row, line in enumerate(grid):
        part = slice(row * COLUMNS, (row + 1) * COLUMNS)
        members = shown.iloc[part]
        titles = [
            f"{shorten(cell.label, 14)} →\n{shorten(cell.suggested, 14)} {cell.p_suggested:.0%}"
            for cell in members.itertuples()
        ]
        show_images(line, pictures[part], titles, size=SIZE_ABOVE)
        for axes, text in zip(line, texts[part], strict=False):
            axes.set_xlabel(text, fontsize=SIZE_BELOW)
    return figure


def _answers(cell: pd.Series) -> str:
    return "\n".join(shorten(cell[name], LINE) for name in ("answers", "image_id"))


def _below(cell: pd.Series, says: Sequence[str]) -> str:
    answers = (f"{name.removeprefix(SAYS)}: {cell[name]}" for name in says)
    lines = [f"denied by {cell['denying']} of {cell['networks']}", *answers]
    if cell["conflict"]:
        lines.insert(0, f"also labelled {cell['conflict']}")
    return "\n".join(shorten(line, LINE) for line in [*lines, cell["image_id"]])
