from time import process_time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wbc_pipeline.imaging.arrays import one_opencv_thread
from wbc_pipeline.imaging.roi import (
    Region,
    colour_region,
    enhanced_colour_region,
    pad_region,
    square_region,
)
from wbc_pipeline.sources import blood_cells_originals

PUBLISHED = {
    "nucleus": ((80, 60, 140), (255, 255, 255)),  # as printed
    "cytoplasm": None,
    "padding": 0,
    "smallest": 0,
}
SIDES = st.integers(1, 64)
IMAGES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
FINDERS = pytest.mark.parametrize("find", [colour_region, enhanced_colour_region])


@st.composite
def regions_and_shapes(draw):
    """Draw a region inside an image and the shape of that image."""
    height, width = draw(SIDES), draw(SIDES)
    xmin, ymin = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    xmax, ymax = draw(st.integers(xmin + 1, width)), draw(st.integers(ymin + 1, height))
    return Region(xmin, ymin, xmax, ymax, draw(st.booleans())), (height, width)


def smear(*cells, shape=(240, 320)):
    """Cells of 30 pixels around nuclei of 18, given by their centres, among red cells."""
    image = np.full((*shape, 3), (225, 222, 215), np.uint8)
    for centre in ((40, 40), (290, 200), (250, 30)):
        cv2.circle(image, centre, 25, (200, 165, 160), -1)
    for centre in cells:
        cv2.circle(image, centre, 30, (200, 185, 215), -1)
        cv2.circle(image, centre, 18, (110, 75, 190), -1)
    return cv2.GaussianBlur(image, (3, 3), 0)


def inside(region, shape):
    return 0 <= region.xmin < region.xmax <= shape[1] and 0 <= region.ymin < region.ymax <= shape[0]


def holds(outer, inner):
    return all(np.less_equal(outer[:2], inner[:2])) and all(np.less_equal(inner[2:4], outer[2:4]))


def mirrored(region, shape, axis):
    height, width = shape[:2]
    xmin, ymin, xmax, ymax, found = region
    if axis == 0:
        return Region(xmin, height - ymax, xmax, height - ymin, found)
    return Region(width - xmax, ymin, width - xmin, ymax, found)


def overlap(region, box):
    """Intersection over union of two boxes."""
    sides = np.minimum(region[2:4], box[2:4]) - np.maximum(region[:2], box[:2])
    both = np.prod(np.maximum(sides, 0))
    areas = [np.prod(np.subtract(each[2:4], each[:2])) for each in (region, box)]
    return both / (sum(areas) - both)


@FINDERS
@settings(max_examples=40, deadline=None)
@given(image=IMAGES, padding=st.floats(0, 2))
def test_the_region_is_inside_any_image_which_stays_as_it_was(find, image, padding):
    before = image.copy()
    assert inside(find(image, padding=padding, smallest=0), image.shape)
    np.testing.assert_array_equal(image, before)


@FINDERS
@pytest.mark.parametrize("value", [0, 128, 255])
def test_nothing_found_is_the_whole_image(find, value):
    blank = np.full((48, 64, 3), value, np.uint8)
    assert find(blank) == Region(0, 0, 64, 48, found=False)


@FINDERS
def test_red_cells_alone_are_nothing(find):
    assert not find(smear()).found


def test_the_region_holds_the_cytoplasm_and_without_it_the_nucleus():
    image = smear((150, 120))
    assert overlap(colour_region(image, padding=0), (120, 90, 181, 151)) > 0.9
    assert overlap(colour_region(image, **PUBLISHED), (132, 102, 169, 139)) > 0.9
    assert overlap(enhanced_colour_region(image, padding=0), (132, 102, 169, 139)) > 0.9


def test_a_platelet_is_no_cell_unless_the_smallest_size_says_so():
    image = smear()
    cv2.circle(image, (150, 120), 8, (110, 75, 190), -1)
    assert not colour_region(image).found
    assert colour_region(image, smallest=0.001).found


@pytest.mark.parametrize("axis", [0, 1])
@settings(max_examples=15, deadline=None)
@given(x=st.integers(0, 319), y=st.integers(0, 239))
def test_a_mirrored_image_has_the_mirrored_region(axis, x, y):
    image = smear((x, y))
    flipped = colour_region(np.ascontiguousarray(np.flip(image, axis)))
    assert flipped == mirrored(colour_region(image), image.shape, axis)


@settings(max_examples=100, deadline=None)
@given(regions_and_shapes(), st.floats(0, 3))
def test_a_padded_region_holds_the_region_and_stays_inside(case, padding):
    region, shape = case
    padded = pad_region(region, padding=padding, shape=shape)
    assert inside(padded, shape)
    assert holds(padded, region)
    assert padded.found == region.found
    assert pad_region(region, padding=0, shape=shape) == region


@settings(max_examples=100, deadline=None)
@given(regions_and_shapes())
def test_a_square_region_is_square_inside_and_holds_the_region_if_the_image_can(case):
    region, shape = case
    square = square_region(region, shape=shape)
    width, height = np.subtract(square[2:4], square[:2])
    assert width == height
    assert inside(square, shape)
    assert square.found == region.found
    if max(np.subtract(region[2:4], region[:2])) <= min(shape):
        assert holds(square, region)
    assert square_region(square, shape=shape) == square


IMAGE = np.zeros((48, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: colour_region(IMAGE, padding=-1), "padding .* -1"),
        (lambda: colour_region(IMAGE, opening=2), "opening .* 2"),
        (lambda: colour_region(IMAGE, smallest=-0.5), "smallest .* -0.5"),
        (lambda: colour_region(IMAGE, nucleus=((160, 0, 0), (115, 255, 255))), "lower up to"),
        (lambda: enhanced_colour_region(IMAGE, clip_limit=0), "clip_limit"),
        (lambda: enhanced_colour_region(IMAGE, tiles=0), "tiles"),
        (lambda: pad_region(Region(0, 0, 5, 5), padding=-0.1, shape=(9, 9)), "padding .* -0.1"),
    ],
)
def test_a_parameter_out_of_range_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.fixture(scope="module")
def held_out(real_data):
    """Photographs with one white cell and an odd number: the defaults were chosen without them."""
    listed = blood_cells_originals.list_images(real_data)
    listed = listed[listed["box"].notna() & (listed["source_id"].str[-1].astype(int) % 2 == 1)]
    images = [cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB) for path in listed["path"]]
    return list(zip(images, listed["box"], strict=True))


def test_regions_agree_with_the_boxes_of_photographs_not_used_to_choose_the_defaults(held_out):
    overlaps = [overlap(colour_region(image), box) for image, box in held_out]
    assert len(overlaps) == 170
    assert np.mean(overlaps) > 0.84
    assert np.median(overlaps) > 0.855
    assert np.min(overlaps) > 0.5


def test_the_published_parameters_reach_about_the_published_overlap(held_out):
    overlaps = [overlap(colour_region(image, **PUBLISHED), box) for image, box in held_out]
    assert np.mean(overlaps) == pytest.approx(0.59, abs=0.05)
    assert np.std(overlaps) == pytest.approx(0.12, abs=0.02)


def test_the_printed_limits_are_of_hsv_not_of_rgb(held_out):
    overlaps = []
    for image, box in held_out[::3]:
        within = cv2.inRange(cv2.GaussianBlur(image, (3, 3), 0), *PUBLISHED["nucleus"])
        contours, _ = cv2.findContours(within, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        left, top, width, height = cv2.boundingRect(max(contours, key=cv2.contourArea))
        overlaps.append(overlap(Region(left, top, left + width, top + height), box))
    assert np.mean(overlaps) < 0.15


def test_enhanced_regions_agree_with_the_boxes_too(held_out):
    overlaps = [overlap(enhanced_colour_region(image), box) for image, box in held_out[::3]]
    assert np.mean(overlaps) > 0.81


def test_a_photograph_takes_few_milliseconds_of_one_core(held_out):
    with one_opencv_thread():
        seconds = []
        for image, _ in held_out[::8]:
            runs = []
            for _ in range(3):
                start = process_time()
                colour_region(image)
                runs.append(process_time() - start)
            seconds.append(min(runs))
    assert np.median(seconds) < 5e-3
