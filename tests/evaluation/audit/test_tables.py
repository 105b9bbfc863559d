import numpy as np
import pandas as pd
import pytest
from audit_tables import (
    make_codes,
    make_copies,
    make_groups,
    make_laboratories,
    make_manifest,
    make_splits,
)

from wbc_pipeline.evaluation.audit import tables as audit
from wbc_pipeline.evaluation.audit.leaks import measure_leaks


@pytest.fixture
def copies() -> pd.DataFrame:
    return make_copies()


@pytest.fixture
def laboratories() -> pd.DataFrame:
    return make_laboratories()


def without_sources(manifest: pd.DataFrame) -> pd.DataFrame:
    return manifest.assign(source_id=None, source_group=None)


def test_copies_of_a_photograph_count_as_one_source(copies):
    counts = audit.count_images(copies, by=["label"]).set_index("label")
    assert counts.loc["monocyte"].tolist() == [60, 4, 4, 15]
    assert counts.loc["neutrophil"].tolist() == [60, 20, 20, 3]


def test_photographs_of_one_cell_are_two_sources_and_one_independent_source(copies):
    group = copies["source_id"].replace({"photograph-21": "photograph-20"})
    counts = audit.count_images(copies.assign(source_group=group), by=["label"])
    assert counts.loc[0, ["sources", "independent_sources"]].tolist() == [4, 3]


def test_unknown_sources_are_missing_and_not_none(copies):
    counts = audit.count_images(without_sources(copies))
    assert counts["images"].sum() == 120
    assert counts[["sources", "independent_sources", "images_per_source"]].isna().all(axis=None)


def test_images_without_a_label_are_counted_apart(copies):
    copies.loc[:9, "label"] = None
    counts = audit.count_images(copies, by=["label"])
    assert counts.loc[counts["label"].isna(), "images"].item() == 10


def test_refused_files_are_counted_by_what_stands_before_the_colon(copies):
    copies.loc[[3, 4], "status"] = ["not an image: images/3.png", "not an image: images/4.png"]
    copies.loc[0, "status"] = "too large: 9 gigapixels"
    _, rejects = audit.describe_files(copies)
    assert rejects["reason"].tolist() == ["not an image", "too large"]
    assert rejects["images"].tolist() == [2, 1]
    assert rejects["share"].sum() == pytest.approx(3 / 120)
    assert rejects["example"].tolist() == ["images/3.png", "images/0.png"]


def test_the_most_frequent_size_comes_first(laboratories):
    laboratories.loc[laboratories["label"] == "monocyte", "width"] = 300
    sizes, rejects = audit.describe_files(laboratories)
    assert sizes["width"].tolist() == [320, 320, 320, 300]
    assert sizes["images"].sum() == 80
    assert rejects.empty


def test_a_measurement_that_is_the_laboratory_is_explained_by_it(laboratories):
    measured = pd.DataFrame({"tint": (laboratories["domain"] == "Munich") * 9.0, "flat": 1.0})
    summary, explained = audit.summarise_measurements(measured, laboratories)
    explained = explained.set_index(["measurement", "grouping"])
    assert explained.loc[("tint", "domain"), "eta_squared"] == pytest.approx(1)
    assert explained.loc[("tint", "domain"), "p_kruskal_wallis"] < 1e-9
    assert explained.loc["flat"][["eta_squared", "p_kruskal_wallis"]].isna().all(axis=None)
    munich = summary.set_index("group").loc["Munich"]
    assert munich[["images", "tint", "tint_low", "tint_high"]].tolist() == [40, 9, 9, 9]


def test_copies_of_a_source_are_no_further_evidence(copies):
    once = copies.drop_duplicates("source_id").reset_index(drop=True)
    brightness = pd.DataFrame({"brightness": np.random.default_rng(0).normal(size=len(once))})
    of_copies = brightness.set_index(once["source_id"]).loc[copies["source_id"]]
    _, few = audit.summarise_measurements(brightness, once)
    _, many = audit.summarise_measurements(of_copies, copies)
    pd.testing.assert_frame_equal(few, many)


def test_an_image_that_could_not_be_measured_is_left_out(laboratories):
    measured = pd.DataFrame({"sharpness": np.arange(80.0)})
    measured.loc[:39] = np.nan
    _, explained = audit.summarise_measurements(measured, laboratories)
    assert explained["units"].tolist() == [40, 40]
    assert explained["groups"].tolist() == [2, 1]


def test_tables_of_other_images_are_refused(copies):
    with pytest.raises(ValueError, match="measurements has 3 rows"):
        audit.summarise_measurements(pd.DataFrame({"tint": [1.0, 2, 3]}), copies)
    with pytest.raises(ValueError, match="groups has 4 rows"):
        audit.list_duplicates(copies, make_groups(copies).head(4))


def test_a_duplicate_is_named_by_its_closest_tie(laboratories):
    groups = make_groups(laboratories)
    groups.loc[2, ["group", "duplicate_group"]] = groups.loc[0, "group"]
    groups.loc[[10, 11], "group"] = 99
    groups.loc[[10, 11], "pixel_hash"] = "the same"
    found = audit.list_duplicates(laboratories, groups)
    assert found["image_id"].tolist() == [f"images/{i}.png" for i in (0, 1, 2, 10, 11)]
    kinds = ["identical file"] * 2 + ["near-duplicate"] + ["identical pixels"] * 2
    assert found["kind"].tolist() == kinds


def test_images_that_are_alike_only_when_shifted_show_the_same_spot(laboratories):
    groups = make_groups(laboratories)
    groups.loc[2, "group"] = groups.loc[0, "group"]
    groups.loc[[10, 11], "group"] = 99
    found = audit.list_duplicates(laboratories, groups).set_index("image_id")["kind"]
    assert found[["images/2.png", "images/10.png", "images/11.png"]].eq("same spot").all()
    assert found[["images/0.png", "images/1.png"]].eq("identical file").all()


def test_similar_copies_of_one_photograph_are_what_a_set_of_copies_promises(copies):
    groups = make_groups(copies)
    groups.loc[[0, 1], "group"] = 200  # one photograph
    groups.loc[[3, 6], "group"] = 201  # two photographs
    groups.loc[[9, 10], "pixel_hash"] = "the same"
    groups.loc[[9, 10], "group"] = 202  # one photograph, one and the same copy
    assert audit.list_duplicates(copies, groups)["group"].tolist() == [201, 201, 202, 202]


def test_where_sources_are_unknown_every_duplicate_is_listed(copies):
    groups = make_groups(copies)
    groups.loc[[0, 1], "group"] = 200
    assert len(audit.list_duplicates(without_sources(copies), groups)) == 2


def test_a_source_with_two_labels_is_listed_with_all_its_images(copies):
    copies.loc[0, "label"] = "monocyte"
    copies.loc[119, "label"] = None
    conflicts = audit.list_conflicts(copies)
    assert conflicts["image_id"].tolist() == ["images/0.png", "images/1.png", "images/2.png"]
    assert conflicts["label"].tolist() == ["monocyte", "neutrophil", "neutrophil"]
    assert set(conflicts["labels"]) == {"monocyte, neutrophil"}


def test_overlapping_photographs_may_carry_different_labels(copies):
    group = copies["source_id"].replace({"photograph-0": "photograph-20"})
    assert audit.list_conflicts(copies.assign(source_group=group)).empty


def test_names_that_tell_nothing_have_no_mutual_information_with_sources(copies):
    row = audit.examine_filename_groups(copies).iloc[0]
    assert (row["filename_groups"], row["sources"], row["sources_spread"]) == (5, 24, 24)
    assert row["most_sources_per_group"] > row["most_within_class"] > 1
    assert abs(row["adjusted_mutual_information"]) < 0.2


def test_names_that_are_the_source_agree_with_it(copies):
    named = copies.assign(filename_group=copies["source_id"])
    row = audit.examine_filename_groups(named).iloc[0]
    assert row["adjusted_mutual_information"] == pytest.approx(1)
    assert row[["most_sources_per_group", "sources_spread"]].tolist() == [1, 0]


def test_without_names_or_sources_there_is_nothing_to_examine(copies, laboratories):
    assert audit.examine_filename_groups(laboratories).empty
    assert audit.examine_filename_groups(without_sources(copies)).empty


def test_classes_of_one_laboratory_each_are_confounded_with_it(laboratories):
    table = audit.measure_confounding(laboratories)
    assert table["domains"].tolist() == [1, 1, 1, 1]
    assert table["main_domain"].tolist() == ["Barcelona"] * 2 + ["Munich"] * 2
    assert table["cramers_v"].tolist() == pytest.approx([1] * 4)


def test_balanced_laboratories_are_not_confounded(laboratories):
    laboratories["domain"] = np.tile(["Barcelona", "Munich"], 40)
    table = audit.measure_confounding(laboratories)
    assert table["cramers_v"].tolist() == pytest.approx([0] * 4)
    assert (table["main_share"] == 0.5).all()


def test_an_unknown_laboratory_is_none(copies):
    table = audit.measure_confounding(copies)
    assert table["domains"].tolist() == [0, 0]
    assert table[["main_domain", "main_share", "cramers_v"]].isna().all(axis=None)


def test_codes_of_classes_are_names_and_not_missing():
    codes = make_codes()
    assert audit.count_images(codes, by=["label"])["label"].tolist() == ["0", "1", "NA"]
    assert audit.measure_confounding(codes)["label"].tolist() == ["0", "1", "NA"]
    assert audit.list_conflicts(codes)["labels"].tolist() == ["0, NA"] * 2
    leaks = measure_leaks(make_splits(codes, source="source_id"), codes).iloc[0]
    assert (leaks["fewest_class"], leaks["missing_classes"]) == ("NA", "test: NA")
    summary, _ = audit.summarise_measurements(pd.DataFrame({"tint": np.arange(64.0)}), codes)
    assert summary.loc[summary["grouping"] == "label", "group"].tolist() == ["0", "1", "NA"]


def test_an_empty_manifest_has_empty_tables():
    manifest = make_manifest(pd.DataFrame(columns=["label"]))
    assert audit.count_images(manifest).empty
    assert all(table.empty for table in audit.describe_files(manifest))
    assert all(t.empty for t in audit.summarise_measurements(pd.DataFrame({"x": []}), manifest))
    assert audit.list_duplicates(manifest, make_groups(manifest)).empty
    assert audit.list_conflicts(manifest).empty
    assert audit.measure_confounding(manifest).empty
