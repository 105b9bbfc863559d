"""Figures of an audit, in the style of ``figures`` and from the tables of ``audit`` and ``gaps``.

Every function returns a ``matplotlib.figure.Figure``; ``dataset`` goes into the title. ``pixels``
are the packed images, uint8 ``[N, S, S, 3]``, RGB; they may be memory-mapped. Their rows are those
of the manifest that are ok, in its order.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from wbc_pipeline.evaluation.audit import PARTS, price_of_leak
from wbc_pipeline.evaluation.defects import percent
from wbc_pipeline.evaluation.figures import (
    PALETTE,
    WIDTH,
    _clean,
    _colours,
    _figure,
    _legend_below,
    _nothing,
    _order,
    _styled,
)
from wbc_pipeline.imaging.measurements import MEASUREMENTS
from wbc_pipeline.imaging.packing import accepted

NOT_RECORDED = "not recorded"  # a domain that nobody wrote down
STRENGTHS = {"train": 1.0, "validation": 0.65, "test": 0.35}  # of the colour of a published part
SAMPLE = 500  # images behind a mean image: more change nothing that the eye can see
GROUPS = 12  # of a contact sheet
TILES = 3  # of a group
LINE = 6  # tiles side by side
NAME = 24  # characters of a file's name beneath its image

CAPTIONS = {
    "counts_by_class": "Images of each class, by domain and published part (left), and the sources "
    "(cells or original photographs) that they show (right).",
    "measurement_distributions": "How images look in each class, by domain: median (line), middle "
    "half (box) and middle 90% (whiskers). What lies beside the cell should not depend on its "
    "class.",
    "mean_images": "Mean of up to 500 images of each class and domain. A frame, a corner or a tint "
    "that differs between classes is something that a network can use instead of the cell.",
    "duplicate_sheet": "Groups of files that show the same picture, with their labels.",
    "conflict_sheet": "Sources whose images carry different labels.",
    "overlap_sheet": "Pairs of originals that show one field of view in part, with their labels "
    "and published parts; those on two sides of the published split come first.",
    "recovery_sheet": "Originals (left) and copies that were recognised as theirs from the pixels, "
    "with the score of the match.",
    "recovery_scores": "How well copies match the original that they were recognised from (left), "
    "and by how much better than any other (right).",
    "leak_shares": "Share of the test images whose source training or validation also has, and of "
    "those that have the field of view or a near-duplicate in common with such a source. Mean over "
    "seeds.",
    "filename_sources": "How many sources one group of file names covers. If names told the "
    "source, all bars would stand at 1.",
    "guesses": "Balanced accuracy, with its interval, of a simple model that sees only what lies "
    "beside the cell; the vertical mark is chance.",
    "leak_price": "Accuracy of the same training under each protocol: bars are means over seeds "
    "with the interval of a typical seed, dots are single seeds. At each bar stands how many "
    "independent sources the test part shows.",
    "gap_heatmap": "Independent cells of each class in each data set (sources where known, images "
    "elsewhere); an empty field marks a class that a set does not have. Totals count a file once.",
}


@_styled
def counts_by_class(counts: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Bars of images and of sources per class, stacked by domain and published part.

    Parameters
    ----------
    counts
        Of ``audit.count_images``.
    """
    title = "Images and sources of each class"
    if counts.empty:
        return _nothing(title, dataset, "no images accepted")
    part = pd.Categorical(counts["published_part"], PARTS, ordered=True)
    counts = counts.assign(domain=_domains(counts), part=part).sort_values(["domain", "part"])
    label = counts["label"].astype(object).where(counts["label"].notna(), "no label")
    stack = [_stack_name(*pair) for pair in zip(counts["domain"], counts["part"], strict=True)]
    panels = {
        name: counts[name].groupby([label, stack]).sum(min_count=1).unstack()
        for name in ("images", "sources")
    }
    figure = _figure(title, dataset, height=1.6 + 0.4 * label.nunique())
    grid = figure.subplots(1, 2, sharey=True)
    hues = dict(zip(_order(counts["domain"]), cycle(PALETTE), strict=False))
    strengths = counts["part"].astype(object).map(STRENGTHS).fillna(1)
    colours = {
        name: _tint(hues[domain], strength)
        for name, domain, strength in zip(stack, counts["domain"], strengths, strict=True)
    }
    for axes, (name, panel) in zip(grid, panels.items(), strict=True):
        _stacked_bars(axes, panel, colours)
        axes.set_xlabel(name)
    if panels["sources"].isna().all(axis=None):
        _write_in(grid[1], "sources not known")
    grid[0].invert_yaxis()
    _patches_below(figure, colours)
    return figure


@_styled
def measurement_distributions(
    measurements: pd.DataFrame, manifest: pd.DataFrame, *, dataset: str = ""
) -> Figure:
    """Box plots of each measurement by class, coloured by domain.

    Parameters
    ----------
    measurements
        A row per image that is ok, in the manifest's order.
    """
    title, images = "What the pixels measure", accepted(manifest)
    values = measurements.select_dtypes("number")
    if images["label"].notna().sum() == 0 or values.empty:
        return _nothing(title, dataset, "nothing measured")
    labels, domains = sorted(images["label"].dropna().unique()), _domains(images)
    colours = _domain_colours(domains)
    groups = images.groupby([images["label"], domains]).groups  # rows of each class and domain
    columns = min(4, values.shape[1])
    rows = -(-values.shape[1] // columns)
    each = 0.15 + 0.12 * max(1, domains.groupby(images["label"]).nunique().max())
    figure = _figure(title, dataset, height=1.2 + rows * (0.8 + each * len(labels)))
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, values, strict=False):
        for place, label in enumerate(labels):
            samples = [
                (values[name].to_numpy()[groups[label, domain]], colour)
                for domain, colour in colours.items()
                if (label, domain) in groups
            ]
            _draw_boxes(axes, samples, place)
        heading, unit = MEASUREMENTS.get(name, (name, ""))
        axes.set_title(heading)
        axes.set_xlabel(unit, fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.grid(axis="y", visible=False)
    for axes in grid.flat[values.shape[1] :]:
        axes.set_axis_off()
    grid[0, 0].set_yticks(range(len(labels)), labels)
    grid[0, 0].set_ylim(len(labels) - 0.4, -0.6)
    _patches_below(figure, colours)
    return figure


@_styled
def mean_images(
    pixels: np.ndarray, manifest: pd.DataFrame, *, seed: int = 0, dataset: str = ""
) -> Figure:
    """Mean image of each class and domain, of ``SAMPLE`` images drawn at random at most."""
    title, images = "Mean images", accepted(manifest)
    rows = images.assign(row=np.arange(len(images)), domain=_domains(images))
    groups = [*rows.dropna(subset=["label"]).groupby(["domain", "label"])["row"]]
    if not groups:
        return _nothing(title, dataset, "no images accepted")
    random, several = np.random.default_rng(seed), rows["domain"].nunique() > 1
    columns = min(6, max(3, rows["label"].nunique()))
    lines = -(-len(groups) // columns)
    side = WIDTH / columns
    figure = _figure(title, dataset, height=0.7 + lines * (side + 0.3))
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, ((domain, label), members) in zip(grid.flat, groups, strict=False):
        chosen = np.sort(random.permutation(members.to_numpy())[:SAMPLE])
        axes.imshow(pixels[chosen].mean(axis=0).round().astype(np.uint8))
        count = f"{_short(domain, 15)}, {len(chosen):,}" if several else f"{len(chosen):,}"
        axes.set_title(f"{_short(label, 20)}\n{count}", fontsize=8.5, loc="center")
    return figure


@_styled
def duplicate_sheet(
    duplicates: pd.DataFrame, pixels: np.ndarray, manifest: pd.DataFrame, *, dataset: str = ""
) -> Figure:
    """Contact sheet of the first ``GROUPS`` groups of ``audit.list_duplicates``."""
    show = _tile_reader(pixels, manifest)
    groups = [group for _, group in duplicates.groupby("group", sort=False)]
    shown = [(" · ".join(_order(group["kind"])), group) for group in groups[:GROUPS]]
    tiles = [(heading, show(group), len(group) - TILES) for heading, group in shown]
    return _sheet("Duplicates", tiles, len(groups), dataset)


@_styled
def conflict_sheet(
    conflicts: pd.DataFrame, pixels: np.ndarray, manifest: pd.DataFrame, *, dataset: str = ""
) -> Figure:
    """Contact sheet of the first ``GROUPS`` sources of ``audit.list_conflicts``."""
    # one image of each label first, so that the tiles show what disagrees
    turn = conflicts.groupby(["source_id", "label"]).cumcount()
    turns = conflicts.assign(turn=turn).sort_values("turn", kind="stable")
    show = _tile_reader(pixels, manifest)
    groups = [*turns.groupby("source_id")]
    tiles = [
        (_short(source, 2 * NAME), show(group), len(group) - TILES)
        for source, group in groups[:GROUPS]
    ]
    return _sheet("Conflicting labels", tiles, len(groups), dataset)


@_styled
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
    return _sheet("Originals of one field of view", tiles, len(pairs), dataset)


@_styled
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
        return _nothing(title, dataset, "no sources recovered from pixels")
    columns = 1 + max(len(row) for row in copies)
    side = min(1.6, (WIDTH - 0.4) / columns)
    figure = _figure(title, dataset, len(originals) * (side * 0.8 + 0.25) + 0.6, side * columns)
    grid = figure.subplots(len(originals), columns, squeeze=False)
    for line, original, row, values, name in zip(
        grid, originals, copies, scores, names, strict=True
    ):
        for axes in line:
            axes.set_axis_off()
        texts = [_short(name, 18), *(f"{value:.2f}" for value in values)]
        for axes, image, text in zip(line, [original, *row], texts, strict=False):
            axes.imshow(image)
            axes.set_title(text, fontsize=8, loc="center", pad=2)
    return figure


@_styled
def recovery_scores(recovery: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Histograms of score and margin, certain matches apart from the others.

    Parameters
    ----------
    recovery
        A row per copy: ``score`` and ``margin`` (0 to 1), ``certain`` (bool).
    """
    title = "How certain the recovered sources are"
    if recovery.empty:
        return _nothing(title, dataset, "no sources recovered from pixels")
    figure = _figure(title, dataset, height=3.4)
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
    _patches_below(
        figure,
        {f"{name} ({chosen.sum():,})": colour for name, (chosen, colour) in shown.items()},
    )
    return figure


@_styled
def leak_shares(leaks: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Bars of the leaked share of the test images, by protocol.

    Parameters
    ----------
    leaks
        Of ``audit.measure_leaks``.
    """
    title = "Test images that show what training has seen"
    if leaks.empty:
        return _nothing(title, dataset, "no splits")
    figure = _figure(title, dataset, height=1.5 + 0.45 * len(leaks))
    axes = figure.subplots()
    left = np.zeros(len(leaks))
    for name, colour in _LEAKED.items():
        share = leaks[name].fillna(0).to_numpy(float)
        axes.barh(range(len(leaks)), share, left=left, height=0.6, color=colour)
        left += share
    known = leaks["images_leaked"].notna()
    for row, (share, is_known) in enumerate(zip(left, known, strict=True)):
        _write_at(axes, percent(share) if is_known else "not known", share, row)
    axes.set_yticks(range(len(leaks)), leaks["protocol"])
    axes.set(xlim=(0, 1.12), ylim=(len(leaks) - 0.5, -0.5), xlabel="share of the test images")
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(axis="y", visible=False)
    names = ("source is trained on", "overlapping source is trained on")
    _patches_below(figure, dict(zip(names, _LEAKED.values(), strict=True)))
    return figure


@_styled
def filename_sources(manifest: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Histogram of the sources that one group of file names covers."""
    title = "Sources behind one group of file names"
    known = accepted(manifest).dropna(subset=["filename_group", "source_id"])
    if known.empty:
        return _nothing(title, dataset, "names suggest no source, or sources are not known")
    sources = known.groupby("filename_group")["source_id"].nunique()
    figure = _figure(title, dataset, height=3.2)
    axes = figure.subplots()
    step = -(-int(sources.max()) // 40)  # bars stay wide enough to see
    axes.hist(sources, bins=np.arange(0.5, sources.max() + step + 0.5, step), color=PALETTE[0])
    dashed = {"color": PALETTE[1], "linestyle": "--", "linewidth": 1.5}
    axes.axvline(1, **dashed)
    axes.set(xlabel="sources in one group", ylabel="groups")
    axes.set_xlim(left=0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    _legend_below(figure, {"if names told the source": dashed})
    return figure


@_styled
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
        return _nothing(title, dataset, "nothing guessed")
    figure = _figure(title, dataset, height=1.5 + 0.45 * len(table))
    axes = figure.subplots()
    for row, guess in enumerate(table.itertuples()):
        axes.plot([guess.chance] * 2, [row - 0.3, row + 0.3], color="#444444", linewidth=2.2)
        ends = [guess.balanced_accuracy_low, guess.balanced_accuracy_high]
        axes.plot(ends, [row, row], color=PALETTE[0])
        axes.scatter(guess.balanced_accuracy, row, s=48, color=PALETTE[0], zorder=3)
        right = np.nanmax([guess.balanced_accuracy, *ends])
        _write_at(axes, f"{guess.balanced_accuracy:.2f}", right, row)
    names = [
        f"{'class' if guess.target == 'label' else guess.target} from the {guess.features}"
        for guess in table.itertuples()
    ]
    axes.set_yticks(range(len(table)), names)
    axes.set(xlim=(0, 1.08), ylim=(len(table) - 0.5, -0.5), xlabel="balanced accuracy")
    axes.grid(axis="y", visible=False)
    mark = {"marker": "|", "markersize": 13, "markeredgewidth": 2.2, "linestyle": ""}
    guess = {"color": PALETTE[0], "marker": "o"}
    _legend_below(figure, {"guess": guess, "chance": {"color": "#444444"} | mark})
    return figure


@_styled
def leak_price(
    metrics: pd.DataFrame, *, dataset: str = "", variants: Sequence[str] | None = None
) -> Figure:
    """Bars of accuracy by protocol, with intervals, seeds and the number of test sources.

    Parameters
    ----------
    metrics
        Of ``scores.score_predictions``.
    """
    title = "What a leak is worth"
    if metrics.empty:
        return _nothing(title, dataset, "no experiment was run")
    table, colours = price_of_leak(metrics), _colours(metrics, variants)
    names = table["protocol"]
    if len(colours) > 1:
        names = table["variant"] + " · " + names
    figure = _figure(title, dataset, height=1.4 + 0.5 * len(table))
    axes = figure.subplots()
    _accuracy_bars(axes, table, range(len(table)), color=table["variant"].map(colours), height=0.6)
    for row, price in enumerate(table.itertuples()):
        ends = [price.accuracy_low, price.accuracy_high]
        runs = _clean(metrics)[lambda runs, one=price: _is_run(runs, one)]
        axes.scatter(runs["accuracy"], [row] * len(runs), s=16, **_SEED)
        text = f"{price.accuracy:.3f}, {price.test_sources:,.0f} sources"
        _write_at(axes, text, np.nanmax([price.accuracy, *ends, *runs["accuracy"]]), row)
    axes.set_yticks(range(len(table)), names)
    axes.set(xlim=(0, 1.32), ylim=(len(table) - 0.5, -0.5))
    return figure


@_styled
def gap_heatmap(counts: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Classes against data sets: counts on a logarithmic colour, zeros left blank.

    Parameters
    ----------
    counts
        Of ``gaps.analyse_gaps``.
    """
    title = "Which cells the data sets have"
    sets = [name for name in counts if name not in _NOT_SETS]
    if not sets:
        return _nothing(title, dataset, "no data sets")
    cells = counts[[*sets, "total"]].to_numpy(float)
    labels = [f"{row.label} ({row.code})" for row in counts.itertuples()]
    figure = _figure(title, dataset, height=1.7 + 0.3 * len(counts))
    axes = figure.subplots()
    largest = max(cells.max(), 2)
    axes.imshow(np.where(cells > 0, cells, np.nan), "Blues", LogNorm(1, largest), aspect="auto")
    for row, column in np.ndindex(*cells.shape):
        count = cells[row, column]
        colour = "white" if count > largest**0.55 else "#333333"
        text = f"{count:,.0f}" if count else "–"
        style = {"color": colour, "weight": "bold" if column == len(sets) else "normal"}
        axes.text(column, row, text, ha="center", va="center", size=8.5, **style)
    axes.axvline(len(sets) - 0.5, color="white", linewidth=4)
    axes.set_yticks(range(len(counts)), labels)
    slant = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(cells.shape[1]), [*sets, "total"], **slant)
    axes.grid(visible=False)
    return figure


_LEAKED = {"images_leaked": PALETTE[0], "images_overlapping": PALETTE[5]}
_NOT_SETS = ("code", "label", "total", "domains", "confounded_with")
_SEED = {"facecolor": "white", "edgecolor": "#222222", "linewidth": 0.9, "zorder": 3}


def _accuracy_bars(
    axes: Axes, table: pd.DataFrame, places: Sequence[float], **style: object
) -> BarContainer:
    """Draw a bar of ``accuracy`` with its interval for each row of the table."""
    bars = axes.barh(places, table["accuracy"], **style)
    ends = table[["accuracy_low", "accuracy_high"]].to_numpy(float)
    axes.hlines(places, *ends.T, color="#222222", linewidth=1.3)
    axes.set(xticks=np.linspace(0, 1, 6), xlabel="accuracy on test images")
    axes.grid(axis="y", visible=False)
    return bars


def _is_run(runs: pd.DataFrame, price: tuple) -> pd.Series:
    return (runs["variant"] == price.variant) & (runs["protocol"] == price.protocol)


def _stack_name(domain: str, part: object) -> str:
    if pd.isna(part):
        return domain
    return part if domain == NOT_RECORDED else f"{domain} · {part}"


def _tint(colour: str, strength: float) -> tuple[float, ...]:
    """Mix a colour with white; a strength of 1 leaves it as it is."""
    return tuple(1 - strength * (1 - channel) for channel in to_rgb(colour))


def _domains(images: pd.DataFrame) -> pd.Series:
    return images["domain"].astype(object).where(images["domain"].notna(), NOT_RECORDED)


def _domain_colours(domains: pd.Series) -> dict[str, str]:
    """Colour by domain, the same in each figure of a data set."""
    names = sorted(domains.unique())
    colours = dict(zip(names, cycle(PALETTE), strict=False))
    return colours | {name: "#BBBBBB" for name in names if name == NOT_RECORDED}


def _stacked_bars(axes: Axes, panel: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """Draw a row per class and a colour per column, with the total behind."""
    left = np.zeros(len(panel))
    for name in (name for name in colours if name in panel):
        width = panel[name].astype(float).fillna(0).to_numpy()
        axes.barh(panel.index, width, left=left, color=colours[name], height=0.7)
        left += width
    for row, total in enumerate(left):
        if total:
            _write_at(axes, f"{total:,.0f}", total, row)
    axes.margins(x=0.16)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def _draw_boxes(axes: Axes, samples: Sequence[tuple[np.ndarray, str]], place: float) -> None:
    """Draw a box for each sample, in its colour, one above the other around one place."""
    width = 0.8 / len(samples)
    for row, (sample, colour) in enumerate(samples):
        middle = place + (row - (len(samples) - 1) / 2) * width
        _draw_box(axes, sample, middle, 0.8 * min(width, 0.5), colour)


def _draw_box(axes: Axes, sample: np.ndarray, place: float, width: float, colour: str) -> None:
    axes.boxplot(
        sample[~np.isnan(sample)],
        positions=[place],
        widths=width,
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": colour, "edgecolor": colour, "alpha": 0.55, "linewidth": 0.8},
        whiskerprops={"color": colour, "linewidth": 1},
        medianprops={"color": "#222222", "linewidth": 1.2},
        capprops={"linewidth": 0},
    )


class _Tile(NamedTuple):
    """An image of a contact sheet, with what stands above and below it."""

    label: str
    name: str
    pixels: np.ndarray


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


def _sheet(
    title: str, groups: Sequence[tuple[str, Sequence[_Tile], int]], total: int, dataset: str
) -> Figure:
    """Show groups of images under their headings, as many as fit to a line.

    A group is its heading, its tiles and the number of images that are not shown; ``total`` counts
    all groups.
    """
    if not groups:
        return _nothing(title, dataset, "none found")
    if total > len(groups):
        title = f"{title} ({len(groups)} of {total:,} groups)"
    tiles = max(len(group) for _, group, _ in groups)
    columns = min(LINE // tiles, len(groups))
    lines = -(-len(groups) // columns)
    width = max(5.0, WIDTH * columns * tiles / LINE)
    figure = _figure(title, dataset, height=0.5 + 2.05 * lines, width=width)
    parts = figure.subfigures(lines, columns, squeeze=False)
    for part, (heading, group, hidden) in zip(parts.flat, groups, strict=False):
        more = f" · {hidden:,} more" if hidden > 0 else ""
        part.suptitle(heading + more, fontsize=9, color="#555555")
        grid = part.subplots(1, tiles, squeeze=False)[0]
        for axes in grid:
            axes.set_axis_off()
        for axes, tile in zip(grid, group, strict=False):
            _draw_tile(axes, tile)
    return figure


def _draw_tile(axes: Axes, tile: _Tile) -> None:
    axes.imshow(tile.pixels)
    axes.set_title(_short(tile.label, NAME), fontsize=8.5, loc="center", pad=3)
    name = _short(tile.name, NAME)
    axes.text(0.5, -0.04, name, transform=axes.transAxes, ha="center", va="top", size=6.5)


def _short(text: str, length: int) -> str:
    """Leave out the middle of a long text: the ends tell files apart.

    >>> _short("TRAIN/EOSINOPHIL/_12_4978.jpeg", 16)
    'TRAIN/E…978.jpeg'
    """
    if len(text) <= length:
        return text
    tail = length // 2
    return f"{text[: length - tail - 1]}…{text[-tail:]}"


def _write_at(axes: Axes, text: str, x: float, y: float) -> None:
    axes.annotate(text, (x, y), (5, 0), textcoords="offset points", va="center", fontsize=9)


def _write_in(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color="#666666")
    axes.set_xticks([])


def _patches_below(figure: Figure, colours: Mapping[str, str]) -> None:
    patches = [Patch(color=colour, label=name) for name, colour in colours.items()]
    widest = max(map(len, colours)) + 6  # characters, with the patch
    columns = max(1, min(6, len(patches), 110 // widest))
    figure.legend(handles=patches, loc="outside lower center", ncols=columns)
