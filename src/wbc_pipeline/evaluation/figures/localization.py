"""Figures of boxes around white cells: how well they fit, from the worst to the best.

Tables have an ``iou`` for each image and method: those of ``detections.score_localization``, or the
tests of ``tuning.tune_and_test``.
"""

from collections.abc import Callable, Mapping
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures.sheets import (
    BLANK,
    Boxes,
    draw_boxes,
    pick_quantiles,
    tile_sheet,
)
from wbc_pipeline.evaluation.figures.style import (
    DASHES,
    PALETTE,
    drawn,
    empty_figure,
    legend_below,
    new_figure,
    with_spaces,
)
from wbc_pipeline.evaluation.localization.tuning import UNTUNED

QUANTILES = {"worst": 0.0, "10 %": 0.1, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "best": 1.0}
WORST, COLUMNS = 10, 5  # images of each method, and how many stand in a line
NO_BOXES = "no annotated boxes in this data set"
NONE_LEFT_OUT = "no set was left out: ask for protocols=dataset or domain"
NO_BOXES_OR_MASKS = "no boxes and no masks in this data set"


@drawn(
    heading="Where the cell is",
    caption="IoU of the box that a method finds in an image, the surest of several, with the "
    "annotated box that fits it best; the whole image where nothing is found. Detectors are tested "
    "on images that they were not trained on; of several seeds the first is shown.",
)
def iou_histograms(
    scored: pd.DataFrame, *, published: Mapping[str, float] | None = None, dataset: str = ""
) -> Figure:
    """Histograms of IoU, a panel per method.

    Parameters
    ----------
    scored
        Of ``detections.score_localization``.
    published
        Printed means by method, marked by lines; None if there are none of these images.
    """
    title, methods = "IoU of found boxes with those of white cells", _methods(scored)
    if not methods:
        return empty_figure(title, dataset, NO_BOXES)
    return _iou_panels(title, dataset, methods, published or {})


@drawn(
    heading="Found boxes",
    caption="Images from the worst to the best IoU of each method: the annotated boxes of white "
    "cells, and the found one.",
)
def detection_overlays(
    scored: pd.DataFrame, look: Callable[[pd.Series], Boxes], *, dataset: str = ""
) -> Figure:
    """Draw true and found boxes of each method, on images from the worst to the best IoU.

    Parameters
    ----------
    scored
        Of ``detections.score_localization``.
    look
        Gives what a row of `scored` shows.
    """
    title, methods = "Found boxes, from the worst to the best", _methods(scored)
    if not methods:
        return empty_figure(title, dataset, NO_BOXES)
    return _box_sheet(title, dataset, methods, look)


@drawn(
    heading="Photographs that fail",
    caption="The ten images of lowest IoU of each method. A found box as large as the image means "
    "that nothing was found.",
)
def worst_ten(
    scored: pd.DataFrame, look: Callable[[pd.Series], Boxes], *, dataset: str = ""
) -> Figure:
    """Draw true and found boxes on the ten images of lowest IoU of each method.

    Parameters
    ----------
    scored
        Of ``detections.score_localization``.
    look
        Gives what a row of `scored` shows.
    """
    return _worst_sheet("The ten worst images of each method", scored, look, dataset, NO_BOXES)


@drawn(
    heading="What fails away",
    caption="The ten images or fields of lowest IoU of each method, of sets that were left out of "
    "training. A found box as large as the image means that nothing was found.",
)
def worst_ten_away(
    scored: pd.DataFrame, look: Callable[[pd.Series], Boxes], *, dataset: str = ""
) -> Figure:
    """Draw true and found boxes on the ten images of lowest IoU of each method away.

    Parameters
    ----------
    scored
        Of ``away.worst_away``.
    look
        Gives what a row of `scored` shows.
    """
    return _worst_sheet("The ten worst of each method away", scored, look, dataset, NONE_LEFT_OUT)


@drawn(
    heading="Boxes around white cells",
    caption="IoU of the found box with the annotated one. The published method has the parameters "
    "as printed and all images; the tuned ones the half that they were not tuned on.",
)
def iou_histogram(
    tests: pd.DataFrame, *, published_mean: float | None = None, dataset: str = ""
) -> Figure:
    """Histograms of IoU, a panel per method and set of parameters.

    Parameters
    ----------
    tests
        Of ``tuning.tune_and_test``, with ``iou``.
    published_mean
        Marked by a line; None if there is none of these images.
    """
    title, sets = "IoU of boxes around white cells", _parameter_sets(tests)
    if not sets:
        return empty_figure(title, dataset, NO_BOXES_OR_MASKS)
    published = {} if published_mean is None else dict.fromkeys(sets, published_mean)
    return _iou_panels(title, dataset, sets, published)


@drawn(
    heading="Boxes around white cells",
    caption="Test images from the worst to the best IoU of each method: the annotated box of the "
    "white cell, and the found one.",
)
def box_overlays(
    tests: pd.DataFrame, look: Callable[[pd.Series], Boxes], *, dataset: str = ""
) -> Figure:
    """Draw true and found boxes of each method, on images from the worst to the best IoU.

    Parameters
    ----------
    tests
        Of ``tuning.tune_and_test``, with ``iou``.
    look
        Gives what a row of `tests` shows.
    """
    title, sets = "Boxes around white cells, from the worst to the best", _parameter_sets(tests)
    if not sets:
        return empty_figure(title, dataset, NO_BOXES_OR_MASKS)
    return _box_sheet(title, dataset, sets, look)


def _worst_sheet(
    title: str,
    scored: pd.DataFrame,
    look: Callable[[pd.Series], Boxes],
    dataset: str,
    without: str,
) -> Figure:
    """Show the images of lowest IoU, two lines for each method."""
    methods = _methods(scored)
    if not methods:
        return empty_figure(title, dataset, without)
    tiles, texts, rows = [], [], []
    for name, group in methods.items():
        worst = [row for _, row in group.sort_values("iou", kind="stable").head(WORST).iterrows()]
        for start in range(0, len(worst), COLUMNS):
            line = worst[start : start + COLUMNS]
            missing = COLUMNS - len(line)
            tiles.append([*(draw_boxes(look(row)) for row in line), *[BLANK] * missing])
            texts.append([*(f"{row['iou']:.2f}" for row in line), *[""] * missing])
            rows.append(with_spaces(name, "\n") if start == 0 else "")
    layout = {"rows": rows, "columns": [""] * COLUMNS, "scores": texts, "legend": "annotated"}
    return tile_sheet(title, dataset, tiles, **layout)


def _methods(scored: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Split scores by method; images without a true box have no IoU to show."""
    boxed = scored[scored["iou"].notna().to_numpy(bool)]
    return dict(list(boxed.groupby("method", sort=False)))


def _parameter_sets(tests: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Split tests into methods, untuned and tuned within their domain."""
    if tests.empty:
        return {}
    untuned = tests[tests["tuned_on"] == UNTUNED].assign(how="untuned")
    tuned = tests[tests["tuned_on"] == tests["tested_on"]].assign(how="tuned")
    groups = pd.concat([untuned, tuned]).groupby(["method", "how"], sort=False)
    return {f"{method}, {how}": group for (method, how), group in groups}


def _iou_panels(
    title: str, dataset: str, sets: Mapping[str, pd.DataFrame], published: Mapping[str, float]
) -> Figure:
    """Draw a histogram of IoU per set, with our mean and, where there is one, the published."""
    figure = new_figure(title, dataset, height=1 + 1.15 * len(sets))
    grid = figure.subplots(len(sets), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, group), colour in zip(grid, sets.items(), cycle(PALETTE), strict=False):
        axes.hist(group["iou"], bins=np.linspace(0, 1, 41), color=colour, alpha=0.6)
        axes.axvline(group["iou"].mean(), color=colour)
        axes.set_title(f"{with_spaces(name)}: mean {group['iou'].mean():.3f}")
        if name in published:
            axes.axvline(published[name], color="#222222", ls=DASHES[1])
    grid[-1].set_xlabel("IoU with the white cell's box")
    figure.supylabel("images", fontsize=10)
    entries = {"our mean": {"color": "#888888"}}
    if sets.keys() & published.keys():
        entries["published mean"] = {"color": "#222222", "ls": DASHES[1]}
    legend_below(figure, entries)
    return figure


def _box_sheet(
    title: str,
    dataset: str,
    sets: Mapping[str, pd.DataFrame],
    look: Callable[[pd.Series], Boxes],
) -> Figure:
    """Show the images at ``QUANTILES`` of the IoU, a row per set."""
    picked = [pick_quantiles(group, "iou", QUANTILES) for group in sets.values()]
    return tile_sheet(
        title,
        dataset,
        [[draw_boxes(look(row)) for row in line] for line in picked],
        rows=[with_spaces(name).replace(" ", "\n") for name in sets],
        columns=list(QUANTILES),
        scores=[[f"{row['iou']:.2f}" for row in line] for line in picked],
        legend="annotated",
    )
