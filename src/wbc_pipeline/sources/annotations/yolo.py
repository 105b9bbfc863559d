"""YOLO's text files: one per image, a line per object with centre and size in shares of the sides.

A line of more than five numbers is a polygon (YOLO-seg), whose box is taken.
"""

from pathlib import Path, PurePosixPath

import yaml

from wbc_pipeline.sources.annotations.common import (
    Annotation,
    AnnotationError,
    Box,
    finite,
    plain_name,
    unreadable,
)
from wbc_pipeline.sources.listing import relative_files

NAMES_FILES = ("classes.txt", "obj.names", "data.yaml", "data.yml", "dataset.yaml")

_REMEDY = "Say with `box_names` which file names the classes: one a line, or a YAML with `names`."


def read(folder: Path, names_file: Path | None = None) -> list[Annotation]:
    """Read every text file below a folder.

    Parameters
    ----------
    folder
        Of the label files, each called as its image.
    names_file
        Text with a name a line, or YAML with ``names``, a list or a mapping of numbers; None for
        one of `NAMES_FILES` in the folder or the one above it.

    Raises
    ------
    LayoutError
        If there is no such file, or it names no classes.
    """
    names_file = names_file or _find_names(folder)
    names = _read_names(names_file)
    return [
        _read_file(folder, name, names)
        for name in sorted(relative_files(folder))
        if name.lower().endswith(".txt")
        and PurePosixPath(name).name not in NAMES_FILES
        and (folder / name).resolve() != names_file.resolve()
    ]


def _read_file(folder: Path, name: str, names: dict[int, str]) -> Annotation:
    file, image = folder / name, name[: -len(".txt")]
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
        boxes = [
            _read_line(line, names, f"{file.name}: line {number}")
            for number, line in enumerate(lines, start=1)
            if line.strip()
        ]
    except AnnotationError as error:
        return Annotation(image, str(file), [], problem=f"annotation unusable: {error}")
    except (OSError, UnicodeDecodeError):
        reason = f"annotation unusable: {file.name}: cannot be read as text"
        return Annotation(image, str(file), [], problem=reason)
    return Annotation(image, str(file), boxes, is_share=True)


def _read_line(line: str, names: dict[int, str], where: str) -> Box:
    number, *sides = finite(line.split(), where)
    if number not in names:
        known = f"{min(names)} to {max(names)}"
        raise AnnotationError(f"{where}: class {number:g} has no name, known are {known}")
    if any(not 0 <= side <= 1 for side in sides):
        raise AnnotationError(f"{where}: shares of the sides are 0 to 1, and not all of these are")
    if len(sides) == 4:
        x, y, width, height = sides
        return Box(names[number], x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if len(sides) < 6 or len(sides) % 2:
        raise AnnotationError(f"{where}: {len(sides)} numbers behind the class, expected 4")
    return Box(names[number], min(sides[::2]), min(sides[1::2]), max(sides[::2]), max(sides[1::2]))


def _find_names(folder: Path) -> Path:
    for place in (folder, folder.parent):
        for name in NAMES_FILES:
            if (place / name).is_file():
                return place / name
    raise unreadable(folder, f"has none of {', '.join(NAMES_FILES)}, nor the folder above", _REMEDY)


def _read_names(file: Path) -> dict[int, str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() in (".yaml", ".yml"):
            names = yaml.safe_load(text)["names"]
            names = dict(enumerate(names)) if isinstance(names, list) else dict(names)
        else:
            names = dict(enumerate(text.strip().splitlines()))
        names = {int(number): name for number, name in names.items()}
    except OSError as error:
        raise unreadable(file, f"cannot be read, {error.strerror}", _REMEDY) from None
    except (ValueError, TypeError, KeyError, yaml.YAMLError):
        raise unreadable(file, "names no classes", _REMEDY) from None
    if not names:
        raise unreadable(file, "names no classes", _REMEDY)
    if None in names.values():
        raise unreadable(file, "has a class without a name", _REMEDY)
    return {number: plain_name(name) for number, name in names.items()}
