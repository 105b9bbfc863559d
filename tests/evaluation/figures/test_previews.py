import json

import pytest

from wbc_pipeline.evaluation.figures.previews import plotly_curves, plotly_scores
from wbc_pipeline.evaluation.scores.metrics import score_predictions


@pytest.fixture(scope="module")
def metrics(predictions):
    return score_predictions(predictions, resamples=50)


def test_previews_hold_every_run(metrics, history):
    scores = plotly_scores(metrics, dataset="demo")
    assert [trace.name for trace in scores.data] == ["random", "source"]
    assert "demo" in scores.layout.title.text
    assert len(plotly_curves(history, dataset="demo").data) == 2 * 5 * 2 * 2


def test_previews_hold_plain_json_and_no_arrays(metrics, history):
    for figure in (plotly_scores(metrics), plotly_curves(history)):
        json.dumps([trace.to_plotly_json() for trace in figure.data])  # refuses arrays
        assert "bdata" not in figure.to_json()
