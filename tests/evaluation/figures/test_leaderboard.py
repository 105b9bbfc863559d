import numpy as np
import pandas as pd
import pytest
from figure_texts import check, rows_of

from wbc_pipeline.evaluation.figures.leaderboard import critical_differences, leading_models
from wbc_pipeline.evaluation.scores.leaderboard import SUBMISSIONS
from wbc_pipeline.evaluation.scores.protocols import leak_of
from wbc_pipeline.evaluation.scores.ranks import compare_ranks


@pytest.fixture
def board():
    """Six models under each of two protocols, the last of them a submission."""
    rows = [
        {"protocol": protocol, "leak": leak_of(protocol), "class_names": "a + b", "place": place}
        | {"paper": "blend" if place < 6 else SUBMISSIONS, "variant": f"net_{place}"}
        | {"macro_f1": 0.9 - place / 20, "macro_f1_low": 0.5, "macro_f1_high": 0.95}
        for protocol in ("source", "random")
        for place in range(1, 7)
    ]
    return pd.DataFrame(rows).assign(parameters=1e6, inference_ms=np.nan)


def test_the_leaders_of_each_protocol_and_every_submission_are_drawn(board):
    figure = leading_models(board, most=2, dataset="lisc")
    assert len(figure.axes) == 2
    assert rows_of(figure) == ["blend · net_1", "blend · net_2", "submission · net_6"]
    check(figure, "protocol: source (leak-free)", "protocol: random (LEAKS)", "lisc")


def test_ranks_are_drawn_with_the_number_of_blocks(board):
    random = np.random.default_rng(0)
    scores = pd.DataFrame({name: random.random(5) + place for place, name in enumerate("abcd")})
    figure = critical_differences([("source", compare_ranks(scores))], dataset="lisc")
    check(figure, "5 seeds and folds", "Friedman p = ", "d (1)", "(4) a")


def test_a_chart_of_all_models_has_a_trace_for_each_protocol(board):
    from wbc_pipeline.evaluation.figures.previews import plotly_leaderboard

    chart = plotly_leaderboard(board, dataset="lisc")
    assert [trace.name for trace in chart.data] == ["source (leak-free)", "random (LEAKS)"]
    assert chart.data[0].x[-1] == "submission · net_6"
    assert chart.data[0].text[0] == "1,000,000 parameters"
