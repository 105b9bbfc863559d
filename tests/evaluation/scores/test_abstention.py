"""Errors among the images that are answered."""

import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.figures.abstention import coverage_risk
from wbc_pipeline.evaluation.scores.abstention import abstention_scores, risk_curve


@pytest.fixture
def predictions():
    """Answers whose confidence tells right from wrong; of two parts."""
    random = np.random.default_rng(0)
    rows = []
    for part in ("validation", "test"):
        share = random.random(400)
        rows.append(
            pd.DataFrame(
                {
                    "variant": "normal",
                    "protocol": "source",
                    "seed": 0,
                    "fold": 0,
                    "part": part,
                    "condition": "clean",
                    "label": np.where(random.random(400) < share, "a", "b"),
                    "p_a": share,
                    "p_b": 1 - share,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def test_fewer_of_the_answered_images_are_wrong_than_of_all(predictions):
    (row,) = abstention_scores(predictions, answered=0.5).to_dict("records")
    assert row["coverage"] == pytest.approx(0.5, abs=0.08)
    assert row["risk_answered"] < 0.7 * row["risk_all"]
    assert row["area_under_risk"] < row["risk_all"]
    assert row["temperature"] == pytest.approx(1, abs=0.3)


def test_the_limit_is_set_by_the_validation_part_alone(predictions):
    before = abstention_scores(predictions, answered=0.8)
    test = predictions["part"] == "test"
    predictions.loc[test, ["p_a", "p_b"]] = [0.999, 0.001]
    after = abstention_scores(predictions, answered=0.8)
    assert (after[["temperature", "limit"]] == before[["temperature", "limit"]]).all(axis=None)
    assert after["coverage"].item() == 1


def test_without_a_validation_part_there_is_no_row_and_the_figure_says_so(predictions):
    scores = abstention_scores(predictions[predictions["part"] == "test"], answered=0.8)
    assert scores.empty
    assert coverage_risk(predictions, scores).texts


def test_equally_confident_answers_share_their_risk():
    coverage, risk = risk_curve(np.full(4, 0.7), np.array([True, False, False, False]))
    assert coverage.tolist() == [0.25, 0.5, 0.75, 1] and risk.tolist() == [0.25] * 4
