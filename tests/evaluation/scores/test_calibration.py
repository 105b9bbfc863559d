from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_tables import CLASSES, make_predictions
from torchmetrics.functional.classification import multiclass_calibration_error

from wbc_pipeline.evaluation.scores.calibration import (
    explain_published_loss,
    implied_loss_per_error,
    largest_mean_loss,
    loss_decomposition,
    reliability_table,
)
from wbc_pipeline.evaluation.scores.metrics import read_outcomes, score_predictions


@pytest.fixture(scope="module")
def run():
    return make_predictions(variants=["blend"], protocols=["source"], seeds=[0])


def _ece_by_definition(confidence, correct, bins):
    edges, total = np.linspace(0, 1, bins + 1), 0.0
    for low, high in pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            total += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    return total


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_ece_lies_within_0_and_1_and_follows_its_definition(answers, bins):
    confidence, correct = map(np.array, zip(*answers, strict=True))
    run = make_predictions(sources=len(answers), views=1, variants=["blend"], seeds=[0])
    run = run[run["protocol"] == "source"].drop(columns=[f"p_{name}" for name in CLASSES])
    run = run.assign(p_a=confidence, p_b=1 - confidence, label=np.where(correct, "a", "b"))
    ece = score_predictions(run, bins=bins, resamples=2)["ece"].item()
    assert 0 <= ece <= 1
    assert ece == pytest.approx(_ece_by_definition(confidence, correct, bins), abs=1e-12)


def test_ece_is_that_of_torchmetrics(run):
    outcomes = read_outcomes(run)
    theirs = multiclass_calibration_error(
        torch.tensor(outcomes.probability),
        torch.tensor(outcomes.truth),
        num_classes=len(CLASSES),
        n_bins=15,
        norm="l1",
    )
    ours = score_predictions(run, resamples=2)["ece"].item()
    assert ours == pytest.approx(theirs.item(), abs=1e-6)


def test_reliability_table_adds_up_to_ece(run):
    table = reliability_table(run)
    assert len(table) == 15
    assert table["images"].sum() == len(run)
    assert table.loc[table["images"] == 0, "accuracy"].isna().all()
    gap = (table["confidence"] - table["accuracy"]).abs() * table["images"] / len(run)
    assert gap.sum() == pytest.approx(score_predictions(run, resamples=2)["ece"].item())


def test_loss_of_right_and_wrong_answers_adds_up_to_the_log_loss(predictions):
    parts, scores = loss_decomposition(predictions), score_predictions(predictions, resamples=2)
    np.testing.assert_allclose(
        parts["contribution_right"] + parts["contribution_wrong"], scores["log_loss"]
    )
    np.testing.assert_allclose(1 - parts["share_wrong"], scores["accuracy"])
    assert (parts["loss_wrong"] > parts["loss_right"]).all()


def test_a_run_without_errors_has_no_loss_among_wrong_answers(run):
    perfect = run.copy()
    perfect["label"] = np.array(CLASSES)[read_outcomes(run).predicted]
    parts = loss_decomposition(perfect)
    assert parts["loss_wrong"].isna().all()
    assert parts["share_of_loss_wrong"].item() == 0


def test_the_published_loss_of_4_cannot_be_a_clipped_cross_entropy():
    assert implied_loss_per_error(0.9880, 4.0469) == pytest.approx(337.24, abs=0.01)
    assert largest_mean_loss(0.9880, classes=5) < 4.0469
    text = explain_published_loss(0.9880, 4.0469, classes=5)
    for part in ("337.2 nats", "16.12 nats", "0.193", "1e-7", "not the mean clipped"):
        assert part in text


def test_the_published_loss_of_the_blend_is_possible():
    assert "compatible" in explain_published_loss(0.9907, 0.0565, classes=5)
    assert "low confidence" in explain_published_loss(0.99, 1.0, classes=5)
    assert implied_loss_per_error(1.0, 0.1) == np.inf
