import numpy as np
import pandas as pd
import pytest
from paper_tables import CLASSES, make_predictions
from sklearn.metrics import confusion_matrix

from wbc_pipeline.evaluation.scores.comparison import summarise_seeds
from wbc_pipeline.evaluation.scores.metrics import class_names
from wbc_pipeline.evaluation.scores.printed.beside import (
    matrices_beside,
    others_beside,
    parts_beside,
)

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


def printed_matrix(**given):
    cells = [["20.0"] * len(CLASSES)] * len(CLASSES)
    return {"table": "Table 4", "classes": CLASSES[::-1], "labels": "columns", **given} | (
        {} if "of_columns" in given else {"of_rows": cells}
    )


@pytest.mark.parametrize(("labels", "summed"), [("columns", "true"), ("rows", "pred")])
def test_our_matrix_is_laid_out_like_the_printed_one(predictions, labels, summed):
    columns = [["20.0"] * len(CLASSES)] * len(CLASSES)
    matrices = {"blend": printed_matrix(labels=labels, of_columns=columns)}
    table = matrices_beside(predictions, matrices, paper_protocol="random")
    printed = table[table["matrix"] == "Table 4"]
    assert (printed[CLASSES] == "20.0").all(axis=None)
    word = "predicted" if labels == "columns" else "true"
    assert printed["line"].tolist() == [f"{word} {name}" for name in CLASSES[::-1]]
    run = predictions.query("variant == 'blend' and protocol == 'source'")
    answers = np.array(class_names(run))[run.filter(like="p_").to_numpy().argmax(axis=1)]
    shares = 100 * confusion_matrix(run["label"], answers, labels=CLASSES[::-1], normalize=summed)
    ours = table[table["matrix"] == "ours, source"][CLASSES[::-1]].astype(float).to_numpy()
    np.testing.assert_allclose(ours, shares.T if labels == "columns" else shares, atol=0.005)


def test_the_printed_matrix_stands_alone_on_images_of_other_classes(predictions):
    matrices = {"blend": printed_matrix() | {"classes": ["a", "b", "c", "d", "e"]}}
    table = matrices_beside(predictions, matrices, paper_protocol="random")
    assert table["matrix"].unique().tolist() == ["Table 4"]


def test_printed_parts_stand_beside_the_images_that_are_there():
    parts = {"train": {"a": 3, "b": 1}, "test": {"a": 1, "b": 0}}
    images = pd.DataFrame({"label": ["a", "a", "b"], "published_part": ["train", "test", "test"]})
    table = parts_beside(images, parts).set_index("label")
    assert table.loc["a", ["train_published", "train", "test_published", "test"]].tolist() == [
        *(3, 1, 1, 1)
    ]
    assert table.loc["all", ["test_share_published", "test_share"]].tolist() == [
        pytest.approx(0.2),
        pytest.approx(2 / 3),
    ]
    without = parts_beside(images.assign(published_part=None), parts)
    assert without["test_share"].isna().all()
