"""Masks of annotated cells: which part of the cell each pixel shows."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from wbc_pipeline.imaging.reading import UnreadableImageError, read_mask

BACKGROUND, CYTOPLASM, NUCLEUS, CELL, UNKNOWN = 0, 1, 2, 3, 255

#: What can be segmented, and the lowest and highest value of a mask that belong to it.
REGIONS = {"nucleus": (NUCLEUS, NUCLEUS), "cell": (CYTOPLASM, CELL)}

_FILE_LEVELS = (0, 128, 255)  # of a mask file, unless its data set says otherwise
_PARTS = {2: (BACKGROUND, CELL), 3: (BACKGROUND, CYTOPLASM, NUCLEUS)}


def label_mask(grey: np.ndarray, levels: Sequence[int]) -> np.ndarray:
    """Turn the grey levels of a mask file into parts of the cell.

    Parameters
    ----------
    grey
        uint8 ``[H, W]``.
    levels
        Grey levels of background, cytoplasm and nucleus; or of background and cell, where the file
        does not tell its parts. Any other level counts for the nearest.

    Returns
    -------
    uint8 ``[H, W]``: 0 background, 1 cytoplasm, 2 nucleus, 3 cell whose parts are not known.

    Examples
    --------
    >>> label_mask(np.uint8([[0, 120, 255]]), (0, 128, 255)).tolist()
    [[0, 1, 2]]
    >>> label_mask(np.uint8([[0, 120, 255]]), (0, 255)).tolist()
    [[0, 0, 3]]
    """
    distance = np.abs(np.arange(256)[:, None] - np.asarray(levels))  # [256, levels]
    return cv2.LUT(grey, np.uint8(_PARTS[len(levels)])[distance.argmin(axis=1)])


def region_mask(mask: np.ndarray, region: str) -> np.ndarray:
    """Give 255 on a region and 0 elsewhere, as OpenCV's functions take it.

    Parameters
    ----------
    mask
        uint8 ``[H, W]``, see `label_mask`; 255 where it is not known, which is no region.
    region
        A key of `REGIONS`.

    Examples
    --------
    >>> region_mask(np.uint8([[0, 1, 2, 3, 255]]), "cell").tolist()
    [[0, 255, 255, 255, 0]]
    """
    return cv2.inRange(mask, *REGIONS[region])


def resize_mask(mask: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Scale a mask to ``(H, W)``; each pixel takes the nearest one."""
    height, width = shape[:2]
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)


def read_labelled_mask(
    path: str | Path,
    shape: Sequence[int],
    *,
    levels: Sequence[int] | None = None,
    max_pixels: int,
) -> np.ndarray:
    """Read the mask file of an image.

    Parameters
    ----------
    path
        The file.
    shape
        ``(H, W)`` of its image.
    levels
        See `label_mask`; None for 0, 128 and 255.
    max_pixels
        A larger file is refused before it is decoded.

    Returns
    -------
    uint8 ``[H, W]``, see `label_mask`.

    Raises
    ------
    UnreadableImageError
        If the file cannot be read or is not of that shape.
    """
    try:
        grey = read_mask(path, max_pixels=max_pixels)
    except UnreadableImageError as reason:
        raise UnreadableImageError(f"mask unreadable: {reason}") from None
    if grey.shape != tuple(shape[:2]):
        sizes = " against ".join(f"{width} x {height}" for height, width in (grey.shape, shape[:2]))
        raise UnreadableImageError(f"mask of another size than its image: {sizes}")
    return label_mask(grey, _FILE_LEVELS if levels is None else levels)
