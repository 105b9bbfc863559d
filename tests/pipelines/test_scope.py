"""Which images are dealt to parts, and which stand outside."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.errors import UserError
from wbc_pipeline.pipelines.experiment.runs import iterate_runs, learnt_run
from wbc_pipeline.pipelines.splitting.nodes import check_splits, deal_splits, split_images
from wbc_pipeline.pipelines.splitting.options import Protocols, SplittingOptions
from wbc_pipeline.pipelines.splitting.scope import add_outside, choose_dealt, choose_outside
from wbc_pipeline.training.options import StageOptions, merge_stages

OPTIONS = SplittingOptions(validation=0.15, test=0.15, folds=3, max_unknown=0.05)
WITHIN = OPTIONS.model_copy(update={"within": "published_train"})
INSIDE = OPTIONS.model_copy(update={"datasets": ["ours"]})
SOURCE = Protocols(["source"])
TRAIN = StageOptions(epochs=1, batch_size=8, learning_rate=0.1)


def images_of(name, cells=12, copies=2, classes=3, part=None):
    table = pd.DataFrame(
        [
            (f"{name}/{label}_{cell}_{copy}", f"class{label}", f"{name}/{label}_{cell}")
            for label in range(classes)
            for cell in range(cells)
            for copy in range(copies)
        ],
        columns=["image_id", "label", "source_group"],
    )
    return table.assign(
        dataset=name, status="ok", published_part=part, filename_group=None, domain=None
    )


def two_sets(shared=()):
    """Two data sets; some cells stand in both."""
    ours, theirs = images_of("ours"), images_of("theirs", cells=15, copies=1)
    groups = theirs["source_group"].to_numpy().copy()
    groups[[*shared]] = ours["source_group"].unique()[: len(shared)]
    return pd.concat([ours, theirs.assign(source_group=groups)], ignore_index=True)


def split(images, options):
    dealt, outside = choose_dealt(images, options), choose_outside(images, options)
    return add_outside(split_images(dealt, "source", 0, options), dealt, outside)


def test_a_search_never_touches_the_published_test_part():
    images = pd.concat([images_of("a", part="train"), images_of("b", part="test")])
    dealt = choose_dealt(images, WITHIN)
    assert set(dealt["dataset"]) == {"a"}
    assert len(choose_dealt(images, OPTIONS)) == len(images)


def test_a_search_cannot_be_scored_on_what_it_leaves_out():
    images = images_of("a", part="train")
    with pytest.raises(UserError, match=r"splitting\.within=published_train leaves out"):
        deal_splits(images, Protocols(["published", "source"]), 1, WITHIN)


def test_images_without_a_published_part_have_no_published_training_part():
    with pytest.raises(UserError, match=r"have none .* Set splitting\.within=all"):
        choose_dealt(images_of("a"), WITHIN)


@settings(deadline=None, max_examples=20)
@given(shared=st.lists(st.integers(0, 44), unique=True, max_size=20))
def test_no_cell_is_learnt_from_outside_and_tested_inside(shared):
    images = two_sets(shared)
    splits = split(images, INSIDE)
    check_splits(splits, images)
    rows = splits.merge(images[["image_id", "source_group"]], on="image_id")
    assert set(rows.loc[rows["dataset"] == "theirs", "part"]) == {"outside"}
    for _, fold in rows.groupby("fold"):
        apart = fold[fold["part"].isin(["validation", "test"])]
        learnt = fold[fold["part"] == "outside"]
        assert set(apart["dataset"]) == {"ours"}
        assert not set(apart["source_group"]) & set(learnt["source_group"])
        theirs = images[images["dataset"] == "theirs"]
        left_out = theirs[~theirs["image_id"].isin(learnt["image_id"])]
        assert set(left_out["source_group"]) <= set(apart["source_group"])


def test_a_search_learns_nothing_of_a_published_test_cell_outside_either():
    images = two_sets(shared=range(12))
    is_test = images["source_group"].isin(images["source_group"].unique()[:6])
    images["published_part"] = np.where(is_test, "test", "train")
    search = INSIDE.model_copy(update={"within": "published_train"})
    theirs = images[images["dataset"] == "theirs"]
    assert set(choose_outside(images, search).index) == set(theirs.index[~is_test[theirs.index]])
    assert len(choose_outside(images, INSIDE)) == len(theirs)


def test_images_outside_are_part_of_what_a_split_depends_on():
    images = two_sets()

    def key(images, options):
        return deal_splits(images, SOURCE, 1, options)["source-0"].key

    ours = images[images["dataset"] == "ours"]
    plain = key(ours, OPTIONS)
    assert key(ours, INSIDE).digest == plain.digest  # there is nothing outside
    assert key(images, INSIDE).digest != plain.digest
    fewer = images.drop(images.index[-1])
    assert key(fewer, INSIDE).digest != key(images, INSIDE).digest


@pytest.fixture
def run():
    images = two_sets()
    return next(iterate_runs(split(images, INSIDE), images))


@pytest.mark.parametrize("learn_from", ["outside", "both"])
def test_a_training_looks_at_images_outside_only_if_it_learns_from_them(run, learn_from):
    plain = learnt_run(run, merge_stages(TRAIN, {"main": {}}), variant="plain")
    assert set(plain.rows) == {"train", "validation", "test"}
    stages = merge_stages(TRAIN, {"first": {"learn_from": learn_from}, "main": {}})
    learnt = learnt_run(run, stages, variant="pretrained")
    np.testing.assert_array_equal(learnt.rows["outside"], run.rows["outside"])


def test_a_training_that_learns_from_images_outside_says_how_to_add_them(run):
    stages = merge_stages(TRAIN, {"main": {}, "more": {"learn_from": "both"}})
    with pytest.raises(UserError, match=r"mixed learns from .*stages\.more\.learn_from.*splitting"):
        learnt_run(run.without("outside"), stages, variant="mixed")
