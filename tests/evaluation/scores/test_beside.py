import pandas as pd
import pytest
from paper_tables import make_predictions

from wbc_pipeline.evaluation.scores.comparison import summarise_seeds
from wbc_pipeline.evaluation.scores.printed.beside import others_beside

OTHERS = {
    "Op-YOLOv8 [23]": {"segmentation": True, "accuracy": "0.990"},
    "proposed": {"images": 12444, "segmentation": False, "accuracy": "0.9", "variant": "blend"},
}


@pytest.fixture(scope="module")
def predictions():
    return make_predictions(sources=30, variants=["normal", "blend"])


def beside(predictions, others=OTHERS):
    return others_beside(predictions, others, images=120, paper_protocol="random", resamples=2)


def test_what_is_printed_comes_first_as_it_is_printed(predictions):
    table = beside(predictions)
    assert table["method"].tolist()[:2] == [*OTHERS]
    assert table["published"].tolist()[:2] == ["0.990", "0.9"]
    assert table["accuracy"].head(2).isna().all()
    assert table.loc[1, "images"] == 12444 and pd.isna(table.loc[0, "images"])


def test_ours_stand_last_under_the_papers_protocol_and_leak_free_with_intervals(predictions):
    table = beside(predictions).iloc[2:].set_index("split")
    assert set(table["variant"]) == {"blend"} and set(table.index) == {"random", "source"}
    expected = summarise_seeds(predictions, metrics=["accuracy"], resamples=2)
    expected = expected[expected["variant"] == "blend"].set_index("protocol")
    for protocol, row in expected.iterrows():
        ours = table.loc[protocol, ["accuracy", "accuracy_low", "accuracy_high"]]
        assert ours.tolist() == row[["mean", "low", "high"]].tolist()
        assert table.loc[protocol, "segmentation"] == False  # noqa: E712 as the paper's own
        assert table.loc[protocol, "images"] == 120


def test_every_variant_stands_for_ours_where_none_is_the_papers(predictions):
    others = {"AlexNet": {"accuracy": "0.9"}}
    assert set(beside(predictions, others)["variant"].dropna()) == {"normal", "blend"}


def test_a_column_of_which_nothing_is_known_is_left_out(predictions):
    assert "segmentation" not in beside(predictions, {"AlexNet": {"accuracy": "0.9"}})


def test_others_stand_alone_where_neither_protocol_was_run(predictions):
    table = beside(predictions.assign(protocol="filename"))
    assert table["method"].tolist() == [*OTHERS] and "accuracy" not in table
