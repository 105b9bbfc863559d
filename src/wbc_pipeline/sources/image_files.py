"""Images that a user asks about: a folder, a glob, one file or a CSV of paths; without labels."""

import glob
import os
from collections.abc import Mapping
from pathlib import Path, PurePath

import pandas as pd

from wbc_pipeline.sources.csv_rows import read_rows
from wbc_pipeline.sources.listing import IMAGE_SUFFIXES, MissingDataError, relative_files

PATH_COLUMN = "path"
_MAGIC = "*?["


def list_image_files(asked: str, home: Path) -> tuple[pd.DataFrame, list[str]]:
    """List the files that a user names.

    Parameters
    ----------
    asked
        A folder (with all folders below it), a glob (``**`` reaches any depth), one file, or a CSV
        file with a column ``path``; paths in it are absolute or relative to its folder.
    home
        What a relative ``asked`` begins from.

    Returns
    -------
    table
        ``image_id`` (path relative to what was named, posix; see `printable`) and ``path``
        (absolute), a row a file:
        of a folder only what is called as images are, or has no suffix at all; else everything,
        since it was named. No file is opened, and one of a CSV may be missing.
    left_out
        Files of a folder that are not called as images are.

    Raises
    ------
    MissingDataError
        If nothing is there under that name, or a CSV names no file.
    LayoutError
        If the CSV is no table with a column ``path``.
    """
    place = Path(os.path.abspath(home / Path(asked).expanduser()))
    if place.is_dir():
        return _in_folder(asked, place)
    if place.suffix.lower() == ".csv" and place.is_file():
        rows = read_rows(place, [PATH_COLUMN])
        named = [row.cells[PATH_COLUMN].strip().replace("\\", "/") for row in rows]
        if not any(named):
            raise _nothing(asked, place, f"its column {PATH_COLUMN} is empty")
        return _table({name: place.parent / name for name in named if name}), []
    if place.is_file():
        return _table({place.name: place}), []
    if not any(sign in asked for sign in _MAGIC):
        raise _nothing(asked, place, "there is no such file or folder")
    pattern = os.path.join(glob.escape(str(home.absolute())), Path(asked).expanduser())
    found = [Path(os.path.abspath(each)) for each in sorted(glob.glob(pattern, recursive=True))]
    found = [each for each in found if each.is_file()]
    if not found:
        raise _nothing(asked, place, "no file fits")
    top = Path(os.path.commonpath([each.parent for each in found]))
    return _table({each.relative_to(top).as_posix(): each for each in found}), []


def _in_folder(asked: str, folder: Path) -> tuple[pd.DataFrame, list[str]]:
    files = sorted(relative_files(folder))
    taken = [file for file in files if _may_be_image(file)]
    if not taken:
        reason = f"of the {len(files)} files in it none is called as images are"
        raise _nothing(asked, folder, reason)
    left_out = [printable(file) for file in files if not _may_be_image(file)]
    return _table({file: folder / file for file in taken}), left_out


def printable(name: str) -> str:
    r"""Write what is no UTF-8 in a file's name as ``\xff``, as tables and pages take it."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _table(files: Mapping[str, Path]) -> pd.DataFrame:
    rows = [{"image_id": printable(name), "path": str(path)} for name, path in files.items()]
    return pd.DataFrame(rows, columns=["image_id", "path"], dtype=object)


def _may_be_image(file: str) -> bool:
    suffix = PurePath(file).suffix.lower()
    return not suffix or suffix in IMAGE_SUFFIXES


def _nothing(asked: str, place: Path, reason: str) -> MissingDataError:
    return MissingDataError(
        f"No images under images={asked} (looked for {place}; {reason}). Name a folder, a glob "
        "such as 'slides/**/*.png', one file, or a CSV file with a column path."
    )
