import pandas as pd
import pytest
from joint_tables import make_overlaps

from wbc_pipeline.evaluation.scores.directions import split_directions
from wbc_pipeline.evaluation.scores.examples import first_runs, pick_answers


@pytest.fixture(scope="module")
def tests() -> pd.DataFrame:
    return split_directions(make_overlaps(seeds=(3, 5)))


def is_right(answers) -> list[bool]:
    return (answers["label"] == answers["predicted"]).tolist()


def test_one_network_is_kept_of_each_variant_and_direction(tests):
    runs = first_runs(tests).groupby(["variant", "protocol"])
    assert (runs[["seed", "fold"]].nunique() == 1).all(axis=None)
    assert set(runs.groups) == set(tests.groupby(["variant", "protocol"]).groups)
    assert set(first_runs(tests)["seed"]) == {3}


def test_failures_are_the_surest_of_each_direction_in_turn(tests):
    one = first_runs(tests[tests["variant"] == "normal"])
    picked = pick_answers(one, 8)
    assert is_right(picked) == [False] * 4 + [True] * 4
    assert picked["protocol"].iloc[:3].nunique() == 3
    assert picked["confidence"].iloc[0] == pick_answers(one, 1)["confidence"].iloc[0]
    assert picked["label"].iloc[4:].nunique() == 4
    probability = picked.iloc[0][f"p_{picked['predicted'].iloc[0]}"]
    assert (
        probability == picked["confidence"].iloc[0] > picked.iloc[0][f"p_{picked['label'].iloc[0]}"]
    )


@pytest.mark.parametrize(("right", "expected"), [(1, 5), (0, 6), (50, 3)])
def test_where_one_kind_is_rare_the_other_fills_up(tests, right, expected):
    answers = pick_answers(tests, len(tests))
    good = answers["label"] == answers["predicted"]
    few = pd.concat([answers[good].head(right), answers[~good]])
    picked = pick_answers(few, 6)
    assert len(picked) == 6
    assert is_right(picked).count(False) == expected


def test_images_without_a_label_are_not_picked(tests):
    assert pick_answers(tests.assign(label=None), 5).empty
    assert pick_answers(tests.head(0), 5).empty


def test_folds_within_a_set_stay_together(tests):
    split = split_directions(tests.assign(protocol="source", fold=range(len(tests))))
    assert set(split["protocol"]) == {"source"}


def test_other_data_sets_are_directions_too(tests):
    split = split_directions(tests.assign(protocol="dataset", dataset="lisc"))
    assert set(split["protocol"]) == {"to lisc"}
