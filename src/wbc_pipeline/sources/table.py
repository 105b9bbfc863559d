"""Your own images, listed in a CSV file: a path and a label in each row, and what else is known."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from wbc_pipeline.sources.annotations import attach
from wbc_pipeline.sources.annotations.attach import Levels, Side
from wbc_pipeline.sources.csv_rows import read_rows
from wbc_pipeline.sources.finding import FileFinder, Found
from wbc_pipeline.sources.identifiers import clean_ids, missing_value, reads_as_missing
from wbc_pipeline.sources.labels import label_problems
from wbc_pipeline.sources.listing import (
    PARTS,
    LayoutError,
    as_listing,
    not_given,
    part_warning,
    published_part,
)
from wbc_pipeline.warning_texts import join_warnings

_log = logging.getLogger(__name__)

PUBLIC_NAME = "your own images, listed in a CSV file"
FOLDER = "."  # the options ``file`` and ``images`` say which
LICENCE = "not stated"
CAVEATS = (
    "Unless its table says which images show the same cell, only near-duplicates are kept together "
    "by the source protocol.",
)
ONE_IMAGE_PER_CELL = True  # a cell has one image, unless the table or near-duplicates say otherwise

_IDS = {"source_id": "source", "patient": "patient", "domain": "domain"}
_OPTIONAL = {"mask_path": "mask", "published_part": "part"}
_SHOWN = 3
_NO_PATH = Found("", "path missing")


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
        The CSV file, as spreadsheets write it (:mod:`.csv_rows`), with a header.
    images
        Folder that the paths are relative to; None for that of the file.
    path_column, label_column
        Columns of the images' paths and of their labels. How a path finds its file, see
        :class:`.finding.FileFinder`.
    source_column, patient_column, part_column, domain_column
        Columns of the physical cell, of the patient, of the published part
        (`.listing.published_part`) and of the stain or laboratory; None if there is none. Empty
        cells are missing, and so is ``NaN`` and the like, with a warning; see
        `.identifiers.clean_ids` for ids that look alike.
    suffix
        Appended to each path, for tables of ids such as ``01234`` for ``01234.jpg``.
    classes
        The labels that are allowed; None for all but ``NaN`` and the like and those that look
        misspelt.
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
    path is missing, leads out of the folder, or to no file or several, whose label is missing, not
    allowed or looks misspelt, whose part is unknown, that repeat an earlier row, or that name a
    file which another row labels differently. Doubtful labels are left out, so that they do not
    count as classes. Labels, ids and parts are stripped of blanks at their ends.

    Raises
    ------
    MissingDataError
        If the file or the folder is not there.
    LayoutError
        If the file is no such table, lacks a column, has only one class, or parts for labels.
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
    cells, emptied = _without_missing(_read(table, columns))
    finder = FileFinder(home, suffix=suffix, suffix_option="sources.table.suffix")
    found = [finder.find(path) if path else _NO_PATH for path in cells["path"]]
    mask_home = attach.own_place(raw, masks, "sources.table.masks") or home
    mask_finder = FileFinder(mask_home, what="mask")
    masks_found = [mask_finder.find(path) if path else None for path in cells["mask_path"]]
    ids = {field: clean_ids(cells[field], what) for field, what in _IDS.items()}
    doubts = _label_doubts(cells["label"], classes)
    _check_labels(table, label_column, cells["label"], doubts)
    rows = cells.assign(
        path=[each.path for each in found], **{field: clean for field, (clean, _) in ids.items()}
    )
    rows["problem"] = _first_of(
        [each.problem for each in found],
        [each and each.problem for each in masks_found],
        [_part_problem(part) for part in rows["published_part"]],
        doubts,
        _repetitions(rows),
    )
    rows["warning"] = _joined(
        [each.warning for each in found],
        [each and each.warning for each in masks_found],
        _shared_masks(rows["path"], masks_found),
        [part_warning(part) for part in rows["published_part"]],
        *emptied,
        *(warnings for _, warnings in ids.values()),
    )
    _warn_of_unknown_patients(table, patient_column, rows["patient"])
    rows["label"] = rows["label"].where([doubt is None for doubt in doubts])
    rows["image_id"] = _image_ids(rows)
    rows["path"] = [str(home / path) if path else str(table) for path in rows["path"]]
    rows["published_part"] = [published_part(part) for part in rows["published_part"]]
    rows["mask_path"] = [str(mask_home / each.path) if each else None for each in masks_found]
    own = attach.read_own(raw, boxes, box_names, "sources.table")
    rows = rows.replace("", None)
    return as_listing(attach.annotate(rows, own, levels=mask_levels, side=annotations))


list_boxes = partial(attach.list_own_boxes, "sources.table")


def _read(table: Path, columns: dict[str, str | None]) -> pd.DataFrame:
    """Read the columns under our names, and the ``line`` of each row; empty where missing."""
    rows = read_rows(table, filter(None, columns.values()))
    cells = {
        field: [row.cells.get(column, "") for row in rows] for field, column in columns.items()
    }
    for field in cells.keys() - {"path"}:
        cells[field] = [cell.strip() for cell in cells[field]]
    return pd.DataFrame({**cells, "line": [row.line for row in rows]}, dtype=object)


def _without_missing(cells: pd.DataFrame) -> tuple[pd.DataFrame, list[list[str | None]]]:
    """Empty optional cells that mean no value, and give the warnings of each such column."""
    told = {
        field: [missing_value(cell, what) for cell in cells[field]]
        for field, what in _OPTIONAL.items()
    }
    kept = {field: cells[field].mask(list(map(bool, lost)), "") for field, lost in told.items()}
    return cells.assign(**kept), list(told.values())


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


def _label_doubts(labels: Sequence[str], classes: Sequence[str] | None) -> list[str | None]:
    option = "sources.table.classes"
    empty = [classes is None and reads_as_missing(label) for label in labels]
    known = ["" if none else label for label, none in zip(labels, empty, strict=True)]
    doubts = label_problems(known, classes=classes, option=option)
    return [
        f"label missing: {label!r} reads as no value; to keep it, list every class in `{option}`"
        if none
        else doubt
        for label, none, doubt in zip(labels, empty, doubts, strict=True)
    ]


def _part_problem(part: str) -> str | None:
    if not part or published_part(part):
        return None
    return f"unknown part: {part!r} is none of {', '.join(PARTS)}"


def _first_of(*reasons: Sequence[str | None]) -> list[str | None]:
    return [next(filter(None, row), None) for row in zip(*reasons, strict=True)]


def _joined(*warnings: Sequence[str | None]) -> list[str | None]:
    return [join_warnings(*row) for row in zip(*warnings, strict=True)]


def _warn_of_unknown_patients(table: Path, column: str | None, patients: pd.Series) -> None:
    unknown = (patients == "").sum()
    if column is not None and unknown:
        _log.warning(
            "%d of %d rows of %s have no patient (column %r): each counts as a patient of its own, "
            "so that one who has several such rows may stand on two sides of a split.",
            unknown,
            len(patients),
            table,
            column,
        )


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


def _shared_masks(images: Sequence[str], masks: Sequence[Found | None]) -> list[str | None]:
    """Warn of a mask that another image has too."""
    of_mask: dict[str, dict[str, None]] = defaultdict(dict)
    known = [mask.path if mask and not mask.problem else None for mask in masks]
    for image, mask in zip(images, known, strict=True):
        if mask is not None:
            of_mask[mask][image] = None
    told = {
        mask: f"mask of several images: {mask} of {', '.join(list(those)[:_SHOWN])}"
        for mask, those in of_mask.items()
        if len(those) > 1
    }
    return [told.get(mask) for mask in known]


def _image_ids(rows: pd.DataFrame) -> list[str]:
    """Take the paths; where one is missing or an earlier row has the same, add the line."""
    repeated = rows["path"].duplicated() | (rows["path"] == "")
    return list(rows["path"].where(~repeated, rows["path"] + "#line " + rows["line"].astype(str)))


def _check_labels(
    table: Path, column: str, labels: Sequence[str], doubts: Sequence[str | None]
) -> None:
    usable = {label for label, doubt in zip(labels, doubts, strict=True) if doubt is None}
    if len(usable) == 1:
        refused = list(filter(None, doubts))
        told = f" Labels refused: {len(refused)}, the first: {refused[0]}." if refused else ""
        raise LayoutError(
            f"Only one class, {usable.pop()!r}, in {table}; there must be two or more to tell "
            f"apart.{told} Add rows of another class, or say which column holds the label."
        )
    if usable and all(map(published_part, usable)):
        raise LayoutError(
            f"The labels in column {column!r} of {table} are names of parts: "
            f"{', '.join(sorted(usable))}. Set `sources.table.label_column` to the column of the "
            f"classes, and `sources.table.part_column` to {column}."
        )
