"""What each paper's numbers say of themselves, from its parameters to its report."""

import pandas as pd
import pytest


@pytest.fixture
def findings(run_pipeline, tmp_path):
    def run(paper):
        node = f"{paper}.report.check_printed"
        run_pipeline(paper, tmp_path, how={"node_names": [node]}, tracking={"enabled": False})
        table = pd.read_csv(tmp_path / f"08_reporting/demo/{paper}/printed_numbers.csv")
        return table.set_index(["of", "held_against"])

    return run


def test_blend_most_likely_tested_15_per_cent_of_the_public_set(findings):
    table = findings("blend")
    verdicts = table["agrees"].to_dict()
    paper, public = "15 % of the paper's 3,242 images", "15 % of the public set's 5,000 images"
    assert verdicts["accuracy, values no. 1", paper] == "no"
    assert verdicts["accuracy, values no. 1", public] == "yes"
    assert verdicts["accuracy, values no. 2", public] == "no"
    text = table["finding"]
    first = text["accuracy, values no. 1", public]
    assert first == "98.80 % is 741 of 750; 99.07 % is 743 of 750."
    second = text["accuracy, values no. 2", public]
    assert "99.93 % is no share of 750 images (749 of 750 are 99.87 %)" in second
    assert "at least 1,391 images" in text["accuracy, values no. 2", "each other"]


def test_accuracies_of_localize_are_not_those_of_its_tables(findings):
    rows = findings("localize").reset_index()
    rows = rows[rows["held_against"].str.startswith("Table")].set_index("printed")
    assert (rows["agrees"] == "no").all()
    for printed, counted in {
        "80 %": "1,861 right answers of 2,487: 74.8 %",
        "89.5 %": "2,150 right answers of 2,487: 86.4 %",
        "92 %": "2,054 right answers of 2,282: 90.0 %",
    }.items():
        assert counted in rows.loc[printed, "finding"]


def test_recalls_and_accuracies_of_separable_fit_no_counts_of_TEST(findings):
    table = findings("separable")
    test = "TEST of the public set"
    recalls = table.loc[("recall, mixed", test)]
    assert recalls["agrees"] == "no"
    for share, images, nearest in (
        ("99.06 %", "624 neutrophil", "618 of 624 are 99.04 %"),
        ("99.34 %", "623 eosinophil", "619 of 623 are 99.36 %"),
        ("97.77 %", "620 monocyte", "606 of 620 are 97.74 %"),
    ):
        assert f"{share} is no share of {images} images ({nearest})" in recalls["finding"]
    assert table.loc[("accuracy, values no. 1", test), "agrees"] == "no"
    assert table.loc[("accuracy, mixed", f"its recalls, on {test}"), "agrees"] == "no"
