import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.figures.failures import failures_sheet
from wbc_pipeline.evaluation.scores.champion import (
    choose_champion,
    class_scores,
    count_mistakes,
    sure_mistakes,
)
from wbc_pipeline.evaluation.scores.per_class import per_class_scores

NETWORKS = {
    (*network, protocol)
    for network in (("blend", "normal"), ("blend", "blend"), ("saliency", "fusion"))
    for protocol in ("source", "domain", "random", "published")
}


def board(*rows):
    columns = ["paper", "variant", "protocol", "classes", "macro_f1"]
    return pd.DataFrame(rows, columns=columns)


def chosen(*rows):
    champion = choose_champion(board(*rows), NETWORKS)
    return champion and (champion["paper"], champion["variant"], champion["protocol"])


def test_the_highest_macro_f1_wins_among_networks_without_a_leak():
    assert chosen(
        ("blend", "normal", "source", 4, 0.7),
        ("blend", "blend", "source", 4, 0.8),
        ("blend", "both", "source", 4, 0.9),  # an ensemble
        ("submission", "normal", "source", 4, 0.95),
        ("blend", "normal", "random", 4, 0.99),
        ("blend", "normal", "published", 4, 0.99),
    ) == ("blend", "blend", "source")


def test_protocols_and_classes_are_not_mixed():
    assert chosen(
        ("blend", "normal", "domain", 4, 0.9),
        ("blend", "blend", "source", 2, 0.95),
        ("saliency", "fusion", "source", 4, 0.6),
    ) == ("saliency", "fusion", "source")


def test_without_a_leak_free_network_there_is_no_champion():
    assert chosen(("blend", "normal", "random", 4, 0.9)) is None


@pytest.fixture
def answers():
    """Of two seeds; of each image one answer a seed, mistakes of known confidence."""
    random = np.random.default_rng(0)
    labels = np.repeat(["a", "b", "c"], [20, 10, 5])
    tables = []
    for seed in (0, 1):
        right = np.eye(3)[np.repeat([0, 1, 2], [20, 10, 5])]
        probability = 0.6 * right + 0.4 * random.dirichlet(np.ones(3), len(labels))
        probability[[0, 1, 20]] = [[0.05, 0.9, 0.05], [0.2, 0.7, 0.1], [0.2, 0.2, 0.6]]
        table = pd.DataFrame(probability, columns=["p_a", "p_b", "p_c"])
        names = [f"{row:02}" for row in range(len(labels))]
        facts = {"variant": "v", "protocol": "source", "seed": seed, "fold": 0}
        facts |= {"condition": "clean", "part": "test"}
        tables.append(table.assign(image_id=names, source_id=names, label=labels, **facts))
    return pd.concat(tables, ignore_index=True)


def test_scores_of_each_class_have_intervals_that_hold_them(answers):
    found = class_scores(answers).set_index("label")
    expected = per_class_scores(answers).groupby("label")[["precision", "recall", "f1"]].mean()
    pd.testing.assert_frame_equal(found[list(expected)], expected)
    assert found["images"].tolist() == [20, 10, 5]
    for name in expected:
        assert (found[f"{name}_low"] < found[name]).all()
    assert (found["recall_high"] >= found["recall"]).all()
    widths = found["recall_high"] - found["recall_low"]
    assert widths["c"] > widths["a"]  # five images say less than twenty


def test_the_surest_mistakes_come_from_each_class_in_turn_and_show_an_image_once(answers):
    found = sure_mistakes(answers, 10)
    assert found["image_id"].tolist() == ["00", "20", "01"]
    assert found["predicted"].tolist() == ["b", "c", "b"]
    images = [np.zeros((8, 8, 3), np.uint8)] * len(found)
    figure = failures_sheet(found, images, dataset="demo")
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "a\n→ b 90%" in texts


def test_classes_that_are_taken_for_others_are_counted(answers):
    found = count_mistakes(answers)
    assert found[["label", "answered", "times"]].to_numpy().tolist() == [
        ["a", "b", 4],
        ["b", "c", 2],
    ]
    assert found["share"].tolist() == pytest.approx([0.1, 0.1])
