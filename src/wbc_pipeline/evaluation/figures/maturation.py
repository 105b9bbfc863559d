"""Figures of fine classes: confusion along a chain of maturation, and families of networks."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from wbc_pipeline.evaluation.figures.style import (
    MARKERS,
    PALETTE,
    distinct,
    drawn,
    empty_figure,
    label_rows,
    legend_below,
    new_figure,
)

ROW_COLUMNS = 3  # panels side by side


@drawn(
    heading="Confusion along the maturation chain",
    caption="Share of each class (row, in %) that was given each answer (column), classes in the "
    "order of maturation, pooled over seeds; other: an answer outside the chain. Outlined cells "
    "are neighbours.",
)
def chain_matrices(counts: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Draw a matrix for each variant and protocol.

    Parameters
    ----------
    counts
        Of ``maturation.chain_confusion``.
    """
    title = "Confusion along the maturation chain"
    if counts.empty:
        return empty_figure(title, dataset, "no class of the chain was tested")
    groups = [*counts.groupby(["variant", "protocol"], sort=False)]
    columns = min(ROW_COLUMNS, len(groups))
    rows = -(-len(groups) // columns)
    figure = new_figure(title, dataset, height=0.8 + 2.5 * rows, width=max(6.0, 3.1 * columns))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(groups) :]:
        axes.set_axis_off()
    for axes, ((variant, protocol), cells) in zip(grid.flat, groups, strict=False):
        matrix = cells.pivot(index="label", columns="answer", values="images")
        matrix = matrix.loc[distinct(cells["label"]), distinct(cells["answer"])]
        shares = matrix.div(matrix.sum(axis=1), axis=0).to_numpy()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(*shares.shape):
            colour = "white" if shares[row, column] > 0.55 else "#333333"
            style = {"ha": "center", "va": "center", "size": 8.5, "color": colour}
            text = axes.text(column, row, f"{100 * shares[row, column]:.0f}", **style)
            text.set_in_layout(False)  # measuring it takes long
        _outline_neighbours(axes, [*matrix.index], [*matrix.columns])
        axes.set_yticks(range(len(matrix)), matrix.index)
        slant = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(matrix.columns)), matrix.columns, **slant)
        axes.set_title(f"{variant} · {protocol}", fontsize=9.5)
        axes.grid(visible=False)
    return figure


def _outline_neighbours(axes, labels: Sequence[str], answers: Sequence[str]) -> None:
    """Outline the answers beside the right one in the chain; the last column is outside it."""
    from matplotlib.patches import Rectangle

    for row, label in enumerate(labels):
        own = answers.index(label)
        for column in (own - 1, own + 1):
            if 0 <= column < len(answers) - 1:
                corner = (column - 0.47, row - 0.47)
                axes.add_patch(Rectangle(corner, 0.94, 0.94, fill=False, ec=PALETTE[1], lw=1.2))


@drawn(
    heading="Convolutions against attention",
    caption="Recall of each class by the best network of each family, chosen by macro F1 on "
    "validation images, over all seeds with intervals over cells; the rarest class is above.",
)
def family_recalls(
    recalls: pd.DataFrame, best: Mapping[str, str], *, protocol: str, dataset: str = ""
) -> Figure:
    """Draw the recall of each class by one network of each family.

    Parameters
    ----------
    recalls
        Of ``fine_classes.recalls_with_support``.
    best
        The network that stands for each family.
    protocol
        Whose recalls are drawn.
    """
    title = "Recall by family of networks"
    shown = recalls[recalls["variant"].isin([*best.values()])]
    shown = shown[shown[protocol].notna()] if protocol in shown else shown.iloc[:0]
    if shown.empty:
        return empty_figure(title, dataset, "no network of these families was run")
    support = shown.groupby("label", sort=False)[f"{protocol}_support"].max().sort_values()
    figure = new_figure(title, dataset, height=1.5 + 0.4 * len(support))
    axes = figure.subplots()
    legend = {}
    for number, (family, variant) in enumerate(best.items()):
        rows = shown[shown["variant"] == variant].set_index("label").reindex(support.index)
        places = np.arange(len(rows)) + 0.18 * (number - (len(best) - 1) / 2)
        style = {"color": PALETTE[number % len(PALETTE)], "marker": MARKERS[number % len(MARKERS)]}
        axes.hlines(
            places, rows[f"{protocol}_low"], rows[f"{protocol}_high"], color=style["color"], lw=1.3
        )
        axes.scatter(rows[protocol].astype(float), places, s=42, zorder=3, **style)
        legend[f"{family}: {variant}"] = {**style, "linestyle": ""}
    label_rows(axes, [f"{label} ({count})" for label, count in support.items()])
    axes.set(xlim=(-0.03, 1.03), xlabel=f"recall, protocol {protocol} (test images in brackets)")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    legend_below(figure, legend)
    return figure
