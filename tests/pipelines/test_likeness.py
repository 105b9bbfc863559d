"""How well a model tells images unlike its training data."""

import cv2
import numpy as np
import pytest

from wbc_pipeline.imaging.stained_cells import stain_cells
from wbc_pipeline.pipelines.predict.likeness import (
    compare_likeness,
    noise_images,
    red_cell_crops,
)


def test_distances_are_compared_with_those_of_known_images():
    known, far, alike = np.linspace(0.5, 1.05, 20), np.full(5, 3.0), np.linspace(0.5, 1.05, 20)
    table = compare_likeness({"test": known, "far": far, "alike": alike, "none": np.empty(0)})
    rows = table.set_index("images_of")
    assert rows.loc["far", "auroc"] == 1 and rows.loc["far", "flagged"] == 1
    assert rows.loc["alike", "auroc"] == pytest.approx(0.5)
    assert rows.loc["test", "flagged"] == pytest.approx(0.1)
    assert np.isnan(rows.loc["test", "auroc"]) and np.isnan(rows.loc["none", "auroc"])


def test_red_cells_are_cut_out_beside_the_white_cell():
    photograph = np.full((200, 260, 3), 230, np.uint8)
    for x in (40, 220):
        cv2.circle(photograph, (x, 150), 20, (205, 160, 150), -1)
    cv2.circle(photograph, (130, 80), 30, (200, 190, 220), -1)
    cv2.circle(photograph, (130, 80), 20, (105, 75, 175), -1)
    (cell,) = stain_cells(photograph)
    side = max(cell.region.xmax - cell.region.xmin, cell.region.ymax - cell.region.ymin)
    crops = list(red_cell_crops([photograph] * 6 + [photograph[:10]]))
    assert len(crops) == 6
    for crop in crops:
        assert crop.shape == (side, side, 3)
        assert not (crop == (105, 75, 175)).all(axis=2).any()


def test_noise_is_the_same_each_time():
    first, second = list(noise_images(2)), list(noise_images(2))
    np.testing.assert_array_equal(first, second)
    assert len(first) == 2 and not (first[0] == first[1]).all()
