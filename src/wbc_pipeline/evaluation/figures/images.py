"""Figures of the images themselves: how many there are, where they come from, how they look.

``pixels`` are the packed images, uint8 ``[N, S, S, 3]``, RGB; they may be memory-mapped. Their rows
are those of the manifest that are ok, in its order.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from wbc_pipeline.evaluation.audit.gaps import NOT_SETS
from wbc_pipeline.evaluation.audit.tables import PARTS
from wbc_pipeline.evaluation.figures.sheets import show_images
from wbc_pipeline.evaluation.figures.style import (
    NOT_RECORDED,
    PALETTE,
    WIDTH,
    box_plots,
    distinct,
    domain_colours,
    drawn,
    empty_figure,
    name_domains,
    new_figure,
    patches_below,
    shorten,
    stacked_bars,
    write_beside,
)
from wbc_pipeline.imaging.measurements import MEASUREMENTS
from wbc_pipeline.imaging.packing import accepted

STRENGTHS = {"train": 1.0, "validation": 0.65, "test": 0.35}  # of the colour of a published part
SAMPLE = 500  # images behind a mean image: more change nothing that the eye can see


@drawn(
    heading="Images of each class",
    caption="Images per class that entered the experiments, by stain or laboratory.",
)
def samples_per_class(manifest: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Bars of images per class, stacked by domain; refused images are left out."""
    title, images = "Images per class", accepted(manifest)
    if images.empty:
        return empty_figure(title, dataset, "no images accepted")
    domains = name_domains(images)
    counts = pd.crosstab(images["label"], domains)
    figure = new_figure(title, dataset, height=1.5 + 0.4 * len(counts))
    axes, colours = figure.subplots(), domain_colours(domains)
    _count_bars(axes, counts, colours)
    axes.set_xlabel("images")
    patches_below(figure, colours)
    return figure


@drawn(
    heading="Images of each class",
    caption="Images of each class, by domain and published part (left), and the sources "
    "(cells or original photographs) that they show (right).",
)
def counts_by_class(counts: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Bars of images and of sources per class, stacked by domain and published part.

    Parameters
    ----------
    counts
        Of ``audit.tables.count_images``.
    """
    title = "Images and sources of each class"
    if counts.empty:
        return empty_figure(title, dataset, "no images accepted")
    part = pd.Categorical(counts["published_part"], PARTS, ordered=True)
    counts = counts.assign(domain=name_domains(counts), part=part).sort_values(["domain", "part"])
    label = counts["label"].astype(object).where(counts["label"].notna(), "no label")
    stack = [_stack_name(*pair) for pair in zip(counts["domain"], counts["part"], strict=True)]
    panels = {
        name: counts[name].groupby([label, stack]).sum(min_count=1).unstack()
        for name in ("images", "sources")
    }
    hues = dict(zip(distinct(counts["domain"]), cycle(PALETTE), strict=False))
    strengths = counts["part"].astype(object).map(STRENGTHS).fillna(1)
    colours = {
        name: _tint(hues[domain], strength)
        for name, domain, strength in zip(stack, counts["domain"], strengths, strict=True)
    }
    figure = new_figure(title, dataset, height=1.6 + 0.4 * label.nunique())
    grid = figure.subplots(1, 2, sharey=True)
    for axes, (name, panel) in zip(grid, panels.items(), strict=True):
        _count_bars(axes, panel, colours)
        axes.set_xlabel(name)
    if panels["sources"].isna().all(axis=None):
        style = {"transform": grid[1].transAxes, "ha": "center", "va": "center"}
        grid[1].text(0.5, 0.5, "sources not known", color="#666666", **style)
        grid[1].set_xticks([])
    patches_below(figure, colours)
    return figure


@drawn(
    heading="How images look",
    caption="How images look in each class, by domain: median (line), middle half (box) and middle "
    "90% (whiskers). What lies beside the cell should not depend on its class.",
)
def measurement_distributions(
    measurements: pd.DataFrame, manifest: pd.DataFrame, *, dataset: str = ""
) -> Figure:
    """Box plots of each measurement by class, coloured by domain.

    Parameters
    ----------
    measurements
        A row per image that is ok, in the manifest's order.
    manifest
        See ``design``.
    """
    title, images = "What the pixels measure", accepted(manifest)
    values = measurements.select_dtypes("number")
    if images["label"].notna().sum() == 0 or values.empty:
        return empty_figure(title, dataset, "nothing measured")
    labels, domains = sorted(images["label"].dropna().unique()), name_domains(images)
    colours = domain_colours(domains)
    groups = images.groupby([images["label"], domains]).groups  # rows of each class and domain
    columns = min(4, values.shape[1])
    rows = -(-values.shape[1] // columns)
    each = 0.15 + 0.12 * max(1, domains.groupby(images["label"]).nunique().max())
    figure = new_figure(title, dataset, height=1.2 + rows * (0.8 + each * len(labels)))
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axes, name in zip(grid.flat, values, strict=False):
        for place, label in enumerate(labels):
            samples = [
                (values[name].to_numpy()[groups[label, domain]], colour)
                for domain, colour in colours.items()
                if (label, domain) in groups
            ]
            box_plots(axes, samples, place)
        heading, unit = MEASUREMENTS.get(name, (name, ""))
        axes.set_title(heading)
        axes.set_xlabel(unit, fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.grid(axis="y", visible=False)
    for axes in grid.flat[values.shape[1] :]:
        axes.set_axis_off()
    grid[0, 0].set_yticks(range(len(labels)), labels)
    grid[0, 0].set_ylim(len(labels) - 0.4, -0.6)
    patches_below(figure, colours)
    return figure


@drawn(
    heading="Mean images",
    caption=f"Mean of up to {SAMPLE} images of each class and domain. A frame, a corner or a tint "
    "that differs between classes is something that a network can use instead of the cell.",
)
def mean_images(
    pixels: np.ndarray, manifest: pd.DataFrame, *, seed: int = 0, dataset: str = ""
) -> Figure:
    """Mean image of each class and domain, of at most ``SAMPLE`` images drawn at random."""
    title, images = "Mean images", accepted(manifest)
    rows = images.assign(row=np.arange(len(images)), domain=name_domains(images))
    groups = [*rows.dropna(subset=["label"]).groupby(["domain", "label"])["row"]]
    if not groups:
        return empty_figure(title, dataset, "no images accepted")
    random, several = np.random.default_rng(seed), rows["domain"].nunique() > 1
    columns = min(6, max(3, rows["label"].nunique()))
    lines = -(-len(groups) // columns)
    figure = new_figure(title, dataset, height=0.7 + lines * (WIDTH / columns + 0.3))
    grid = figure.subplots(lines, columns, squeeze=False)
    means, titles = [], []
    for (domain, label), members in groups:
        chosen = np.sort(random.permutation(members.to_numpy())[:SAMPLE])
        means.append(pixels[chosen].mean(axis=0).round().astype(np.uint8))
        count = f"{shorten(domain, 15)}, {len(chosen):,}" if several else f"{len(chosen):,}"
        titles.append(f"{shorten(label, 20)}\n{count}")
    show_images(grid.ravel(), means, titles, size=8.5)
    return figure


@drawn(
    heading="Cells in all data sets",
    caption="Independent cells of each class in each data set (sources where known, images "
    "elsewhere); an empty field marks a class that a set does not have. Totals count a file once.",
)
def gap_heatmap(counts: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Classes against data sets: counts on a logarithmic colour scale, zeros left blank.

    Parameters
    ----------
    counts
        Of ``audit.gaps.analyse_gaps``.
    """
    title = "Which cells the data sets have"
    sets = [name for name in counts if name not in NOT_SETS]
    if not sets:
        return empty_figure(title, dataset, "no data sets")
    cells = counts[[*sets, "total"]].to_numpy(float)
    labels = [f"{row.label} ({row.code})" for row in counts.itertuples()]
    figure = new_figure(title, dataset, height=1.7 + 0.3 * len(counts))
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


@drawn(
    heading="What the network sees",
    caption="One image per class, as it is and as the networks see it.",
)
def gallery(
    images: Mapping[str, np.ndarray], titles: Sequence[str] = (), *, dataset: str = ""
) -> Figure:
    """Rows of images, one row per entry, one column per example.

    Parameters
    ----------
    images
        Label of a row to uint8 RGB ``[N, H, W, 3]`` (or one channel ``[N, H, W]``), 0 to 255.
    titles
        Of the N columns, such as their classes.
    """
    columns = max((len(row) for row in images.values()), default=0)
    if not columns:
        return empty_figure("Gallery", dataset, "no images chosen")
    side = min(1.9, (WIDTH - 0.6) / columns)
    width = max(5.0, side * columns + 0.6)
    figure = new_figure("What the network sees", dataset, side * len(images) + 0.9, width)
    grid = figure.subplots(len(images), columns, squeeze=False)
    for number, (label, row) in enumerate(images.items()):
        show_images(grid[number], row, titles if number == 0 else (), label=label)
    return figure


def _stack_name(domain: str, part: object) -> str:
    if pd.isna(part):
        return domain
    return part if domain == NOT_RECORDED else f"{domain} · {part}"


def _tint(colour: str, strength: float) -> tuple[float, ...]:
    """Mix a colour with white; a strength of 1 leaves it as it is."""
    return tuple(1 - strength * (1 - channel) for channel in to_rgb(colour))


def _count_bars(axes: Axes, panel: pd.DataFrame, colours: Mapping[str, object]) -> None:
    """Stacked bars of counts, a row per class, with the total beside each."""
    for row, total in enumerate(stacked_bars(axes, panel, colours)):
        if total:
            write_beside(axes, f"{total:,.0f}", total, row)
    axes.margins(x=0.16)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
