"""Masks of annotated cells: which part of the cell each pixel shows."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from wbc_pipeline.imaging.coco_masks import read_coco_mask
from wbc_pipeline.imaging.mask_files import read_mask_file
from wbc_pipeline.imaging.mask_levels import (
    PARTS,
    Clue,
    Labelled,
    find_clue,
    label_mask,
    levels_from_clues,
    refuse_unrecognised,
)
from wbc_pipeline.imaging.orientation import UPRIGHT, annotated_side, said_side, turn_upright
from wbc_pipeline.imaging.refusals import UnreadableImageError
from wbc_pipeline.references import split_reference

BACKGROUND, CYTOPLASM, NUCLEUS, CELL = PARTS.values()
UNKNOWN = 255

#: What can be segmented, and the lowest and highest value of a mask that belong to it.
REGIONS = {"nucleus": (NUCLEUS, NUCLEUS), "cell": (CYTOPLASM, CELL)}


def region_mask(mask: np.ndarray, region: str) -> np.ndarray:
    """Give 255 on a region and 0 elsewhere, as OpenCV's functions take it.

    Parameters
    ----------
    mask
        uint8 ``[H, W]``, see `read_labelled_mask`; 255 where it is not known, which is no region.
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
    levels: str | None = None,
    orientation: int = UPRIGHT,
    annotated: str | None = None,
    max_pixels: int,
) -> Labelled:
    """Read the mask of an image, and turn it as the image was turned.

    Parameters
    ----------
    path
        The file, or a reference to an image in an annotation file (``references``).
    shape
        ``(H, W)`` of its image, upright.
    levels
        See `mask_levels`; None to recognise them from this mask alone. In an annotation file: the
        names of the objects that are a part, see `coco_masks`.
    orientation
        EXIF orientation by which the image was turned, 1 to 8.
    annotated
        See `orientation.annotated_side`; asked where the size of the mask does not tell.
    max_pixels
        A larger file is refused before it is decoded.

    Returns
    -------
    uint8 ``[H, W]``: 0 background, 1 cytoplasm, 2 nucleus, 3 cell whose parts are not known; and
    what was assumed.

    Raises
    ------
    UnreadableImageError
        If the file cannot be read or is not of that shape, or it cannot be told whether it is to be
        turned.
    """
    file, image = split_reference(str(path))
    try:
        if image is not None:
            mask, is_turned = read_coco_mask(file, image, levels, max_pixels=max_pixels), False
        else:
            mask, is_turned = _read_file(file, levels, max_pixels)
    except UnreadableImageError as reason:
        raise UnreadableImageError(f"mask unreadable: {reason}") from None
    orientation = UPRIGHT if is_turned else orientation
    parts, turn = _upright(mask.parts, tuple(shape[:2]), orientation, annotated)
    empty = None if parts.any() else "mask empty: no pixel of a cell"
    warnings = "; ".join(filter(None, (mask.warning, turn, empty)))
    return Labelled(parts, warnings or None)


def find_clues(paths: Sequence[str], *, max_pixels: int) -> list[Clue | None]:
    """Find how masks without levels are coded, see `mask_levels.find_clue`; None if unreadable."""
    return [_find_clue(path, max_pixels) for path in paths]


def _find_clue(path: str, max_pixels: int) -> Clue | None:
    try:
        return find_clue(read_mask_file(path, max_pixels=max_pixels))
    except UnreadableImageError:
        return None  # the reason is given where the mask is read


def _read_file(file: str, levels: str | None, max_pixels: int) -> tuple[Labelled, bool]:
    mask = read_mask_file(file, max_pixels=max_pixels)
    if levels is None:
        [(levels, _)] = levels_from_clues([find_clue(mask)])
    if levels is None:
        raise refuse_unrecognised(mask)
    return label_mask(mask, levels), mask.is_turned


def _upright(
    parts: np.ndarray, shape: tuple[int, int], orientation: int, annotated: str | None
) -> tuple[np.ndarray, str | None]:
    """Turn a mask that belongs to the image as stored; give it, and a warning if it was turned."""
    turned = turn_upright(parts, orientation)
    fitting = {"file": turned.shape == shape, "upright": parts.shape == shape}
    if not any(fitting.values()):
        sizes = " against ".join(f"{width} x {height}" for height, width in (parts.shape, shape))
        raise UnreadableImageError(f"mask of another size than its image: {sizes}")
    if all(fitting.values()):
        # A size that an annotation file declares is that of its boxes; the mask has its own.
        side = annotated_side(said_side(annotated), orientation, shape, "mask")
    else:
        side = next(side for side, fits in fitting.items() if fits)
    if side == "upright":
        return parts, None
    return turned, f"mask turned with its image: EXIF orientation {orientation}"
