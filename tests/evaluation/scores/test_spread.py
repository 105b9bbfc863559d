import pytest
from paper_tables import make_predictions
from sklearn.metrics import roc_auc_score

from wbc_pipeline.evaluation.scores.metrics import score_predictions
from wbc_pipeline.evaluation.scores.printed.spread import compare_spread

PUBLISHED = {"normal": {"accuracy": "0.950", "macro_f1": "0.90"}, "absent": {"accuracy": "0.9"}}
DEVIATIONS = {"normal": {"accuracy": "0.004"}}
OF_CLASSES = {"normal": {"monocyte": {"auc": "0.95"}, "platelet": {"auc": "0.5"}}}


@pytest.fixture(scope="module")
def predictions():
    return make_predictions(sources=30, variants=["normal", "blend"])


@pytest.fixture(scope="module")
def table(predictions):
    metrics = score_predictions(predictions, resamples=2)
    found = compare_spread(metrics, predictions, PUBLISHED, DEVIATIONS, OF_CLASSES)
    return found.set_index(["variant", "label", "metric"])


def test_what_is_printed_keeps_its_zeros_and_its_deviation(table):
    assert table.loc[("normal", "all", "accuracy"), "published"] == "0.950 ± 0.004"
    assert table.loc[("normal", "all", "macro_f1"), "published"] == "0.90"


def test_ours_is_the_mean_and_deviation_over_seeds(table, predictions):
    scores = score_predictions(predictions, resamples=2)
    runs = scores.query("variant == 'normal' and protocol == 'source'")["accuracy"]
    row = table.loc[("normal", "all", "accuracy")]
    assert row["source"] == pytest.approx(runs.mean())
    assert row["source_sd"] == pytest.approx(runs.std())
    assert table.loc[("absent", "all", "accuracy"), ["random", "source"]].isna().all()


def test_a_class_is_scored_against_all_others_and_one_that_is_not_there_is_left_out(
    table, predictions
):
    runs = predictions.query("variant == 'normal' and protocol == 'random'").groupby("seed")
    areas = [roc_auc_score(run["label"] == "monocyte", run["p_monocyte"]) for _, run in runs]
    assert table.loc[("normal", "monocyte", "auc"), "random"] == pytest.approx(
        sum(areas) / len(areas)
    )
    assert "platelet" not in table.index.get_level_values("label")


def test_a_metric_that_is_not_known_of_a_class_is_refused(predictions):
    metrics = score_predictions(predictions, resamples=2)
    with pytest.raises(ValueError, match=r"'dice'.*iou_cell, auc"):
        compare_spread(metrics, predictions, {}, {}, {"normal": {"monocyte": {"dice": "0.9"}}})
