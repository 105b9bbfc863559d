"""The EXIF orientation of a photograph, and which side of the turn its annotations belong to.

A camera that was held sideways stores the picture as its sensor saw it, with a tag that says how to
turn it. Images are turned upright when they are read; masks and boxes that were drawn in another
program may be of the picture as stored or of the upright one.
"""

import re
from collections.abc import Sequence

import numpy as np

from wbc_pipeline.imaging.refusals import UnreadableImageError

TAG = 0x112
UPRIGHT = 1
_SWAPPED = range(5, 9)  # height becomes width
_ANNOTATED = re.compile(r"(?:(\d+) x (\d+))?(?:, )?(file|upright)?")
_REMEDY = "set the data set's option `annotations` to file or upright"


def valid_orientation(value: object) -> int:
    """Take what a file says for its orientation; what is none of the eight turns nothing."""
    return value if isinstance(value, int) and 1 <= value <= 8 else UPRIGHT


def turn_upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image or mask as stored ``[H, W, ...]`` upright.

    Parameters
    ----------
    pixels
        Any dtype.
    orientation
        1 to 8, see the EXIF standard (CIPA DC-008), tag 0x112: 3 is half a turn, 6 a quarter
        clockwise, 8 a quarter counterclockwise, the even ones below 5 and the odd ones above
        mirror too.

    Examples
    --------
    >>> turn_upright(np.array([[1, 2, 3]]), 6).tolist()
    [[1], [2], [3]]
    """
    turned = {
        1: lambda image: image,
        2: np.fliplr,
        3: lambda image: np.rot90(image, 2),
        4: np.flipud,
        5: lambda image: np.swapaxes(image, 0, 1),
        6: lambda image: np.rot90(image, -1),
        7: lambda image: np.swapaxes(np.rot90(image, 2), 0, 1),
        8: np.rot90,
    }[orientation](pixels)
    return np.ascontiguousarray(turned)


def turn_box(
    box: Sequence[float], orientation: int, shape: Sequence[int]
) -> tuple[float, float, float, float]:
    """Turn a box in an image as stored into that of the upright image.

    Parameters
    ----------
    box
        ``[xmin, ymin, xmax, ymax]`` in pixels as stored.
    orientation
        1 to 8, see `turn_upright`.
    shape
        ``(H, W)`` of the upright image.

    Examples
    --------
    >>> turn_box([0, 0, 2, 1], 6, (3, 1))
    (0, 0, 1, 2)
    """
    xmin, ymin, xmax, ymax = box
    if orientation in _SWAPPED:
        xmin, ymin, xmax, ymax = ymin, xmin, ymax, xmax
    height, width = shape[:2]
    if orientation in (2, 3, 6, 7):
        xmin, xmax = width - xmax, width - xmin
    if orientation in (3, 4, 7, 8):
        ymin, ymax = height - ymax, height - ymin
    return xmin, ymin, xmax, ymax


def said_side(annotated: str | None) -> str | None:
    """Give what the user says in `annotated_side`'s text, without the size that boxes declare.

    Examples
    --------
    >>> said_side("640 x 480, file"), said_side("640 x 480")
    ('file', None)
    """
    return _ANNOTATED.fullmatch(annotated or "")[3]


def annotated_side(annotated: str | None, orientation: int, shape: Sequence[int], what: str) -> str:
    """Tell whether annotations are of the image as stored or of the upright one.

    Parameters
    ----------
    annotated
        ``file`` or ``upright`` where the user says so, the size that the annotation declares, such
        as ``640 x 480`` (width first), or both; None where nothing is known.
    orientation
        Of the image, 1 to 8.
    shape
        ``(H, W)`` of the upright image.
    what
        Is annotated, for the message: ``"box"`` or ``"mask"``.

    Returns
    -------
    ``"file"`` or ``"upright"``; a declared size that tells them apart goes before what is said.

    Raises
    ------
    UnreadableImageError
        If the declared size is that of neither, or the tag turns the image and nothing tells.
    """
    columns, rows, said = _ANNOTATED.fullmatch(annotated or "").groups()
    upright = tuple(shape[:2])
    sizes = {"file": upright[::-1] if orientation in _SWAPPED else upright, "upright": upright}
    sides = [side for side in sizes if not rows or sizes[side] == (int(rows), int(columns))]
    if not sides:
        raise UnreadableImageError(
            f"{what} of another size than its image: {columns} x {rows} against "
            f"{upright[1]} x {upright[0]}"
        )
    if orientation == UPRIGHT:
        return "upright"
    if len(sides) > 1 and said is None:
        raise UnreadableImageError(
            f"{what} of an image that its EXIF tag turns: orientation {orientation}, and nothing "
            f"tells whether it was drawn before or after the turn; {_REMEDY}"
        )
    return sides[0] if len(sides) == 1 else said
