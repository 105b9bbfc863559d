import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.datasets.results import ResultsDataset
from wbc_pipeline.errors import UserError
from wbc_pipeline.keys import code_digest, explain_change
from wbc_pipeline.pipelines.experiment.runs import iterate_runs
from wbc_pipeline.pipelines.splitting.absent_classes import (
    describe_absent_classes,
    describe_moved_parts,
    describe_unused,
)
from wbc_pipeline.pipelines.splitting.nodes import (
    SplitError,
    check_splits,
    collect_splits,
    deal_splits,
    limit_training,
    split_images,
)
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
    table = table.assign(dataset="demo", domain=None, source_group=table["source_id"])
    return table.assign(**columns)


def split(images, *protocols, seeds=1, options=OPTIONS):
    dealt = [
        split_images(images, protocol, seed, options)
        for protocol in protocols
        for seed in range(seeds)
    ]
    return pd.concat(dealt, ignore_index=True)


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
    splits = split(images, "source", seeds=seeds, options=options).merge(images)
    assert (splits.groupby(["seed", "fold", "source_group"])["part"].nunique() == 1).all()
    tested = splits[splits["part"] == "test"]
    for _, once in tested.groupby("seed"):
        assert sorted(once["image_id"]) == sorted(images["image_id"])
    assert (tested.groupby(["seed", "fold"])["label"].nunique() == 3).all()


def test_other_protocols_are_not_cross_validated():
    options = OPTIONS.model_copy(update={"folds": 4})
    assert (split(manifest(), "random", options=options)["fold"] == 0).all()


@st.composite
def images_of_domains(draw):
    """Images of two to four stains; some cells were stained twice."""
    domains = draw(st.lists(st.sampled_from("kgwp"), min_size=2, max_size=4, unique=True))
    images = manifest(cells=draw(st.integers(8, 20)))
    cells = images["source_group"].unique()
    stains = [domains[place % len(domains)] for place in range(len(cells))]
    images["domain"] = images["source_group"].map(dict(zip(cells, stains, strict=True)))
    twice = draw(st.sets(st.integers(0, len(cells) // 4)))
    views = images["source_group"].isin(cells[list(twice)]) & images["image_id"].str.endswith("2")
    images.loc[views, "domain"] = draw(st.sampled_from(domains))
    return images.sample(frac=1, random_state=draw(st.integers(0, 9)), ignore_index=True)


@pytest.mark.parametrize("protocol", ["domain", "dataset"])
@settings(deadline=None, max_examples=30)
@given(images=images_of_domains(), seeds=st.integers(1, 2))
def test_each_fold_tests_all_of_one_domain_and_trains_on_none_of_its_cells(protocol, images, seeds):
    images = images.rename(columns={"domain": protocol, protocol: "domain"})
    splits = split(images, protocol, seeds=seeds).drop(columns="dataset")
    check_splits(splits, images)
    splits = splits.merge(images, on="image_id")
    names = sorted(images[protocol].unique())
    assert set(splits["fold"]) == set(range(len(names)))
    for (_, fold), rows in splits.groupby(["seed", "fold"]):
        tested, others = rows[rows["part"] == "test"], rows[rows["part"] != "test"]
        of_the_domain = images[protocol] == names[fold]
        assert set(tested["image_id"]) == set(images.loc[of_the_domain, "image_id"])
        shown = images["source_group"].isin(tested["source_group"])
        assert set(others["image_id"]) == set(images.loc[~shown, "image_id"])
        assert (others.groupby("source_group")["part"].nunique() == 1).all()


@pytest.mark.parametrize("protocol", ["domain", "dataset"])
def test_one_domain_cannot_be_left_out(protocol):
    images = manifest(domain="giemsa")
    with pytest.raises(SplitError, match=rf"{protocol} protocol .* all images are of one"):
        split(images, protocol)


def test_images_of_no_domain_are_counted():
    images = manifest(domain="giemsa")
    images.loc[:2, "domain"] = None
    with pytest.raises(SplitError, match=r"3 of 180 images, such as '0_0_0', have none"):
        split(images, "domain")


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
    return table.assign(dataset="demo", image_id=names, source_id=names, status="ok")


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


def with_a_rare_class(images):
    rare = manifest(1, 2, 1).assign(
        label="rare", source_id="r", source_group="r", image_id=["r1", "r2"]
    )
    return pd.concat([images, rare], ignore_index=True)


def test_a_class_with_too_few_sources_is_said_to_be_absent_once_however_many_seeds():
    images = with_a_rare_class(manifest())
    said = describe_absent_classes(split(images, "source", seeds=3), images)
    assert said == [
        f"Under the source protocol class 'rare' (2 images of 1 source) has {meaning}."
        for meaning in (
            "no validation image in 3 of 3 splits: no choice of an epoch or threshold looks at it "
            "there",
            "no test image in 3 of 3 splits: it has no scores there, and means over classes leave "
            "it out",
        )
    ]


def test_a_class_that_only_the_published_test_part_has_is_said_where_splits_are_collected(
    tmp_path, caplog
):
    images = manifest(published_part=["test", "train", "train"] * 60)
    images.loc[images["label"] == "class2", "published_part"] = "test"
    dataset = ResultsDataset(filepath=str(tmp_path))
    dataset.save(deal_splits(images, Protocols(["published"]), 1, OPTIONS))
    for _ in range(2):  # said by a command that finds the split dealt, too
        caplog.clear()
        collect_splits(dataset.load(), images)
        assert (
            "Under the published protocol class 'class2' (60 images of 20 sources) has no training "
            "image: no network can learn it, and its recall can only be 0 there."
        ) in caplog.messages


def test_a_single_class_is_said_to_make_its_scores_meaningless():
    images = manifest().assign(label="lymphocyte")
    (said,) = describe_absent_classes(split(images, "source"), images)
    assert said.startswith("Every image is labelled 'lymphocyte'") and "say nothing" in said


def test_where_every_part_has_every_class_nothing_is_said():
    images = manifest()
    assert describe_absent_classes(split(images, "random", "source", seeds=2), images) == []


@pytest.mark.parametrize(("cells", "folds"), [(4, 5), (20, 1000)])
def test_more_folds_than_sources_is_one_error_that_says_how_many(cells, folds, caplog):
    options = OPTIONS.model_copy(update={"folds": folds})
    with pytest.raises(SplitError) as error:
        split(manifest(cells), "source", options=options)
    assert str(error.value) == (
        f"`splitting.folds` is {folds}, but these images allow at most {cells} folds: each fold "
        "tests sources of its own, and no class has more of them than 'class0'. Lower "
        "`splitting.folds`, or add images of more sources."
    )
    assert caplog.messages == []


def test_a_class_of_fewer_sources_than_folds_is_no_error():
    images = with_a_rare_class(manifest(cells=5))
    splits = split(images, "source", options=OPTIONS.model_copy(update={"folds": 5}))
    check_splits(splits, images)
    said = describe_absent_classes(splits, images)
    assert any("no test image in 4 of 5 splits" in each for each in said)
    assert any("no training image in 1 of 5 splits" in each for each in said)


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


@pytest.mark.parametrize("protocol", ["random", "source"])
@pytest.mark.parametrize(("sources", "parts"), [(1, 1), (2, 1), (3, 3)])
def test_a_class_of_fewer_than_three_sources_trains_only(protocol, sources, parts):
    rare = manifest(sources, 1, 1).assign(label="rare")
    rare = rare.assign(image_id="r" + rare["image_id"], source_group="r" + rare["source_group"])
    images = pd.concat([manifest(), rare], ignore_index=True)
    splits = split(images, protocol, seeds=3).merge(images, on="image_id")
    check_splits(splits.drop(columns=["label", "source_group"]), images)
    found = splits[splits["label"] == "rare"]
    assert (found["part"] == "train").groupby(found["seed"]).sum().ge(1).all()
    if protocol == "source" or parts == 1:  # stratifying may test none of three images
        assert (found.groupby("seed")["part"].nunique() == parts).all()


@pytest.mark.parametrize("protocol", ["random", "source"])
def test_fewer_than_two_classes_that_can_be_tested_are_an_error_that_counts(protocol):
    images = manifest(cells=2, views=1, classes=3)
    images.loc[images["label"] == "class0", "label"] = "class1"  # of four sources
    what = "images" if protocol == "random" else "sources"
    with pytest.raises(SplitError, match=rf"class1 alone.* fewer {what} .* class2: 2, class1: 4"):
        check_splits(split(images, protocol), images)


def test_a_published_test_part_without_labels_lets_the_validation_part_be_tested():
    images = manifest(published_part=["test", "validation", "train"] * 60)
    images.loc[images["published_part"] == "test", "label"] = None
    splits = split(images, "published")
    check_splits(splits, images)
    tested = splits.loc[splits["part"] == "test", "image_id"]
    assert set(tested) == set(images.loc[images["published_part"] == "validation", "image_id"])
    assert set(splits["part"]) == set(PARTS)
    (said,) = describe_moved_parts(splits, images)
    assert "validation part (60 images) is tested, as the 60 images of the published test" in said


def test_parts_that_are_as_published_are_not_spoken_of():
    images = manifest(published_part=["test", "validation", "train"] * 60)
    assert describe_moved_parts(split(images, "published", "source"), images) == []


def keep(folder, images, options=OPTIONS):
    dataset = ResultsDataset(filepath=str(folder))
    dataset.save(deal_splits(images, Protocols(["random", "source"]), 2, options))
    return dataset.load()


def test_each_split_is_dealt_once_and_kept_by_name(tmp_path):
    images = manifest()
    dealt = keep(tmp_path, images)
    assert list(dealt) == ["random-0", "random-1", "source-0", "source-1"]
    assert keep(tmp_path, images.assign(path="moved")) == dealt
    more = keep(tmp_path, images, OPTIONS.model_copy(update={"test": 0.3}))
    assert not {result.folder for result in more.values()} & {
        result.folder for result in dealt.values()
    }
    assert all(result.folder.is_dir() for result in dealt.values())
    pd.testing.assert_frame_equal(
        collect_splits(dealt, images), split(images, "random", "source", seeds=2)
    )


def test_what_decides_a_split_deals_it_anew(tmp_path):
    images = manifest()
    dealt = keep(tmp_path, images)
    for column in ("dataset", "label", "source_group", "filename_group", "published_part"):
        changed = images.copy()
        changed.loc[0, column] = "other"
        key_of = deal_splits(changed, Protocols(["source"]), 1, OPTIONS)["source-0"].key
        assert key_of.digest != dealt["source-0"].digest, column


def test_splits_that_are_put_together_are_checked_for_leaks(tmp_path):
    images = manifest()
    dealt = keep(tmp_path, images)
    with pytest.raises(SplitError, match="leaks"):
        collect_splits(dealt, images.assign(source_group="one cell"))


PROTOCOLS = ["random", "published", "source"]


def limited(images, *protocols, train_images=40, folds=3, seeds=1):
    options = OPTIONS.model_copy(update={"train_images": train_images, "folds": folds})
    whole = split(images, *protocols, seeds=seeds, options=options)
    return whole, pd.concat(
        limit_training(each, images, train_images)
        for _, each in whole.groupby(["protocol", "seed"], sort=False)
    )


def uneven_classes():
    """Classes of 24, 60 and 120 images, with a published test part."""
    images = manifest(cells=40)
    cells = images["source_id"].str.split("_").str[1].astype(int)
    images = images[cells < images["label"].map({"class0": 8, "class1": 20, "class2": 40})]
    parts = np.where(np.arange(len(images)) % 3 == 0, "test", "train")
    return images.assign(published_part=parts).reset_index(drop=True)


@settings(deadline=None, max_examples=20)
@given(count=st.integers(3, 90), folds=st.integers(3, 5))
def test_every_protocol_and_fold_trains_on_the_number_of_images_that_is_asked_for(count, folds):
    images = uneven_classes()
    whole, few = limited(images, *PROTOCOLS, train_images=count, folds=folds, seeds=2)
    check_splits(few, images)
    run = ["protocol", "seed", "fold"]
    assert few.query("part == 'train'").groupby(run).size().eq(count).all()
    assert len(few.groupby(run)) == 2 * (1 + 1 + folds)
    kept = few["part"].isin(["validation", "test"])
    pd.testing.assert_frame_equal(few[kept], whole[whole["part"].isin(["validation", "test"])])
    assert (whole.loc[~kept.to_numpy(), "part"] == "train").all()


def test_fewer_training_images_are_drawn_in_the_shares_of_the_classes():
    images = uneven_classes()
    whole, few = (table.merge(images) for table in limited(images, *PROTOCOLS, train_images=50))
    size = ["protocol", "fold", "label"]
    before, after = (t.query("part == 'train'").groupby(size).size() for t in (whole, few))
    share = 50 / before.groupby(["protocol", "fold"]).transform("sum")
    assert (after - before * share).abs().max() < 1


def test_a_class_of_one_image_still_trains_where_fewer_images_do():
    images = manifest()
    rare = manifest(1, 1, 1).assign(label="rare", image_id="r", source_id="r", source_group="r")
    images = pd.concat([images, rare], ignore_index=True)
    _, few = limited(images, "random", train_images=10)
    assert few.set_index("image_id").loc["r", "part"] == "train"


def test_no_cell_of_a_smaller_training_part_stands_on_two_sides():
    images = uneven_classes()
    _, few = limited(images, "source", seeds=3)
    used = few[few["part"] != "unused"].merge(images, on="image_id")
    assert (used.groupby(["seed", "fold", "source_group"])["part"].nunique() == 1).all()


def test_the_seed_draws_the_images_that_train():
    images = uneven_classes()
    (_, one), (_, again) = (limited(images, *PROTOCOLS, seeds=2) for _ in range(2))
    pd.testing.assert_frame_equal(one, again)
    published = one[one["protocol"] == "published"].groupby("seed")["part"].agg(list)
    assert published[0] != published[1]


def test_more_training_images_than_a_part_has_are_an_error_that_says_how_many_it_has():
    images = uneven_classes()
    whole, _ = limited(images, "source")
    found = whole.query("part == 'train' and fold == 0")
    with pytest.raises(UserError) as error:
        limited(images, "source", train_images=1000)
    assert str(error.value) == (
        f"`splitting.train_images` is 1000, but the source split of seed 0 has {len(found)} "
        "training images in fold 0. Lower `splitting.train_images`, or raise `splitting.folds` "
        "where that is the source protocol."
    )


def test_a_smaller_training_part_is_dealt_apart_and_its_absence_leaves_keys_as_they_were(tmp_path):
    images = manifest()
    few = OPTIONS.model_copy(update={"train_images": 40})
    (plain,), (smaller,) = (
        deal_splits(images, Protocols(["source"]), 1, options).values()
        for options in (OPTIONS, few)
    )
    assert explain_change(plain.key.as_dict(), smaller.key.as_dict())[0] == (
        "splitting.train_images none → 40"
    )
    assert "train_images" not in plain.key.params["splitting"]
    assert plain.key.code == code_digest(split_images) != smaller.key.code
    kept = keep(tmp_path, images, few)
    assert kept["source-0"].table("splits")["part"].eq("train").sum() == 40


def test_images_that_a_smaller_training_part_leaves_unused_are_counted(tmp_path, caplog):
    images = manifest()
    dealt = keep(tmp_path, images, OPTIONS.model_copy(update={"train_images": 100}))
    splits = collect_splits(dealt, images)
    unused = splits.query("part == 'unused'").groupby(["protocol", "seed"]).size()
    assert unused["random"].nunique() == 1
    assert (
        "Under the random protocol 100 images train in every split, as splitting.train_images "
        f"says, and {unused['random', 0]} images of the training part are not used."
    ) in caplog.messages
    assert describe_unused(split(images, "random", "source")) == []


def test_a_run_sees_no_image_that_is_not_used():
    images = manifest()
    _, few = limited(images, "source", train_images=60)
    for run in iterate_runs(few, images):
        assert set(run.rows) == set(PARTS)
        assert len(run.rows["train"]) == 60


def test_protocols_may_be_written_with_a_plus():
    assert Protocols("random+source").root == ["random", "source"]
