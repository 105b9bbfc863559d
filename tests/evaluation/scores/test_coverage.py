"""The simulation behind the intervals; ``interval_coverage`` says what is drawn."""

import re

import pandas as pd
import pytest
from interval_coverage import DESIGNS, as_markdown, coverage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def simulated() -> pd.DataFrame:
    return coverage()


@pytest.mark.parametrize("score", ["accuracy", "macro_f1", "difference"])
@pytest.mark.parametrize("design", DESIGNS)
def test_intervals_cover_what_they_say(simulated, design, score):
    assert 0.93 <= _coverage(simulated, design, score) <= 0.985


@pytest.mark.parametrize("design", DESIGNS)
def test_the_recall_of_each_class_is_covered(simulated, design):
    for label in range(len(DESIGNS[design].cells)):
        assert _coverage(simulated, design, f"recall {label}") >= 0.9


@pytest.mark.parametrize(
    ("design", "low", "high"),
    [
        ("published test part", 0.78, 0.85),
        ("fold of source", 0.8, 0.87),
        ("all cells", 0.88, 0.95),
        ("five classes of 150", 0.92, 0.97),
    ],
)
def test_plain_percentiles_are_too_narrow_with_few_cells(simulated, design, low, high):
    assert low <= _coverage(simulated, design, "accuracy", "percentiles") <= high


def test_the_docs_show_this_table(simulated, pytestconfig):
    page = pytestconfig.rootpath / "docs" / "explanation" / "intervals.md"
    shown = page.read_text(encoding="utf-8")
    for line in as_markdown(simulated).splitlines()[2:]:
        label = line.split("|")[1]
        (of_docs,) = (row for row in shown.splitlines() if row.startswith(f"|{label}|"))
        assert _numbers(of_docs) == pytest.approx(_numbers(line), abs=0.02), label


def _numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d\.\d+", line)]


def _coverage(simulated: pd.DataFrame, design: str, score: str, method: str = "these") -> float:
    row = (simulated[["design", "score", "method"]] == (design, score, method)).all(axis=1)
    return simulated.loc[row, "coverage"].item()
