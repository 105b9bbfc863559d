import numpy as np
import pytest
from printed_tables import CLASSES, MADE, TEST, print_shares

from wbc_pipeline.evaluation.report.described import heading_of
from wbc_pipeline.evaluation.scores.printed.findings import examine_printed

ON_TEST = {"what": "TEST", "images": [], "classes": dict(zip(CLASSES, TEST, strict=True))}


def findings(published, *, classes=4, **given):
    table = examine_printed(published, classes=classes, **given)
    assert heading_of(table) == "Printed numbers"
    return table.set_index(["of", "held_against"])


def matrix(**shares):
    return {"table": "Table 4", "classes": CLASSES, "labels": "columns", **shares}


def test_values_that_are_printed_together_are_held_against_test_sets_together():
    published = {"normal": {"accuracy": ["0.9880", "0.9907"]}, "blend": {"accuracy": "0.9907"}}
    tests = [{"what": "a part", "images": [486, 487], "classes": {}}]
    table = findings(published, tests=tests)
    assert table.loc[("accuracy, values no. 1", "a part"), "printed"] == "98.80 %, 99.07 %"
    row = table.loc[("accuracy, values no. 1", "a part")]
    assert row["agrees"] == "no"
    assert "98.80 % is no share of 486 or 487 images (480 of 486 are 98.77 %" in row["finding"]
    assert "at least 749 images" in table.loc[("accuracy, values no. 1", "each other"), "finding"]


def test_sizes_that_suit_one_value_each_suit_no_test_set():
    published = {"a": {"accuracy": "50.0 %"}, "b": {"accuracy": "33.3 %"}}
    tests = [{"what": "either", "images": [4, 3], "classes": {}}]
    assert findings(published, tests=tests).loc[("accuracy", "either"), "agrees"] == "no"
    tests[0]["images"].append(6)
    row = findings(published, tests=tests).loc[("accuracy", "either")]
    assert row["agrees"] == "yes"
    assert row["finding"] == "50.0 % is 2 of 4 or 3 of 6; 33.3 % is 1 of 3 or 2 of 6."


def test_a_recall_that_suits_another_class_is_said_to():
    recalls = {"cnn": {"a": "50 %", "b": "33.3 %"}}
    tests = [{"what": "both", "images": [], "classes": {"a": 3, "b": 4}}]
    row = findings({}, tests=tests, recalls=recalls).loc[("recall, cnn", "both")]
    assert row["agrees"] == "no"
    assert "50 % is no share of 3 a images (2 of 3 are 66.67 %), though of b" in row["finding"]
    assert "33.3 % is no share of 4 b images (1 of 4 are 25.00 %), though of a" in row["finding"]


@pytest.mark.parametrize(("accuracy", "agrees"), [("0.80", "no"), ("0.748", "yes")])
def test_a_matrix_fixes_its_accuracy(accuracy, agrees):
    shares = print_shares(MADE, axis=1)
    table = findings(
        {"cnn": {"accuracy": accuracy}}, tests=[ON_TEST], matrices={"cnn": matrix(of_rows=shares)}
    )
    found = table.loc[("confusion matrix, cnn", "Table 4 on TEST")]
    assert found["agrees"] == "yes"
    assert found["finding"] == (
        "One set of counts fits: rows 720, 581, 435, 751; columns 623, 620, 620, 624; "
        "1,861 right of 2,487."
    )
    row = table.loc[("accuracy, cnn", "Table 4 on TEST")]
    assert row["agrees"] == agrees
    assert row["finding"] == "The counts behind the matrix make it 74.83 %."


def test_a_matrix_whose_classes_have_other_numbers_is_said_to():
    swapped = matrix(of_columns=print_shares(MADE[:, [1, 0, 2, 3]], axis=0))
    table = findings({}, tests=[ON_TEST], matrices={"cnn": swapped})
    found = table.loc[("confusion matrix, cnn", "Table 4 on TEST")]
    assert found["agrees"] == "no"
    assert "in another order: rows" in found["finding"]
    assert "columns 620, 623, 620, 624" in found["finding"]


def test_the_smallest_rows_of_a_matrix_that_fits_no_test_set_are_told():
    other = np.array([[2, 1, 0, 0], [0, 1, 0, 0], [0, 0, 3, 4], [0, 0, 0, 5]])
    shares = matrix(of_rows=print_shares(other, axis=1))
    table = findings({}, tests=[ON_TEST], matrices={"cnn": shares})
    found = table.loc[("confusion matrix, cnn", "Table 4 on TEST")]
    assert found["agrees"] == "no"
    assert found["finding"].startswith("Fits no counts of TEST, with its classes in any order.")
    assert found["finding"].endswith("The smallest numbers of its rows are 3, 1, 7, 1.")


@pytest.mark.parametrize(("share", "agrees"), [("25 %", "no"), ("20 %", "yes")])
def test_the_share_of_tested_images_is_held_against_their_counts(share, agrees):
    parts = {
        "table": "Table 1",
        "test_share": share,
        "train": {"a": 60, "b": 21},
        "test": {"a": 20},
    }
    row = findings({}, parts=parts).loc[("share of tested images", "Table 1")]
    assert (row["printed"], row["agrees"]) == (share, agrees)
    assert row["finding"] == "The table's counts are 20 of 101: 19.80 %."


def test_a_loss_that_no_accuracy_explains_does_not_agree():
    published = {
        "normal": {"accuracy": "0.9880", "log_loss": "4.0469"},
        "blend": {"accuracy": "0.9907", "log_loss": "0.0565"},
    }
    table = findings(published, classes=5).reset_index().set_index("of")
    assert table.loc["log loss, normal", "agrees"] == "no"
    assert table.loc["log loss, blend", "agrees"] == "yes"


def test_a_paper_that_prints_nothing_has_no_findings():
    assert findings({"cnn": {}}).empty


def test_a_matrix_that_takes_too_long_is_left_undecided(monkeypatch):
    from wbc_pipeline.evaluation.scores.printed import matrix as solving

    monkeypatch.setattr(solving, "SECONDS", 0)
    shares = matrix(of_rows=print_shares(MADE, axis=1))
    table = findings({}, tests=[ON_TEST], matrices={"cnn": shares})
    found = table.loc[("confusion matrix, cnn", "Table 4 on TEST")]
    assert found["agrees"] == ""
    assert found["finding"] == "Not decided: the counts were not settled within 0 s."


def test_an_accuracy_with_many_digits_is_looked_at_no_further_than_it_pays():
    table = findings({"cnn": {"accuracy": "0.973333333333"}})
    said = table.loc[("accuracy", "each other"), "finding"]
    assert said == "It is of at least 75 images; possible are 75, 150, 225, 300, 375, …."
    table = findings({"cnn": {"accuracy": "0.973333333333"}, "other": {"accuracy": 0.12345678901}})
    said = table.loc[("accuracy", "each other"), "finding"]
    assert said == "No test set of up to 100,000 images fits."


def test_a_line_with_an_unknown_cell_has_no_smallest_number():
    shares = print_shares(np.diag([1, 1, 1, 2]) + 1, axis=1)
    shares[0][1] = None
    table = findings({}, tests=[ON_TEST], matrices={"cnn": matrix(of_rows=shares)})
    found = table.loc[("confusion matrix, cnn", "Table 4 on TEST"), "finding"]
    assert found.endswith("The smallest numbers of its rows are not known, 5, 5, 6.")
