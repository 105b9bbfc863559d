import codecs

import pytest

from wbc_pipeline.sources.csv_rows import CsvRow, read_rows
from wbc_pipeline.sources.listing import LayoutError

TEXT = 'path,label\r\nnaïve "1".png,"a, b"\r\nüb.png,y\r\n'
ROWS = [
    CsvRow(2, {"path": 'naïve "1".png', "label": "a, b"}),
    CsvRow(3, {"path": "üb.png", "label": "y"}),
]


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        TEXT.replace("\r\n", "\n").encode(),
        TEXT.encode("utf-8-sig"),
        TEXT.encode("utf-16"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        TEXT.encode("latin-1"),
    ],
    ids=["crlf", "lf", "utf-8-bom", "utf-16-le", "utf-16-be", "latin-1"],
)
def test_a_table_reads_the_same_in_every_encoding(tmp_path, untouched, data):
    (tmp_path / "t.csv").write_bytes(data)
    assert read_rows(untouched(tmp_path) / "t.csv", ["path", "label"]) == ROWS


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_reads_the_same_under_every_separator(tmp_path, untouched, separator):
    lines = [["path", "label, fine", "note"], ["a;b.png", "x", "1\t2"], ["c.png", "y", ""]]
    text = "\n".join(separator.join(f'"{cell}"' for cell in line) for line in lines)
    (tmp_path / "t.csv").write_text(text)
    rows = read_rows(untouched(tmp_path) / "t.csv", ["path"])
    assert [list(row.cells) for row in rows] == [lines[0]] * 2
    assert [list(row.cells.values()) for row in rows] == lines[1:]


def test_the_asked_columns_tell_the_separator(tmp_path):
    (tmp_path / "t.csv").write_text("path;label, coarse, fine\na.png;x\n")
    (row,) = read_rows(tmp_path / "t.csv", ["path"])
    assert row.cells == {"path": "a.png", "label, coarse, fine": "x"}


def test_names_of_columns_are_stripped(tmp_path):
    (tmp_path / "t.csv").write_text("path, label\na.png,x\n")
    (row,) = read_rows(tmp_path / "t.csv", ["path", "label"])
    assert row.cells == {"path": "a.png", "label": "x"}


def test_latin_1_is_warned_of_and_utf_8_is_not(tmp_path, untouched, caplog):
    (tmp_path / "u.csv").write_text(TEXT, encoding="utf-8")
    (tmp_path / "l.csv").write_text(TEXT, encoding="latin-1")
    read_rows(untouched(tmp_path) / "u.csv")
    assert caplog.messages == []
    read_rows(tmp_path / "l.csv")
    (said,) = caplog.messages
    assert str(tmp_path / "l.csv") in said and "'ï'" in said


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_line_that_tells_excel_the_separator_is_no_header_but_counts(tmp_path, end):
    file = tmp_path / "images.csv"
    file.write_bytes(end.join(["sep=;", "path;label", "a.png;x", ""]).encode("utf-8-sig"))
    (row,) = read_rows(file, ["path", "label"])
    assert row == (3, {"path": "a.png", "label": "x"})
    file.write_text("sep=,\npath,label\na,b,c\n")
    with pytest.raises(LayoutError, match="see line 3"):
        read_rows(file)
