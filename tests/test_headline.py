"""The README's table of scores says what the tables of the runs say."""

import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "docs/results"
sys.path.insert(0, str(PROJECT / "docs"))

from headline_table import headline_table, write  # noqa: E402


@pytest.fixture
def results(tmp_path):
    """Copy the tables that the README's are made from."""
    entries = yaml.safe_load((RESULTS / "headline.yml").read_text())
    for name in {"headline.yml", *(entry["table"] for entry in entries)}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(RESULTS / name, tmp_path / name)
    return tmp_path


def test_the_readme_is_up_to_date():
    table = headline_table(RESULTS)
    assert table in (PROJECT / "README.md").read_text(), (
        f"run `python docs/headline_table.py`, which writes\n{table}"
    )


def test_every_paper_with_published_scores_here_is_in_the_table():
    entries = yaml.safe_load((RESULTS / "headline.yml").read_text())
    assert {entry["paper"] for entry in entries} >= {
        file.parent.name for file in RESULTS.glob("*/published.csv")
    }


def test_a_new_score_makes_another_table(results):
    before = headline_table(results)
    file = results / "challenge/published.csv"
    table = pd.read_csv(file)
    chosen = (table["variant"] == "baseline") & (table["metric"] == "macro_f1")
    table.loc[chosen, ["leak_free", "leak_free_low", "leak_free_high"]] = [0.5, 0.404, 0.6]
    table.to_csv(file, index=False)
    after = headline_table(results)
    assert after != before and "| 50.0 [40.4, 60.0] |" in after


def test_published_scores_keep_the_digits_of_the_paper():
    lines = headline_table(RESULTS).splitlines()
    assert any("macro F1, single network | 62.36 |" in line for line in lines)
    assert any("IoU of the cell | 82 |" in line for line in lines)


def test_a_score_that_was_not_run_is_a_dash(results):
    file = results / "challenge/published.csv"
    table = pd.read_csv(file).assign(leak_free=None)
    table.to_csv(file, index=False)
    lines = [line for line in headline_table(results).splitlines() if "challenge" in line]
    assert lines and all("| – | – |" in line for line in lines)


def test_an_entry_that_names_no_row_is_refused(results):
    entry = {
        "paper": "challenge",
        "table": "challenge/published.csv",
        "where": {"variant": "nobody", "metric": "macro_f1"},
    }
    (results / "headline.yml").write_text(yaml.safe_dump([entry]))
    with pytest.raises(ValueError, match="are 0 rows of challenge"):
        headline_table(results)


def test_only_the_place_between_the_comments_is_written(results, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- headline -->\nold\n<!-- /headline -->\nbehind\n")
    write(readme, results)
    table = headline_table(results)
    assert readme.read_text() == f"before\n<!-- headline -->\n{table}<!-- /headline -->\nbehind\n"
