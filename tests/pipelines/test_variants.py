"""Which variants take part."""

import pytest

from wbc_pipeline.pipelines.experiment.options import Selection, Variants
from wbc_pipeline.pipelines.experiment.shifting import waiting_views
from wbc_pipeline.pipelines.preprocessing.options import Views

NAMES = Variants.model_validate(
    {
        **{name: {"network": "normal_cnn"} for name in "abc"},
        "best": {"best": 2},
        "of": {"best": 1, "of": ["b", "c"]},
        "best_of_all": {"best": 1, "of": ["c", "b", "a"]},
        "both": {"ensemble": ["a", "b"]},
    }
)


@pytest.mark.parametrize(
    ("asked", "taking_part"),
    [
        ("a", "a"),
        ("both", "a b both"),
        ("of", "b c of"),
        ("a+b+c+best", "a b c best"),
        ("best", "a b c best"),  # too few are chosen to choose from
        ("a+both+of", "a b c of both"),
        ("a+b+c+of", "a b c of"),
        ("a+best_of_all", "a b c best_of_all"),
        ("a+b+best_of_all", "a b best_of_all"),  # c is not asked for
    ],
)
def test_ensembles_bring_their_members(asked, taking_part):
    assert [*NAMES.select(Selection(asked.split("+"))).root] == taking_part.split()


def test_networks_that_do_not_take_part_are_not_chosen():
    some = NAMES.select(Selection(["a", "b", "best_of_all"]))
    assert some.members("best_of_all") == ["a", "b"]
    assert some.combinations()["best_of_all"] == (["a", "b"], "mean", 1)


def test_the_best_are_chosen_among_those_that_take_part():
    more = {**NAMES.model_dump(exclude_unset=True), "d": {"network": "normal_cnn"}}
    some = Variants.model_validate(more).select(Selection(["a", "b", "c", "best"]))
    assert some.members("best") == ["a", "b", "c"]


def with_one_on_request(**more):
    request = {"d": {"network": "normal_cnn", "views": {"image": "small"}, "on_request": True}}
    return Variants.model_validate(NAMES.model_dump(exclude_unset=True) | request | more)


@pytest.mark.parametrize(
    ("asked", "taking_part"),
    [
        ("all", "a b c best of best_of_all both"),
        ("d", "d"),
        ("a+d", "a d"),
        ("best", "a b c best"),  # which has the others to choose from
        ("a+c+d+best", "a c best d"),
    ],
)
def test_a_variant_on_request_takes_part_where_it_is_named(asked, taking_part):
    chosen = with_one_on_request().select(Selection(asked.split("+")))
    assert [*chosen.root] == taking_part.split()


def test_an_ensemble_brings_a_member_on_request():
    both = with_one_on_request(e={"ensemble": ["a", "d"]})
    assert "d" in both.select(Selection(["all"])).root


@pytest.mark.parametrize(
    ("asked", "waiting"), [("all", {"small"}), ("a", {"small"}), ("d", set()), ("a+d", set())]
)
def test_a_view_for_variants_on_request_alone_waits_for_them(asked, waiting):
    chains = Views.model_validate({"image": [], "small": [{"resize": {"size": 8}}], "own": []})
    chosen = Selection(asked.split("+"))
    assert waiting_views(chains, with_one_on_request(), chosen) == waiting
