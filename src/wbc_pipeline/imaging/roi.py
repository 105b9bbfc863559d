"""Where the white blood cell is: a box around violet, grown from the nucleus to the cytoplasm.

Colour alone, no learning. The defaults of `colour_region` were chosen on the photographs of
``blood_cells_originals`` with an even number; those with an odd number are the check.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from wbc_pipeline.imaging.enhance import clahe
from wbc_pipeline.imaging.segment import violet_mask_hsv

#: Lower and upper limits on hue, saturation and value (see ``segment.violet_mask_hsv``).
Limits = tuple[Sequence[int], Sequence[int]]

NUCLEUS: Limits = ((115, 50, 0), (160, 255, 255))
CYTOPLASM: Limits = ((95, 14, 0), (163, 255, 255))

#: Of a box in tables.
SIDES = ["xmin", "ymin", "xmax", "ymax"]

_REACH = 0.5  # how far cytoplasm goes beyond the nucleus, in longer sides of the nucleus


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Give the areas ``[K]`` of boxes ``[K, 4]``, sides as in `SIDES`; 0 where they cross."""
    return (boxes[:, 2:] - boxes[:, :2]).clip(0).prod(axis=1)


class Region(NamedTuple):
    """A box in pixels, ``image[ymin:ymax, xmin:xmax]``.

    ``found`` is False where the box is the whole image because there was nothing to find.
    """

    xmin: int
    ymin: int
    xmax: int
    ymax: int
    found: bool = True


def colour_region(
    image: np.ndarray,
    *,
    nucleus: Limits = NUCLEUS,
    cytoplasm: Limits | None = CYTOPLASM,
    opening: float = 0.15,
    padding: float = 0.05,
    smallest: float = 0.003,
) -> Region:
    """Box around the cell with the largest nucleus, by colour.

    Gaussian blur of 3 x 3 pixels, HSV, colour limits, largest external contour: the published
    method, which is ``nucleus=((80, 60, 140), (255, 255, 255)), cytoplasm=None, padding=0,
    smallest=0`` and finds the nucleus. OpenCV halves the degrees of hue, so that all hues from 80
    to 179 are within these limits. With `cytoplasm` the box is that of the nucleus and of all
    paler violet that hangs together with it.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    nucleus
        Limits on hue (0 to 179), saturation and value (0 to 255) of the nucleus.
    cytoplasm
        Wider limits for what belongs to the cell where it touches the nucleus; None to stop at
        the nucleus.
    opening
        Side of the square that cytoplasm must hold to count, against the violet rims of red cells
        nearby, as a share (0 to 1) of the nucleus's longer side.
    padding
        Added on each side, as a share of the box's longer side: the rim is paler than any limit.
    smallest
        Nuclei below this share (0 to 1) of the image's area are none; platelets, mostly.

    Returns
    -------
    Region
        Inside the image; the whole image, ``found=False``, where no nucleus is found.

    Raises
    ------
    ValueError
        If limits are out of 0 to 255 or not in order, or a share is out of its range.

    Examples
    --------
    >>> image = np.full((96, 128, 3), 230, np.uint8)
    >>> image = cv2.circle(image, (60, 40), 20, (200, 190, 220), -1)
    >>> image = cv2.circle(image, (60, 40), 12, (110, 80, 190), -1)
    >>> colour_region(image, padding=0)
    Region(xmin=41, ymin=21, xmax=80, ymax=60, found=True)
    >>> colour_region(image, cytoplasm=None, padding=0)
    Region(xmin=48, ymin=28, xmax=73, ymax=53, found=True)
    >>> colour_region(image[:10])
    Region(xmin=0, ymin=0, xmax=128, ymax=10, found=False)
    """
    for name, share in (("opening", opening), ("smallest", smallest)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} is a share, 0 to 1, not {share}")
    if padding < 0:  # also where there is nothing to pad
        raise ValueError(f"padding is a share of the longer side, at least 0, not {padding}")
    height, width = image.shape[:2]
    blurred = cv2.GaussianBlur(image, (3, 3), 0)
    nuclei, _ = cv2.findContours(
        _within(blurred, nucleus), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    largest = max(nuclei, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) < smallest * height * width:
        return Region(0, 0, width, height, found=False)
    if cytoplasm is None:
        region = _region(cv2.boundingRect(largest))
    else:
        region = _grown(blurred, largest, cytoplasm, opening)
    return pad_region(region, padding=padding, shape=image.shape)


def enhanced_colour_region(
    image: np.ndarray,
    *,
    clip_limit: float = 2.0,
    tiles: int = 8,
    violet: Limits = NUCLEUS,
    padding: float = 0.1,
    smallest: float = 0.003,
) -> Region:
    """Box around the largest violet object after the contrast has been enhanced.

    Contrast-limited adaptive histogram equalisation of CIELAB's lightness, then the nucleus of
    `colour_region`: HSV, limits of violet, largest area. Published without `padding`.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    clip_limit, tiles
        See `enhance.clahe`.
    violet, padding, smallest
        See `colour_region`, where the first is `nucleus`. The padding makes up for the cytoplasm.

    Returns
    -------
    Region
        Inside the image; the whole image, ``found=False``, where no violet is found.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    K. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994.

    Examples
    --------
    >>> image = np.full((96, 128, 3), 230, np.uint8)
    >>> image = cv2.circle(image, (60, 40), 12, (110, 80, 190), -1)
    >>> enhanced_colour_region(image, padding=0)
    Region(xmin=48, ymin=28, xmax=73, ymax=53, found=True)
    """
    return colour_region(
        clahe(image, clip_limit=clip_limit, tiles=tiles),
        nucleus=violet,
        cytoplasm=None,
        padding=padding,
        smallest=smallest,
    )


def pad_region(region: Region, *, padding: float, shape: Sequence[int]) -> Region:
    """Grow a region on each side, but not beyond the image.

    Parameters
    ----------
    region
        A box.
    padding
        Share of the box's longer side to add on each side, at least 0; rounded to pixels.
    shape
        Shape of the image, ``(H, W)`` or ``(H, W, 3)``.

    Returns
    -------
    Region
        Inside the image; ``found`` as it was.

    Raises
    ------
    ValueError
        If `padding` is negative.

    Examples
    --------
    >>> pad_region(Region(5, 30, 45, 50), padding=0.25, shape=(100, 100))
    Region(xmin=0, ymin=20, xmax=55, ymax=60, found=True)
    """
    if padding < 0:
        raise ValueError(f"padding is a share of the longer side, at least 0, not {padding}")
    height, width = shape[:2]
    xmin, ymin, xmax, ymax, found = region
    more = round(padding * max(xmax - xmin, ymax - ymin))
    return Region(
        max(xmin - more, 0),
        max(ymin - more, 0),
        min(xmax + more, width),
        min(ymax + more, height),
        found,
    )


def square_region(region: Region, *, shape: Sequence[int]) -> Region:
    """Make a region square: as long as its longer side, shifted where the image ends.

    Parameters
    ----------
    region
        A box inside the image.
    shape
        Shape of the image, ``(H, W)`` or ``(H, W, 3)``.

    Returns
    -------
    Region
        A square inside the image that holds `region`; a box longer than the image's shorter side
        is cut there, equally at both ends. ``found`` as it was.

    Examples
    --------
    >>> square_region(Region(10, 80, 50, 100), shape=(100, 100))
    Region(xmin=10, ymin=60, xmax=50, ymax=100, found=True)
    """
    height, width = shape[:2]
    xmin, ymin, xmax, ymax, found = region
    side = min(max(xmax - xmin, ymax - ymin), height, width)
    left = min(max((xmin + xmax - side) // 2, 0), width - side)
    top = min(max((ymin + ymax - side) // 2, 0), height - side)
    return Region(left, top, left + side, top + side, found)


def _grown(image: np.ndarray, nucleus: np.ndarray, cytoplasm: Limits, opening: float) -> Region:
    """Box what lies within the limits of cytoplasm and hangs together with a nucleus."""
    core = _region(cv2.boundingRect(nucleus))
    side = max(core.xmax - core.xmin, core.ymax - core.ymin)
    left, top, right, bottom, _ = pad_region(core, padding=_REACH, shape=image.shape)
    cell = _within(np.ascontiguousarray(image[top:bottom, left:right]), cytoplasm)
    cell = cv2.drawContours(cell, [nucleus], -1, 255, cv2.FILLED, offset=(-left, -top))
    square = np.ones([2 * int(opening * side / 2) + 1] * 2, np.uint8)
    cell = cv2.morphologyEx(cell, cv2.MORPH_OPEN, square)
    cell = cv2.drawContours(cell, [nucleus], -1, 255, cv2.FILLED, offset=(-left, -top))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cell)
    x, y = nucleus[0, 0] - (left, top)
    x, y, width, height, _ = stats[labels[y, x]]
    return _region((left + x, top + y, width, height))


def _within(image: np.ndarray, limits: Limits) -> np.ndarray:
    lower, upper = limits
    return violet_mask_hsv(image, lower=lower, upper=upper)


def _region(box: Sequence[int]) -> Region:
    x, y, width, height = map(int, box)
    return Region(x, y, x + width, y + height)
