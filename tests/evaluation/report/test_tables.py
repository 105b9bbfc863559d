import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.report.described import describe
from wbc_pipeline.evaluation.report.tables import (
    SHOWN_ROWS,
    Link,
    collapse_intervals,
    format_value,
    show_table,
)


def test_intervals_collapse_and_an_sd_stands_in_for_a_missing_one():
    frame = pd.DataFrame(
        {"f1": [0.5, 48.6], "f1_low": [0.4, None], "f1_high": [0.6, None], "f1_sd": [0.1, 0.848]}
    )
    assert collapse_intervals(frame)["f1"].tolist() == ["0.500 [0.400, 0.600]", "48.60 ± 0.85"]
    assert [*collapse_intervals(frame)] == ["f1"]


@pytest.mark.parametrize(
    ("value", "column", "text"),
    [
        (np.float64(0.98765), "", "0.988"),
        (np.int64(1234567), "", "1,234,567"),
        (-0.0123, "accuracy_difference", "−0.012"),
        (0.0, "accuracy_difference", "0.000"),
        (2e-5, "log_loss", "2.0e-05"),
        (np.inf, "", "∞"),
        (None, "", "–"),
        (np.bool_(False), "", "no"),
        ("text", "p_value", "text"),
        (0.2, "p_value", "0.200"),
    ],
)
def test_values_are_written_for_readers(value, column, text):
    assert format_value(value, column) == text


def test_a_long_table_is_folded_and_a_very_long_one_is_cut_and_says_so():
    table = describe(pd.DataFrame({"cell": [f"cell {n}" for n in range(20)]}), "", "Worst first.")
    assert not show_table("by_source", table.head(SHOWN_ROWS))["folded"]
    shown = show_table("by_source", table)
    assert shown["folded"] and shown["caption"] == "Worst first."
    cut = show_table("by_source", table, most=3)
    assert cut["folded"] and len(cut["rows"]) == 3
    assert cut["caption"] == "Worst first. The first 3 of 20 rows; all are in by_source.csv."


def test_a_wide_table_says_once_what_all_its_rows_share():
    own = {"variant": ["a", "b"], "accuracy": [0.1, 0.2]}
    shared = {name: ["same", "same"] for name in "cdefgh"}
    shown = show_table("metrics", pd.DataFrame(own | shared))
    assert [column["text"] for column in shown["columns"]] == ["Variant", "Accuracy"]
    assert shown["constant"] == {name.upper(): "same" for name in "cdefgh"}
    assert show_table("metrics", pd.DataFrame(own | {"c": ["same"] * 2}))["constant"] == {}


def shades(frame):
    shown = show_table("table", frame)
    return [[cell["shade"] for cell in row["cells"]] for row in shown["rows"]]


def test_shares_are_shaded_the_darker_the_nearer_they_are_to_one():
    frame = pd.DataFrame(
        {"macro_f1": [0.5, 1.0], "ece": [0.5, 1.0], "f1_difference": [0.5, 1.0], "seed": [0, 1]}
    )
    assert shades(frame) == [[0.125, None, None, None], [1.0, None, None, None]]


def test_only_rows_of_shares_are_shaded_where_rows_name_the_metric():
    frame = pd.DataFrame({"metric": ["accuracy", "log_loss"], "leak_free": [1.0, 1.3]})
    assert shades(frame) == [[None, 1.0], [None, None]]


def test_accuracies_by_amount_are_shaded():
    assert shades(pd.DataFrame({"variant": ["a"], "0.35": [1.0]})) == [[None, 1.0]]


def test_a_rule_goes_above_each_change_in_the_first_column():
    frame = pd.DataFrame({"variant": ["a", "a", "b"], "seed": [0, 1, 0]})
    assert [row["first"] for row in show_table("t", frame)["rows"]] == [False, False, True]
    alone = show_table("t", frame.drop_duplicates("variant"))
    assert not any(row["first"] for row in alone["rows"])


def test_a_cell_may_be_a_link():
    (row,) = show_table("t", pd.DataFrame({"set": [Link("demo", "demo/report.html")]}))["rows"]
    assert row["cells"][0]["text"] == Link("demo", "demo/report.html")
