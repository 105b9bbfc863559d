"""Boxes drawn around objects: annotation files of PASCAL VOC, read as hostile XML."""

import math
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import parse

from wbc_pipeline.errors import UserError

_SIDES = ("xmin", "ymin", "xmax", "ymax")


class AnnotationError(UserError):
    """An annotation file that cannot be used; the message names the file and what is wrong."""


class VocObject(NamedTuple):
    """An object and its box, in pixels of the image."""

    name: str
    xmin: float
    ymin: float
    xmax: float
    ymax: float


def read_objects(file: Path) -> list[VocObject]:
    """Read the objects of a PASCAL VOC file, names in lower case.

    A box without any extent, a point, is a click that drew nothing and is left out.

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
    objects = [
        _read_object(element, f"{file.name}: object {number}")
        for number, element in enumerate(root.iter("object"), start=1)
    ]
    return [found for found in objects if found[1:3] != found[3:5]]


def _read_object(element: Element, where: str) -> VocObject:
    name = element.findtext("name", "").strip().lower()
    if not name:
        raise AnnotationError(f"{where} has no name")
    box = [_read_side(element, side, f"{where} ({name})") for side in _SIDES]
    found = VocObject(name, *box)
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
