"""COCO's JSON, taken apart: images, the objects in each, and the names of their categories."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wbc_pipeline.errors import UserError


class CocoError(UserError):
    """A file that is not laid out as COCO's are; the message is the reason alone."""


class CocoImage(NamedTuple):
    """An entry of the list ``images``, and those of ``annotations`` that are of it."""

    entry: Mapping[str, Any]
    objects: list[Mapping[str, Any]]


class CocoFile(NamedTuple):
    """A COCO file whose ids are all text, so that 7 and ``"7"`` are one.

    Attributes
    ----------
    images
        By id.
    names
        Of the categories, by id; stripped, in lower case.
    strays
        Ids that objects give for their image, and no image has; each once.
    """

    images: dict[str, CocoImage]
    names: dict[str, str]
    strays: list[str]

    def name_of(self, found: Mapping[str, Any]) -> str:
        """Give the name of an object's category.

        Raises
        ------
        CocoError
            If there is no such category.
        """
        category = found.get("category_id")
        name = self.names.get(str(category))
        if name is None:
            raise CocoError(f"no category has the id {category!r}")
        return name


def read_coco_file(file: Path) -> CocoFile:
    """Read a COCO file, with or without a byte order mark.

    Raises
    ------
    CocoError
        If it cannot be read, is no JSON of this layout, or gives two images one id.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        names = {_id(one["id"]): str(one["name"]).strip().lower() for one in content["categories"]}
        images = {_id(entry["id"]): CocoImage(entry, []) for entry in content["images"]}
        if len(images) < len(content["images"]):
            raise CocoError("gives two images one id")
        strays: dict[str, None] = {}
        for found in content["annotations"]:
            image = _id(found["image_id"])
            if image in images:
                images[image].objects.append(found)
            else:
                strays[image] = None
    except CocoError:
        raise
    except OSError as error:
        raise CocoError(f"cannot be read, {error.strerror}") from None
    except KeyError as error:
        raise CocoError(f"has no {error}") from None
    except (ValueError, TypeError, AttributeError) as error:
        raise CocoError(f"is no COCO annotation, {error}") from None
    return CocoFile(images, names, list(strays))


def _id(value: object) -> str:
    if not isinstance(value, int | float | str):
        raise CocoError(f"has an id that is no number and no text: {value!r}")
    return str(value)
