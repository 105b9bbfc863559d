"""Overlays: a photograph with box, outline and answer of each cell, and where the network looks."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from wbc_pipeline.imaging.arrays import resize_to
from wbc_pipeline.imaging.roi import Region

LONGEST = 640  # pixels of the longer side of each of the two panels
SURE, DOUBTED, OUTLINE = (0, 130, 60), (200, 60, 0), (0, 160, 255)
TILE = 112  # pixels of a cell on the contact sheet
_HEAT = 0.75  # weight over the photograph of the map's highest value


class Drawn(NamedTuple):
    """What is drawn of a cell.

    Attributes
    ----------
    box
        In pixels of the photograph.
    mask
        uint8, of the box; None if nothing is known.
    text
        The answer, ASCII.
    is_sure
        Whether nothing speaks against the answer.
    map
        Grad-CAM, float32 [h, w], 0 to 1; None for none.
    seen
        Where in the photograph the map lies.
    """

    box: Region
    mask: np.ndarray | None
    text: str
    is_sure: bool
    map: np.ndarray | None
    seen: Region


def shrink(image: np.ndarray) -> tuple[np.ndarray, float]:
    """Scale a photograph down to what an overlay shows; give the scale too, 1 at most."""
    scale = min(LONGEST / max(image.shape[:2]), 1.0)
    height, width = (max(round(scale * side), 1) for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), scale


def draw_overlay(small: np.ndarray, scale: float, cells: Sequence[Drawn]) -> np.ndarray:
    """Draw box, outline and answer of each cell and, beside, where the network looks.

    Parameters
    ----------
    small, scale
        Of `shrink`.
    cells
        Of this photograph.

    Returns
    -------
    np.ndarray
        RGB, uint8; twice as wide as `small` where a cell has a map.
    """
    left = small.copy()
    for cell in cells:
        _draw_cell(left, scale, cell)
    if all(cell.map is None for cell in cells):
        return left
    heat = np.zeros(small.shape[:2], np.float32)
    for cell in cells:
        if cell.map is not None:
            xmin, ymin, xmax, ymax = _scaled(cell.seen, scale, small.shape)
            part = cv2.resize(cell.map, (xmax - xmin, ymax - ymin), interpolation=cv2.INTER_LINEAR)
            np.maximum(heat[ymin:ymax, xmin:xmax], part, out=heat[ymin:ymax, xmin:xmax])
    colours = cv2.applyColorMap(np.uint8(255 * heat.clip(0, 1)), cv2.COLORMAP_INFERNO)[..., ::-1]
    weight = _HEAT * heat[..., None].clip(0, 1)
    right = np.uint8((1 - weight) * small + weight * colours)
    for cell in cells:
        xmin, ymin, xmax, ymax = _scaled(cell.box, scale, small.shape)
        cv2.rectangle(right, (xmin, ymin), (xmax - 1, ymax - 1), (255, 255, 255), 1)
    return np.hstack([left, right])


def draw_tile(image: np.ndarray, box: Region) -> np.ndarray:
    """Cut a cell out, with a little around it, as a square tile."""
    xmin, ymin, xmax, ymax, _ = box
    side = round(1.2 * max(xmax - xmin, ymax - ymin))
    left, top = (xmin + xmax - side) // 2, (ymin + ymax - side) // 2
    height, width = image.shape[:2]
    part = image[max(top, 0) : min(top + side, height), max(left, 0) : min(left + side, width)]
    square = np.full((side, side, 3), 255, np.uint8)
    y, x = max(-top, 0), max(-left, 0)
    square[y : y + part.shape[0], x : x + part.shape[1]] = part
    tile = np.empty((TILE, TILE, 3), np.uint8)
    resize_to(square, tile)
    return tile


def _draw_cell(image: np.ndarray, scale: float, cell: Drawn) -> None:
    xmin, ymin, xmax, ymax = _scaled(cell.box, scale, image.shape)
    colour = SURE if cell.is_sure else DOUBTED
    if cell.mask is not None and cell.mask.any():
        mask = cv2.resize(cell.mask, (xmax - xmin, ymax - ymin), interpolation=cv2.INTER_NEAREST)
        borders, _ = cv2.findContours(
            mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(xmin, ymin)
        )
        cv2.drawContours(image, borders, -1, OUTLINE, 1, cv2.LINE_AA)
    cv2.rectangle(image, (xmin, ymin), (xmax - 1, ymax - 1), colour, 2)
    size = max(0.35, min(0.55, image.shape[1] / 900))
    (width, height), below = cv2.getTextSize(cell.text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    x = max(min(xmin, image.shape[1] - width - 2), 0)
    y = ymin - 4 if ymin - 4 - height >= 0 else min(ymax + height + 4, image.shape[0] - below)
    corner = (x + width + 2, y + below)
    cv2.rectangle(image, (x, y - height - 2), corner, colour, cv2.FILLED)
    cv2.putText(
        image,
        cell.text,
        (x + 1, y),
        cv2.FONT_HERSHEY_SIMPLEX,
        size,
        (255, 255, 255),
        1,
        cv2.LINE_AA,
    )


def _scaled(box: Region, scale: float, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    height, width = shape[:2]
    left, top = min(int(scale * box.xmin), width - 1), min(int(scale * box.ymin), height - 1)
    right, bottom = min(round(scale * box.xmax), width), min(round(scale * box.ymax), height)
    return left, top, max(right, left + 1), max(bottom, top + 1)
