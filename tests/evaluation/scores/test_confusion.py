import numpy as np
import pytest
import sklearn.metrics as sk

from wbc_pipeline.evaluation.scores.confusion import (
    accuracy,
    confusion_intervals,
    macro_f1,
    macro_precision,
    macro_recall,
)
from wbc_pipeline.evaluation.scores.intervals import wilson_interval


@pytest.fixture
def answers():
    random = np.random.default_rng(0)
    truth = np.repeat([0, 1, 2], [40, 20, 12])
    predicted = np.where(random.random(72) < 0.8, truth, random.integers(0, 3, 72))
    return truth, predicted, np.arange(72) // 2


def test_scores_of_a_confusion_matrix_are_those_of_scikit_learn(answers):
    truth, predicted, _ = answers
    confusion = sk.confusion_matrix(truth, predicted, labels=range(3)).astype(float)
    macro = {"labels": range(3), "average": "macro", "zero_division": 0}
    assert accuracy(confusion) == pytest.approx(sk.accuracy_score(truth, predicted))
    assert macro_recall(confusion) == pytest.approx(sk.recall_score(truth, predicted, **macro))
    assert macro_f1(confusion) == pytest.approx(sk.f1_score(truth, predicted, **macro))
    assert macro_precision(confusion) == pytest.approx(
        sk.precision_score(truth, predicted, **macro)
    )


def test_a_class_that_is_not_tested_does_not_count_though_it_is_answered(answers):
    truth, predicted, _ = answers
    predicted = np.where(np.arange(72) % 9 == 0, 3, predicted)  # nothing is labelled 3
    confusion = sk.confusion_matrix(truth, predicted, labels=range(5)).astype(float)
    macro = {"labels": range(3), "average": "macro", "zero_division": 0}
    assert macro_recall(confusion) == pytest.approx(sk.recall_score(truth, predicted, **macro))
    assert macro_f1(confusion) == pytest.approx(sk.f1_score(truth, predicted, **macro))
    assert macro_precision(confusion) == pytest.approx(
        sk.precision_score(truth, predicted, **macro)
    )


def test_class_mean_accuracy_is_combined_by_newcombes_method(answers):
    truth, predicted, units = answers
    found = confusion_intervals(truth, predicted, units, {"mean": macro_recall}, classes=3)["mean"]
    recalls, ends = [], []
    for label in range(3):
        seen = truth == label
        hits = np.bincount(units[seen], predicted[seen] == label)
        images = np.bincount(units[seen])
        recalls.append(hits.sum() / images.sum())
        ends.append(wilson_interval(hits[images > 0], images[images > 0]))
    low, high = np.transpose(ends)
    mean = np.mean(recalls)
    assert found.values == pytest.approx([mean])
    assert found.low == pytest.approx(mean - np.sqrt(((recalls - low) ** 2).sum()) / 3)
    assert found.high == pytest.approx(mean + np.sqrt(((high - recalls) ** 2).sum()) / 3)


def test_one_class_has_wilsons_interval_of_its_accuracy():
    truth, predicted, units = np.zeros(20, int), np.arange(20) % 4 // 3, np.arange(20) // 2
    found = confusion_intervals(truth, predicted, units, {"accuracy": accuracy}, classes=2)
    hits = np.bincount(units, predicted == 0)
    ends = wilson_interval(hits, np.full(10, 2))
    assert found["accuracy"][1:] == pytest.approx(ends)


def test_the_spread_over_runs_adds_to_the_interval(answers):
    truth, predicted, units = answers
    twice = [np.tile(values, 2) for values in answers]
    runs = np.repeat([0, 1], 72)
    scores = {"accuracy": accuracy, "macro_f1": macro_f1}
    alike = confusion_intervals(*twice, scores, classes=3, runs=runs)
    worse = twice[1].copy()
    worse[72:92] = 1
    apart = confusion_intervals(twice[0], worse, twice[2], scores, classes=3, runs=runs)
    once = confusion_intervals(truth, predicted, units, scores, classes=3)
    for name in scores:
        assert alike[name].values.shape == (2,)
        assert alike[name][1:] == pytest.approx(once[name][1:])
        assert apart[name].high - apart[name].low > 1.3 * (alike[name].high - alike[name].low)


def test_a_patient_with_cells_of_several_classes_is_one_unit(answers):
    truth, predicted, _ = answers
    patients = np.arange(72) % 6
    of_cells = confusion_intervals(
        truth, predicted, np.arange(72), {"accuracy": accuracy}, classes=3
    )
    of_patients = confusion_intervals(truth, predicted, patients, {"accuracy": accuracy}, classes=3)
    assert of_patients["accuracy"].values == of_cells["accuracy"].values
    widths = [found["accuracy"].high - found["accuracy"].low for found in (of_patients, of_cells)]
    assert widths[0] > widths[1]
    one = confusion_intervals(truth, predicted, patients * 0, {"accuracy": accuracy}, classes=3)
    assert one["accuracy"][1:] == pytest.approx((0, 1))
