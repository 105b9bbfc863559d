import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.pipelines.splitting.nodes import SplitError, check_splits, split_images
from wbc_pipeline.pipelines.splitting.options import Protocols, SplittingOptions

OPTIONS = SplittingOptions(validation=0.15, test=0.15, folds=1, max_unknown=0.05)
PARTS = ["train", "validation", "test"]


def manifest(cells=20, views=3, classes=3, **columns):
    rows = [
        (f"{label}_{cell}_{view}", f"class{label}", f"{label}_{cell}")
        for label in range(classes)
        for cell in range(cells)
        for view in range(views)
    ]
    table = pd.DataFrame(rows, columns=["image_id", "label", "source_id"])
    table = table.assign(status="ok", published_part=None, filename_group=None)
    return table.assign(source_group=table["source_id"]).assign(**columns)


def split(images, *protocols, seeds=1):
    return split_images(images, Protocols(list(protocols)), seeds, OPTIONS)


@settings(deadline=None, max_examples=40)
@given(seeds=st.integers(1, 3), cells=st.integers(3, 30), views=st.integers(1, 5))
def test_source_split_never_shares_a_cell(seeds, cells, views):
    images = manifest(cells, views)
    splits = split(images, "source", seeds=seeds).merge(images, on="image_id")
    assert (splits.groupby(["seed", "source_id"])["part"].nunique() == 1).all()


@settings(deadline=None, max_examples=20)
@given(folds=st.integers(2, 5), cells=st.integers(5, 20), seeds=st.integers(1, 2))
def test_folds_test_every_cell_once_and_never_share_one(folds, cells, seeds):
    images = manifest(cells)
    options = OPTIONS.model_copy(update={"folds": folds})
    splits = split_images(images, Protocols(["source"]), seeds, options).merge(images)
    assert (splits.groupby(["seed", "fold", "source_group"])["part"].nunique() == 1).all()
    tested = splits[splits["part"] == "test"]
    for _, once in tested.groupby("seed"):
        assert sorted(once["image_id"]) == sorted(images["image_id"])
    assert (tested.groupby(["seed", "fold"])["label"].nunique() == 3).all()


def test_other_protocols_are_not_cross_validated():
    options = OPTIONS.model_copy(update={"folds": 4})
    assert (split_images(manifest(), Protocols(["random"]), 1, options)["fold"] == 0).all()


@st.composite
def grouped_images(draw):
    """Groups of one to three images, each of any class: what near-duplicates may make of a set.

    Three groups of one class are there at least, or a part would stay empty, which is an error.
    """
    groups = draw(st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=3), max_size=12))
    groups += [["a"]] * 3
    rows = [(f"{number}", label) for number, labels in enumerate(groups) for label in labels]
    table = pd.DataFrame(rows, columns=["source_group", "label"])
    names = [f"image_{row}" for row in range(len(table))]
    return table.assign(image_id=names, source_id=names, status="ok")


@settings(deadline=None, max_examples=60)
@given(images=grouped_images())
def test_no_group_of_any_set_stands_on_two_sides_under_any_of_twenty_seeds(images):
    splits = split(images, "source", seeds=20).merge(images, on="image_id")
    assert len(splits) == 20 * len(images)
    assert (splits.groupby(["seed", "source_group"])["part"].nunique() == 1).all()


def can_keep_every_class(images):
    """Try all ways to give the groups to three parts."""
    labels = images.groupby("source_group")["label"].agg(set)
    split_up = images.groupby("label")["source_group"].nunique()
    wanted = set(split_up.index[split_up >= len(PARTS)])
    return any(
        all(
            wanted <= set().union(*labels[[part == one for part in parts]])
            for one in range(len(PARTS))
        )
        for parts in itertools.product(range(len(PARTS)), repeat=len(labels))
    )


@settings(deadline=None, max_examples=60)
@given(images=grouped_images().filter(lambda images: images["source_group"].nunique() <= 7))
def test_every_class_of_three_groups_stands_in_every_part_where_the_groups_allow_it(images):
    splits = split(images, "source").merge(images, on="image_id")
    groups = images.groupby("label")["source_group"].nunique()
    parts = splits.groupby("label")["part"].nunique()
    kept = (parts[groups >= len(PARTS)] == len(PARTS)).all()
    assert kept or not can_keep_every_class(images)


@settings(deadline=None, max_examples=40)
@given(cells=st.integers(3, 30), views=st.integers(1, 5))
def test_every_class_stands_in_every_part_if_it_has_three_sources(cells, views):
    images = manifest(cells, views)
    splits = split(images, "source").merge(images, on="image_id")
    assert (splits.groupby("label")["part"].nunique() == 3).all()


@pytest.mark.parametrize("protocol", ["random", "source"])
def test_shares_are_about_70_15_15_in_each_class(protocol):
    images = manifest(cells=100)
    splits = split(images, protocol).merge(images, on="image_id")
    shares = splits.groupby("label")["part"].value_counts(normalize=True).unstack()
    assert np.allclose(shares[["train", "validation", "test"]], [0.7, 0.15, 0.15], atol=0.02)


def test_random_split_of_copies_leaks():
    images = manifest()
    splits = split(images, "random").merge(images, on="image_id")
    assert (splits.groupby("source_id")["part"].nunique() > 1).any()


def test_published_test_part_is_kept():
    images = manifest(published_part=["test", "train", "train"] * 60)
    splits = split(images, "published").set_index("image_id")
    tested = images.loc[images["published_part"] == "test", "image_id"]
    assert (splits.loc[tested, "part"] == "test").all()
    assert "test" not in set(splits.drop(tested)["part"])


def test_a_published_validation_part_is_kept():
    images = manifest(published_part=["test", "validation", "train"] * 60)
    splits = split(images, "published").set_index("image_id")["part"]
    assert splits.tolist() == images["published_part"].tolist()


def test_a_class_with_too_few_sources_is_warned_of(caplog):
    rare = manifest(1, 2, 1).assign(label="rare", source_id="r", source_group="r")
    split(pd.concat([manifest(), rare], ignore_index=True), "source")
    assert "No test image of class 'rare' (seed 0): it has 1 source(s)." in caplog.text
    assert "No validation image of class 'rare'" in caplog.text


def test_photographs_of_one_cell_stay_on_one_side():
    images = manifest()
    images["source_group"] = images["label"] + "_" + (images.index // 6).astype(str)
    splits = split(images, "source", seeds=5).merge(images, on="image_id")
    assert (splits.groupby(["seed", "source_group"])["part"].nunique() == 1).all()


def test_a_split_by_file_names_follows_the_names_and_leaks():
    images = manifest()
    images["filename_group"] = (images.index % 12).astype(str)
    splits = split(images, "filename").merge(images, on="image_id")
    assert (splits.groupby("filename_group")["part"].nunique() == 1).all()
    assert (splits.groupby("source_id")["part"].nunique() > 1).any()


def test_names_that_suggest_nothing_cannot_be_split_by():
    with pytest.raises(SplitError, match="filename_group"):
        split(manifest(), "filename")


def test_few_images_of_unknown_source_are_left_out_and_warned_of(caplog):
    images = manifest()
    images.loc[:4, ["source_id", "source_group"]] = None
    splits = split(images, "source", "random")
    left = set(images["image_id"]) - set(splits.loc[splits["protocol"] == "source", "image_id"])
    assert left == set(images["image_id"][:5])
    assert "5 images of unknown source are left out" in caplog.text


def test_images_without_a_label_take_no_part():
    images = manifest()
    images.loc[0, "label"] = None
    assert images["image_id"][0] not in set(split(images, "random", "source")["image_id"])


def test_same_seed_gives_the_same_split_and_another_seed_another():
    images = manifest()
    one, again = (split(images, "random", "source", seeds=2) for _ in range(2))
    pd.testing.assert_frame_equal(one, again)
    by_seed = one.groupby(["protocol", "seed"])["part"].agg(list)
    assert by_seed["source", 0] != by_seed["source", 1]


def test_refused_images_take_no_part():
    images = manifest()
    images.loc[0, "status"] = "empty file"
    assert images.loc[0, "image_id"] not in set(split(images, "random")["image_id"])


def test_a_leaking_split_fails_the_run():
    images = manifest(cells=1, views=3, classes=1)
    splits = images[["image_id"]].assign(protocol="source", seed=0, fold=0, part=PARTS)
    with pytest.raises(SplitError, match="leaks"):
        check_splits(splits, images)


def test_unknown_sources_name_the_protocols_that_remain():
    with pytest.raises(SplitError, match=r"random\+published"):
        split(manifest(source_id=None, source_group=None), "source")


def test_no_published_split_is_said():
    with pytest.raises(SplitError, match="no published split"):
        split(manifest(), "published")


def test_a_class_with_one_image_is_named():
    images = pd.concat([manifest(), manifest(1, 1, 1).assign(label="rare", image_id="r")])
    with pytest.raises(SplitError, match="rare"):
        split(images.reset_index(drop=True), "random")


def test_protocols_may_be_written_with_a_plus():
    assert Protocols("random+source").root == ["random", "source"]
