import numpy as np
import pandas as pd
import pytest
from audit_tables import make_copies, make_metrics, make_splits

from wbc_pipeline.evaluation.audit.leaks import measure_leaks, price_of_leak


@pytest.fixture
def copies() -> pd.DataFrame:
    return make_copies()


def without_sources(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest.assign(source_id=None, source_group=None)


def test_a_random_split_of_copies_leaks_and_a_split_by_source_does_not(copies):
    splits = make_splits(copies, random="image_id", source="source_id")
    leaks = measure_leaks(splits, copies).set_index("protocol")
    assert leaks.loc["random", ["images_leaked", "sources_leaked"]].tolist() == [1, 1]
    assert leaks.loc["source", ["images_leaked", "sources_leaked"]].tolist() == [0, 0]
    assert leaks["sources"].tolist() == [24, 24]
    assert leaks.loc["source", "fewest_class"] == "monocyte"
    assert leaks.loc["source", "fewest_test_sources"] == 1
    assert (leaks["seeds"] == 2).all()


def test_overlapping_photographs_on_two_sides_are_told_from_shared_ones(copies):
    splits = make_splits(copies, source="source_id")
    group = copies["source_id"].replace({"photograph-0": "photograph-1"})
    row = measure_leaks(splits, copies.assign(source_group=group)).iloc[0]
    assert row["images_leaked"] == 0
    assert row["images_overlapping"] > 0
    assert (row["sources"], row["independent_sources"]) == (24, 23)


def test_the_leak_of_unknown_sources_is_unknown(copies):
    splits = make_splits(copies, random="image_id")
    row = measure_leaks(splits, without_sources(copies)).iloc[0]
    assert row["source_known"] == 0
    unknown = ["sources", "test_sources", "images_leaked", "sources_leaked", "fewest_test_sources"]
    assert row[unknown].isna().all()


def test_the_leak_is_measured_on_the_images_whose_source_is_known(copies):
    copies.loc[60:, ["source_id", "source_group"]] = None
    row = measure_leaks(make_splits(copies, random="image_id"), copies).iloc[0]
    assert row["source_known"] == 0.5
    assert row["images_leaked"] == 1


def test_a_part_without_a_class_is_named(copies):
    splits = make_splits(copies, source="source_id")
    monocytes = copies.loc[copies["label"] == "monocyte", "image_id"]
    splits.loc[splits["image_id"].isin(monocytes), "part"] = "train"
    row = measure_leaks(splits, copies).iloc[0]
    assert row["missing_classes"] == "validation: monocyte; test: monocyte"


def test_the_price_is_the_difference_to_the_split_by_source():
    price = price_of_leak(make_metrics(random=0.97, source=0.80)).set_index("protocol")
    assert price.loc["random", "accuracy"] == pytest.approx(0.97)
    assert price.loc["random", "accuracy_difference"] == pytest.approx(0.17)
    assert price.loc["random", "accuracy_low"] == pytest.approx(0.95)
    assert price.loc["source", "macro_f1_difference"] == 0
    assert price["accuracy_sd"].tolist() == pytest.approx([0.01 / np.sqrt(2)] * 2)


def test_without_a_split_by_source_the_price_is_unknown():
    price = price_of_leak(make_metrics(random=0.97))
    assert price["accuracy_difference"].isna().all()
    assert price_of_leak(pd.DataFrame()).empty


def test_a_price_has_no_interval_where_a_seed_has_none():
    metrics = make_metrics(random=0.97, source=0.8)
    second = (metrics["protocol"] == "source") & (metrics["seed"] == 1)
    metrics.loc[second, ["accuracy_low", "accuracy_high"]] = np.nan
    price = price_of_leak(metrics).set_index("protocol")
    assert price.loc["source", ["accuracy_low", "accuracy_high"]].isna().all()
    assert price.loc["source", ["accuracy", "macro_f1_low"]].tolist() == pytest.approx([0.8, 0.76])
    assert price.loc["random", "accuracy_low"] == pytest.approx(0.95)


def test_the_price_is_the_difference_to_another_leak_free_protocol_without_a_split_by_source():
    price = price_of_leak(make_metrics(random=0.97, domain=0.60)).set_index("protocol")
    assert price.loc["random", "accuracy_difference"] == pytest.approx(0.37)
    assert price.loc["domain", "accuracy_difference"] == 0
