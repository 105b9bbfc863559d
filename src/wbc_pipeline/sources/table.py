"""Your own images, listed in a CSV file: a path and a label in each row, and what else is known."""

import posixpath
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

import pandas as pd

from wbc_pipeline.sources.annotations import attach
from wbc_pipeline.sources.annotations.attach import Levels, Side
from wbc_pipeline.sources.annotations.common import plain_path
from wbc_pipeline.sources.csv_rows import read_rows
from wbc_pipeline.sources.labels import label_problems
from wbc_pipeline.sources.listing import PARTS, LayoutError, as_listing, not_given

PUBLIC_NAME = "your own images, listed in a CSV file"
FOLDER = "."  # the options ``file`` and ``images`` say which
CAVEATS = (
    "Unless its table says which images show the same cell, only near-duplicates are kept together "
    "by the source protocol.",
)
ONE_IMAGE_PER_CELL = True  # a cell has one image, unless the table or near-duplicates say otherwise


def list_images(
    raw: Path,
    *,
    file: str,
    images: str | None = None,
    path_column: str = "path",
    label_column: str = "label",
    source_column: str | None = None,
    patient_column: str | None = None,
    part_column: str | None = None,
    domain_column: str | None = None,
    suffix: str = "",
    classes: Sequence[str] | None = None,
    mask_column: str | None = None,
    masks: str | None = None,
    mask_levels: Levels | None = None,
    boxes: str | None = None,
    box_names: str | None = None,
    annotations: Side | None = None,
) -> pd.DataFrame:
    """List the rows of a table of images.

    Parameters
    ----------
    raw
        Folder that ``file`` and ``images`` are relative to.
    file
        The CSV file: UTF-8, separated by commas, with a header.
    images
        Folder that the paths are relative to; None for that of the file.
    path_column, label_column
        Columns of the images' paths and of their labels.
    source_column, patient_column, part_column, domain_column
        Columns of the physical cell, of the patient, of the published part (train, val, valid,
        validation or test, in any case) and of the stain or laboratory; None if there is none.
        Empty cells are missing.
    suffix
        Appended to each path, for tables of ids such as ``01234`` for ``01234.jpg``.
    classes
        The labels that are allowed; None for all but those that look misspelt.
    mask_column, masks
        Column of the masks' paths, empty where there is none, and the folder that they are relative
        to; None for that of the images.
    mask_levels
        Which value of a mask is what, see `annotations.attach.levels_text`; None to recognise it.
    boxes, box_names
        A file or folder of annotations and that of the names of their classes, see
        `annotations.attach.read_annotations`. Its polygons are the masks of images without one.
    annotations
        ``file`` or ``upright``: what masks and boxes belong to where an EXIF tag turns an image.

    Returns
    -------
    A listing (``sources.listing``) without ``box``; ``image_id`` is the path, followed by
    ``#line 7`` where an earlier row has the same or none is given. A ``problem`` have rows whose
    path is missing or leads out of the folder, whose label is missing, not allowed or looks
    misspelt, whose part is unknown, that repeat an earlier row, or that name a file which another
    row labels differently. Doubtful labels are left out, so that they do not count as classes.

    Raises
    ------
    MissingDataError
        If the file or the folder is not there.
    LayoutError
        If the file is no such table, lacks a column, or has only one class.
    """
    table = _existing_file(raw, file)
    home = table.parent if images is None else _existing_folder(raw, images)
    columns = {
        "path": path_column,
        "label": label_column,
        "source_id": source_column,
        "patient": patient_column,
        "published_part": part_column,
        "domain": domain_column,
        "mask_path": mask_column,
    }
    rows = _read(table, columns, suffix)
    doubts = label_problems(rows["label"], classes=classes, option="sources.table.classes")
    rows["problem"] = _first_problem(rows, doubts)
    _check_classes(table, rows)
    rows["label"] = rows["label"].where([doubt is None for doubt in doubts])
    rows["image_id"] = _image_ids(rows)
    rows["path"] = [str(home / path) if path else str(table) for path in rows["path"]]
    rows["published_part"] = rows["published_part"].str.strip().str.lower().map(PARTS)
    mask_home = attach.own_place(raw, masks, "sources.table.masks") or home
    rows["mask_path"] = [str(mask_home / path) if path else None for path in rows["mask_path"]]
    found = attach.read_own(raw, boxes, box_names, "sources.table")
    rows = rows.replace("", None)
    return as_listing(attach.annotate(rows, found, levels=mask_levels, side=annotations))


def list_boxes(
    raw: Path, *, boxes: str | None = None, box_names: str | None = None, **options: Any
) -> pd.DataFrame:
    """List the boxes of the table's images, see `annotations.attach.list_boxes`.

    Parameters
    ----------
    raw, boxes, box_names, options
        See `list_images`.
    """
    rows = list_images(raw, boxes=boxes, box_names=box_names, **options)
    return attach.list_boxes(rows, attach.read_own(raw, boxes, box_names, "sources.table"))


def _read(table: Path, columns: dict[str, str | None], suffix: str) -> pd.DataFrame:
    """Read the columns under our names, and the ``line`` of each row; empty where missing."""
    rows = read_rows(table, filter(None, columns.values()))
    cells = pd.DataFrame(
        {
            field: pd.Series([row.cells.get(column, "") for row in rows], dtype=object)
            for field, column in columns.items()
        }
    )
    cells["path"] = [_spelled(path, suffix) for path in cells["path"]]
    cells["mask_path"] = [_spelled(plain_path(path), "") for path in cells["mask_path"]]
    return cells.assign(line=[row.line for row in rows])


def _existing_file(raw: Path, file: str) -> Path:
    table = Path(raw, Path(file).expanduser()).absolute()
    if not table.is_file():
        raise not_given(
            f"file {table}", PUBLIC_NAME, "dataset=table,sources.table.file=/your/images.csv"
        )
    return table


def _existing_folder(raw: Path, images: str) -> Path:
    home = Path(raw, Path(images).expanduser()).absolute()
    if not home.is_dir():
        raise not_given(
            f"folder {home}", PUBLIC_NAME, "dataset=table,sources.table.images=/your/folder"
        )
    return home


def _spelled(path: str, suffix: str) -> str:
    """Normalise a path, so that two spellings are one file; empty if missing."""
    return posixpath.normpath(path + suffix) if path else ""


def _path_problem(path: str) -> str | None:
    if not path:
        return "path missing"
    if "\0" in path:
        return f"path that no file can have: {path!r}"
    # A table from Windows may use its separators and drives, and another system may run us.
    foreign = PureWindowsPath(path)
    if foreign.anchor or ".." in foreign.parts:
        return f"path leads out of the folder: {path!r}; give it relative to the folder of images"
    return None


def _part_problem(part: str) -> str | None:
    if not part or part.strip().lower() in PARTS:
        return None
    return f"unknown part: {part!r} is none of {', '.join(PARTS)}"


def _mask_problem(path: str) -> str | None:
    problem = _path_problem(path) if path else None
    return problem and f"mask: {problem}"


def _first_problem(rows: pd.DataFrame, doubts: Sequence[str | None]) -> list[str | None]:
    reasons = zip(
        map(_path_problem, rows["path"]),
        map(_mask_problem, rows["mask_path"]),
        map(_part_problem, rows["published_part"]),
        doubts,
        _repetitions(rows),
        strict=True,
    )
    return [next(filter(None, row), None) for row in reasons]


def _repetitions(rows: pd.DataFrame) -> list[str | None]:
    """Say what is wrong with rows that name a file which others name too."""
    first: dict[str, dict[str, int]] = defaultdict(dict)  # line by label by path
    known = list(zip(rows["path"], rows["label"], rows["line"], strict=True))
    for path, label, line in known:
        if label:
            first[path].setdefault(label, line)
    return [_repetition(first[path], label, line) for path, label, line in known]


def _repetition(first: dict[str, int], label: str, line: int) -> str | None:
    if len(first) > 1:
        told = ", ".join(f"{other!r} in line {place}" for other, place in first.items())
        return f"file under different labels: {told}"
    if first.get(label, line) != line:
        return f"row repeats an earlier one: line {line} is line {first[label]}"
    return None


def _image_ids(rows: pd.DataFrame) -> list[str]:
    """Take the paths; where one is missing or an earlier row has the same, add the line."""
    repeated = rows["path"].duplicated() | (rows["path"] == "")
    return list(rows["path"].where(~repeated, rows["path"] + "#line " + rows["line"].astype(str)))


def _check_classes(table: Path, rows: pd.DataFrame) -> None:
    usable = set(rows.loc[rows["problem"].isna(), "label"])
    if len(usable) == 1:
        raise LayoutError(
            f"Only one class, {usable.pop()!r}, in {table}; there must be two or more to tell "
            "apart. Add rows of another class, or say which column holds the label."
        )
