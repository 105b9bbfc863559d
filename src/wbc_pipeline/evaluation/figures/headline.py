"""The headline of a report: what is printed, what was reproduced, and what is left."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures.style import (
    PROTOCOL_COLOURS,
    UNKNOWN_COLOUR,
    distinct,
    drawn,
    empty_figure,
    label_rows,
    legend_below,
    new_figure,
    shorten,
    with_spaces,
)
from wbc_pipeline.evaluation.scores.comparison import published_values
from wbc_pipeline.evaluation.scores.entries import metric_label

ROW = 0.5  # inches
LONGEST_NAME = 34  # characters
KINDS = ("reproduced", "leak_free")
# A leak-free score is filled, as in the other figures.
LEGEND = {
    "published": {"marker": "*", "color": "black", "linestyle": "", "markersize": 11},
    "reproduced, paper's protocol": {
        "marker": "o",
        "markerfacecolor": "white",
        "color": PROTOCOL_COLOURS["random"],
    },
    "leak-free": {"marker": "o", "color": PROTOCOL_COLOURS["source"]},
}
Cells = Mapping[tuple[str, str, str], int]


@drawn(
    heading="Published, reproduced, leak-free",
    caption="What is printed (star), what the same networks reach under the paper's own protocol "
    "(open), and what is left once no cell is on two sides of the split (filled): means over seeds "
    "with intervals over cells, and how many cells were tested.",
)
def headline(rows: pd.DataFrame, cells: Cells | None = None, *, dataset: str = "") -> Figure:
    """Draw the three numbers of each claim on one line.

    Parameters
    ----------
    rows
        Of ``verdicts.headline_rows``.
    cells
        How many were tested, by paper, variant and protocol.
    dataset
        See ``style``.
    """
    if rows.empty:
        return empty_figure("Test scores", dataset, "no printed number was run again")
    metrics = distinct(rows["metric"])
    title = metric_label(metrics[0]) if len(metrics) == 1 else "scores"
    figure = new_figure(f"Test {title}", dataset, 1.35 + ROW * len(rows))
    axes = figure.subplots()
    papers = rows["paper"].nunique()
    for place, row in enumerate(rows.to_dict("records")):
        _draw_row(axes, place, row, cells or {})
    names = [
        " · ".join(
            [
                *([row["paper"]] if papers > 1 else []),
                with_spaces(row["variant"]),
                *([metric_label(row["metric"])] if len(metrics) > 1 else []),
            ]
        )
        for row in rows.to_dict("records")
    ]
    label_rows(axes, [shorten(name, LONGEST_NAME) for name in names])
    low, high = axes.get_xlim()
    axes.set_xlim(max(low, -0.03), min(high, 1.03))
    axes.set_xlabel(title)
    legend_below(figure, LEGEND)
    return figure


def _draw_row(axes: Axes, place: int, row: Mapping, cells: Cells) -> None:
    """Draw a claim, and write at the right edge what stands behind it."""
    counts = []
    for kind, shift in zip(KINDS, (-0.17, 0.17), strict=True):
        protocol = str(row[f"{kind}_under"]).partition(" ")[0]
        is_twice = kind == "reproduced" and protocol == row["leak_free_under"]
        if pd.isna(row[kind]) or is_twice:
            continue
        colour, height = PROTOCOL_COLOURS.get(protocol, UNKNOWN_COLOUR), place + shift
        face = "white" if kind == "reproduced" else colour
        axes.hlines(height, row[f"{kind}_low"], row[f"{kind}_high"], color=colour, linewidth=1.8)
        axes.scatter(row[kind], height, s=46, facecolor=face, edgecolor=colour, lw=1.6, zorder=3)
        count = cells.get((row["paper"], row["variant"], protocol))
        number = "" if count is None else f": {count:,} cell{'s' if count != 1 else ''}"
        counts.append((height, f"{protocol}{number}", colour))
    for value in published_values([text for text in row["published"].split(" / ") if text]):
        axes.scatter(value, place, marker="*", s=130, color="black", zorder=5, lw=0)
    for height, text, colour in counts:
        axes.annotate(
            text,
            (1.01, height),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=9,
            color=colour,
            annotation_clip=False,
        )
