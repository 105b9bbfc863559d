"""COCO's JSON: images, categories and annotations by ids, with boxes, polygons and run lengths."""

from pathlib import Path
from typing import Any

from wbc_pipeline.coco_file import CocoError, CocoFile, CocoImage, read_coco_file
from wbc_pipeline.references import mask_reference
from wbc_pipeline.sources.annotations.common import (
    Annotation,
    AnnotationError,
    Box,
    finite,
    plain_path,
    unreadable,
)

_REMEDY = "Give a JSON file in COCO's format, with the lists images, annotations and categories."


def read(file: Path) -> list[Annotation]:
    """Read a COCO file; images without any object are listed too, without boxes.

    Ids may be any numbers or texts. Boxes are ``[x, y, width, height]``; an object without one is
    an outline alone. Masks are not drawn here: `Annotation.mask` refers to them. Objects of an
    image that is not listed are one annotation with a problem.

    Raises
    ------
    LayoutError
        If the file is no JSON of this layout, an id occurs twice, or no object is of an image.
    """
    try:
        content = read_coco_file(file)
    except CocoError as error:
        raise unreadable(file, str(error), _REMEDY) from None
    if content.strays and not any(image.objects for image in content.images.values()):
        raise unreadable(
            file, f"has annotations, but of no image in it, such as {content.strays[0]!r}", _REMEDY
        )
    strays = [
        Annotation("", str(file), [], problem=f"annotation without an image: id {stray!r}")
        for stray in content.strays
    ]
    return [_read_image(file, key, content) for key in content.images] + strays


def _read_image(file: Path, key: str, content: CocoFile) -> Annotation:
    image = content.images[key]
    name = plain_path(image.entry.get("file_name") or "")
    try:
        if not name:
            raise AnnotationError(f"{file.name}: image {image.entry['id']!r} has no file_name")
        width, height = (int(image.entry.get(side) or 0) for side in ("width", "height"))
        boxes, outlined = _read_objects(file, image, content)
    except AnnotationError as error:
        return Annotation(name, str(file), [], problem=f"annotation unusable: {error}")
    except (TypeError, ValueError, AttributeError):
        reason = f"annotation unusable: {file.name}: image {key!r} is not laid out so"
        return Annotation(name, str(file), [], problem=reason)
    has_size = width > 0 and height > 0
    return Annotation(
        name,
        str(file),
        boxes,
        size=(width, height) if has_size else None,
        mask=mask_reference(str(file), key) if outlined and has_size else None,
        outlined=outlined,
    )


def _read_objects(
    file: Path, image: CocoImage, content: CocoFile
) -> tuple[list[Box], frozenset[str]]:
    """Give the boxes of an image, and the names of what is outlined in it."""
    boxes, outlined = [], set()
    for found in image.objects:
        where = f"{file.name}: annotation {found.get('id')!r}"
        try:
            name = content.name_of(found)
        except CocoError as error:
            raise AnnotationError(f"{where}: {error}") from None
        if found.get("bbox"):
            boxes.append(_read_box(found["bbox"], name, where))
        if found.get("segmentation"):
            outlined.add(name)
    return boxes, frozenset(outlined)


def _read_box(bbox: Any, name: str, where: str) -> Box:
    sides = finite(bbox, where)
    if len(sides) != 4:
        raise AnnotationError(f"{where}: a box of {len(sides)} numbers")
    left, top, width, height = sides
    return Box(name, left, top, left + width, top + height)
