"""Images in figures: rows of axes, sheets of tiles, outlines and boxes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures.style import WIDTH, legend_below, new_figure

TRUE_COLOUR, FOUND_COLOUR = "#00A0FF", "#FF2A00"
TILE = 180  # pixels of the longer side of an image in a sheet
BLANK = np.full((TILE, TILE, 3), 255, np.uint8)  # where there is nothing to show
MOST_INCHES = 1.4  # of a tile's width
LEAST_WIDTH = 6.0  # inches of a figure, for its title


class Outlines(NamedTuple):
    """An image with two masks: RGB uint8 ``[H, W, 3]``, and uint8 ``[H, W]``, 0 or 255, twice."""

    pixels: np.ndarray
    true: np.ndarray
    found: np.ndarray


class Boxes(NamedTuple):
    """An image with boxes, each xmin, ymin, xmax, ymax in its pixels."""

    pixels: np.ndarray
    true: Sequence[Sequence[float]]
    found: Sequence[float]


def show_images(
    line: Sequence[Axes],
    images: Iterable[np.ndarray],
    titles: Sequence[str] = (),
    *,
    label: str = "",
    size: float = 10,
) -> None:
    """Show uint8 images, RGB or grey, in a row of axes; those left over stay empty.

    Titles of ``size`` points stand above the images, the label to the left of the row.
    """
    for axes in line:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.grid(visible=False)
    for axes, image in zip(line, images, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
    for axes, title in zip(line, titles, strict=False):
        axes.set_title(title, loc="center", fontsize=size)
    line[0].set_ylabel(label)


def tile_sheet(
    title: str,
    dataset: str,
    tiles: Sequence[Sequence[np.ndarray]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    scores: Sequence[Sequence[str]] | None = None,
    legend: str | None = None,
) -> Figure:
    """Show tiles in rows and columns, in one image: hundreds of axes would take a minute.

    Parameters
    ----------
    title, dataset
        For the title.
    tiles
        RGB, uint8 ``[H, W, 3]`` each, of any size up to ``TILE``.
    rows, columns
        What stands beside and above them.
    scores
        What stands below each tile.
    legend
        Name of what is drawn in the true colour beside what was found.
    """
    gap = 30 if scores else 4  # a score stands below its tile
    height = max(tile.shape[0] for line in tiles for tile in line) + gap
    width = max(tile.shape[1] for line in tiles for tile in line) + 4
    page = np.full((height * len(rows), width * len(columns), 3), 255, np.uint8)
    for row, line in enumerate(tiles):
        for column, tile in enumerate(line):
            top = row * height + (height - gap - tile.shape[0]) // 2
            left = column * width + (width - tile.shape[1]) // 2
            page[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    breadth = min(WIDTH - 1.3, MOST_INCHES * len(columns))
    figure = new_figure(
        title,
        dataset,
        height=breadth * page.shape[0] / page.shape[1] + (1.3 if legend else 1),
        width=max(breadth + 1.3, LEAST_WIDTH),
    )
    axes = figure.subplots()
    axes.imshow(page)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, top=True, labeltop=True, labelbottom=False, labelsize=8)
    axes.set_xticks(width * (np.arange(len(columns)) + 0.5), columns)
    axes.set_yticks(height * np.arange(len(rows)) + (height - gap) / 2, rows)
    for row, line in enumerate(scores or []):
        for column, text in enumerate(line):
            place = width * (column + 0.5), height * (row + 1) - gap / 2
            axes.text(*place, text, ha="center", va="center", fontsize=7.5)
    if legend:
        colours = {legend: TRUE_COLOUR, "found": FOUND_COLOUR}
        legend_below(figure, {name: {"color": colour} for name, colour in colours.items()})
    return figure


def pick_quantiles(
    tests: pd.DataFrame, score: str, quantiles: Mapping[str, float]
) -> list[pd.Series | None]:
    """Pick the rows at these quantiles of a score (0 the worst, 1 the best); None without rows."""
    if tests.empty:
        return [None] * len(quantiles)
    ordered = tests.sort_values(score, kind="stable")
    return [ordered.iloc[round(share * (len(ordered) - 1))] for share in quantiles.values()]


def scale_tile(pixels: np.ndarray) -> np.ndarray:
    """Scale an image to ``TILE`` pixels on its longer side."""
    scale = TILE / max(pixels.shape[:2])
    size = [max(1, round(scale * side)) for side in pixels.shape[1::-1]]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def draw_outlines(outlines: Outlines) -> np.ndarray:
    """Draw the true and the found outline on a tile."""
    tile = scale_tile(outlines.pixels)
    draw_outline(tile, outlines.true, TRUE_COLOUR)
    draw_outline(tile, outlines.found, FOUND_COLOUR)
    return tile


def draw_outline(tile: np.ndarray, mask: np.ndarray, colour: str) -> None:
    """Draw onto a tile where a mask, uint8 ``[H, W]``, passes the middle grey."""
    smooth = cv2.resize(mask, tile.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    borders, _ = cv2.findContours(
        cv2.inRange(smooth, 128, 255), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE
    )
    cv2.drawContours(tile, borders, -1, rgb(colour), 2, cv2.LINE_AA)


def draw_boxes(boxes: Boxes) -> np.ndarray:
    """Draw true and found boxes on a tile."""
    tile = scale_tile(boxes.pixels)
    scale = tile.shape[1] / boxes.pixels.shape[1]
    for sides, colour in ((boxes.true, TRUE_COLOUR), ([boxes.found], FOUND_COLOUR)):
        for box in sides:
            left, top, right, bottom = (round(scale * side) for side in box)
            cv2.rectangle(tile, (left, top), (right - 1, bottom - 1), rgb(colour), 2)
    return tile


def rgb(colour: str) -> list[int]:
    """Red, green and blue of a colour, 0 to 255."""
    return [round(255 * part) for part in to_rgb(colour)]
