import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.localization.region_quality import (
    ALL,
    ONE,
    find_regions,
    score_regions,
    summarise_quality,
)
from wbc_pipeline.evaluation.localization.regions import SIDES
from wbc_pipeline.evaluation.localization.tuning import list_candidates, tune_and_test

PUBLISHED = {"cytoplasm": None, "padding": 0, "smallest": 0}
STEPS = [{"full_resolution": {}}, {"colour_region": PUBLISHED}]
GRID = {"colour_region.cytoplasm": [None, [[95, 14, 0], [163, 255, 255]]]}


@pytest.fixture(scope="module")
def photographs():
    """Photographs of different sizes with a cell each, and the boxes around them."""
    images, truth = [], []
    for number in range(8):
        image = np.full((90 + number, 120, 3), 230, np.uint8)
        centre = (50 + number, 45)
        cv2.circle(image, centre, 20, (200, 190, 220), -1)
        images.append(cv2.circle(image, centre, 12, (110, 80, 190), -1))
        x, y = centre
        truth.append((f"image_{number}", x - 20, y - 20, x + 21, y + 21))
    return images, pd.DataFrame(truth, columns=["image_id", *SIDES])


@pytest.fixture(scope="module")
def scores(photographs):
    images, truth = photographs
    names = truth["image_id"].tolist()
    regions = find_regions(images, names, list_candidates(STEPS, GRID), title="")
    return score_regions(regions, truth).assign(method="colour")


def listed(scores):
    names = scores["image_id"].unique()
    return pd.DataFrame({"image_id": names, "source_group": names, "domain": "a"})


def test_the_box_of_a_cell_is_found_at_the_file_s_own_size(scores):
    means = scores.groupby("candidate")["iou"].mean()
    assert means[2] > 0.85
    assert means[0] == means[1] < 0.5  # stops at the nucleus


def test_tuning_beats_the_published_parameters_on_the_other_half(scores):
    images = listed(scores)
    tests = tune_and_test(scores, images, by=["method"], score="iou")
    summary = summarise_quality(tests, scores, images, resamples=50, level=0.95)
    means = summary.set_index(["tuned_on", "part"])["mean"]
    assert means["a", "test half"] > means["untuned", "test half"]
    assert summary.set_index("part")["images"]["all"] == 8


def test_images_with_one_white_cell_are_reported_apart(scores):
    images = listed(scores)
    several = scores.assign(boxes=np.where(scores["image_id"] == "image_1", 2, 1))
    tests = tune_and_test(several, images, by=["method"], score="iou")
    summary = summarise_quality(tests, several, images, resamples=50, level=0.95)
    counts = summary[summary["part"] == "all"].set_index("white_cells")["images"]
    assert counts.to_dict() == {ALL: 8, ONE: 7}


def test_images_without_a_true_box_are_not_scored(photographs):
    images, truth = photographs
    names = truth["image_id"].tolist()
    regions = find_regions(images, names, list_candidates(STEPS, {}), title="")
    assert score_regions(regions, truth.tail(3))["image_id"].tolist() == names[-3:]
