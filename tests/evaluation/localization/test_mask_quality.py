import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.localization.mask_quality import (
    compare_tuning,
    dice_score,
    score_candidates,
    summarise_masks,
    targets_in,
)
from wbc_pipeline.evaluation.localization.tuning import UNTUNED, list_candidates
from wbc_pipeline.imaging.masks import CELL, CYTOPLASM, NUCLEUS

VIOLET, PALE, GROUND = (90, 40, 150), (200, 190, 230), (235, 230, 210)
LIMITS = {"violet_mask_hsv.lower": [[115, 120, 0], [100, 20, 0], [0, 0, 0]]}


@pytest.fixture(scope="module")
def cells():
    """Cells of sharp colours, and their masks."""
    pixels = np.full((6, 64, 64, 3), GROUND, np.uint8)
    masks = np.zeros((6, 64, 64), np.uint8)
    for image, mask in zip(pixels, masks, strict=True):
        for radius, colour, level in ((20, PALE, CYTOPLASM), (10, VIOLET, NUCLEUS)):
            cv2.circle(image, (32, 32), radius, colour, -1)
            cv2.circle(mask, (32, 32), radius, level, -1)
    return pixels, masks


def make_tests(**dice):
    """Tests of one method by what it was tuned on; two images of each source."""
    tables = [
        pd.DataFrame({"tuned_on": tuned_on, "dice": values}) for tuned_on, values in dice.items()
    ]
    tests = pd.concat(tables, ignore_index=True)
    tests["image_id"] = tests.groupby("tuned_on").cumcount()
    tests["source_group"] = tests["image_id"] // 2
    return tests.assign(target="nucleus", method="m", tested_on="a", candidate=0)


def test_limits_that_fit_score_1_on_their_target(cells):
    candidates = list_candidates([{"violet_mask_hsv": {}}], LIMITS)
    scores = score_candidates(*cells, range(6), candidates, title="")
    means = scores.groupby(["candidate", "target"])["dice"].mean()
    assert means[1, "nucleus"] == means[2, "cell"] == 1
    assert means[1, "cell"] < 0.5
    assert means[3, "cell"] < means[2, "cell"]


def test_only_the_rows_with_a_mask_are_scored(cells):
    scores = score_candidates(*cells, [1, 4], list_candidates([{"otsu_mask": {}}], {}), title="")
    assert set(scores["row"]) == {1, 4}
    assert set(scores["candidate"]) == {0}


def test_a_target_that_masks_do_not_tell_apart_is_left_out(cells):
    pixels, masks = cells
    outlines = np.where(masks > 0, CELL, 0).astype(np.uint8)
    assert targets_in(outlines) == ["cell"]
    scores = score_candidates(
        pixels, outlines, [0], list_candidates([{"otsu_mask": {}}], {}), title=""
    )
    assert set(scores["target"]) == {"cell"}


def test_a_nucleus_is_not_scored_where_the_parts_of_the_cell_are_not_known(cells):
    pixels, masks = cells
    mixed = masks.copy()
    mixed[0] = np.where(masks[0] > 0, CELL, 0)
    scores = score_candidates(
        pixels, mixed, [0, 1], list_candidates([{"otsu_mask": {}}], {}), title=""
    )
    assert [*zip(scores["row"], scores["target"], strict=True)] == [
        (0, "cell"),
        (1, "nucleus"),
        (1, "cell"),
    ]


def test_dice_of_disjoint_masks_is_0_and_of_empty_ones_1():
    empty, full = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    assert dice_score(empty, empty) == dice_score(full, full) == 1
    assert dice_score(empty, full) == 0


def test_the_summary_counts_poor_masks_and_gives_iou():
    summary = summarise_masks(make_tests(a=[1, 1, 0.4, 1]), resamples=50, level=0.95).iloc[0]
    assert summary["images"] == 4
    assert summary["poor"] == 0.25
    assert summary["iou"] == pytest.approx((3 + 0.25) / 4)
    assert summary["dice_low"] < summary["dice"] < summary["dice_high"]


def test_what_is_lost_on_another_stain_is_set_beside_what_tuning_gains():
    tests = make_tests(**{UNTUNED: [0.4, 0.6], "a": [0.9, 0.9], "b": [0.6, 0.6], "c": [0.8, 0.8]})
    row = compare_tuning(tests).iloc[0]
    assert row["untuned"] == pytest.approx(0.5)
    assert row["within"] == pytest.approx(0.9)
    assert row["cross_stain"] == pytest.approx(0.7)
    assert row["cross_stain_difference"] == pytest.approx(-0.2)


def test_no_masks_give_empty_tables():
    none = make_tests(a=[1]).head(0)
    assert summarise_masks(none, resamples=50, level=0.95).empty
    assert compare_tuning(none).empty
