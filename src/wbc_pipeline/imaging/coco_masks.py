"""Masks that are polygons or run lengths in a COCO annotation file.

Nothing is written beside the file: a mask is drawn when it is asked for.
"""

import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from wbc_pipeline.coco_file import CocoError, CocoFile, read_coco_file
from wbc_pipeline.imaging.mask_levels import PARTS, Labelled
from wbc_pipeline.imaging.refusals import UnreadableImageError

_OUTSIDE = 1.0  # pixels that a polygon may lie outside its image, as by rounding


def read_coco_mask(file: str, image: str, levels: str, *, max_pixels: int) -> Labelled:
    """Draw the mask of one image of a COCO file.

    Parameters
    ----------
    file
        The JSON file.
    image
        The ``id`` of the image in it, as text.
    levels
        JSON: for ``nucleus``, ``cytoplasm`` and ``cell`` the names of the categories that are one.
        Objects of other categories are not drawn. A cell in which a nucleus lies is cytoplasm where
        it is not nucleus.
    max_pixels
        A larger mask is refused before it is drawn.

    Returns
    -------
    The mask as drawn, before any turn; see `mask_levels.Labelled`.

    Raises
    ------
    UnreadableImageError
        If the file has no such image, no size of it, or an object that cannot be drawn.
    """
    try:
        content = _load(file, os.stat(file).st_mtime_ns)
    except (OSError, CocoError):
        raise UnreadableImageError(f"no annotation file in COCO's format: {file}") from None
    known = content.images.get(image)
    if known is None:
        raise UnreadableImageError(f"no image with this id in the annotation file: {image}")
    try:
        height, width = (int(known.entry[side]) for side in ("height", "width"))
        outlined = [
            (content.name_of(found), found["segmentation"])
            for found in known.objects
            if found.get("segmentation")
        ]
    except CocoError as error:
        raise UnreadableImageError(str(error)) from None
    except (ValueError, TypeError, KeyError):
        raise UnreadableImageError(
            f"no size of the image in the annotation file: {image}"
        ) from None
    if height * width > max_pixels:
        raise UnreadableImageError(f"more pixels than the cap: {width} x {height}")
    part_of = {name: part for part, names in json.loads(levels).items() for name in names}
    drawn: dict[str, list[np.ndarray]] = {part: [] for part in PARTS}
    for name, segmentation in outlined:
        if name in part_of:
            drawn[part_of[name]].append(draw_object(segmentation, height, width))
    nucleus = np.any([np.zeros((height, width), bool), *drawn["nucleus"]], axis=0)
    parts = np.zeros((height, width), np.uint8)
    for cell in drawn["cell"]:
        parts[cell] = PARTS["cytoplasm" if (cell & nucleus).any() else "cell"]
    for cytoplasm in drawn["cytoplasm"]:
        parts[cytoplasm] = PARTS["cytoplasm"]
    parts[nucleus] = PARTS["nucleus"]
    return Labelled(parts)


def draw_object(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Draw an object; bool ``[H, W]``.

    Parameters
    ----------
    segmentation
        COCO's: a list of polygons ``[x, y, x, y, …]``, or run lengths ``{"size": [H, W], "counts":
        …}``, a list or compressed text.
    height, width
        Of the image in pixels.

    Raises
    ------
    UnreadableImageError
        If it is neither, of another size, or outside the image.

    Examples
    --------
    >>> draw_object([[0, 0, 2, 0, 2, 1, 0, 1]], 2, 3).astype(int).tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    from pycocotools import mask as coco

    try:
        if isinstance(segmentation, Mapping):
            runs = coco.frPyObjects(_checked_runs(segmentation, height, width), height, width)
        else:
            for polygon in segmentation:
                _check_polygon(polygon, height, width)
            runs = coco.merge(coco.frPyObjects([list(p) for p in segmentation], height, width))
        return coco.decode(runs).astype(bool)
    except UnreadableImageError:
        raise
    except Exception as error:  # whatever the drawing makes of damaged run lengths
        raise UnreadableImageError(f"object that cannot be drawn: {error}") from None


def _checked_runs(runs: Mapping, height: int, width: int) -> dict:
    """Give run lengths as a list; pycocotools believes whatever it is given."""
    if list(runs["size"]) != [height, width]:
        raise UnreadableImageError(
            f"run lengths of another size than their image: {runs['size']} against {height, width}"
        )
    counts = runs["counts"]
    counts = _expand(counts) if isinstance(counts, str) else list(counts)
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise UnreadableImageError(f"run lengths that do not fill their image: {sum(counts)}")
    return {"size": [height, width], "counts": counts}


def _expand(text: str) -> list[int]:
    """Expand compressed run lengths: five bits a letter, from the third on as differences."""
    counts, number, shift = [], 0, 0
    for letter in text:
        bits = ord(letter) - 48
        number |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:  # more of this number follows
            continue
        if bits & 0x10:
            number -= 1 << shift
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number, shift = 0, 0
    return counts


def _check_polygon(polygon: list[float], height: int, width: int) -> None:
    points = np.asarray(polygon, float)
    if points.ndim != 1 or len(points) < 6 or len(points) % 2:
        raise UnreadableImageError(f"polygon without three points: {len(points)} numbers")
    inside = (points >= -_OUTSIDE) & (
        points <= np.tile([width, height], len(points) // 2) + _OUTSIDE
    )
    if not inside.all():
        raise UnreadableImageError(f"polygon outside the image: {width} x {height}")


@lru_cache(maxsize=4)
def _load(file: str, changed: int) -> CocoFile:
    """Read a file once; ``changed``, a time, lets a changed file be read again."""
    return read_coco_file(Path(file))
