import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.audit.ceiling import (
    ALL_CLASSES,
    explain_errors,
    judge_by_others,
    learning_curve,
    score_without_suspects,
    share_protocol,
)
from wbc_pipeline.evaluation.audit.suspects import count_suspects, find_suspects, missed_by_all

CLASSES = ("eosinophil", "lymphocyte", "neutrophil")
NETWORKS = ("residual_cnn", "kernel_logistic", "extra_trees")
SCORES = {"resamples": 50}
CHANGED = [*range(0, 4), *range(40, 44), *range(80, 84)]  # four of each class


def make_predictions(
    *, cells=40, copies=1, changed=(), doubtful=0.0, networks=NETWORKS, protocol="source", seed=0
):
    """Networks that mostly read the true class of each cell; the labels of some were changed."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(3), cells)
    label = truth.copy()
    label[list(changed)] = (truth[list(changed)] + 1) % 3
    tables = []
    for network in networks:
        logits = 4 * np.eye(3)[truth] + rng.normal(size=(len(truth), 3))
        logits += doubtful * rng.normal(size=logits.shape)
        probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        for copy in range(copies):
            table = pd.DataFrame(probability, columns=[f"p_{name}" for name in CLASSES])
            identity = {
                "dataset": "made",
                "image_id": [f"{cell}-{copy}.png" for cell in range(len(truth))],
                "source_id": [f"cell {cell}" for cell in range(len(truth))],
                "part": "test",
                "variant": network,
                "protocol": protocol,
                "seed": 0,
                "fold": 0,
                "condition": "clean",
                "label": np.array(CLASSES)[label],
            }
            tables.append(pd.concat([pd.DataFrame(identity), table], axis=1))
    return pd.concat(tables, ignore_index=True)


def test_changed_labels_are_suspect_and_come_first():
    cells = find_suspects(make_predictions(changed=CHANGED))
    assert set(cells["cell"][:12]) == {f"cell {cell}" for cell in CHANGED}
    assert cells["suspect"].sum() == cells["suspect"][:12].sum() >= 10
    assert (cells["denying"][:10] == 3).all()
    assert cells["rank"].tolist() == list(range(1, 121))


def test_a_suspect_says_what_it_is_taken_for_and_by_whom():
    worst = find_suspects(make_predictions(changed=[3])).iloc[0]
    assert (worst["label"], worst["suggested"]) == ("lymphocyte", "eosinophil")
    assert worst["margin"] == pytest.approx(worst["p_label"] - worst["p_suggested"])
    assert {worst[f"says_{network}"] for network in NETWORKS} == {"eosinophil"}


def test_copies_of_a_cell_are_judged_once():
    predictions = make_predictions(copies=5, changed=[7])
    cells = find_suspects(predictions)
    assert len(cells) == 120
    assert (cells["images"] == 5).all()
    pd.testing.assert_series_equal(
        cells["margin"], find_suspects(make_predictions(changed=[7]))["margin"]
    )


def test_an_image_of_unknown_source_is_a_cell_of_its_own():
    predictions = make_predictions(copies=2).assign(source_id=None)
    cells = find_suspects(predictions)
    assert len(cells) == 240
    assert (cells["cell"] == cells["image_id"]).all()


def test_a_cell_of_two_labels_comes_first_by_the_one_that_is_denied():
    predictions = make_predictions(copies=2, changed=[50])
    again = predictions["image_id"] == "9-1.png"  # an eosinophil
    predictions.loc[again, "label"] = "neutrophil"
    worst, *others = find_suspects(predictions).itertuples()
    assert (worst.cell, worst.label, worst.conflict) == ("cell 9", "neutrophil", "eosinophil")
    right = next(cell for cell in others if cell.cell == "cell 9")
    assert not right.suspect
    assert right.conflict == "neutrophil"
    assert others[0].cell == "cell 50"


def test_two_labels_that_are_confirmed_are_those_of_two_cells():
    predictions = make_predictions()
    overlapping = predictions["source_id"].isin(["cell 9", "cell 100"])
    predictions.loc[overlapping, "source_id"] = "field"
    cells = find_suspects(predictions)
    assert (cells.loc[cells["cell"] == "field", "conflict"] != "").all()
    assert not cells.loc[cells["cell"] == "field", "suspect"].any()


def test_suspects_are_counted_by_class_with_what_they_are_taken_for():
    counts = count_suspects(find_suspects(make_predictions(changed=CHANGED)))
    counts = counts.set_index("label")
    assert counts["cells"].to_dict() == dict.fromkeys(CLASSES, 40)
    assert 3 <= counts["suspects"]["lymphocyte"] <= 5
    assert counts["suggested"]["lymphocyte"].startswith("eosinophil ")
    assert (counts["share_low"] <= counts["share"]).all()
    assert (counts["share"] <= counts["share_high"]).all()


def test_labels_without_errors_are_hardly_suspect():
    assert find_suspects(make_predictions())["suspect"].sum() <= 1


def test_scores_with_all_labels_stand_beside_those_without_suspects():
    predictions = make_predictions(changed=CHANGED)
    table = score_without_suspects(predictions, judge_by_others(predictions), **SCORES)
    assert table["variant"].tolist() == list(NETWORKS)
    assert table["suspects"].between(10, 12).all()
    assert (table["accuracy_without"] > table["accuracy"]).all()
    assert {"accuracy_low", "accuracy_without_low", "macro_f1_without_high"} <= set(table)


def test_errors_are_explained_by_what_the_other_networks_suspect():
    predictions = make_predictions(changed=CHANGED)
    explained = explain_errors(predictions, judge_by_others(predictions))
    whole = explained[explained["label"] == ALL_CLASSES].set_index("variant")
    assert (whole["on_suspects"] >= 10).all()
    assert (whole["explained"] > whole["by_chance"]).all()


def test_a_network_that_errs_alone_has_no_excuse():
    predictions = make_predictions()
    alone = (predictions["variant"] == "residual_cnn") & (predictions["image_id"] < "2")
    wrong = [f"p_{name}" for name in ("lymphocyte", "neutrophil", "eosinophil")]
    predictions.loc[alone, wrong] = predictions.loc[alone, sorted(wrong)].to_numpy()
    explained = explain_errors(predictions, judge_by_others(predictions))
    own = explained[(explained["label"] == ALL_CLASSES) & (explained["variant"] == "residual_cnn")]
    assert own["wrong"].item() > 10
    assert own["explained_high"].item() < 0.35


def test_more_training_cells_show_as_a_gain():
    predictions = pd.concat(
        [
            make_predictions(protocol=share_protocol(25), doubtful=6.0, seed=1),
            make_predictions(protocol=share_protocol(100)),
        ]
    )
    curve = learning_curve(predictions, {25: 24.0, 100: 96.0}, **SCORES)
    assert curve["percent"].tolist() == [25, 100] * 3
    assert curve["training_cells"].tolist() == [24.0, 96.0] * 3
    last = curve[curve["percent"] == 100]
    assert (last["gain_low"] > 0).all()
    assert curve.loc[curve["percent"] == 25, "gain"].isna().all()


def test_a_single_share_is_no_curve():
    curve = learning_curve(make_predictions(), {100: 96.0}, **SCORES)
    assert curve["gain"].isna().all()


def test_what_every_network_misses_is_listed_with_their_answers():
    found = missed_by_all(make_predictions(changed=CHANGED))
    assert {f"{cell}-0.png" for cell in CHANGED} <= set(found["image_id"])
    assert found["margin"].is_monotonic_increasing and (found["margin"] < 0).all()
    assert found["answers"].str.contains(f" {len(NETWORKS)}$").any()
    assert (found["networks"] == len(NETWORKS)).all()


def test_a_test_part_without_a_class_lists_what_is_missed():
    table = make_predictions(changed=CHANGED)
    lacking = table[table["label"] != "eosinophil"]
    assert set(missed_by_all(lacking)["label"]) <= {"lymphocyte", "neutrophil"}


def test_nothing_is_missed_where_one_network_recognises_each_cell():
    table = make_predictions(doubtful=3.0)
    columns = [f"p_{name}" for name in CLASSES]
    first = table["variant"] == NETWORKS[0]
    right = np.array(CLASSES) == table.loc[first, "label"].to_numpy()[:, None]
    table.loc[first, columns] = right.astype(float)
    assert missed_by_all(table).empty
