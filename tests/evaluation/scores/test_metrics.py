import time

import numpy as np
import pandas as pd
import pytest
from paper_tables import CLASSES, make_predictions
from sklearn import metrics as sk

from wbc_pipeline.evaluation.scores import metrics
from wbc_pipeline.evaluation.scores.comparison import compare_published, summarise_seeds
from wbc_pipeline.evaluation.scores.entries import METRICS, Metric, metric_label
from wbc_pipeline.evaluation.scores.metrics import (
    RUN_KEYS,
    read_outcomes,
    score_by_fold,
    score_predictions,
)
from wbc_pipeline.evaluation.scores.per_class import confusion_counts, per_class_scores

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
    run |= {"part": "test"}
    perfect = perfect.assign(image_id=sources, source_id=sources, label=labels, **run)
    (row,) = score_predictions(perfect).to_dict("records")
    assert row["macro_f1"] == 1
    assert (row["accuracy_high"], row["macro_f1_high"]) == (1, 1)
    assert 0.5 < row["accuracy_low"] < 0.9  # fifteen cells without an error
    assert np.isnan([row["ece_low"], row["ece_high"]]).all()  # all resamples are alike


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
    with_interval = {
        name for name, metric in METRICS.items() if metric.interval and not metric.columns
    }
    assert with_interval == {"accuracy", "macro_f1", "log_loss", "ece", "auc"}
    for metric in with_interval - {"ece"}:  # ECE is biased upwards
        assert (scores[f"{metric}_low"] < scores[metric]).all()
        assert (scores[metric] < scores[f"{metric}_high"]).all()


def test_intervals_over_sources_are_wider_than_over_images(predictions, scores):
    unknown = score_predictions(predictions.assign(source_id=None), resamples=200)
    assert (unknown["interval_unit"] == "image").all()
    assert (unknown["sources"] == 240).all()
    width = (scores["accuracy_high"] - scores["accuracy_low"]).mean()
    assert width > 1.2 * (unknown["accuracy_high"] - unknown["accuracy_low"]).mean()


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


def test_a_class_without_test_images_has_no_scores_and_counts_in_no_mean():
    run = _two_runs().query("variant == 'normal' and label != 'monocyte'")
    table = per_class_scores(run).set_index("label")
    assert table.loc["monocyte", ["precision", "recall", "f1"]].isna().all()
    assert table.loc["monocyte", "support"] == 0
    (row,) = score_predictions(run, resamples=50).to_dict("records")
    known = table.drop("monocyte")
    for score in ("precision", "recall", "f1"):
        assert row[f"macro_{score}"] == pytest.approx(known[score].mean())
    areas = [sk.roc_auc_score(run["label"] == label, run[f"p_{label}"]) for label in known.index]
    assert row["auc"] == pytest.approx(np.mean(areas))
    assert row["auc_low"] < row["auc"] < row["auc_high"]
    assert row["macro_f1_low"] < row["macro_f1"] < row["macro_f1_high"]


def test_confusion_counts_hold_every_cell_and_image(predictions):
    counts = confusion_counts(predictions)
    assert (counts.groupby(RUN_KEYS)["images"].agg(["sum", "size"]) == [240, 25]).all(axis=None)


def test_a_metric_is_one_entry(monkeypatch):
    sure = Metric(
        label="share of sure answers",
        of_image=lambda outcomes: outcomes.confidence > 0.9,
        interval=True,
    )
    monkeypatch.setitem(METRICS, "sure", sure)
    run = _two_runs()
    row = score_predictions(run, resamples=50).iloc[0]
    expected = (run.loc[run["variant"] == "normal", COLUMNS].max(axis=1) > 0.9).mean()
    assert row["sure"] == pytest.approx(expected)
    assert row["sure_low"] < row["sure"] < row["sure_high"]
    assert metric_label("sure") == "share of sure answers"
    assert "sure" in summarise_seeds(run, resamples=2)["metric"].unique()
    table = compare_published(run, {"normal": {"sure": "0.8"}}, resamples=2)
    assert table.set_index(["variant", "metric"]).loc[("normal", "sure"), "published"] == "0.8"


def test_a_metric_with_an_interval_is_computed_from_images():
    with pytest.raises(ValueError, match="'own' has an interval but no of_image"):
        Metric(label="own", interval=True)


def test_validation_rows_are_refused():
    run = _two_runs()
    mixed = pd.concat([run, run.assign(part="validation")])
    with pytest.raises(ValueError, match=r"96 of 192 rows .*'validation'.*tested\(predictions\)"):
        score_predictions(mixed)
    pd.testing.assert_frame_equal(
        score_predictions(metrics.tested(mixed), resamples=2), score_predictions(run, resamples=2)
    )


def test_folds_are_pooled_and_scored_by_themselves():
    run = _two_runs()
    folds = run.assign(fold=pd.factorize(run["source_id"])[0] % 3)
    pd.testing.assert_frame_equal(
        score_predictions(folds, resamples=9), score_predictions(run, resamples=9)
    )
    manifest = pd.DataFrame({"image_id": run["image_id"].unique(), "domain": None})
    table = score_by_fold(folds, manifest, resamples=9)
    assert table[["variant", "fold"]].to_numpy().tolist() == [
        [variant, fold] for variant in ("normal", "blend") for fold in range(3)
    ]
    assert table["tested"].isna().all()
    for row in table.itertuples():
        own = folds[(folds["variant"] == row.variant) & (folds["fold"] == row.fold)]
        assert row.accuracy == pytest.approx(read_outcomes(own).correct.mean())
        assert row.images == len(own)


def test_scores_of_a_run_with_one_fold_are_taken_from_the_pooled_ones():
    run = _two_runs()
    manifest = pd.DataFrame({"image_id": run["image_id"].unique(), "domain": None})
    halves = pd.factorize(run["source_id"])[0] % 2 * (run["variant"] == "blend")
    folds = run.assign(fold=halves)
    pooled = score_predictions(folds, resamples=9)
    table = score_by_fold(folds, manifest, pooled=pooled, resamples=9)
    pd.testing.assert_frame_equal(table, score_by_fold(folds, manifest, resamples=9))
    marked = score_by_fold(folds, manifest, pooled=pooled.assign(accuracy=-1.0), resamples=9)
    assert ((marked["accuracy"] == -1) == (marked["variant"] != "blend")).all()


def test_a_fold_is_named_after_the_domain_or_data_set_that_it_tests():
    run = _two_runs().query("variant == 'blend'")
    fold = pd.factorize(run["source_id"])[0] % 2
    stains = np.array(["giemsa", "wright"])[fold]
    manifest = pd.DataFrame({"image_id": run["image_id"], "domain": stains})
    by_domain = run.assign(fold=fold, protocol="domain")
    by_set = run.assign(fold=fold, protocol="dataset", dataset=np.array(["pbc", "lisc"])[fold])
    both = pd.concat([by_domain, by_set])
    table = score_by_fold(both, manifest, resamples=2).set_index(["protocol", "fold"])["tested"]
    assert table["domain"].to_dict() == {0: "giemsa", 1: "wright"}
    assert table["dataset"].to_dict() == {0: "pbc", 1: "lisc"}


def test_ten_runs_of_a_thousand_images_are_scored_in_three_seconds():
    predictions = make_predictions(sources=250, seeds=[0])
    start = time.perf_counter()
    assert len(score_predictions(predictions, resamples=1000)) == 10
    assert time.perf_counter() - start < 3
