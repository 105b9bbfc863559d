"""Scores of networks on images of several sizes."""

import pytest
from paper_tables import make_predictions
from sklearn.metrics import accuracy_score

from wbc_pipeline.evaluation.scores.sizes import scores_by_size

# Of the tables' variants two stand for one network, and two for another that has seen one size.
NETWORKS = {
    "normal": ("plain", 48),
    "blend": ("plain", 32),
    "soft_mask": ("soft", 48),
    "adaptive_blend": ("soft", 48),
}


@pytest.fixture(scope="module")
def sized():
    return make_predictions(variants=[*NETWORKS], sources=20)


def test_a_network_of_one_size_is_compared_with_nothing(sized):
    scores = scores_by_size(sized, NETWORKS, resamples=20)
    assert set(scores["network"]) == {"plain"}
    assert scores["variant"].tolist() == ["blend", "normal"] * 2
    assert scores["size"].tolist() == [32, 48] * 2


def test_a_score_is_the_mean_over_seeds(sized):
    scores = scores_by_size(sized, NETWORKS, resamples=20).set_index(["variant", "protocol"])
    runs = sized.query("variant == 'normal' and protocol == 'source'")
    columns = [name for name in runs if name.startswith("p_")]
    guessed = runs[columns].idxmax(axis=1).str.removeprefix("p_")
    row = scores.loc["normal", "source"]
    assert row["accuracy"] == pytest.approx(accuracy_score(runs["label"], guessed))
    assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
    assert row["seeds"] == 2


def test_one_size_gives_no_rows(sized):
    same = {name: (network, 48) for name, (network, _) in NETWORKS.items()}
    assert scores_by_size(sized, same).empty
