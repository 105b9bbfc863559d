"""Masks for boxes: which pixels of an annotated box are the cell, by colour."""

from collections.abc import Sequence

import cv2
import numpy as np

from wbc_pipeline.imaging.roi import CYTOPLASM, NUCLEUS
from wbc_pipeline.imaging.segment import fill_holes, largest_component, violet_mask_hsv

_OPENING = 0.15  # as in `roi.colour_region`: against the violet rims of red cells in the corners


def cell_mask_in_box(image: np.ndarray, box: Sequence[float]) -> tuple[np.ndarray, bool]:
    """Mask the white cell in its box: the largest nucleus, grown to the cytoplasm around it.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    box
        xmin, ymin, xmax, ymax in pixels, a part of it inside the image; rounded to whole pixels,
        at least one.

    Returns
    -------
    mask : np.ndarray
        uint8, ``[H, W]``, 255 on the cell, one object without holes, and 0 elsewhere, always
        outside the box.
    found : bool
        False where nothing in the box is violet: the mask is then the whole box.

    Raises
    ------
    ValueError
        If no part of the box is inside the image.

    Examples
    --------
    >>> image = np.full((64, 64, 3), 230, np.uint8)
    >>> image = cv2.circle(image, (30, 30), 9, (110, 80, 190), -1)
    >>> mask, found = cell_mask_in_box(image, (18, 18, 43, 43))
    >>> found, bool(mask[30, 30]), bool(mask[20, 20]), int(np.count_nonzero(mask)) < 350
    (True, True, False, True)
    >>> mask, found = cell_mask_in_box(image, (50, 50, 60, 60))
    >>> found, int(np.count_nonzero(mask))
    (False, 100)
    """
    left, top, right, bottom = _inside(box, image.shape)
    part = cv2.GaussianBlur(image[top:bottom, left:right], (3, 3), 0)
    cell = _cell(part)
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[top:bottom, left:right] = 255 if cell is None else cell
    return mask, cell is not None


def _cell(part: np.ndarray) -> np.ndarray | None:
    nucleus = largest_component(_within(part, NUCLEUS))
    if not nucleus.any():
        return None
    _, _, width, height = cv2.boundingRect(nucleus)
    square = np.ones([2 * int(_OPENING * max(width, height) / 2) + 1] * 2, np.uint8)
    cell = cv2.morphologyEx(_within(part, CYTOPLASM) | nucleus, cv2.MORPH_OPEN, square) | nucleus
    _, labels = cv2.connectedComponents(cell)
    core = int(labels[nucleus > 0][0])  # the nucleus hangs together, so any of its pixels will do
    return fill_holes(cv2.inRange(labels, core, core))


def _within(part: np.ndarray, limits: tuple[Sequence[int], Sequence[int]]) -> np.ndarray:
    lower, upper = limits
    return violet_mask_hsv(part, lower=lower, upper=upper)


def _inside(box: Sequence[float], shape: Sequence[int]) -> tuple[int, int, int, int]:
    height, width = shape[:2]
    xmin, ymin, xmax, ymax = box
    if not (max(xmin, 0) < min(xmax, width) and max(ymin, 0) < min(ymax, height)):
        raise ValueError(
            f"the box {tuple(box)} has no part inside an image of {width} x {height} pixels; "
            "correct the annotation"
        )
    left, top = min(max(round(xmin), 0), width - 1), min(max(round(ymin), 0), height - 1)
    return left, top, max(min(round(xmax), width), left + 1), max(min(round(ymax), height), top + 1)
