"""What each paper's numbers say of themselves, from its parameters to its report."""

from importlib import resources
from pathlib import Path

import pandas as pd
import pytest
import yaml

PROJECT = Path(__file__).parents[2]


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
    table = findings("localize")
    test = "TEST of the public set"
    for name, number, share, order in (
        ("custom_1_whole", 4, "74.83 %", "yes"),
        ("custom_2_whole", 5, "86.45 %", "no"),  # the numbers of two classes are swapped
    ):
        against = f"Table {number} on {test}"
        assert table.loc[(f"confusion matrix, {name}", against), "agrees"] == order
        row = table.loc[(f"accuracy, {name}", against)]
        assert row["agrees"] == "no"
        assert row["finding"] == f"The counts behind the matrix make it {share}."
    for name, number in (("custom_1_roi", 6), ("custom_2_roi", 7)):
        row = table.loc[(f"confusion matrix, {name}", f"Table {number} on {test}")]
        assert row["agrees"] == "no"
        assert row["finding"].startswith("Fits no counts of TEST")
    parts = table.loc[("share of tested images", "Table 1")]
    assert parts["agrees"] == "no" and "2,487 of 12,444: 19.99 %" in parts["finding"]


def test_both_printed_variants_of_localizes_accuracies_are_looked_at(findings):
    printed = findings("localize")["printed"]
    second = printed["accuracy, values no. 2", "each other"]
    assert set(second.split(", ")) == {"81 %", "89 %", "48.8 %", "92.5 %"}


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


def test_the_counts_that_localize_prints_are_those_of_the_public_set():
    parameters = yaml.safe_load((PROJECT / "conf/base/parameters_localize.yml").read_text())
    printed = parameters["localize"]["printed"]["parts"]
    place = resources.files("wbc_pipeline.sources.pinned") / "blood_cells.csv.gz"
    names = pd.read_csv(place)["image_id"].str.lower().str.split("/", expand=True)
    for part in ("train", "test"):
        assert names.loc[names[0] == part, 1].value_counts().to_dict() == printed[part]
