"""What every format of annotations becomes."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from wbc_pipeline.errors import UserError
from wbc_pipeline.sources.listing import LayoutError


class AnnotationError(UserError):
    """An annotation that cannot be used; the message names the file and what is wrong."""


class Box(NamedTuple):
    """An object and its box: pixels of the image, or shares of its sides."""

    name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float


class Annotation(NamedTuple):
    """What is annotated in one image.

    Attributes
    ----------
    image
        Path or name of the image as the annotation has it, with ``/`` between folders.
    file
        The annotation file.
    boxes
        Names in lower case.
    size
        ``(width, height)`` that the annotation declares; None if it does not.
    is_share
        Whether boxes are in shares of the sides, 0 to 1.
    mask
        Reference to its mask (``references``); None if nothing is outlined.
    outlined
        Names of the objects that are outlined.
    problem
        Why the annotation cannot be used; None if it can.
    """

    image: str
    file: str
    boxes: list[Box]
    size: tuple[int, int] | None = None
    is_share: bool = False
    mask: str | None = None
    outlined: frozenset[str] = frozenset()
    problem: str | None = None


def plain_name(name: object) -> str:
    """Write the name of a class as all formats are compared: stripped, in lower case."""
    return str(name).strip().lower()


def plain_path(path: object) -> str:
    """Write a path with ``/``, also one from Windows."""
    return str(path).strip().replace("\\", "/").removeprefix("./")


def finite(numbers: Iterable[object], where: str) -> list[float]:
    """Convert numbers of a file.

    Raises
    ------
    AnnotationError
        If one is none, or is not finite.
    """
    found = []
    for number in numbers:
        try:
            found.append(float(number))
        except (TypeError, ValueError):
            found.append(math.nan)
        if not math.isfinite(found[-1]):
            raise AnnotationError(f"{where}: no number: {number!r}")
    return found


def unreadable(file: object, reason: str, remedy: str) -> LayoutError:
    """Build the error for a file that no annotation of a data set can be taken from."""
    return LayoutError(f"{file}: {reason}. {remedy}")
