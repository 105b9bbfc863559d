import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.pipelines.splitting.nodes import SplitError, check_splits, split_images
from wbc_pipeline.pipelines.splitting.options import Protocols, SplittingOptions

OPTIONS = SplittingOptions(validation=0.15, test=0.15)


def manifest(cells=20, views=3, classes=3, **columns):
    rows = [
        (f"{label}_{cell}_{view}", f"class{label}", f"{label}_{cell}")
        for label in range(classes)
        for cell in range(cells)
        for view in range(views)
    ]
    table = pd.DataFrame(rows, columns=["image_id", "label", "source_id"])
    return table.assign(status="ok", published_part=None).assign(**columns)


def split(images, *protocols, seeds=1):
    return split_images(images, Protocols(list(protocols)), seeds, OPTIONS)


@settings(deadline=None, max_examples=40)
@given(seeds=st.integers(1, 3), cells=st.integers(3, 30), views=st.integers(1, 5))
def test_source_split_never_shares_a_cell(seeds, cells, views):
    images = manifest(cells, views)
    splits = split(images, "source", seeds=seeds).merge(images, on="image_id")
    assert (splits.groupby(["seed", "source_id"])["part"].nunique() == 1).all()


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
    split(pd.concat([manifest(), manifest(1, 2, 1).assign(label="rare", source_id="r")]), "source")
    assert "'rare' has 1 source" in caplog.text


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
    splits = pd.DataFrame({"image_id": images["image_id"], "protocol": "source", "seed": 0}).assign(
        part=["train", "validation", "test"]
    )
    with pytest.raises(SplitError, match="leaks"):
        check_splits(splits, images)


def test_unknown_sources_name_the_protocols_that_remain():
    with pytest.raises(SplitError, match=r"random\+published"):
        split(manifest(source_id=None), "source")


def test_no_published_split_is_said():
    with pytest.raises(SplitError, match="no published split"):
        split(manifest(), "published")


def test_a_class_with_one_image_is_named():
    images = pd.concat([manifest(), manifest(1, 1, 1).assign(label="rare", image_id="r")])
    with pytest.raises(SplitError, match="rare"):
        split(images.reset_index(drop=True), "random")


def test_protocols_may_be_written_with_a_plus():
    assert Protocols("random+source").root == ["random", "source"]
