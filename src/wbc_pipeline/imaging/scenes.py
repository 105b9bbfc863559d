"""Scenes: annotated white cells at any scale in a square frame, for detectors to learn from.

A detector that has seen the fields of one laboratory learns how large a cell is there, and its
colours. In a scene the cell takes a drawn share of the frame at a drawn place, on ground where its
image ends, and is recomposed: another stain and light, red cells and debris behind.
"""

from typing import NamedTuple

import cv2
import numpy as np

from wbc_pipeline.imaging.masks import BACKGROUND, CELL, UNKNOWN
from wbc_pipeline.imaging.recompose import recompose
from wbc_pipeline.imaging.recompose_options import RecomposeOptions
from wbc_pipeline.imaging.roi import box_areas

_GROUND = 90  # percentile of green above which a pixel is clear ground
_GRAIN = 2.0  # levels, SD of drawn ground
_FADING = 0.06  # of the frame's side: where an image ends, it fades into the ground
_TOUCHING = 1.0  # pixel between a box and the border of the image that cuts the cell
LEAST_SHOWN = 0.5  # share of a box that is still a cell


_CONTRAST = (0.8, 1.3)  # of a field: exponent of its light
_LIGHT, _TINT = (0.75, 1.0), (0.9, 1.0)  # of a field: of all channels, and of each
_QUALITY = (60, 92)  # of its JPEG


class Scene(NamedTuple):
    """A frame and the boxes of the white cells in it.

    Attributes
    ----------
    image
        RGB, uint8 ``[S, S, 3]``.
    boxes
        float32 ``[K, 4]``: xmin, ymin, xmax, ymax in pixels of the frame, K at least 1.
    """

    image: np.ndarray
    boxes: np.ndarray


def draw_scene(
    image: np.ndarray,
    mask: np.ndarray,
    boxes: np.ndarray,
    rng: np.random.Generator,
    *,
    size: int,
    fill: tuple[float, float],
    squeeze: float,
    options: RecomposeOptions,
) -> Scene:
    """Draw a scene of an image.

    Parameters
    ----------
    image
        RGB, uint8 ``[H, W, 3]``; not modified.
    mask
        uint8 ``[H, W]``, see `masks.read_labelled_mask`. Where nothing of it is known, the ellipses
        in the boxes are the cells.
    boxes
        float ``[K, 4]``, of the white cells in pixels of the image, K at least 1.
    rng
        Draws everything; the same state gives the same scene.
    size
        Side S of the frame.
    fill
        Least and largest share of the frame's side that the longer side of a cell takes, above 0
        and at most 1; drawn log-uniformly.
    squeeze
        Largest logarithm of the factor by which height and width change unequally, as those of a
        field do that is squeezed to a square; 0 for none.
    options
        See `recompose`.

    Returns
    -------
    Scene
        Boxes of which less than half is in the frame are left out, but not the one that was placed.
    """
    boxes = np.asarray(boxes, float)
    if (mask == UNKNOWN).all():
        mask = _ellipses(boxes, image.shape)
    chosen = int(rng.integers(len(boxes)))
    scale, shift = _place(boxes[chosen], image.shape, rng, size=size, fill=fill, squeeze=squeeze)
    scene, parts = _paste(image, mask, (scale, shift), size, rng)
    moved = boxes * np.tile(scale, 2) + np.tile(shift, 2)
    inside = np.clip(moved, 0, size)
    shown = box_areas(inside) / np.maximum(box_areas(moved), 1e-9) >= LEAST_SHOWN
    shown[chosen] = True
    return Scene(recompose(scene, parts, rng, options), inside[shown].astype(np.float32))


def draw_field(
    image: np.ndarray,
    mask: np.ndarray | None,
    boxes: np.ndarray,
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    cell: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Put an image into the field of another microscope: a test, not what detectors learn from.

    The image is scaled so that its cell is small, and lies anywhere on ground of its own colour;
    strength of the stain, light and JPEG are others.

    Parameters
    ----------
    image
        RGB, uint8 ``[H, W, 3]``; not modified.
    mask
        uint8 ``[H, W]``, 255 on the cell; None if it is not known.
    boxes
        float ``[K, 4]``, of the white cells in pixels of the image.
    rng
        Draws everything.
    size
        Width and height of the field.
    cell
        Least and largest share of the field's height that the longest side of a box takes.

    Returns
    -------
    field : np.ndarray
        uint8 ``[height, width, 3]``.
    boxes : np.ndarray
        In pixels of the field.
    mask : np.ndarray or None
        uint8 ``[height, width]``, 255 on the cell.
    """
    width, height = size
    scale = rng.uniform(*cell) * height / (boxes[:, 2:] - boxes[:, :2]).max()
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    small = small[:height, :width]
    high, wide = small.shape[:2]
    field = np.clip(rng.normal(_clear_ground(image), _GRAIN, (height, width, 3)), 0, 255)
    field = field.astype(np.uint8)
    top, left = rng.integers(height + 1 - high), rng.integers(width + 1 - wide)
    field[top : top + high, left : left + wide] = small
    if mask is not None:
        around = np.zeros((height, width), np.uint8)
        whole = cv2.resize(mask, None, fx=scale, fy=scale)
        around[top : top + high, left : left + wide] = whole[:high, :wide]
        mask = cv2.inRange(around, 128, 255)
    return _photographed_elsewhere(field, rng), boxes * scale + [left, top, left, top], mask


def _photographed_elsewhere(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    light = rng.uniform(*_LIGHT) * rng.uniform(*_TINT, 3)
    other = 255 * (image / 255) ** rng.uniform(*_CONTRAST) * light
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(*_QUALITY))]
    file = cv2.imencode(".jpg", other.astype(np.uint8)[..., ::-1], quality)[1]
    return cv2.imdecode(file, cv2.IMREAD_COLOR_RGB)


def _clear_ground(image: np.ndarray) -> np.ndarray:
    green = image[..., 1]
    return np.median(image[green >= np.percentile(green, _GROUND)], axis=0)


def _place(
    box: np.ndarray,
    shape: tuple[int, ...],
    rng: np.random.Generator,
    *,
    size: int,
    fill: tuple[float, float],
    squeeze: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw scale ``[2]`` and shift ``[2]`` from pixels of the image to those of the frame."""
    sides = box[2:] - box[:2]
    share = np.exp(rng.uniform(*np.log(fill)))
    unequal = rng.uniform(-squeeze, squeeze) / 2
    scale = share * size / sides.max() * np.exp([unequal, -unequal])
    scale = np.minimum(scale, size / sides)  # or the cell would not fit
    shift = rng.uniform(0, size - scale * sides) - scale * box[:2]
    ends = np.array(shape[1::-1], float)
    for axis in range(2):  # a cell that the image cuts is cut by the frame too
        at_start, at_end = box[axis] <= _TOUCHING, box[axis + 2] >= ends[axis] - _TOUCHING
        if at_start and at_end:
            scale[axis], shift[axis] = size / ends[axis], 0.0
        elif at_start:
            shift[axis] = 0.0
        elif at_end:
            shift[axis] = size - scale[axis] * ends[axis]
    return scale, shift


def _paste(
    image: np.ndarray,
    mask: np.ndarray,
    placed: tuple[np.ndarray, np.ndarray],
    size: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Scale an image and its mask into a frame of the image's own clear ground."""
    scale, shift = placed
    width, height = np.maximum(np.rint(scale * image.shape[1::-1]), 1).astype(int).tolist()
    method = cv2.INTER_AREA if scale.min() < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, (width, height), interpolation=method)
    cells = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    frame = rng.normal(_clear_ground(image), _GRAIN, (size, size, 3))
    pasted = cv2.warpAffine(small, move, (size, size), borderMode=cv2.BORDER_REPLICATE)
    parts = cv2.warpAffine(
        cells, move, (size, size), flags=cv2.INTER_NEAREST, borderValue=BACKGROUND
    )
    parts[parts == UNKNOWN] = BACKGROUND
    weight = _fading((width, height), shift, size)
    weight[parts != BACKGROUND] = 1
    mixed = weight[..., None] * pasted + (1 - weight[..., None]) * frame
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), parts


def _fading(sides: tuple[int, int], shift: np.ndarray, size: int) -> np.ndarray:
    """Weights of the image in the frame, ``[S, S]``: they fall to 0 where it ends in the frame."""
    ramps = []
    for length, start in zip(sides, shift, strict=True):
        place = np.arange(size) + 0.5
        ramp = np.ones(size)
        for inwards, ends_inside in (
            (place - start, start > 0.5),
            (start + length - place, start + length < size - 0.5),
        ):
            if ends_inside:
                ramp = np.minimum(ramp, np.clip(inwards / (_FADING * size), 0, 1))
        ramps.append(ramp)
    return np.outer(ramps[1], ramps[0])


def _ellipses(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape[:2], np.uint8)
    for xmin, ymin, xmax, ymax in boxes:
        centre, sides = ((xmin + xmax) / 2, (ymin + ymax) / 2), (xmax - xmin, ymax - ymin)
        cv2.ellipse(mask, (centre, sides, 0.0), CELL, -1)
    return mask
