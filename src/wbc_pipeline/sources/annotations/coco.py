"""COCO's JSON: images, categories and annotations by ids, with boxes, polygons and run lengths."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wbc_pipeline.references import mask_reference
from wbc_pipeline.sources.annotations.common import (
    Annotation,
    AnnotationError,
    Box,
    finite,
    plain_name,
    plain_path,
    unreadable,
)

_REMEDY = "Give a JSON file in COCO's format, with the lists images, annotations and categories."


def read(file: Path) -> list[Annotation]:
    """Read a COCO file; images without any object are listed too, without boxes.

    Ids may be any numbers or texts. Boxes are ``[x, y, width, height]``; an object without one is
    an outline alone. Masks are not drawn here: `Annotation.mask` refers to them.

    Raises
    ------
    LayoutError
        If the file is no JSON of this layout, or an id occurs twice.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        images, objects = content["images"], content["annotations"]
        names = {found["id"]: plain_name(found["name"]) for found in content["categories"]}
        ids = [image["id"] for image in images]
        by_image = defaultdict(list)
        for found in objects:
            by_image[found["image_id"]].append(found)
    except OSError as error:
        raise unreadable(file, f"cannot be read, {error.strerror}", _REMEDY) from None
    except KeyError as error:
        raise unreadable(file, f"has no {error}", _REMEDY) from None
    except (ValueError, TypeError, AttributeError) as error:
        raise unreadable(file, f"is no COCO annotation, {error}", _REMEDY) from None
    if len({str(one) for one in ids}) < len(ids):
        raise unreadable(file, "gives two images one id", _REMEDY)
    return [_read_image(file, image, by_image[image["id"]], names) for image in images]


def _read_image(
    file: Path, image: Mapping[str, Any], objects: list[Mapping], names: Mapping
) -> Annotation:
    name = plain_path(image.get("file_name", ""))
    try:
        if not name:
            raise AnnotationError(f"{file.name}: image {image['id']!r} has no file_name")
        width, height = (int(image.get(side) or 0) for side in ("width", "height"))
        boxes = [
            _read_box(found, names, f"{file.name}: annotation {found.get('id')!r}")
            for found in objects
            if found.get("bbox")
        ]
        outlined = {names.get(one.get("category_id")) for one in objects if one.get("segmentation")}
    except AnnotationError as error:
        return Annotation(name, str(file), [], problem=f"annotation unusable: {error}")
    except (TypeError, ValueError, AttributeError):
        reason = f"annotation unusable: {file.name}: image {image.get('id')!r} is not laid out so"
        return Annotation(name, str(file), [], problem=reason)
    has_size = width > 0 and height > 0
    return Annotation(
        name,
        str(file),
        boxes,
        size=(width, height) if has_size else None,
        mask=mask_reference(str(file), image["id"]) if outlined and has_size else None,
        outlined=frozenset(outlined - {None}),
    )


def _read_box(found: Mapping[str, Any], names: Mapping, where: str) -> Box:
    if found.get("category_id") not in names:
        raise AnnotationError(f"{where}: no category has the id {found.get('category_id')!r}")
    sides = finite(found["bbox"], where)
    if len(sides) != 4:
        raise AnnotationError(f"{where}: a box of {len(sides)} numbers")
    left, top, width, height = sides
    return Box(names[found["category_id"]], left, top, left + width, top + height)
