import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.imaging.cell_mask import cell_mask_in_box

GROUND, NUCLEUS, CYTOPLASM = (230, 225, 228), (110, 80, 190), (200, 190, 220)


def smear():
    """A cell of radius 20 around (50, 40), its nucleus of radius 12; another at the right."""
    image = np.full((96, 128, 3), GROUND, np.uint8)
    for x in (50, 105):
        image = cv2.circle(image, (x, 40), 20, CYTOPLASM, -1)
        image = cv2.circle(image, (x, 40), 12, NUCLEUS, -1)
    return image


def test_the_mask_is_nucleus_and_cytoplasm():
    true = cv2.circle(np.zeros((96, 128), np.uint8), (50, 40), 20, 255, -1)
    mask, found = cell_mask_in_box(smear(), (25, 15, 75, 65))
    both = np.count_nonzero(mask & true)
    assert found
    assert 2 * both / (np.count_nonzero(mask) + np.count_nonzero(true)) > 0.95


def test_holes_are_filled_and_specks_left_out():
    image = smear()
    image[38:42, 48:52] = GROUND
    image[16:19, 26:29] = NUCLEUS
    mask, _ = cell_mask_in_box(image, (25, 15, 75, 65))
    assert mask[40, 50] == 255
    assert mask[17, 27] == 0


def test_nothing_violet_gives_the_whole_box_and_says_so():
    mask, found = cell_mask_in_box(np.full((64, 64, 3), GROUND, np.uint8), (10.2, 5, 30, 25.4))
    assert not found
    assert mask[5:25, 10:30].all()
    assert np.count_nonzero(mask) == 20 * 20


def test_a_box_that_is_not_in_the_image_is_refused():
    with pytest.raises(ValueError, match="no part inside an image of 128 x 96"):
        cell_mask_in_box(smear(), (130, 5, 150, 20))


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(-20, 127),
    y=st.floats(-20, 95),
    width=st.floats(20.5, 80),
    height=st.floats(20.5, 80),
)
def test_the_mask_is_one_object_that_never_leaves_its_box(x, y, width, height):
    mask, _ = cell_mask_in_box(smear(), (x, y, x + width, y + height))
    rows, columns = mask.nonzero()
    assert set(np.unique(mask)) <= {0, 255}
    assert cv2.connectedComponents(mask)[0] == 2
    assert columns.min() >= round(x) - 1
    assert columns.max() <= round(x + width)
    assert rows.min() >= round(y) - 1
    assert rows.max() <= round(y + height)
