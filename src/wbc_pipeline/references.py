"""A mask that stands in an annotation file: written as the file and the id of the image in it."""

import re

_REFERENCE = re.compile(r"(.+\.json)#(.+)", re.IGNORECASE | re.DOTALL)


def mask_reference(file: str, image: object) -> str:
    """Name the mask of an image in an annotation file, as a path would.

    Examples
    --------
    >>> mask_reference("/cells/coco.json", 7)
    '/cells/coco.json#7'
    """
    return f"{file}#{image}"


def split_reference(path: str) -> tuple[str, str | None]:
    """Give the file behind the path of a mask, and the id in it; None where it is all the mask's.

    Examples
    --------
    >>> split_reference("/cells/coco.json#7"), split_reference("/cells/7#.png")
    (('/cells/coco.json', '7'), ('/cells/7#.png', None))
    """
    match = _REFERENCE.fullmatch(path)
    return (match[1], match[2]) if match else (path, None)
