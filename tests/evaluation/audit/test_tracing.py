import pandas as pd
import pytest

from wbc_pipeline.evaluation.audit.tracing import check_labels, count_originals, describe_overlaps


@pytest.fixture
def manifest():
    return pd.DataFrame(
        {
            "image_id": [f"copy_{number}" for number in range(6)],
            "source_id": ["a", "a", "b", "b", "c", None],
            "label": ["monocyte", "monocyte", "monocyte", "monocyte", "neutrophil", "monocyte"],
            "published_part": ["train", "train", "test", "test", "test", "test"],
            "status": "ok",
        }
    )


@pytest.fixture
def recovery(manifest):
    copies = manifest[["image_id", "label"]].assign(
        original_label=["monocyte", "monocyte, basophil", "monocyte", None, "eosinophil", None],
        certain=[True] * 5 + [False],
        mirrored=[True, False] * 3,
        score=[0.99, 0.98, 0.97, 0.96, 0.95, 0.2],
        margin=[0.9, 0.9, 0.9, 0.9, 0.4, 0.1],
    )
    return copies.assign(label_agrees=check_labels(copies))


def pair(**changes):
    """Two originals of which the second lies 100 pixels to the right."""
    return {
        "first": "a",
        "second": "b",
        "correlation": 0.95,
        "share": 0.8,
        "transform": [1, 0, 100, 0, 1, 0],
        "first_box": [200, 100, 300, 200],
        "second_box": [100, 100, 200, 200],
    } | changes


def test_a_label_agrees_with_one_of_several_and_is_not_judged_without_any(recovery):
    agrees = recovery["label_agrees"]
    assert agrees[[0, 1, 2]].all()
    assert agrees[[3, 5]].isna().all()
    assert not agrees[4]


def test_codes_of_classes_are_compared_whole():
    copies = {"label": ["1", "NA", "0"], "original_label": ["10, 11", "0, NA", "0"]}
    assert check_labels(pd.DataFrame(copies)).tolist() == [False, True, True]


def test_originals_are_counted_by_part_and_those_of_two_parts_are_named(manifest, recovery):
    table = count_originals(manifest, recovery).set_index("part")
    assert table["originals"].to_dict() == {"test": 2, "train": 1, "all": 3}
    assert table["shared_originals"].eq(0).all()
    assert table.loc["test", ["copies", "uncertain", "labels_disagree"]].tolist() == [4, 1, 1]
    manifest.loc[2, "source_id"] = "a"
    table = count_originals(manifest, recovery).set_index("part")
    assert table["shared_originals"].to_dict() == {"test": 1, "train": 1, "all": 1}


def test_no_recovery_is_an_empty_table(manifest):
    empty = pd.DataFrame(columns=["image_id", "source_id", "certain"])
    assert count_originals(manifest, empty).empty


def test_the_same_cell_on_both_sides_of_the_published_split_is_seen(manifest):
    table = describe_overlaps(manifest, pd.DataFrame([pair()]))
    row = table.iloc[0]
    assert row["same_cell"]
    assert row["across_parts"]
    assert row["parts"] == "train / test"
    assert (row["labels"], row["labels_differ"]) == ("monocyte", False)


def test_another_cell_in_the_same_field_is_not_the_same_cell(manifest):
    table = describe_overlaps(manifest, pd.DataFrame([pair(second_box=[400, 100, 500, 200])]))
    assert not table["same_cell"][0]


def test_without_boxes_nothing_is_said_about_the_cell(manifest):
    table = describe_overlaps(manifest, pd.DataFrame([pair(first_box=None)]))
    assert table["same_cell"].isna().all()


def test_originals_without_images_are_left_out(manifest):
    assert describe_overlaps(manifest, pd.DataFrame([pair(second="not here")])).empty


def test_labels_that_differ_are_shown(manifest):
    table = describe_overlaps(manifest, pd.DataFrame([pair(second="c")]))
    assert table["labels"][0] == "monocyte / neutrophil"
    assert table["labels_differ"][0]


def test_a_class_called_na_is_one_of_two_labels(manifest):
    manifest["label"] = ["0", "0", "NA", "NA", "1", "1"]
    row = describe_overlaps(manifest, pd.DataFrame([pair()])).iloc[0]
    assert (row["labels"], row["labels_differ"]) == ("0 / NA", True)
