import json

import pandas as pd
import pytest

from wbc_pipeline.evaluation.figures.previews import (
    MOST_VARIANTS,
    plotly_curves,
    plotly_robustness,
    plotly_scores,
)
from wbc_pipeline.evaluation.figures.style import PALETTE
from wbc_pipeline.evaluation.scores.metrics import score_predictions


@pytest.fixture(scope="module")
def metrics(predictions):
    return score_predictions(predictions, resamples=50)


@pytest.fixture(scope="module")
def degraded(metrics):
    """Accuracies of clean and of noisy images, as ``robustness_scores`` gives them."""
    first = metrics[metrics["seed"] == 0]
    columns = ["variant", "protocol", "accuracy", "accuracy_low", "accuracy_high"]
    return pd.concat(
        [first[columns].assign(curve="noise", amount=amount) for amount in (0.0, 0.35)],
        ignore_index=True,
    )


def test_previews_hold_every_run(metrics, history):
    scores = plotly_scores(metrics, dataset="demo")
    assert [trace.name for trace in scores.data] == ["random", "random", "source", "source"]
    assert [trace.showlegend for trace in scores.data] == [True, False, True, False]
    assert "demo" in scores.layout.title.text
    assert len(plotly_curves(history, dataset="demo").data) == 4 * 5 * 2 * 2


def test_a_variant_has_one_colour_in_every_chart(metrics, history, degraded):
    expected = dict(zip(metrics["variant"].unique(), PALETTE, strict=False))
    for trace in plotly_scores(metrics).data:
        assert dict(zip(trace.y, trace.marker.color, strict=True)) == expected
    for trace in (*plotly_curves(history).data, *plotly_robustness(degraded).data):
        assert trace.line.color == expected[trace.name]


def test_what_is_printed_is_a_star(metrics, published, degraded):
    stars = plotly_scores(metrics, published).data[-1]
    assert stars.marker.symbol == "star"
    assert [*zip(stars.y, stars.x, strict=True)] == [
        ("normal", 0.988),
        ("blend", 0.9907),
        ("blend", 0.9993),
    ]
    both = [
        trace
        for trace in plotly_robustness(degraded, {"blend": {"noise": {0.35: "0.91"}}}).data
        if trace.marker.symbol == "star"
    ]
    assert len(both) == 2  # a protocol each
    assert all((each.x, each.y, each.name) == ((0.35,), (0.91,), "blend") for each in both)


def test_every_curve_has_a_row_and_says_what_its_amounts_are(degraded):
    both = pd.concat([degraded, degraded.assign(curve="blur")])
    figure = plotly_robustness(both, scales={"noise": "sigma"})
    titles = {axis.title.text for axis in figure.select_xaxes()}
    assert titles == {"noise (sigma)", "blur"}
    assert len(plotly_robustness(degraded).data) == 5 * 2


def test_of_very_many_variants_some_wait_in_the_legend(history):
    one = history[history["variant"] == "normal"]
    many = pd.concat([one.assign(variant=f"v{number}") for number in range(MOST_VARIANTS + 2)])
    waiting = {trace.name for trace in plotly_curves(many).data if trace.visible == "legendonly"}
    assert waiting == {f"v{MOST_VARIANTS}", f"v{MOST_VARIANTS + 1}"}


def test_previews_hold_plain_json_and_no_arrays(metrics, history, degraded):
    charts = plotly_scores(metrics), plotly_curves(history), plotly_robustness(degraded)
    for figure in charts:
        json.dumps([trace.to_plotly_json() for trace in figure.data])  # refuses arrays
        assert "bdata" not in figure.to_json()
