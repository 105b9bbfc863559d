import time

import numpy as np
import pandas as pd
import pytest
from paper_tables import CLASSES, make_predictions
from sklearn import metrics as sk

from wbc_pipeline.evaluation.scores import (
    INTERVAL_METRICS,
    RUN_KEYS,
    confusion_counts,
    per_class_scores,
    read_outcomes,
    score_predictions,
)

COLUMNS = [f"p_{name}" for name in CLASSES]


@pytest.fixture(scope="module")
def scores(predictions) -> pd.DataFrame:
    return score_predictions(predictions, resamples=200)


def _two_runs() -> pd.DataFrame:
    return make_predictions(
        sources=12, variants=["normal", "blend"], protocols=["source"], seeds=[0]
    )


def test_a_perfect_classifier_is_never_drawn_below_one_however_few_sources_a_class_has():
    labels = np.repeat(CLASSES, 3)
    perfect = pd.DataFrame(np.eye(len(CLASSES)).repeat(3, axis=0), columns=COLUMNS)
    sources = [f"cell-{number}" for number in range(len(labels))]
    run = {"variant": "normal", "protocol": "source", "seed": 0, "condition": "clean"}
    perfect = perfect.assign(image_id=sources, source_id=sources, label=labels, **run)
    (row,) = score_predictions(perfect).to_dict("records")
    assert row["macro_f1"] == 1
    assert np.isnan([row["macro_f1_low"], row["macro_f1_high"]]).all()  # all resamples are alike


def test_scores_are_those_of_scikit_learn(predictions, scores):
    for row in scores.itertuples():
        run = predictions.query(
            "variant == @row.variant and protocol == @row.protocol and seed == @row.seed"
        )
        answer = np.array(CLASSES)[run[COLUMNS].to_numpy().argmax(axis=1)]
        macro = {"average": "macro", "labels": CLASSES, "zero_division": 0}
        target = np.eye(len(CLASSES))[pd.Index(CLASSES).get_indexer(run["label"])]
        expected = {
            "accuracy": sk.accuracy_score(run["label"], answer),
            "macro_precision": sk.precision_score(run["label"], answer, **macro),
            "macro_recall": sk.recall_score(run["label"], answer, **macro),
            "macro_f1": sk.f1_score(run["label"], answer, **macro),
            "log_loss": sk.log_loss(run["label"], run[COLUMNS], labels=CLASSES),
            "auc": sk.roc_auc_score(run["label"], run[COLUMNS], multi_class="ovr", labels=CLASSES),
            "brier": ((run[COLUMNS] - target) ** 2).sum(axis=1).mean(),
        }
        for metric, value in expected.items():
            assert getattr(row, metric) == pytest.approx(value, abs=1e-9), metric


def test_a_row_per_run_in_order_of_appearance(predictions, scores):
    expected = predictions[RUN_KEYS].drop_duplicates().reset_index(drop=True)
    pd.testing.assert_frame_equal(scores[RUN_KEYS], expected)
    assert (scores["images"] == 240).all()
    assert (scores["sources"] == 60).all()
    assert (scores["interval_unit"] == "source").all()
    assert scores["inference_ms"].between(1.8, 3).all()


def test_intervals_hold_the_scores(scores):
    for metric in set(INTERVAL_METRICS) - {"ece"}:  # the ECE of a resample is biased upwards
        assert (scores[f"{metric}_low"] < scores[metric]).all()
        assert (scores[metric] < scores[f"{metric}_high"]).all()


def test_intervals_over_sources_are_wider_than_over_images(predictions, scores):
    unknown = score_predictions(predictions.assign(source_id=None), resamples=200)
    assert (unknown["interval_unit"] == "image").all()
    assert (unknown["sources"] == 240).all()
    width = (scores["accuracy_high"] - scores["accuracy_low"]).mean()
    assert width > 1.2 * (unknown["accuracy_high"] - unknown["accuracy_low"]).mean()


def test_a_missing_class_leaves_no_auc_and_counts_as_zero_in_macro_scores():
    run = _two_runs().query("label != 'monocyte'")
    scores = score_predictions(run, resamples=10)
    assert scores["auc"].isna().all()
    assert (scores["macro_recall"] <= 0.8).all()


def test_equal_probabilities_answer_the_first_class():
    run = _two_runs().head(3).copy()
    run[COLUMNS] = 0.2
    assert read_outcomes(run).predicted.tolist() == [0, 0, 0]


def test_a_label_without_probability_column_is_named():
    run = _two_runs()
    run.loc[3, "label"] = "blast"
    with pytest.raises(ValueError, match=r"label 'blast' has no column 'p_blast'"):
        score_predictions(run)


@pytest.mark.parametrize("value", [np.nan, -0.1, 0.9])
def test_a_run_with_impossible_probabilities_is_named(value):
    run = _two_runs()
    run.loc[run["variant"] == "blend", "p_basophil"] = value
    with pytest.raises(ValueError, match=r"variant=blend, protocol=source, seed=0"):
        score_predictions(run)


def test_no_predictions_and_missing_columns_are_refused():
    with pytest.raises(ValueError, match="no row"):
        score_predictions(_two_runs().head(0))
    with pytest.raises(ValueError, match="lack the columns label, source_id"):
        score_predictions(_two_runs().drop(columns=["label", "source_id"]))


def test_class_scores_are_those_of_scikit_learn():
    run = make_predictions(variants=["blend"], protocols=["source"], seeds=[0])
    answer = np.array(CLASSES)[run[COLUMNS].to_numpy().argmax(axis=1)]
    expected = sk.precision_recall_fscore_support(run["label"], answer, labels=CLASSES)
    table = per_class_scores(run)
    assert table["label"].tolist() == CLASSES
    for column, values in zip(["precision", "recall", "f1", "support"], expected, strict=True):
        np.testing.assert_allclose(table[column], values)


def test_confusion_counts_hold_every_cell_and_image(predictions):
    counts = confusion_counts(predictions)
    assert (counts.groupby(RUN_KEYS)["images"].agg(["sum", "size"]) == [240, 25]).all(axis=None)


def test_ten_runs_of_a_thousand_images_are_scored_in_three_seconds():
    predictions = make_predictions(sources=250, seeds=[0])
    start = time.perf_counter()
    assert len(score_predictions(predictions, resamples=1000)) == 10
    assert time.perf_counter() - start < 3
