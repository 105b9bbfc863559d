import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbc_pipeline.evaluation.localization.regions import (
    SIDES,
    intersection_over_union,
    match_regions,
    summarise_regions,
    true_boxes,
)
from wbc_pipeline.imaging.masks import CELL, CYTOPLASM, NUCLEUS, UNKNOWN


@st.composite
def boxes(draw):
    x, y, width, height = draw(st.tuples(*[st.integers(0, 50)] * 2, *[st.integers(1, 50)] * 2))
    return [x, y, x + width, y + height]


@given(one=boxes(), other=boxes())
def test_iou_is_symmetric_within_0_and_1_and_1_for_equal_boxes_alone(one, other):
    (there,), (back,) = (
        intersection_over_union([one], [other]),
        intersection_over_union([other], [one]),
    )
    assert there == back
    assert 0 <= there <= 1
    assert (there == 1) == (one == other)


def manifest(**columns):
    table = pd.DataFrame({"image_id": ["a", "b"], "status": "ok", "height": 240, "width": 320})
    return table.assign(**columns)


def test_boxes_around_masks_are_in_pixels_of_the_file():
    masks = np.zeros((2, 64, 64), np.uint8)
    masks[0, 16:32, 8:40] = CYTOPLASM
    masks[0, 20:24, 10:20] = NUCLEUS
    none = pd.DataFrame(columns=["image_id", "name", *SIDES])
    found = true_boxes(manifest(), none, masks, names=["wbc"])
    assert found.to_numpy().tolist() == [["a", 40.0, 60.0, 200.0, 120.0]]  # b's mask is empty
    masks[1] = UNKNOWN
    assert len(true_boxes(manifest(), none, masks, names=["wbc"])) == 1


def test_annotated_boxes_come_before_masks_and_only_those_of_white_cells():
    rows = [["a", "wbc", 1, 2, 3, 4], ["a", "rbc", 5, 6, 7, 8], ["a", "wbc", 2, 2, 9, 9]]
    annotated = pd.DataFrame(rows, columns=["image_id", "name", *SIDES])
    masks = np.full((2, 64, 64), CELL, np.uint8)
    found = true_boxes(manifest(), annotated, masks, names=["wbc"])
    assert found["image_id"].tolist() == ["a", "a", "b"]  # b has a mask alone, as in a joined set
    assert found[SIDES].iloc[2].tolist() == [0, 0, 320, 240]


def test_a_region_is_compared_with_the_box_that_fits_it_best():
    regions = pd.DataFrame(
        [["a", 0, 0, 10, 10, True], ["b", 0, 0, 320, 240, False]],
        columns=["image_id", *SIDES, "found"],
    )
    truth = pd.DataFrame([["a", 50, 50, 60, 60], ["a", 0, 0, 10, 20]], columns=["image_id", *SIDES])
    matched = match_regions(regions, truth)
    assert matched["iou"].tolist()[0] == pytest.approx(0.5)
    assert matched["boxes"].tolist() == [2, 0]
    assert np.isnan(matched["iou"].iloc[1])
    summary = summarise_regions(matched.assign(view="v"), by=["view"]).iloc[0]
    assert (summary["images"], summary["not_found"], summary["median"]) == (2, 1, 0.5)
