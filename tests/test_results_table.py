"""Tables of the documentation are made from the CSVs of runs when it is built."""

import pytest
from sphinx.errors import SphinxWarning
from sphinx_page import EXTENSIONS, build_page

CSV = "variant,part,accuracy,low\nblend,test,0.9,0.8\nnormal,test,0.75,\nnormal,train,1,1\n"


@pytest.fixture
def built(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXTENSIONS)
    (tmp_path / "runs.csv").write_text(CSV)

    def build(lines: str) -> str:
        page = f"# Runs\n\n```{{results-table}} runs.csv\n{lines}\n```\n"
        return build_page(tmp_path, page, "results_table")

    return build


def test_columns_are_formatted_as_the_page_says(built):
    page = built(
        ":where: part == 'test'\n\nwho: {variant}\nright: {accuracy:.1%}\nat least: {low:.0%}"
    )
    cells = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    assert [[cell.strip() for cell in line] for line in cells if "===" not in line[0]] == [
        ["who", "right", "at least"],
        ["blend", "90.0%", "80%"],
        ["normal", "75.0%", "–"],
    ]


def test_rows_stand_in_the_order_of_the_page(built):
    page = built(":rows: normal blend\n:where: part == 'test'\n\nwho: {variant}")
    assert page.index("normal") < page.index("blend")


@pytest.mark.parametrize(
    "lines",
    [":rows: other\n\nwho: {variant}", "who: {other}", ":where: part == 'none'\n\nwho: {variant}"],
)
def test_a_table_that_cannot_be_made_stops_the_build(built, lines):
    with pytest.raises(SphinxWarning, match=r"runs\.csv"):
        built(lines)
