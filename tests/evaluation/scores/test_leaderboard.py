import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.scores import leaderboard as boards
from wbc_pipeline.evaluation.scores.metrics import score_predictions

CLASSES = ["lymphocyte", "monocyte", "neutrophil"]
OPTIONS = {"bins": 15, "resamples": 60, "level": 0.95}


def make_answers(skill, *, protocol="source", seeds=2, sources=30, classes=CLASSES):
    """Test rows of variants that are right with known probabilities."""
    tables = []
    for seed in range(seeds):
        for number, (variant, right) in enumerate(skill.items()):
            random = np.random.default_rng([seed, number])
            label = np.array(classes)[np.arange(sources) % len(classes)]
            wrong = np.array(classes)[(np.arange(sources) + 1) % len(classes)]
            answer = np.where(random.random(sources) < right, label, wrong)
            table = pd.DataFrame(
                {
                    "image_id": [f"{i}.png" for i in range(sources)],
                    "source_id": [f"cell {i}" for i in range(sources)],
                    "label": label,
                    **{
                        f"p_{name}": np.where(answer == name, 0.8, 0.2 / (len(classes) - 1))
                        for name in classes
                    },
                }
            )
            tables.append(table.assign(variant=variant, seed=seed))
    known = {"dataset": "smears", "part": "test", "condition": "clean", "fold": 0}
    return pd.concat(tables, ignore_index=True).assign(protocol=protocol, **known)


def make_costs(**parameters):
    rows = [
        {"paper": "one", "variant": name, "protocol": "source", "parameters": count}
        | {"flops": 2.0 * count, "training_seconds": 3.0}
        for name, count in parameters.items()
    ]
    columns = [*boards.MODEL, "parameters", "flops", "training_seconds"]
    return pd.DataFrame(rows, columns=columns)


AREAS = pd.DataFrame(
    [
        {"paper": "one", "variant": "good", "protocol": "source", "curve": curve}
        | {"area": area, "area_low": area - 0.1, "area_high": area + 0.1}
        for curve, area in {"blur": 0.4, "noise": 0.7}.items()
    ]
)


@pytest.fixture(scope="module")
def predictions():
    one = {"good": 0.95, "poor": 0.4}
    return {
        "one": pd.concat([make_answers(one), make_answers(one, protocol="random")]),
        "two": make_answers({"good": 0.7}),
        "submission": make_answers({"theirs": 0.8}, seeds=1).assign(
            training_data="unstated", answers="labels"
        ),
    }


@pytest.fixture(scope="module")
def board(predictions):
    return boards.leaderboard(predictions, make_costs(good=10, poor=20), AREAS, **OPTIONS)


def test_each_model_has_a_line_per_protocol_and_a_place_among_those_of_its_protocol(board):
    assert list(board) == boards.LEADERBOARD
    lines = board[["protocol", "place", "paper", "variant"]].to_numpy().tolist()
    assert lines == [
        ["source", 1, "one", "good"],
        ["source", 2, "submission", "theirs"],
        ["source", 3, "two", "good"],
        ["source", 4, "one", "poor"],
        ["random", 1, "one", "good"],
        ["random", 2, "one", "poor"],
    ]


def test_every_line_says_whether_its_protocol_leaks(board):
    assert board["leak"].tolist() == ["leak-free"] * 4 + ["LEAKS"] * 2


def test_scores_are_those_of_the_runs_of_a_model(board, predictions):
    runs = score_predictions(predictions["two"], **OPTIONS)
    row = board[board["paper"] == "two"].iloc[0]
    for column, metric in boards.SCORES.items():
        if metric in runs:
            assert row[column] == pytest.approx(runs[metric].mean()), column
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert (row["seeds"], row["images"], row["classes"]) == (2, 30, 3)


def test_costs_and_the_area_under_noise_stand_beside_the_scores_where_they_are_known(board):
    known = board[(board["paper"] == "one") & (board["protocol"] == "source")].iloc[0]
    assert (known["parameters"], known["flops"], known["noise_area"]) == (10, 20, 0.7)
    others = board[board["paper"] != "one"]
    assert others[["parameters", "noise_area", "iou_cell"]].isna().all(axis=None)


def test_a_page_shows_scores_first_and_what_they_rest_on_beside_them(board):
    scores, tested = boards.split_columns(board)
    assert {"place", "macro_f1", "macro_f1_low"} <= {*scores} and len(scores) == len(board)
    assert [*tested][:3] == boards.MODEL and {"noise_area", "images", "seeds"} <= {*tested}
    assert not {*scores, *tested} & {*boards.COSTS, "iou_cell", "class_names"}


def test_labels_without_probabilities_have_no_score_of_probabilities(board):
    row = board[board["paper"] == "submission"].iloc[0]
    assert np.isnan(row["auc"]) and np.isnan(row["ece_low"]) and not np.isnan(row["macro_f1"])
    assert row["training_data"] == "unstated"


def test_models_of_other_classes_have_places_of_their_own_and_meet_in_no_test():
    predictions = {
        "one": make_answers({"good": 0.9, "poor": 0.5}),
        "two": make_answers({"other": 0.6}, classes=["blast", "healthy"]),
    }
    board = boards.leaderboard(predictions, make_costs(), AREAS.iloc[:0], **OPTIONS)
    assert board.set_index("variant")["place"].to_dict() == {"good": 1, "poor": 2, "other": 1}
    assert board["variant"].tolist() == ["good", "poor", "other"]  # of three classes, then of two
    named = boards.name_models(predictions)
    manifest = pd.DataFrame({"image_id": ["0.png"], "domain": [None]})
    tests = boards.compare_leaders(named, board, manifest, most=3, resamples=50)
    assert tests[["reference", "variant"]].to_numpy().tolist() == [["one/good", "one/poor"]]


def test_the_leader_is_tested_against_those_behind_it_and_every_submission(board, predictions):
    named = boards.name_models(predictions)
    manifest = pd.DataFrame({"image_id": ["0.png"], "domain": [None]})
    tests = boards.compare_leaders(named, board, manifest, most=1, resamples=200)
    assert tests["protocol"].tolist() == ["source"]  # of random only one leads
    row = tests.iloc[0]
    assert (row["reference"], row["variant"]) == ("one/good", "submission/theirs")
    assert row["seeds"] == 1  # those that both have answered
    assert row["gain_low"] < row["gain"] < row["gain_high"]
    more = boards.compare_leaders(named, board, manifest, most=4, resamples=200)
    poor = more[more["variant"] == "one/poor"].set_index("protocol")
    assert poor.loc["source", "p_sources_holm"] < 0.05
    assert poor["leak"].to_dict() == {"source": "leak-free", "random": "LEAKS"}
