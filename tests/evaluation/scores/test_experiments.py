import numpy as np
import pandas as pd
import pytest
from fine_tables import make_answers

from wbc_pipeline.evaluation.scores.experiments import (
    best_by_validation,
    list_experiments,
    validation_scores,
)

GOOD = [("LY", "LY"), ("SNE", "SNE")] * 20
BAD = [("LY", "LY"), ("SNE", "SNE"), ("LY", "SNE"), ("SNE", "LY")] * 10
PRINTED = {"base": {"macro_f1": "0.6236"}, "weights": {"macro_f1": "0.5801"}}


@pytest.fixture
def predictions():
    tables = []
    for variant, answers in {"base": GOOD, "weights": BAD, "mine": GOOD}.items():
        for part in ("validation", "test"):
            tables.append(make_answers(*answers, variant=variant, part=part, classes=("LY", "SNE")))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture
def manifest(predictions):
    return pd.DataFrame({"image_id": predictions["image_id"].unique(), "domain": None})


def list_them(predictions, manifest, published=PRINTED):
    rows = {"base": "EfficientNetV2-B0", "weights": "class weights", "lacking": "focal loss"}
    return list_experiments(
        predictions,
        manifest,
        rows,
        {**published, "lacking": {"macro_f1": "0.5787"}},
        validation={"base": {"macro_f1": "0.6398"}},
        baseline="base",
        resamples=50,
    ).set_index("variant")


def test_each_row_stands_beside_ours_with_its_change(predictions, manifest):
    table = list_them(predictions, manifest)
    assert table.index.tolist() == ["base", "weights", "lacking", "mine"]
    assert table.loc["weights", "printed"] == "0.5801"
    assert table.loc["weights", "printed_change"] == pytest.approx(0.5801 - 0.6236)
    assert table.loc["weights", "source"] == pytest.approx(0.5)
    assert table.loc["weights", "source_change"] == pytest.approx(-0.5)
    assert table.loc["weights", "source_change_high"] < 0
    assert table.loc["base", ["printed_validation", "source_validation"]].tolist() == ["0.6398", 1]
    assert table.loc["mine", "experiment"] == "ours" and table.loc["mine", "printed"] == ""


def test_what_was_not_run_is_printed_alone(predictions, manifest):
    row = list_them(predictions, manifest).loc["lacking"]
    assert row["printed"] == "0.5787"
    assert np.isnan([row["source"], row["source_change"], row["source_validation"]]).all()


def test_the_best_of_a_family_is_chosen_on_validation_images_alone(predictions):
    worse_on_test = predictions["variant"].eq("base") & predictions["part"].eq("test")
    changed = predictions.copy()
    columns = ["p_LY", "p_SNE"]
    changed.loc[worse_on_test, columns] = changed.loc[worse_on_test, columns[::-1]].to_numpy()
    families = {"one": ["weights", "base"], "two": ["not_run"]}
    assert best_by_validation(changed, families, protocol="source") == {"one": "base"}


def test_a_class_that_validation_lacks_is_no_zero():
    table = make_answers(("LY", "LY"), ("LY", "LY"), part="validation", classes=("LY", "SNE"))
    assert validation_scores(table) == {("plain", "source"): 1.0}
    assert validation_scores(table.assign(part="test")) == {}
