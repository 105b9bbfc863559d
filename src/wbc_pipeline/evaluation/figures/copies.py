"""Figures of images that show the same: duplicates, conflicts, overlaps and recovered originals.

``pixels`` are the packed images, uint8 ``[N, S, S, 3]``, RGB; they may be memory-mapped. Their rows
are those of the manifest that are ok, in its order.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wbc_pipeline.evaluation.figures.sheets import show_images
from wbc_pipeline.evaluation.figures.style import (
    PALETTE,
    WIDTH,
    distinct,
    drawn,
    empty_figure,
    legend_below,
    new_figure,
    patches_below,
    shorten,
)
from wbc_pipeline.imaging.packing import accepted

GROUPS = 12  # of a contact sheet
TILES = 3  # of a group
LINE = 6  # tiles side by side
NAME = 24  # characters of a file's name beneath its image


class _Tile(NamedTuple):
    """An image of a contact sheet, with the texts above and below it."""

    label: str
    name: str
    pixels: np.ndarray


@drawn(
    heading="Images that show the same spot",
    caption="Groups of files that show the same picture, with their labels.",
)
def duplicate_sheet(
    duplicates: pd.DataFrame, pixels: np.ndarray, manifest: pd.DataFrame, *, dataset: str = ""
) -> Figure:
    """Contact sheet of the first ``GROUPS`` groups of ``audit.tables.list_duplicates``."""
    show = _tile_reader(pixels, manifest)
    groups = [group for _, group in duplicates.groupby("group", sort=False)]
    shown = [(" · ".join(distinct(group["kind"])), group) for group in groups[:GROUPS]]
    tiles = [(heading, show(group), len(group) - TILES) for heading, group in shown]
    return _group_sheet("Duplicates", tiles, len(groups), dataset)


@drawn(heading="Conflicting labels", caption="Sources whose images carry different labels.")
def conflict_sheet(
    conflicts: pd.DataFrame, pixels: np.ndarray, manifest: pd.DataFrame, *, dataset: str = ""
) -> Figure:
    """Contact sheet of the first ``GROUPS`` sources of ``audit.tables.list_conflicts``."""
    # one image of each label first, so that the tiles show what disagrees
    turn = conflicts.groupby(["source_id", "label"]).cumcount()
    turns = conflicts.assign(turn=turn).sort_values("turn", kind="stable")
    show = _tile_reader(pixels, manifest)
    groups = [*turns.groupby("source_id")]
    tiles = [
        (shorten(source, 2 * NAME), show(group), len(group) - TILES)
        for source, group in groups[:GROUPS]
    ]
    return _group_sheet("Conflicting labels", tiles, len(groups), dataset)


@drawn(
    heading="Originals of one field of view",
    caption="Pairs of originals that show one field of view in part, with their labels and "
    "published parts; those on two sides of the published split come first.",
)
def overlap_sheet(
    overlaps: pd.DataFrame, load: Callable[[str], np.ndarray], *, dataset: str = ""
) -> Figure:
    """Contact sheet of the first ``GROUPS`` pairs of originals that show one field of view.

    Pairs across published parts come first, then those whose labels differ.

    Parameters
    ----------
    overlaps
        A row per pair: ``first``, ``second`` (source ids), ``labels`` and ``parts`` of the two
        (text), ``across_parts`` and ``labels_differ`` (bool).
    load
        Gives the image of an original, uint8 ``[H, W, 3]``, RGB, by its source id.
    """
    order = ["across_parts", "labels_differ"]
    pairs = overlaps.sort_values(order, ascending=False, kind="stable") if len(overlaps) else []
    tiles = [
        (
            " · ".join(text for text in (pair.labels, pair.parts) if pd.notna(text) and text),
            [_Tile("", name, load(name)) for name in (pair.first, pair.second)],
            0,
        )
        for pair in (pairs.head(GROUPS).itertuples() if len(pairs) else ())
    ]
    return _group_sheet("Originals of one field of view", tiles, len(pairs), dataset)


@drawn(
    heading="Sources recovered from the pixels",
    caption="Originals (left) and copies that were recognised as theirs from the pixels, with the "
    "score of the match.",
)
def recovery_sheet(
    originals: Sequence[np.ndarray],
    copies: Sequence[Sequence[np.ndarray]],
    scores: Sequence[Sequence[float]],
    names: Sequence[str],
    *,
    dataset: str = "",
) -> Figure:
    """Originals on the left, some of their copies on the right.

    Parameters
    ----------
    originals
        R images, uint8 ``[H, W, 3]``, RGB.
    copies, scores
        For each original its copies (any number, of any size) and the score of each.
    names
        Of the originals.
    """
    title = "Recovered sources"
    if not len(originals):
        return empty_figure(title, dataset, "no sources recovered from pixels")
    columns = 1 + max(len(row) for row in copies)
    side = min(1.6, (WIDTH - 0.4) / columns)
    figure = new_figure(title, dataset, len(originals) * (side * 0.8 + 0.25) + 0.6, side * columns)
    grid = figure.subplots(len(originals), columns, squeeze=False)
    rows = zip(grid, originals, copies, scores, names, strict=True)
    for line, original, row, values, name in rows:
        texts = [shorten(name, 18), *(f"{value:.2f}" for value in values)]
        show_images(line, [original, *row], texts, size=8)
    return figure


@drawn(
    heading="Sources recovered from the pixels",
    caption="How well copies match the original that they were recognised from (left), and by how "
    "much better than any other (right).",
)
def recovery_scores(recovery: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Histograms of score and margin, certain matches apart from the others.

    Parameters
    ----------
    recovery
        A row per copy: ``score`` and ``margin`` (0 to 1), ``certain`` (bool).
    """
    title = "How certain the recovered sources are"
    if recovery.empty:
        return empty_figure(title, dataset, "no sources recovered from pixels")
    figure = new_figure(title, dataset, height=3.4)
    certain = recovery["certain"].astype(bool)
    shown = {"certain": (certain, PALETTE[0]), "uncertain": (~certain, PALETTE[1])}
    for axes, name in zip(figure.subplots(1, 2, sharey=True), ("score", "margin"), strict=True):
        values = [recovery.loc[chosen, name] for chosen, _ in shown.values()]
        colours = [colour for _, colour in shown.values()]
        lowest = min(0.9, np.floor(10 * recovery[name].min()) / 10)
        axes.hist(values, bins=np.linspace(lowest, 1, 51), stacked=True, color=colours)
        axes.set_yscale("symlog", linthresh=10)  # a few uncertain ones beside thousands
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel(name)
    figure.axes[0].set_ylabel("copies")
    patches_below(
        figure,
        {f"{name} ({chosen.sum():,})": colour for name, (chosen, colour) in shown.items()},
    )
    return figure


@drawn(
    heading="What the file names suggest",
    caption="How many sources one group of file names covers. If names told the source, all bars "
    "would stand at 1.",
)
def filename_sources(manifest: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Histogram of the sources that one group of file names covers."""
    title = "Sources behind one group of file names"
    known = accepted(manifest).dropna(subset=["filename_group", "source_id"])
    if known.empty:
        return empty_figure(title, dataset, "names suggest no source, or sources are not known")
    sources = known.groupby("filename_group")["source_id"].nunique()
    figure = new_figure(title, dataset, height=3.2)
    axes = figure.subplots()
    step = -(-int(sources.max()) // 40)  # bars stay wide enough to see
    axes.hist(sources, bins=np.arange(0.5, sources.max() + step + 0.5, step), color=PALETTE[0])
    dashed = {"color": PALETTE[1], "linestyle": "--", "linewidth": 1.5}
    axes.axvline(1, **dashed)
    axes.set(xlabel="sources in one group", ylabel="groups")
    axes.set_xlim(left=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    legend_below(figure, {"if names told the source": dashed})
    return figure


def _tile_reader(
    pixels: np.ndarray, manifest: pd.DataFrame
) -> Callable[[pd.DataFrame], list[_Tile]]:
    """Find the pixels of the first ``TILES`` images of a group by their ids."""
    rows = {image_id: row for row, image_id in enumerate(accepted(manifest)["image_id"])}

    def read(group: pd.DataFrame) -> list[_Tile]:
        return [
            _Tile(
                image.label if pd.notna(image.label) else "no label",
                image.image_id,
                pixels[rows[image.image_id]],
            )
            for image in group.head(TILES).itertuples()
        ]

    return read


def _group_sheet(
    title: str, groups: Sequence[tuple[str, Sequence[_Tile], int]], total: int, dataset: str
) -> Figure:
    """Show groups of images under their headings, as many as fit on a line.

    A group is its heading, its tiles and the number of images that are not shown; ``total`` counts
    all groups.
    """
    if not groups:
        return empty_figure(title, dataset, "none found")
    if total > len(groups):
        title = f"{title} ({len(groups)} of {total:,} groups)"
    tiles = max(len(group) for _, group, _ in groups)
    columns = min(LINE // tiles, len(groups))
    lines = -(-len(groups) // columns)
    width = max(5.0, WIDTH * columns * tiles / LINE)
    figure = new_figure(title, dataset, height=0.5 + 2.05 * lines, width=width)
    parts = figure.subfigures(lines, columns, squeeze=False)
    for part, (heading, group, hidden) in zip(parts.flat, groups, strict=False):
        more = f" · {hidden:,} more" if hidden > 0 else ""
        part.suptitle(heading + more, fontsize=9, color="#555555")
        grid = part.subplots(1, tiles, squeeze=False)[0]
        labels = [shorten(tile.label, NAME) for tile in group]
        show_images(grid, [tile.pixels for tile in group], labels, size=8.5)
        for axes, tile in zip(grid, group, strict=False):
            axes.set_xlabel(shorten(tile.name, NAME), fontsize=6.5)
    return figure
