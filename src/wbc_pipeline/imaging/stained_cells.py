"""All white cells of a field by their stain, where `stained_cell` gives the one of an image."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np

from wbc_pipeline.imaging.batches import require_positive
from wbc_pipeline.imaging.density import PRESENT, ground_colour, optical_density
from wbc_pipeline.imaging.roi import Region, pad_region
from wbc_pipeline.imaging.stained_cell import (
    _BEYOND_RED_CELLS,
    _LOBE_DISTANCE,
    _LONGER_SIDE,
    _cell_outline,
    _dark_limit,
    _darkest_object,
    _disc,
    _find_nucleus,
    _Nucleus,
    _red_cells,
)

_MOST = 200  # cells of a field: what has more objects is no blood film
_BLACK = 24  # brightest channel of what is no photograph
_RIM = 7  # pixels in which JPEG blurs the edge of that
_SPARSE = 4  # every fourth pixel is enough to tell the colour of the ground
_BRIGHT = 80  # percentile of the brightness of a film that is ground
_FILLED = 0.45  # share of its hull that a nucleus fills at least; a tangle of red cells does not
_FAINTEST = 0.1  # density of green beyond that of red, over that of red cells
_AROUND = 0.35  # what a cell reaches beyond its nucleus, in longer sides of that


class Cell(NamedTuple):
    """A white cell of a field.

    Attributes
    ----------
    region
        Its box in pixels of the image.
    mask
        uint8 ``[ymax - ymin, xmax - xmin]``, 255 on the cell and 0 elsewhere: that of the box.
    """

    region: Region
    mask: np.ndarray


def stain_cells(
    image: np.ndarray,
    *,
    smallest: float = 0.0004,
    faintest: float = 0.1,
    reach: float = 1.1,
    least: float = 0.3,
) -> list[Cell]:
    """Find every white cell of a field, by its stain relative to this image.

    The first is that of `stained_cell.stain_mask`. Every further object that is at least half as
    dark as its nucleus and large enough is the nucleus of another, unless it lies inside a cell
    that was found before: then it is a lobe of that one. Cells whose nuclei touch are one. Black
    at the edges, as of turned images and round fields of view, is no part of the film. Where no
    nucleus is more violet than red cells, what is more magenta than these is taken for one.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``, of any size and any light; not modified.
    smallest, faintest, reach
        See `stained_cell.stain_mask`.
    least
        Area of the smallest further nucleus, as a share (0 to 1) of the first one's; what is
        smaller is a platelet or debris.

    Returns
    -------
    list of Cell
        From the largest and darkest nucleus to the smallest; empty where there is none.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> image = np.full((120, 240, 3), 230, np.uint8)
    >>> for x in (60, 180):
    ...     image = cv2.circle(image, (x, 60), 30, (200, 190, 220), -1)
    ...     image = cv2.circle(image, (x, 60), 18, (110, 80, 190), -1)
    >>> sorted(cell.region.xmin // 100 for cell in stain_cells(image))
    [0, 1]
    >>> stain_cells(image[:10])
    []
    """
    for name, share in (("smallest", smallest), ("least", least)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} is a share, 0 to 1, not {share}")
    require_positive(faintest=faintest, reach=reach)
    image = _without_black(image)
    first = _find_nucleus(image, smallest, faintest)
    if first is not None and not first.mask.any():  # a few pixels, none darker than the others
        first = None
    cells = []
    if first is None or _fill(first.mask) < _FILLED:
        cells = _apart(_around_magenta(image, smallest, least))
    if not cells and first is not None:
        cells = _apart(_around_violet(image, first, reach, least))
    return cells


def _apart(found: Iterator[Cell]) -> list[Cell]:
    """Take cells as they come, without those whose middle lies in one before."""
    cells: list[Cell] = []
    for cell in islice(found, _MOST):
        if not any(_holds(each.region, cell.region) for each in cells):
            cells.append(cell)
    return cells


def _around_violet(
    image: np.ndarray, first: _Nucleus, reach: float, least: float
) -> Iterator[Cell]:
    """Outline cells around nuclei that are more violet than red cells are."""
    for nucleus, others in _every_nucleus(first.mask, first.neighbours, least):
        yield _outlined(image, first._replace(mask=nucleus, neighbours=others), reach)


def _around_magenta(image: np.ndarray, smallest: float, least: float) -> Iterator[Cell]:
    """Find cells around nuclei that are more magenta than red cells are.

    Some stains and cameras make red cells as blue as nuclei; they absorb no more green than red,
    then, and nuclei do. How far the cytoplasm reaches cannot be told in such a film, so it is taken
    to be a share of the nucleus.
    """
    scale = min(_LONGER_SIDE / max(image.shape[:2]), 1.0)
    height, width = (max(round(scale * side), 1) for side in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    ground, _ = ground_colour(small)
    density = optical_density(cv2.GaussianBlur(small, (0, 0), 1), ground)
    magenta, is_present = density[..., 1] - density[..., 0], density[..., 1] > PRESENT
    limit = _dark_limit(magenta, is_present)
    found = _darkest_object(magenta, limit, smallest)
    if found is None or not found[0].any():
        return
    middle, spread = _red_cells(magenta, is_present & (magenta < limit), found[0])
    for nucleus, _ in _every_nucleus(*found, least):
        beyond = float(magenta[nucleus > 0].mean()) - middle
        if beyond < max(_BEYOND_RED_CELLS * spread, _FAINTEST) or _fill(nucleus) < _FILLED:
            continue
        x, y, across, down = cv2.boundingRect(nucleus)
        box = Region(x, y, x + across, y + down)
        left, top, right, bottom, _ = pad_region(box, padding=_AROUND, shape=magenta.shape)
        grown = cv2.dilate(nucleus, _disc(_AROUND * max(across, down)))[top:bottom, left:right]
        sides = (round(side / scale) for side in (left, top, right, bottom))
        region = pad_region(Region(*sides), padding=0, shape=image.shape)
        size = region.xmax - region.xmin, region.ymax - region.ymin
        yield Cell(region, cv2.resize(grown, size, interpolation=cv2.INTER_NEAREST))


def _every_nucleus(
    first: np.ndarray, others: np.ndarray, least: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Go through the nuclei of a field, each with a mask of the others, the first one first."""
    yield first, others
    rest, least_area = others.copy(), least * cv2.countNonZero(first)
    while (nucleus := _take_largest(rest)) is not None:
        if cv2.countNonZero(nucleus) < least_area:
            return
        yield nucleus, (first | others) & ~nucleus


def _fill(nucleus: np.ndarray) -> float:
    """Share of its convex hull that a nucleus with its lobes fills."""
    hull = cv2.convexHull(np.argwhere(nucleus).astype(np.int32))
    return cv2.countNonZero(nucleus) / max(cv2.contourArea(hull), 1.0)


def _without_black(image: np.ndarray) -> np.ndarray:
    """Paint black that touches the edges in the colour of the ground."""
    dark = cv2.inRange(image, (0, 0, 0), (_BLACK,) * 3)
    if not any(edge.any() for edge in (dark[0], dark[-1], dark[:, 0], dark[:, -1])):
        return image
    count, labels = cv2.connectedComponents(dark)
    touches = np.zeros(count, np.uint8)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        touches[edge] = 1
    touches[0] = 0
    beyond = cv2.dilate(touches[labels], np.ones((_RIM, _RIM), np.uint8))
    film = image[::_SPARSE, ::_SPARSE][beyond[::_SPARSE, ::_SPARSE] == 0]
    if not len(film):
        return image
    painted = image.copy()
    painted[beyond > 0] = np.percentile(film, _BRIGHT, axis=0)
    return painted


def _take_largest(objects: np.ndarray) -> np.ndarray | None:
    """Take the largest object, and the lobes near it, out of a mask."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(objects)
    if count < 2:
        return None
    areas = stats[:, cv2.CC_STAT_AREA]
    best = 1 + int(np.argmax(areas[1:]))
    taken = cv2.inRange(labels, best, best)
    nearby = _disc(_LOBE_DISTANCE * np.sqrt(areas[best]))
    for _ in range(2):  # lobes of lobes
        touched = np.unique(labels[cv2.dilate(taken, nearby) > 0])
        taken = np.where(np.isin(labels, touched[touched > 0]), 255, 0).astype(np.uint8)
    objects[taken > 0] = 0
    return taken


def _outlined(image: np.ndarray, nucleus: _Nucleus, reach: float) -> Cell:
    outline = _cell_outline(image, nucleus, reach).round().astype(np.int32)
    height, width = image.shape[:2]
    x, y, across, down = cv2.boundingRect(outline)
    inside = Region(max(x, 0), max(y, 0), min(x + across, width), min(y + down, height))
    region = pad_region(inside, padding=0.01, shape=image.shape)  # as `stain_region` does
    left, top, right, bottom, _ = region
    mask = np.zeros((bottom - top, right - left), np.uint8)
    return Cell(region, cv2.fillPoly(mask, [outline - (left, top)], 255))


def _holds(cell: Region, other: Region) -> bool:
    """Whether the middle of another box lies in that of a cell."""
    x, y = (other.xmin + other.xmax) / 2, (other.ymin + other.ymax) / 2
    return cell.xmin <= x < cell.xmax and cell.ymin <= y < cell.ymax
