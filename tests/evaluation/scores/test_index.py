import pandas as pd
import pytest
from scipy.stats import friedmanchisquare

from wbc_pipeline.evaluation.scores.index import list_ranks, rank_models

SCORES = {  # macro F1 of models on data sets
    "lisc": {"a": 0.9, "b": 0.7, "c": 0.5, "d": 0.4},
    "idb2": {"a": 0.8, "b": 0.6, "c": 0.5},
    "pbc": {"a": 0.9, "b": 0.8, "c": 0.4},
    "few": {"a": 0.9},
}


def make(scores, protocol="source"):
    rows = [("blend", name, protocol, 5, score) for name, score in scores.items()]
    rows += [("blend", "two_classes", protocol, 2, 0.99), ("blend", "a", "random", 5, 0.99)]
    board = pd.DataFrame(rows, columns=["paper", "variant", "protocol", "classes", "macro_f1"])
    board["class_names"] = board["classes"].astype(str)
    return {"leaderboard": board.sort_values("macro_f1", ascending=False, ignore_index=True)}


def test_models_are_ranked_over_the_data_sets_that_share_them():
    found = rank_models({name: make(scores) for name, scores in SCORES.items()}, most=5)
    assert list(found) == ["source"]
    table = list_ranks(found)
    assert table["model"].tolist() == ["blend/a", "blend/b", "blend/c"]
    assert table["mean_rank"].tolist() == [1, 2, 3] and set(table["data_sets"]) == {3}
    expected = friedmanchisquare([0.9, 0.8, 0.9], [0.7, 0.6, 0.8], [0.5, 0.5, 0.4]).pvalue
    assert table["p_friedman"].tolist() == pytest.approx([expected] * 3)
    assert table["p_nemenyi"].tolist() == sorted(table["p_nemenyi"], reverse=True)


@pytest.mark.parametrize(
    ("boards", "most"),
    [
        ({}, 5),
        ({name: make(SCORES[name]) for name in ("lisc", "idb2")}, 5),  # two data sets
        ({name: make(scores) for name, scores in SCORES.items()}, 2),  # two leaders of each
        ({name: make(scores, "random") for name, scores in SCORES.items()}, 5),  # leaks
    ],
)
def test_too_little_in_common_gives_no_ranks(boards, most):
    assert list_ranks(rank_models(boards, most)).empty
