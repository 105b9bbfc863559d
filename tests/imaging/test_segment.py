import time

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from overlaps_of_masks import dice
from scipy import ndimage

from wbc_pipeline.imaging.segment import (
    OTSU_CHANNELS,
    fill_holes,
    largest_component,
    otsu_mask,
    saliency_map,
    saliency_mask,
    trace_border,
    violet_mask_hsv,
    violet_mask_rgb,
    watershed_mask,
)

SIDES = st.integers(1, 48)
IMAGES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
MASKS = st.tuples(SIDES, SIDES).flatmap(
    lambda size: arrays(np.uint8, size, elements=st.sampled_from([0, 255]))
)
FINDERS = [violet_mask_hsv, violet_mask_rgb, otsu_mask, watershed_mask, saliency_mask]
AXES = pytest.mark.parametrize("axis", [0, 1])


def smear():
    """Two violet nuclei that touch, pale cytoplasm of one, red cells; mask of the nuclei."""
    image = np.full((120, 160, 3), (225, 222, 215), np.uint8)
    cv2.circle(image, (130, 25), 15, (200, 165, 160), -1)
    cv2.circle(image, (20, 100), 15, (200, 165, 160), -1)
    cv2.circle(image, (60, 60), 28, (200, 185, 215), -1)
    mask = np.zeros((120, 160), np.uint8)
    for x in (55, 86):
        cv2.circle(mask, (x, 60), 17, 255, -1)
    image[mask > 0] = 110, 75, 190
    return cv2.GaussianBlur(image, (3, 3), 0), mask


@pytest.mark.parametrize("find", FINDERS)
@settings(max_examples=25, deadline=None)
@given(image=IMAGES)
def test_any_image_gives_a_binary_mask_of_its_size_and_stays_as_it_was(find, image):
    before = image.copy()
    mask = find(image)
    assert mask.dtype == np.uint8
    assert mask.shape == image.shape[:2]
    assert set(np.unique(mask)) <= {0, 255}
    np.testing.assert_array_equal(image, before)


@settings(max_examples=40, deadline=None)
@given(IMAGES, st.floats(0, 1), st.floats(0.01, 0.2))
def test_saliency_is_float32_from_0_to_1(image, edges, sigma):
    saliency = saliency_map(image, edges=edges, sigma=sigma)
    assert saliency.dtype == np.float32
    assert saliency.shape == image.shape[:2]
    assert saliency.min() >= 0
    assert saliency.max() <= 1


@settings(max_examples=40, deadline=None)
@given(IMAGES, st.floats(0, 1, width=32))
def test_the_salient_are_those_at_or_above_the_threshold(image, threshold):
    expected = (saliency_map(image) >= threshold) & np.ptp(image, axis=(0, 1)).any()
    np.testing.assert_array_equal(saliency_mask(image, threshold=threshold) > 0, expected)


@pytest.mark.parametrize("value", [0, 128, 230, 255])
def test_a_flat_image_holds_nothing(value):
    flat = np.full((40, 50, 3), value, np.uint8)
    assert not violet_mask_hsv(flat).any()
    assert not watershed_mask(flat).any()
    for channel in OTSU_CHANNELS:
        assert not otsu_mask(flat, channel=channel).any()
    assert saliency_map(flat).max() < 0.01
    assert not saliency_mask(flat).any()
    assert not saliency_mask(flat, threshold=0).any()


@pytest.mark.parametrize("find", [violet_mask_hsv, violet_mask_rgb, watershed_mask])
def test_the_nuclei_are_found_without_red_cells(find):
    image, nuclei = smear()
    assert dice(find(image), nuclei) > 0.9


@pytest.mark.parametrize("channel", ["green", "stain"])
def test_otsu_on_a_channel_where_nuclei_are_dark_finds_them(channel):
    image, nuclei = smear()
    assert dice(otsu_mask(image, channel=channel), nuclei) > 0.9


def test_otsu_equals_that_of_scikit_image():
    from skimage.filters import threshold_otsu

    image = smear()[0]
    saturation = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1]
    expected = saturation > threshold_otsu(saturation)
    np.testing.assert_array_equal(otsu_mask(image) > 0, expected)
    levels = np.rint(255 * saliency_map(image)).astype(np.uint8)
    np.testing.assert_array_equal(saliency_mask(image) > 0, levels > threshold_otsu(levels))


def test_watershed_parts_what_otsu_leaves_together():
    image = smear()[0]
    together, parted = (
        cv2.connectedComponents(mask)[0] - 1
        for mask in (otsu_mask(image, channel="stain"), watershed_mask(image))
    )
    assert (together, parted) == (1, 2)


def test_a_long_line_of_a_watershed_takes_a_moment_and_parts_at_corners_too():
    image = np.full((200, 200, 3), 230, np.uint8)
    for corner in (10, 75):
        image[corner : corner + 91, corner : corner + 91] = 110, 75, 190
    start = time.process_time()
    count, labels = cv2.connectedComponents(watershed_mask(image), connectivity=8)
    assert time.process_time() - start < 1
    assert count - 1 == 2
    np.testing.assert_allclose(*np.bincount(labels.ravel())[1:], rtol=0.05)


def test_nuclei_are_more_salient_than_red_cells_and_those_than_the_ground():
    saliency = saliency_map(smear()[0])
    nucleus, red, ground = saliency[60, 55], saliency[25, 130], saliency[100, 140]
    assert nucleus > 0.6
    assert nucleus > 2 * red
    assert ground < 0.2


def test_the_salient_hold_the_nuclei_and_no_red_cell():
    image, nuclei = smear()
    mask = saliency_mask(image)
    assert mask[nuclei > 0].mean() > 0.95 * 255
    assert not mask[25, 130]
    assert dice(mask, nuclei) > 0.8


@AXES
@pytest.mark.parametrize("find", [violet_mask_hsv, violet_mask_rgb, otsu_mask])
@settings(max_examples=20, deadline=None)
@given(image=IMAGES)
def test_a_mirrored_image_gives_the_mirrored_mask(find, axis, image):
    mirrored = find(np.ascontiguousarray(np.flip(image, axis)))
    np.testing.assert_array_equal(np.flip(mirrored, axis), find(image))


@AXES
def test_watershed_and_saliency_of_a_mirrored_image_are_nearly_mirrored(axis):
    image = smear()[0]
    mirrored = np.ascontiguousarray(np.flip(image, axis))
    assert dice(np.flip(watershed_mask(mirrored), axis), watershed_mask(image)) > 0.97
    assert dice(np.flip(saliency_mask(mirrored), axis), saliency_mask(image)) > 0.97
    np.testing.assert_allclose(
        np.flip(saliency_map(mirrored), axis), saliency_map(image), atol=1e-4
    )


@pytest.mark.parametrize("repair", [fill_holes, largest_component])
@settings(max_examples=60, deadline=None)
@given(mask=MASKS)
def test_a_repaired_mask_is_binary_and_needs_no_second_repair(repair, mask):
    before = mask.copy()
    repaired = repair(mask)
    assert repaired.dtype == np.uint8
    assert repaired.shape == mask.shape
    assert set(np.unique(repaired)) <= {0, 255}
    np.testing.assert_array_equal(repair(repaired), repaired)
    np.testing.assert_array_equal(mask, before)


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_holes_are_filled_as_scipy_does(mask):
    np.testing.assert_array_equal(fill_holes(mask) > 0, ndimage.binary_fill_holes(mask))


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_the_largest_component_is_as_large_as_any_and_in_one_piece(mask):
    largest = largest_component(mask) > 0
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    assert largest.sum() == max(np.bincount(labels.ravel())[1:], default=0)
    assert ndimage.label(largest, np.ones((3, 3)))[1] == min(count, 1)
    assert (mask[largest] > 0).all()


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_the_border_runs_on_the_largest_object_from_neighbour_to_neighbour(mask):
    border = trace_border(mask)
    assert border.dtype == np.int32
    assert border.shape[1:] == (2,)
    assert (len(border) == 0) == (not mask.any())
    assert (largest_component(mask)[border[:, 1], border[:, 0]] > 0).all()
    if len(border) > 1:
        steps = np.abs(border - np.roll(border, 1, axis=0)).max(axis=1)
        assert (steps == 1).all()


def test_the_border_of_a_disc_is_a_circle():
    disc = cv2.circle(np.zeros((64, 64), np.uint8), (30, 34), 20, 255, -1)
    radius = np.linalg.norm(trace_border(disc) - (30, 34), axis=1)
    assert abs(radius - 20).max() < 1


def test_masks_that_are_no_255_count_as_well():
    mask = np.array([[0, 1, 1, 0, 7]], np.uint8)
    assert largest_component(mask).tolist() == [[0, 255, 255, 0, 0]]
    assert fill_holes(mask).tolist() == [[0, 255, 255, 0, 255]]


IMAGE = np.zeros((8, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: violet_mask_hsv(IMAGE, lower=(130, 0, 0), upper=(120, 255, 255)), "lower up to"),
        (lambda: violet_mask_hsv(IMAGE, lower=(-1, 0, 0)), "0 to 255"),
        (lambda: violet_mask_rgb(IMAGE, upper=(256, 0, 0), lower=(0, 0, 0)), "0 to 255"),
        (lambda: violet_mask_rgb(IMAGE, upper=(255, 255)), "three numbers"),
        (lambda: otsu_mask(IMAGE, channel="grren"), "'grren'.*saturation, green, stain"),
        (lambda: watershed_mask(IMAGE, channel="red"), "'red'"),
        (lambda: watershed_mask(IMAGE, core=1), "core .* 1"),
        (lambda: watershed_mask(IMAGE, opening=0), "opening .* 0"),
        (lambda: saliency_map(IMAGE, edges=-0.1), "edges .* -0.1"),
        (lambda: saliency_map(IMAGE, sigma=0), "sigma .* 0"),
        (lambda: saliency_mask(IMAGE, threshold=1.5), "threshold .* 1.5"),
    ],
)
def test_a_parameter_out_of_range_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_limits_of_violet_find_the_experts_nuclei(real_data):
    folder = real_data / "segmentation_WBC" / "Dataset 2"
    overlaps = []
    for path in sorted(folder.glob("*.bmp"))[::4]:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        nucleus = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_GRAYSCALE) > 192
        overlaps.append(dice(largest_component(fill_holes(violet_mask_hsv(image))), nucleus))
    assert np.mean(overlaps) > 0.8
