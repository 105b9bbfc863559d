"""Figures of networks that segment and classify, from their predictions on test images.

``predictions`` are test rows with overlaps (``overlaps.with_overlaps``); a panel is a protocol, and
each direction of a shift (``directions.split_directions``) has one of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve

from wbc_pipeline.evaluation.figures.localization import QUANTILES
from wbc_pipeline.evaluation.figures.sheets import (
    BLANK,
    Outlines,
    draw_outlines,
    pick_quantiles,
    tile_sheet,
)
from wbc_pipeline.evaluation.figures.style import (
    DASHES,
    WIDTH,
    box_plots,
    clean_rows,
    distinct,
    drawn,
    empty_figure,
    label_rows,
    legend_below,
    new_figure,
    variant_colours,
    with_spaces,
)
from wbc_pipeline.evaluation.scores.comparison import published_values
from wbc_pipeline.evaluation.scores.directions import split_directions
from wbc_pipeline.evaluation.scores.examples import first_runs

COLUMNS = 3  # panels side by side
RECALLS = np.linspace(0.005, 1, 200)  # where seeds are averaged; at 0 there is no precision
NO_MASKS = "no predicted mask of the {} has a known one beside it"


@drawn(
    heading="Masks of each class",
    caption="IoU of the predicted with the annotated mask of each test image, pooled over seeds: "
    "median (line), middle half (box) and middle 90% (whiskers). “to” names the stain, laboratory "
    "or data set that is tested after training on the others; stars are what the paper prints.",
)
def overlap_boxes(
    overlaps: pd.DataFrame,
    *,
    region: str = "cell",
    published: Mapping[str, object] | None = None,
    dataset: str = "",
    variants: Sequence[str] | None = None,
) -> Figure:
    """Box plots of IoU by class, a panel per protocol and a colour per variant.

    Parameters
    ----------
    overlaps
        Test rows of ``overlaps.with_overlaps``.
    region
        Whose IoU.
    published
        ``{class: IoU}``; a star for each value.
    dataset, variants
        See ``style``.
    """
    title, score = f"IoU of the {region} by class", f"iou_{region}"
    known = _with_score(overlaps, score)
    if known.empty:
        return empty_figure(title, dataset, NO_MASKS.format(region))
    protocols, classes = distinct(known["protocol"]), sorted(known["label"].dropna().unique())
    names, colours = distinct(known["variant"], variants), variant_colours(known, variants)
    columns = min(COLUMNS, len(protocols))
    lines = -(-len(protocols) // columns)
    inches = max(0.3, 0.1 + 0.13 * len(names))  # of a class
    figure = new_figure(title, dataset, height=1.3 + lines * (0.6 + inches * len(classes)))
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    samples = dict(list(known.groupby(["protocol", "label", "variant"], observed=True)[score]))
    nothing = pd.Series(dtype=float)
    for axes, protocol in zip(grid.flat, protocols, strict=False):
        for place, label in enumerate(classes):
            found = [samples.get((protocol, label, name), nothing).to_numpy() for name in names]
            box_plots(axes, [*zip(found, map(colours.get, names), strict=True)], place)
            stars = published_values((published or {}).get(label))
            axes.scatter(stars, [place] * len(stars), marker="*", s=90, color="k", zorder=5, lw=0)
        axes.set_title(protocol)
        axes.grid(axis="y", visible=False)
    for axes in grid.flat[len(protocols) :]:
        axes.set_axis_off()
    label_rows(grid[0, 0], classes)
    grid[0, 0].set_xlim(right=1.01)
    for column in range(columns):
        lowest = grid.flat[: len(protocols)][column::columns][-1]
        lowest.set_xlabel(f"IoU of the {region}")
        lowest.tick_params(labelbottom=True)
    legend = {name: {"color": colours[name], "lw": 6, "alpha": 0.55} for name in names}
    if set(published or ()) & set(classes):
        legend |= {"printed in the paper": {"marker": "*", "color": "black", "ls": "", "ms": 11}}
    legend_below(figure, legend)
    return figure


@drawn(
    heading="Precision and recall",
    caption="Precision at each recall of classes with few images, mean over seeds; beside each "
    "variant its average precision, mean over seeds. The dotted line is the share of the class: "
    "what guessing gives. “to” names the stain, laboratory or data set that is tested after "
    "training on the others.",
)
def precision_recall(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    *,
    dataset: str = "",
    variants: Sequence[str] | None = None,
) -> Figure:
    """Precision-recall curves, a row per class, a column per protocol, a colour per variant.

    Seeds are averaged vertically: the precision of the highest threshold that reaches each recall,
    so that the area under a curve is its average precision.

    Parameters
    ----------
    predictions
        Test rows.
    classes
        Those to draw; one without a test image is left out.
    dataset, variants
        See ``style``.
    """
    title, clean = "Precision and recall", split_directions(clean_rows(predictions))
    shown = [name for name in classes if (clean["label"] == name).any()]
    if not shown:
        return empty_figure(title, dataset, "none of the classes asked for has a test image")
    protocols, colours = distinct(clean["protocol"]), variant_colours(clean, variants)
    side = min(3.4, max(2.4, WIDTH / len(protocols)))
    figure = new_figure(
        title,
        dataset,
        height=side * len(shown) + 1.2,
        width=max(5.0, side * len(protocols)),
    )
    grid = figure.subplots(len(shown), len(protocols), sharex=True, sharey=True, squeeze=False)
    panels = dict(zip(product(shown, protocols), grid.flat, strict=True))
    for (name, protocol), axes in panels.items():
        axes.set_title(f"{name} · {protocol}")
        axes.set(xlim=(-0.015, 1.015), ylim=(-0.015, 1.03), box_aspect=1)
        _draw_precision(axes, clean[clean["protocol"] == protocol], name, colours)
    for axes in grid[:, 0]:
        axes.set_ylabel("precision")
    for axes in grid[-1]:
        axes.set_xlabel("recall")
    legend = {name: {"color": colours[name]} for name in distinct(clean["variant"], variants)}
    legend["share of the class"] = {"color": "#777777", "ls": DASHES[2], "lw": 1.2}
    legend_below(figure, legend)
    return figure


@drawn(
    heading="Masks from the worst to the best",
    caption="Test images of the first seed from the worst to the best IoU: the annotated outline "
    "and the found one, with the IoU below. “to” names the stain, laboratory or data set that "
    "is tested after training on the others.",
)
def overlay_sheet(
    overlaps: pd.DataFrame,
    look: Callable[[pd.Series], Outlines],
    *,
    region: str = "cell",
    dataset: str = "",
    variants: Sequence[str] | None = None,
) -> Figure:
    """Draw true and predicted outlines, a row per protocol and variant, from the worst to the best.

    Parameters
    ----------
    overlaps
        Test rows of ``overlaps.with_overlaps``.
    look
        Gives what a row of `overlaps` shows; the predicted mask may be a probability, 0 to 255.
    region
        Whose IoU.
    dataset, variants
        See ``style``.
    """
    title, score = f"Outlines of the {region}, from the worst to the best", f"iou_{region}"
    known = _with_score(overlaps, score)
    if known.empty:
        return empty_figure(title, dataset, NO_MASKS.format(region))
    groups = dict(list(first_runs(known).groupby(["protocol", "variant"], observed=True)))
    order = product(distinct(known["protocol"]), distinct(known["variant"], variants))
    lines = [line for line in order if line in groups]
    picked = [pick_quantiles(groups[line], score, QUANTILES) for line in lines]
    return tile_sheet(
        title,
        dataset,
        [[BLANK if row is None else draw_outlines(look(row)) for row in line] for line in picked],
        rows=[f"{with_spaces(variant, chr(10))}\n{protocol}" for protocol, variant in lines],
        columns=list(QUANTILES),
        scores=[[f"{row[score]:.2f}" for row in line] for line in picked],
        legend="annotated",
    )


def _with_score(overlaps: pd.DataFrame, score: str) -> pd.DataFrame:
    """Keep clean images with a score, and split the directions of a shift."""
    if score not in overlaps:
        return overlaps.head(0)
    clean = clean_rows(overlaps)
    return split_directions(clean[clean[score].notna()])


def _draw_precision(axes: Axes, tests: pd.DataFrame, name: str, colours: Mapping[str, str]) -> None:
    labelled = tests[tests["label"].notna()]
    positive = labelled["label"] == name
    if not positive.any():
        axes.text(0.5, 0.5, "no test image", ha="center", va="center", color="#666666")
        return
    axes.axhline(positive.mean(), color="#777777", linewidth=1.2, linestyle=DASHES[2])
    for variant, runs in labelled.groupby("variant", observed=True, sort=False):
        seeds = [
            (seed["label"] == name, seed[f"p_{name}"])
            for _, seed in runs.groupby("seed")
            if (seed["label"] == name).any()
        ]
        if not seeds:
            continue
        curve = np.mean([_precision_at_recalls(*seed) for seed in seeds], axis=0)
        area = np.mean([average_precision_score(*seed) for seed in seeds])
        style = {"color": colours[variant], "linewidth": 1.4, "label": f"{area:.3f}"}
        axes.plot(RECALLS, curve, **style)
    axes.legend(
        loc="best",
        title="AP",
        alignment="left",
        fontsize=8,
        title_fontsize=8,
        labelspacing=0.2,
        handlelength=1.5,
        frameon=True,
        framealpha=0.8,
        edgecolor="none",
    )


def _precision_at_recalls(positive: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Find the precision of the highest threshold that reaches each of ``RECALLS``."""
    precision, recall, _ = precision_recall_curve(positive, score)
    reached = recall[:-1]  # falls from 1; its end at 0 belongs to no threshold
    return precision[np.searchsorted(-reached, -RECALLS, side="right") - 1]
