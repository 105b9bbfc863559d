import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from wbc_pipeline.imaging.cell_features import describe_cell, describe_cells


def draw_cell(*, radius=12, colour=(110, 80, 190), centre=(32, 32), size=64):
    image = np.full((size, size, 3), 230, np.uint8)
    return cv2.circle(image, centre, radius, colour, -1)


@settings(deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(16, 40), st.integers(16, 40), st.just(3))))
def test_every_image_has_the_same_finite_features(image):
    features = describe_cell(image)
    assert features.keys() == describe_cell(draw_cell()).keys()
    assert np.isfinite(list(features.values())).all()


def test_a_larger_nucleus_has_a_larger_area():
    small, large = (describe_cell(draw_cell(radius=radius)) for radius in (8, 16))
    assert large["nucleus_area"] == pytest.approx(4 * small["nucleus_area"], rel=0.1)


def test_the_centre_is_told_from_the_rim():
    features = describe_cell(draw_cell(colour=(200, 30, 30)))
    assert features["green_ring0_mean"] < features["green_ring3_mean"]
    assert features["a_ring0_mean"] > features["a_ring3_mean"]


def test_a_turned_cell_keeps_the_colours_of_its_rings():
    image = draw_cell(centre=(26, 36))
    turned = describe_cell(np.rot90(image).copy())
    for name, value in describe_cell(image).items():
        if "ring" in name:
            assert turned[name] == pytest.approx(value, abs=1e-4)


def test_many_cells_are_described_in_order():
    images = np.stack([draw_cell(radius=radius) for radius in (6, 10, 14)])
    table = describe_cells(images, progress=False)
    assert table["nucleus_area"].is_monotonic_increasing
    assert table.iloc[1].to_dict() == pytest.approx(describe_cell(images[1]))


def test_a_tiny_image_is_refused():
    with pytest.raises(ValueError, match="resize step to 16"):
        describe_cell(np.zeros((12, 40, 3), np.uint8))
