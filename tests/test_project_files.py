"""What stands beside the code: how to cite it, and a page for each data set."""

from pathlib import Path

import yaml

import wbc_pipeline

PROJECT = Path(__file__).parents[1]
PINNED = Path(wbc_pipeline.__file__).parent / "sources/pinned"


def test_the_citation_is_of_this_version_and_licence():
    citation = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    assert citation["version"] == wbc_pipeline.__version__
    assert citation["license"] == "MIT" and citation["authors"]


def test_the_changelog_knows_this_version():
    assert f"## {wbc_pipeline.__version__}\n" in (PROJECT / "CHANGELOG.md").read_text()


def test_every_public_set_has_a_page_that_the_index_leads_to():
    pages = PROJECT / "docs/data-sets"
    index = (pages / "index.md").read_text()
    names = {file.name.removesuffix(".csv.gz") for file in PINNED.glob("*.csv.gz")}
    for name in names - {"blood_cells_overlaps"}:
        assert f"[`{name}`]({name}.md)" in index
        page = (pages / f"{name}.md").read_text()
        assert page.startswith(f"# `{name}`") and f"dataset={name}," in page
