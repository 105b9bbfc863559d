from time import process_time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from overlaps_of_masks import dice

from wbc_pipeline.evaluation.localization.regions import intersection_over_union
from wbc_pipeline.imaging.arrays import one_opencv_thread
from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.imaging.roi import Region
from wbc_pipeline.imaging.stained_cell import stain_mask, stain_region

SIDES = st.integers(1, 64)
IMAGES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
GROUND = (225, 222, 215)


def smear(*cells, radius=30, shape=(240, 320)):
    """Cells around nuclei of 0.6 radii, given by their centres, among red cells."""
    image = np.full((*shape, 3), GROUND, np.uint8)
    for centre in ((40, 40), (290, 200), (250, 30), (30, 210)):
        cv2.circle(image, centre, 25, (200, 165, 160), -1)
    for centre in cells:
        cv2.circle(image, centre, radius, (190, 175, 208), -1)
        cv2.circle(image, centre, round(0.6 * radius), (110, 75, 190), -1)
    return cv2.GaussianBlur(image, (3, 3), 0)


def overlap(region, box):
    return intersection_over_union(np.array([region[:4]]), np.array([box]))[0]


@settings(max_examples=40, deadline=None)
@given(image=IMAGES)
def test_any_image_gives_a_binary_mask_of_its_size_and_stays_as_it_was(image):
    before = image.copy()
    mask = stain_mask(image, smallest=0, faintest=1e-3)
    assert mask.dtype == np.uint8
    assert mask.shape == image.shape[:2]
    assert set(np.unique(mask)) <= {0, 255}
    region = stain_region(image, smallest=0, faintest=1e-3)
    assert 0 <= region.xmin < region.xmax <= image.shape[1]
    assert 0 <= region.ymin < region.ymax <= image.shape[0]
    np.testing.assert_array_equal(image, before)


@given(st.tuples(*[st.integers(0, 255)] * 3))
@settings(max_examples=25, deadline=None)
def test_nothing_is_found_in_an_image_of_one_colour(colour):
    blank = np.full((48, 64, 3), colour, np.uint8)
    assert stain_region(blank) == Region(0, 0, 64, 48, found=False)
    assert not stain_mask(blank).any()


def test_red_cells_alone_are_nothing():
    assert not stain_region(smear()).found


@pytest.mark.parametrize("radius", [12, 30, 60])
def test_the_cell_is_found_with_its_cytoplasm_at_any_size(radius):
    region = stain_region(smear((150, 120), radius=radius), padding=0)
    sides = (150 - radius, 120 - radius, 151 + radius, 121 + radius)
    assert overlap(region, sides) > 0.8


@settings(max_examples=25, deadline=None)
@given(st.floats(0.5, 1), st.tuples(*[st.floats(0.75, 1)] * 3))
def test_the_light_of_the_microscope_does_not_move_the_region(brightness, colours):
    image = smear((150, 120))
    lit = np.uint8(np.round(image * np.float64(colours) * brightness))
    assert overlap(stain_region(lit), stain_region(image)[:4]) > 0.85


@settings(max_examples=15, deadline=None)
@given(st.floats(0.6, 1.5))
def test_the_strength_of_the_stain_does_not_move_the_region(strength):
    image = smear((150, 120))
    stained = np.uint8(np.round(GROUND * (image / np.float64(GROUND)) ** strength))
    assert overlap(stain_region(stained), stain_region(image)[:4]) > 0.85


@settings(max_examples=15, deadline=None)
@given(x=st.integers(60, 260), y=st.integers(60, 180))
def test_the_cell_is_found_wherever_it_lies(x, y):
    mask = stain_mask(smear((x, y)))
    true = cv2.circle(np.zeros((240, 320), np.uint8), (x, y), 30, 255, -1)
    assert dice(mask, true) > 0.85


def test_steps_of_a_chain_find_the_region_and_the_mask():
    image = smear((150, 120))
    frame = build_chain([{"stain_region": {}}]).run(image)
    assert frame.box[:4] == stain_region(image)[:4]
    np.testing.assert_array_equal(
        build_chain([{"stain_mask": {}}]).run(image).mask, stain_mask(image)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"smallest": 2}, "smallest .* 2"),
        ({"faintest": 0}, "faintest .* 0"),
        ({"reach": -1}, "reach .* -1"),
        ({"padding": -1}, "padding .* -1"),
    ],
)
def test_a_parameter_out_of_range_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        stain_region(np.zeros((48, 64, 3), np.uint8), **options)


def test_a_field_of_1440_by_900_takes_at_most_60_milliseconds_of_one_core():
    image = cv2.resize(smear((150, 120)), (1440, 900))
    with one_opencv_thread():
        seconds = []
        for _ in range(5):
            start = process_time()
            assert stain_region(image).found
            seconds.append(process_time() - start)
    assert min(seconds) < 60e-3
