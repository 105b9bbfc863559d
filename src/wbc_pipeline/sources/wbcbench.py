"""Thirteen fine classes, pristine and degraded: the data of the WBCBench 2026 challenge.

They may not be passed on, so that only those who took part hold them. As the challenge's download
unpacks, ``phase1`` holds pristine images and ``phase2`` the folders ``train``, ``eval`` and
``test`` of degraded ones; beside them lie ``phase1_label.csv``, ``phase2_train.csv``,
``phase2_eval.csv`` and ``phase2_test.csv`` with the columns ``ID``, the name of a file, and
``labels``, which the test part lacks. Columns without a name, which some of them have, are not
read.

Later tables of the organisers also say which pristine image a degraded one was made from
(``original_image_id``, an ID) and whose blood it is (``patient_hash``). Either is read where a
table has it. Layout and columns are as published; they were not tried on the files themselves.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from wbc_pipeline.sources.csv_rows import CsvRow, read_rows
from wbc_pipeline.sources.finding import FileFinder
from wbc_pipeline.sources.folders import folder_named, unwrap
from wbc_pipeline.sources.identifiers import clean_ids, reads_as_missing
from wbc_pipeline.sources.listing import (
    IMAGE_SUFFIXES,
    LayoutError,
    as_listing,
    relative_files,
    require_file,
    require_folder,
)
from wbc_pipeline.warning_texts import join_warnings

PUBLIC_NAME = "WBCBench 2026 (Tian et al., ISBI 2026; Kaggle competition wbc-bench-2026)"
FOLDER = "wbc-bench-2026"
LICENCE = "not stated; the images may not be passed on"
CAVEATS = (
    "The organisers say that no patient stands in two published parts. Where the tables have no "
    "patient_hash, that is not known of any other split: one person may be on both sides.",
    "Where the tables have no original_image_id, a degraded image is known to show the cell of a "
    "pristine one only by an equal ID or as a near-duplicate.",
)
ONE_IMAGE_PER_CELL = True  # an ID is a cell, unless tables or near-duplicates join several
COMES_DEGRADED = True

CLASSES = (
    *("SNE", "LY", "MO", "EO", "BA", "BNE", "MMY"),
    *("MY", "PMY", "BL", "PC", "PLY", "VLY"),
)


class Part(NamedTuple):
    """A folder of the download: its path, its table, the published part, and if all have labels."""

    folder: tuple[str, ...]
    table: str
    published_part: str
    labelled: bool


PARTS = (
    Part(("phase1",), "phase1_label.csv", "train", True),
    Part(("phase2", "train"), "phase2_train.csv", "train", True),
    Part(("phase2", "eval"), "phase2_eval.csv", "validation", False),
    Part(("phase2", "test"), "phase2_test.csv", "test", False),
)
TESTED = PARTS[-1]


def list_images(raw: Path) -> pd.DataFrame:
    """List the images of both phases; labels are the challenge's abbreviations in upper case.

    Parameters
    ----------
    raw
        Folder that holds ``FOLDER``. Folders are found in any case, and below a further folder that
        an archive was unpacked into; the table of the test part may be missing.

    Returns
    -------
    A listing (``sources.listing``) without domain, boxes or masks. ``source_id`` is the ID of the
    pristine image, without the suffix of its file: ``original_image_id`` where that is told, else
    the image's own ID. ``patient`` is the ``patient_hash``. Images of ``eval`` and ``test`` may be
    without a label. A ``problem`` have rows whose file is missing or whose class is missing or none
    of ``CLASSES``, rows that repeat an ID, and files without a row.

    Raises
    ------
    MissingDataError
        If the folder or one of the other tables is not there.
    LayoutError
        If a folder of images is not there, a table is no table or lacks ``ID`` or ``labels``, or
        fewer than two classes have an image.
    """
    home, inner = _homes(raw)
    rows = pd.DataFrame([row for part in PARTS for row in _rows(home, inner, part)], dtype=object)
    rows["patient"], told = clean_ids(rows["patient"].tolist(), "patient")
    rows["warning"] = [join_warnings(*each) for each in zip(rows["warning"], told, strict=True)]
    rows = rows.replace("", None)
    if rows.loc[rows["problem"].isna(), "label"].nunique() < 2:
        refused = rows["problem"].dropna().tolist()
        first = f" The first of {len(refused)} refused rows: {refused[0]}." if refused else ""
        raise LayoutError(
            f"Fewer than two classes have an image in {inner}; there must be two or more to tell "
            f"apart.{first} Unpack {PUBLIC_NAME} again and keep its folders and tables as they are."
        )
    return as_listing(rows)


def list_submission(raw: Path) -> pd.DataFrame:
    """List what a submission must name: the images of the test part, in the order of its table.

    Parameters
    ----------
    raw
        As in `list_images`.

    Returns
    -------
    DataFrame
        ``image_id`` as in `list_images`, and ``ID`` as the table writes it; without a table the
        names of the files, sorted.

    Raises
    ------
    MissingDataError, LayoutError
        As in `list_images`.
    """
    rows = pd.DataFrame([*_rows(*_homes(raw), TESTED)], columns=["image_id", "id", "listed"])
    listed = rows.loc[rows["listed"], ["image_id", "id"]]
    return listed.rename(columns={"id": "ID"}).reset_index(drop=True)


def _homes(raw: Path) -> tuple[Path, Path]:
    """Give the folder of the download, and the one below that holds both phases."""
    home = require_folder(Path(raw) / FOLDER, PUBLIC_NAME, Path(raw) / FOLDER)
    return home, unwrap(home, ("phase1", "phase2"))


def _rows(home: Path, inner: Path, part: Part) -> Iterator[dict[str, str | bool | None]]:
    """Go through the rows of a part's table, then through the files that it does not name."""
    folder = inner
    for name in part.folder:
        folder = folder_named(name, folder, PUBLIC_NAME)
    read = _read_table(inner, home, part)
    finder, seen = FileFinder(folder), Counter()
    prefix = folder.relative_to(home)
    for row in read:
        found = finder.find(row.cells["ID"].strip())
        seen[found.path] += 1
        twice = seen[found.path] > 1
        path = (prefix / found.path).as_posix()
        label = _cell(row, "labels").upper()
        yield {
            "image_id": f"{path}#line {row.line}" if twice else path,
            "id": row.cells["ID"].strip(),
            "listed": not twice,
            "path": str(folder / found.path),
            "label": label if label in CLASSES else "",
            "source_id": _without_suffix(_cell(row, "original_image_id") or row.cells["ID"]),
            "patient": _cell(row, "patient_hash"),
            "published_part": part.published_part,
            "problem": found.problem
            or (f"row repeats an ID: {row.cells['ID']!r} in {part.table}" if twice else None)
            or _label_problem(label, part),
            "warning": found.warning,
        }
    for name in sorted({*relative_files(folder)} - seen.keys()):
        is_image = PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
        listed = is_image and not read and part == TESTED
        yield {
            "image_id": (prefix / name).as_posix(),
            "id": name,
            "listed": listed,
            "path": str(folder / name),
            "label": "",
            "source_id": _without_suffix(name),
            "patient": "",
            "published_part": part.published_part,
            "problem": None if listed else f"no row in the table: {name} in {part.table}",
            "warning": None,
        }


def _read_table(inner: Path, home: Path, part: Part) -> list[CsvRow]:
    """Read a part's table; no rows where the test part has none."""
    table = inner / part.table
    if part == TESTED and not table.is_file():
        return []
    columns = ("ID", "labels") if part.labelled else ("ID",)
    return read_rows(require_file(table, PUBLIC_NAME, home), columns)


def _cell(row: CsvRow, column: str) -> str:
    """Give a cell of a column that need not be there; empty for what programs write for none."""
    text = row.cells.get(column, "").strip()
    return "" if reads_as_missing(text) else text


def _without_suffix(name: str) -> str:
    path = PurePosixPath(name.strip())
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name


def _label_problem(label: str, part: Part) -> str | None:
    if not label:
        return f"class is missing: a row of {part.table} has none" if part.labelled else None
    if label not in CLASSES:
        known = ", ".join(CLASSES)
        return f"unknown class: {label!r} in {part.table}, known are {known}"
    return None
