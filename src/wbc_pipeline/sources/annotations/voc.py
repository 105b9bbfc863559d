"""Boxes drawn around objects: annotation files of PASCAL VOC, read as hostile XML."""

import math
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from wbc_pipeline.sources.annotations.common import Annotation, AnnotationError, Box
from wbc_pipeline.sources.listing import relative_files

_SIDES = ("xmin", "ymin", "xmax", "ymax")


def read(folder: Path) -> list[Annotation]:
    """Read every XML file below a folder, each called as its image.

    The ``<filename>`` inside is ignored, as it often names another file; so is a size of 0.
    """
    return [
        _read_file(folder, name)
        for name in sorted(relative_files(folder))
        if name.lower().endswith(".xml")
    ]


def _read_file(folder: Path, name: str) -> Annotation:
    image, file = name[: -len(".xml")], folder / name
    try:
        size, boxes = read_annotation(file)
    except AnnotationError as error:
        return Annotation(image, str(file), [], problem=f"annotation unusable: {error}")
    return Annotation(image, str(file), boxes, size=size)


def read_annotation(file: Path) -> tuple[tuple[int, int] | None, list[Box]]:
    """Read a PASCAL VOC file: the size that it declares, and its objects, names in lower case.

    A box without any extent, a point, is a click that drew nothing and is left out. A size that is
    no pair of numbers above 0 is none.

    Raises
    ------
    AnnotationError
        If the file is missing or no annotation, brings a document type or entities of its own, or
        has an object without a name or with a box that is not four numbers in order.
    """
    try:
        root = parse(file, forbid_dtd=True).getroot()
    except OSError as error:
        raise AnnotationError(f"{file.name}: {error.strerror}") from None
    except DefusedXmlException:
        raise AnnotationError(f"{file.name}: brings a document type of its own") from None
    except (ParseError, ValueError, LookupError) as error:  # an odd encoding is one of the latter
        raise AnnotationError(f"{file.name}: not well-formed XML, {error}") from None
    if root.tag != "annotation":
        raise AnnotationError(f"{file.name}: no VOC annotation but <{root.tag}>")
    width, height = (root.findtext(f"size/{side}", "").strip() for side in ("width", "height"))
    objects = [
        _read_object(element, f"{file.name}: object {number}")
        for number, element in enumerate(root.iter("object"), start=1)
    ]
    size = (int(width), int(height)) if width.isdecimal() and height.isdecimal() else (0, 0)
    return (size if min(size) else None), [found for found in objects if found[1:3] != found[3:5]]


def _read_object(element: Element, where: str) -> Box:
    name = element.findtext("name", "").strip().lower()
    if not name:
        raise AnnotationError(f"{where} has no name")
    box = [_read_side(element, side, f"{where} ({name})") for side in _SIDES]
    found = Box(name, *box)
    drawn = found.xmin < found.xmax and found.ymin < found.ymax
    if not drawn and box[:2] != box[2:]:
        raise AnnotationError(
            f"{where} ({name}) has a box without area: {', '.join(f'{side:g}' for side in box)}"
        )
    return found


def _read_side(element: Element, side: str, where: str) -> float:
    text = element.findtext(f"bndbox/{side}")
    if text is None:
        raise AnnotationError(f"{where} has no {side}")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise AnnotationError(f"{where}: {side} is no number: {text.strip()!r}")
    return number
