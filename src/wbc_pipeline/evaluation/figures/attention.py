"""Figures of where networks look: saliency maps and Grad-CAM."""

from collections.abc import Callable
from typing import NamedTuple

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.audit.wording import percent
from wbc_pipeline.evaluation.figures.sheets import (
    BLANK,
    TRUE_COLOUR,
    draw_outline,
    scale_tile,
    tile_sheet,
)
from wbc_pipeline.evaluation.figures.style import (
    drawn,
    empty_figure,
    legend_below,
    shorten,
)

COLOURS = mpl.colormaps["inferno"]  # of 0 to 1, for every map
SALIENCY_COLOUR, CAM_COLOUR = "#2BD96B", "#FFD000"
BAR = 0.9  # inches of the colour bar with its labels
NAME = 18  # characters of a class or protocol


class Attention(NamedTuple):
    """An image, and where a network looks.

    Attributes
    ----------
    pixels
        RGB, uint8 ``[H, W, 3]``.
    true
        The annotated cell, uint8 ``[H, W]``, 0 or 255; all 0 if it is not known.
    saliency
        Float ``[h, w]``, 0 to 1; None if the network has no such map.
    grad_cam
        Float ``[H, W]``, 0 to 1; None if the network names no layer to explain.
    cam_inside
        Share of ``grad_cam`` inside the cell; NaN if it is not known.
    """

    pixels: np.ndarray
    true: np.ndarray
    saliency: np.ndarray | None
    grad_cam: np.ndarray | None
    cam_inside: float = np.nan


@drawn(
    heading="Where the network looks",
    caption="Test images of the first seed, failures first: the image with the annotated cell, the "
    "network's saliency map S, Grad-CAM of the class that it answers, and the outlines of where S "
    "and Grad-CAM are at least 0.5. All maps share one scale, of which Grad-CAM reaches 1 in every "
    "image; below each stands the share of it that lies inside the annotated cell.",
)
def attention_sheet(
    answers: pd.DataFrame,
    look: Callable[[pd.Series], Attention],
    *,
    variant: str = "",
    dataset: str = "",
) -> Figure:
    """Show image, saliency map, Grad-CAM and both, a row per image.

    Parameters
    ----------
    answers
        Of ``examples.pick_answers``; ``saliency_inside`` is written where it is known.
    look
        Gives what a row of `answers` shows.
    variant, dataset
        For the title.
    """
    title = f"Where {variant or 'the network'} looks"
    if answers.empty:
        return empty_figure(title, dataset, "no labelled test image to look at")
    is_right = answers["label"] == answers["predicted"]
    rows = [row for _, row in answers.loc[is_right.sort_values(kind="stable").index].iterrows()]
    seen = [look(row) for row in rows]
    figure = tile_sheet(
        title,
        dataset,
        [_draw_attention(each) for each in seen],
        rows=[_describe(row) for row in rows],
        columns=["image and cell", "saliency S", "Grad-CAM", "both"],
        scores=[
            ["", _inside(row.get("saliency_inside")), _inside(each.cam_inside), ""]
            for row, each in zip(rows, seen, strict=True)
        ],
    )
    _add_colour_bar(figure)
    colours = {
        "annotated cell": TRUE_COLOUR,
        "S ≥ 0.5": SALIENCY_COLOUR,
        "Grad-CAM ≥ 0.5": CAM_COLOUR,
    }
    legend_below(figure, {name: {"color": colour} for name, colour in colours.items()})
    return figure


def _add_colour_bar(figure: Figure) -> None:
    """Put the scale of the maps to the right of the sheet, which keeps its size."""
    figure.set_figwidth(figure.get_figwidth() + BAR)
    share = min(1.0, 2.5 / figure.get_figheight())
    bar = figure.colorbar(
        ScalarMappable(cmap=COLOURS), ax=figure.axes[0], shrink=share, anchor=(0, 1)
    )
    bar.set_label("S and Grad-CAM", fontsize=9)
    bar.outline.set_visible(False)


def _draw_attention(seen: Attention) -> list[np.ndarray]:
    image = scale_tile(seen.pixels)
    annotated, both, maps = image.copy(), image.copy(), []
    draw_outline(annotated, seen.true, TRUE_COLOUR)
    for values, colour in ((seen.saliency, SALIENCY_COLOUR), (seen.grad_cam, CAM_COLOUR)):
        if values is None:
            maps.append(BLANK)
            continue
        grey = np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)
        grey = cv2.resize(grey, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        maps.append(np.round(255 * COLOURS(grey)[..., :3]).astype(np.uint8))
        draw_outline(both, grey, colour)
    return [annotated, *maps, both]


def _describe(row: pd.Series) -> str:
    right = row["label"] == row["predicted"]
    answer = "right" if right else f"taken for\n{shorten(row['predicted'], NAME)}"
    return f"{shorten(row['label'], NAME)}\n{answer}\n{shorten(row['protocol'], NAME)}"


def _inside(share: float | None) -> str:
    return "" if share is None or pd.isna(share) else f"{percent(share)} inside"
