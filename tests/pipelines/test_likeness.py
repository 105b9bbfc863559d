"""How well a model tells images unlike its training data."""

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


def test_red_cells_are_cut_out_beside_the_white_cell(real_data):
    from wbc_pipeline.imaging.reading import read_image

    home = real_data / "blood-cells/dataset-master/dataset-master/JPEGImages"
    photographs = [read_image(file).pixels for file in sorted(home.glob("*.jpg"))[:4]]
    (first, *_), crops = stain_cells(photographs[0]), list(red_cell_crops(photographs))
    side = max(first.region.xmax - first.region.xmin, first.region.ymax - first.region.ymin)
    assert crops and crops[0].shape == (side, side, 3)
    assert sum(bool(stain_cells(np.ascontiguousarray(crop))) for crop in crops) <= 1


def test_noise_is_the_same_each_time():
    first, second = list(noise_images(2)), list(noise_images(2))
    np.testing.assert_array_equal(first, second)
    assert len(first) == 2 and not (first[0] == first[1]).all()
