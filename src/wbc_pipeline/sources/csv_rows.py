"""CSV files read strictly: every row knows its line, and what is no table is an error."""

import codecs
import csv
import io
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from wbc_pipeline.sources.listing import LayoutError
from wbc_pipeline.suggestions import suggestion

_log = logging.getLogger(__name__)

_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_WINDOWS = "cp1252"
_EXCEL = re.compile(r"sep=.\r?\n", re.IGNORECASE)  # a first line that tells Excel the separator


class CsvRow(NamedTuple):
    """A row of a table: its line in the file (the header's is 1) and its cells by column."""

    line: int
    cells: dict[str, str]


def read_rows(file: Path, columns: Iterable[str] = ()) -> list[CsvRow]:
    """Read a CSV file with a header, as spreadsheets write it.

    It may be separated by commas, semicolons or tabs: that counts under which the header has the
    asked columns, else the most columns. It may be UTF-8, UTF-16 with a byte order mark, or
    Latin-1 as Windows writes it (code page 1252), which is warned of, since a damaged UTF-8 file
    reads as that too. Cells are text as written, so ``NA`` is a cell like any other; names of
    columns are stripped. A first line such as ``sep=;``, which is for Excel, is left out, but
    counted. Cells missing at the end of a row are empty; a row without any text is left out.

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
        names the file and, as the case may be, the line, or the separator, the known columns and
        the nearest.
    """
    columns = list(columns)
    text = _read_text(file)
    told = _EXCEL.match(text)
    text, skipped = (text[told.end() :], 1) if told else (text, 0)
    separator = _find_separator(text, columns)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        rows = [row._replace(line=row.line + skipped) for row in _parse(reader)]
    except csv.Error as error:
        raise LayoutError(
            f"{file} is no table, see line {reader.line_num + skipped}: {error}. Mend that line."
        ) from None
    if not rows:
        raise LayoutError(f"{file} has no rows. Give a CSV file with a header and a row per image.")
    for column in columns:
        _require_column(file, column, rows[0].cells, separator)
    return rows


def _read_text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise LayoutError(f"{file} cannot be read: {error.strerror}. Mend or replace it.") from None
    utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ["utf-16"] if utf_16 else ["utf-8-sig", _WINDOWS]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text.partition("\n")[0]:
            break
        if encoding == _WINDOWS:
            _warn_of_windows(file, text)
        return text
    raise LayoutError(f"{file} is not text. Save the table as CSV in UTF-8.")


def _warn_of_windows(file: Path, text: str) -> None:
    strange = next(character for character in text if not character.isascii())
    _log.warning(
        "%s is not UTF-8 and was read as Latin-1 (Windows-1252): if letters such as %r look wrong, "
        "save it as CSV in UTF-8.",
        file,
        strange,
    )


def _find_separator(text: str, columns: list[str]) -> str:
    def fits(separator: str) -> tuple[bool, int]:
        names = _header(text, separator)
        return set(columns) <= set(names), len(names)

    return max(_SEPARATORS, key=fits)


def _header(text: str, separator: str) -> list[str]:
    try:
        header = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    except csv.Error:
        return []
    return [name.strip() for name in header]


def _parse(reader) -> list[CsvRow]:
    header = [name.strip() for name in next(reader, [])]
    names = [name for name in header if name]
    if len(set(names)) < len(names):
        raise csv.Error("two columns have the same name")
    return [CsvRow(reader.line_num, _named(header, cells)) for cells in reader if any(cells)]


def _named(header: list[str], cells: list[str]) -> dict[str, str]:
    if any(cells[len(header) :]):
        raise csv.Error(f"{len(cells)} cells under {len(header)} columns")
    return dict.fromkeys(header, "") | dict(zip(header, cells, strict=False))


def _require_column(file: Path, column: str, known: Iterable[str], separator: str) -> None:
    if column in known:
        return
    names = list(filter(None, known))
    told = f"Its columns, separated by {_SEPARATORS[separator]}: {', '.join(map(repr, names))}."
    if len(names) == 1:
        told = f"Its header has no comma, semicolon or tab that separates columns: {names[0]!r}."
    raise LayoutError(
        f"No column {column!r} in {file}.{suggestion(column, names)} {told} Rename the column, or "
        "say which to read."
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
