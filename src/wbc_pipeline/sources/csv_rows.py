"""CSV files read strictly: every row knows its line, and what is no table is an error."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from wbc_pipeline.sources.listing import LayoutError
from wbc_pipeline.suggestions import suggestion


class CsvRow(NamedTuple):
    """A row of a table: its line in the file (the header's is 1) and its cells by column."""

    line: int
    cells: dict[str, str]


def read_rows(file: Path, columns: Iterable[str] = ()) -> list[CsvRow]:
    """Read a CSV file: UTF-8, separated by commas, quoted where needed, with a header.

    Cells are text as written, so ``NA`` is a label like any other. Cells missing at the end of a
    row are empty; a row without any text is left out.

    Parameters
    ----------
    file
        The file, which must exist.
    columns
        Columns that it must have.

    Raises
    ------
    LayoutError
        If the file cannot be read as such a table, has no rows, or lacks a column. The message
        names the file and, as the case may be, the line, or the known columns and the nearest.
    """
    try:
        with open(file, newline="", encoding="utf-8-sig") as text:
            reader = csv.reader(text, strict=True)
            rows = _parse(reader)
    except UnicodeDecodeError:
        raise LayoutError(f"{file} is not text in UTF-8. Save the table as CSV in UTF-8.") from None
    except csv.Error as error:
        raise LayoutError(
            f"{file} is no table, see line {reader.line_num}: {error}. Mend that line."
        ) from None
    except OSError as error:
        raise LayoutError(f"{file} cannot be read: {error.strerror}. Mend or replace it.") from None
    if not rows:
        raise LayoutError(f"{file} has no rows. Give a CSV file with a header and a row per image.")
    for column in columns:
        _require_column(file, column, rows[0].cells)
    return rows


def _parse(reader) -> list[CsvRow]:
    header = next(reader, [])
    names = [name for name in header if name]
    if len(set(names)) < len(names):
        raise csv.Error("two columns have the same name")
    return [CsvRow(reader.line_num, _named(header, cells)) for cells in reader if any(cells)]


def _named(header: list[str], cells: list[str]) -> dict[str, str]:
    if any(cells[len(header) :]):
        raise csv.Error(f"{len(cells)} cells under {len(header)} columns")
    return dict.fromkeys(header, "") | dict(zip(header, cells, strict=False))


def _require_column(file: Path, column: str, known: Iterable[str]) -> None:
    if column not in known:
        names = ", ".join(map(repr, known))
        raise LayoutError(
            f"No column {column!r} in {file}.{suggestion(column, known)} Its columns: {names}. "
            "Rename the column, or say which to read."
        )


def column_beginning(start: str, file: Path, rows: Sequence[CsvRow]) -> str:
    """Name the first column that begins with ``start``, in any case.

    Parameters
    ----------
    start
        In lower case.
    file
        The file, for the message.
    rows
        Of :func:`read_rows`.

    Raises
    ------
    LayoutError
        If there is no such column; the message names the file and its columns.
    """
    for name in rows[0].cells:
        if name.strip().lower().startswith(start):
            return name
    raise LayoutError(
        f"No column that begins with {start!r} in {file}; its columns: "
        f"{', '.join(rows[0].cells)}. Take the table as it is in the download."
    )
