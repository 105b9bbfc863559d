"""The white cell by its stain, relative to each image: mask and box, without fixed colours.

The nucleus is found in a small copy of the image as the object with most violet density
(``imaging.density``); limits follow from the image's own red cells and from its own darkest stain.
Then a closed outline around the nucleus is sought that takes in what red cells lack, leaves out
the ground, and prefers edges where neither tells. Every length is a share of the nucleus, so that
cells of any size in the frame are treated alike.

Parameters were chosen on ``blood_cells_originals``, ``segmentation_wbc`` and ``all_idb2``, each
left out in turn (docs/results/image_library.md).
"""

from typing import NamedTuple

import cv2
import numpy as np

from wbc_pipeline.imaging.batches import require_positive
from wbc_pipeline.imaging.density import (
    PRESENT,
    ground_colour,
    optical_density,
    red_cell_ratio,
    violet_density,
)
from wbc_pipeline.imaging.outline import outline_core
from wbc_pipeline.imaging.roi import Region, pad_region

_LONGER_SIDE = 480  # of the copy in which the nucleus is sought
_DARKEST = 0.9995  # quantile of violet density
_BEYOND_NOISE = 4  # SDs of the ground, from which on something is visible
_BEYOND_RED_CELLS = 4  # their SDs, from which on something is a nucleus
_CANDIDATES = 12
_LOBE_DISTANCE = 0.35  # in square roots of the nucleus's area
_LOBE_AREAS = (0.02, 1.5)  # in areas of the nucleus
_LOBE_DARKNESS = 0.5  # of that of the nucleus
_NUCLEUS_SIDE = 48  # longer side in the copy in which the outline is sought
_RED_CELL_SDS = 1.4
_FEW_RED_CELLS = 0.005  # share of the pixels; fewer tell nothing
_PALE_DENSITY, _PALE_VIOLET = 0.2, 0.25  # of the nucleus
_UNDECIDED = 0.6  # certainty of what may be a red cell
_MEDIAN_TO_SD = 1.4826


class _Nucleus(NamedTuple):
    mask: np.ndarray  # uint8 [h, w] of the copy
    neighbours: np.ndarray  # likewise: other nuclei
    scale: float  # of the copy, to the image
    ground: np.ndarray  # [3]
    ratio: float  # see `red_cell_ratio`
    density: float  # mean of green on the nucleus
    violet: float  # likewise
    noise: float  # SD of green's density on the ground
    red_cells: float  # violet density that few red cells exceed
    red_cell_spread: float  # SD of the violet density of red cells


def stain_region(
    image: np.ndarray,
    *,
    smallest: float = 0.0004,
    faintest: float = 0.1,
    reach: float = 1.1,
    padding: float = 0.01,
) -> Region:
    """Box around the white cell, by its stain relative to this image.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``, of any size and any light.
    smallest, faintest, reach
        See `stain_mask`.
    padding
        Added on each side, as a share of the box's longer side.

    Returns
    -------
    Region
        Inside the image; the whole image, ``found=False``, where no nucleus is found.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> image = np.full((96, 128, 3), (180, 170, 90), np.uint8)  # dim and yellow
    >>> image = cv2.circle(image, (60, 40), 20, (140, 120, 85), -1)
    >>> image = cv2.circle(image, (60, 40), 12, (70, 35, 60), -1)
    >>> box = stain_region(image, padding=0)
    >>> box.found, bool(np.abs(np.subtract(box[:4], (40, 20, 81, 61))).max() <= 2)
    (True, True)
    >>> stain_region(image[:10])
    Region(xmin=0, ymin=0, xmax=128, ymax=10, found=False)
    """
    if padding < 0:  # also where there is nothing to pad
        raise ValueError(f"padding is a share of the longer side, at least 0, not {padding}")
    mask = stain_mask(image, smallest=smallest, faintest=faintest, reach=reach)
    if not mask.any():
        height, width = mask.shape
        return Region(0, 0, width, height, found=False)
    x, y, width, height = cv2.boundingRect(mask)
    region = Region(x, y, x + width, y + height)
    return pad_region(region, padding=padding, shape=image.shape)


def stain_mask(
    image: np.ndarray,
    *,
    smallest: float = 0.0004,
    faintest: float = 0.1,
    reach: float = 1.1,
) -> np.ndarray:
    """Mask of the white cell, by its stain relative to this image.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``, of any size and any light; not modified.
    smallest
        Nuclei below this share (0 to 1) of the image's area are none; platelets, mostly.
    faintest
        Mean violet density (see `density.violet_density`) of the faintest nucleus, above 0. It
        must also exceed that of red cells by four of their standard deviations.
    reach
        How far the cell may go beyond the nucleus, in longer sides of the nucleus, above 0.

    Returns
    -------
    np.ndarray
        uint8, ``[H, W]``, 255 on the cell, one object without holes, and 0 elsewhere; empty where
        no nucleus is found. Of several cells it is the one with the largest and darkest nucleus.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    T. W. Ridler and S. Calvard, "Picture thresholding using an iterative selection method", IEEE
    SMC 8(8), 1978.

    Examples
    --------
    >>> image = np.full((96, 128, 3), (180, 170, 90), np.uint8)  # dim and yellow
    >>> image = cv2.circle(image, (60, 40), 20, (140, 120, 85), -1)
    >>> image = cv2.circle(image, (60, 40), 12, (70, 35, 60), -1)
    >>> mask = stain_mask(image)
    >>> bool(mask[40, 45]), bool(mask[40, 35]), bool(stain_mask(image[:10]).any())
    (True, False, False)
    """
    if not 0 <= smallest <= 1:
        raise ValueError(f"smallest is a share, 0 to 1, not {smallest}")
    require_positive(faintest=faintest, reach=reach)
    mask = np.zeros(image.shape[:2], np.uint8)
    nucleus = _find_nucleus(image, smallest, faintest)
    if nucleus is None:
        return mask
    outline = _cell_outline(image, nucleus, reach)
    return cv2.fillPoly(mask, [outline.round().astype(np.int32)], 255)


def _find_nucleus(image: np.ndarray, smallest: float, faintest: float) -> _Nucleus | None:
    scale = min(_LONGER_SIDE / max(image.shape[:2]), 1.0)
    height, width = (max(round(scale * side), 1) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    ground, empty = ground_colour(small)
    density = optical_density(cv2.GaussianBlur(small, (0, 0), 1), ground)
    ratio = red_cell_ratio(density)
    violet, green = violet_density(density, ratio), density[..., 1]
    limit = _dark_limit(violet, green > PRESENT)
    found = _darkest_object(violet, limit, smallest)
    if found is None:
        return None
    mask, neighbours = found
    inside = mask > 0
    middle, spread = _red_cells(violet, (green > PRESENT) & (violet < limit), mask)
    darkness = float(violet[inside].mean())
    if darkness < max(faintest, middle + _BEYOND_RED_CELLS * spread):
        return None
    return _Nucleus(
        mask=mask,
        neighbours=neighbours,
        scale=scale,
        ground=ground,
        ratio=ratio,
        density=float(green[inside].mean()),
        violet=darkness,
        noise=_spread(green[empty]),
        red_cells=middle + _RED_CELL_SDS * spread,
        red_cell_spread=spread,
    )


def _dark_limit(violet: np.ndarray, present: np.ndarray) -> float:
    """Halfway between the means above and below it (Ridler and Calvard), begun from the darkest.

    Otsu's threshold splits red cells instead where a nucleus is less than a hundredth of them.
    """
    values = np.sort(violet[present])
    if not len(values):
        return 0.0
    rank = int(_DARKEST * (violet.size - 1))
    limit = (np.partition(violet.ravel(), rank)[rank] + values[len(values) // 2]) / 2
    for _ in range(20):
        below = np.searchsorted(values, limit)
        if not 0 < below < len(values):
            break
        before, limit = limit, (values[:below].mean() + values[below:].mean()) / 2
        if abs(limit - before) < 1e-3:
            break
    return float(limit)


def _darkest_object(
    violet: np.ndarray, limit: float, smallest: float
) -> tuple[np.ndarray, np.ndarray] | None:
    """Choose by darkness, area and compactness, and take in the lobes nearby; mask the others."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(np.uint8(violet > limit))
    areas = stats[:, cv2.CC_STAT_AREA]
    excess = np.bincount(labels.ravel(), np.maximum(violet - limit / 2, 0).ravel(), count)
    darkness = excess / np.maximum(areas, 1)
    candidates = [i for i in range(1, count) if areas[i] >= smallest * violet.size]
    candidates = sorted(candidates, key=lambda i: -excess[i])[:_CANDIDATES]
    if not candidates:
        return None
    scores = [
        darkness[i] ** 1.5 * areas[i] ** 0.75 * _compactness(labels, stats[i], i)
        for i in candidates
    ]
    best = candidates[int(np.argmax(scores))]
    share = areas / areas[best]
    dark = (darkness > _LOBE_DARKNESS * darkness[best]) & (share > _LOBE_AREAS[0])
    dark[0] = False
    lobes = dark & (share < _LOBE_AREAS[1])
    nucleus = cv2.inRange(labels, best, best)
    nearby = _disc(_LOBE_DISTANCE * np.sqrt(areas[best]))
    for _ in range(2):  # lobes of lobes
        touched = np.bincount(labels[cv2.dilate(nucleus, nearby) > 0], minlength=count) > 0
        nucleus = np.uint8(255 * (touched & lobes))[labels]
    return nucleus, np.uint8(255 * dark)[labels] & ~nucleus


def _compactness(labels: np.ndarray, stats: np.ndarray, label: int) -> float:
    """Share of the convex hull that the object fills."""
    x, y, width, height, area = stats
    part = cv2.inRange(labels[y : y + height, x : x + width], label, label)
    hull = cv2.convexHull(cv2.findNonZero(part))
    return area / max(cv2.countNonZero(cv2.fillConvexPoly(part, hull, 255)), 1)


def _red_cells(violet: np.ndarray, present: np.ndarray, nucleus: np.ndarray) -> tuple[float, float]:
    """Median and SD of the violet density of what lies away from the nucleus."""
    x, y, width, height = cv2.boundingRect(nucleus)
    margin = max(width, height) // 2
    away = present.copy()
    away[max(y - margin, 0) : y + height + margin, max(x - margin, 0) : x + width + margin] = False
    values = violet[away]
    if len(values) < _FEW_RED_CELLS * violet.size:
        return 0.0, 0.02
    return float(np.median(values)), _spread(values) + 0.01


def _cell_outline(image: np.ndarray, nucleus: _Nucleus, reach: float) -> np.ndarray:
    """Outline of the cell, ``[N, 2]``: x and y in pixels of the image."""
    x, y, width, height = np.divide(cv2.boundingRect(nucleus.mask), nucleus.scale)
    side = max(width, height)
    margin = reach * side
    left, top = max(int(x - margin), 0), max(int(y - margin), 0)
    part = image[top : int(y + height + margin) + 1, left : int(x + width + margin) + 1]
    zoom = _NUCLEUS_SIDE / side
    method = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    part = cv2.resize(part, None, fx=zoom, fy=zoom, interpolation=method)
    corners = cv2.convexHull(cv2.findNonZero(nucleus.mask))[:, 0]
    corners = ((corners + 0.5) / nucleus.scale - (left, top)) * zoom - 0.5
    belongs, layers = _evidence(part, nucleus)
    belongs[_cut(nucleus.neighbours, (left, top), nucleus.scale, zoom, part.shape) > 0] = 0
    outline = outline_core(belongs, layers, corners, reach=reach * _NUCLEUS_SIDE)
    return (outline + 0.5) / zoom - 0.5 + (left, top)


def _cut(
    mask: np.ndarray, corner: tuple[int, int], scale: float, zoom: float, shape: tuple[int, ...]
) -> np.ndarray:
    """Cut a part of the image out of a mask of its copy."""
    step = scale / zoom  # from a pixel of the part to one of the copy
    x, y = scale * np.array(corner) + step / 2 - 0.5
    to_copy = np.array([[step, 0, x], [0, step, y]])
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(mask, to_copy, shape[1::-1], flags=flags)


def _evidence(part: np.ndarray, nucleus: _Nucleus) -> tuple[np.ndarray, np.ndarray]:
    """Certainty that a pixel is of the cell, and layers that fall at its rim.

    What is more violet than red cells is of the cell, the ground is not, and the rest may be red
    cells or pale cytoplasm. The layers are cut above pale cytoplasm, or else the rim of the nucleus
    would be the strongest edge of all.
    """
    density = optical_density(cv2.GaussianBlur(part, (0, 0), 1.2), nucleus.ground)
    violet, green = violet_density(density, nucleus.ratio), density[..., 1]
    visible = max(_BEYOND_NOISE * nucleus.noise, 0.03)
    is_violet = _soft_step(violet - nucleus.red_cells, nucleus.red_cell_spread / 2)
    is_dense = _soft_step(green - visible, visible / 4)
    caps = (
        max(_PALE_DENSITY * nucleus.density, 1.5 * visible),
        max(_PALE_VIOLET * nucleus.violet, 0.05),
    )
    layers = [np.clip(layer / cap, 0, 1) for layer, cap in zip((green, violet), caps, strict=True)]
    return np.maximum(is_violet, _UNDECIDED * is_dense), np.dstack(layers)


def _soft_step(values: np.ndarray, width: float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values / width, -30, 30)))


def _spread(values: np.ndarray) -> float:
    return float(_MEDIAN_TO_SD * np.median(np.abs(values - np.median(values))))


def _disc(radius: float) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, [2 * round(radius) + 1] * 2)
