import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from overlaps_of_masks import dice

from wbc_pipeline.imaging.edges import CHANNELS, canny_edges, canny_foreground, canny_mask

SIDES = st.integers(16, 160)
IMAGES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))


def smear(height=128, width=128, *, centre=(0.5, 0.5), radius=0.2, red_cells=True):
    """Violet cell in a paler cytoplasm among red cells; its true mask."""
    side, ground = min(height, width), (235, 225, 215)
    image = np.full((height, width, 3), ground, np.uint8)
    middle = int(centre[0] * width), int(centre[1] * height)
    if red_cells:
        for x, y in ((0.1, 0.15), (0.9, 0.2), (0.15, 0.85), (0.85, 0.9)):
            cv2.circle(image, (int(x * width), int(y * height)), side // 10, (215, 170, 165), -1)
    cv2.circle(image, middle, int(radius * side), (160, 150, 205), -1)
    cv2.circle(image, middle, int(0.7 * radius * side), (90, 40, 150), -1)
    mask = cv2.circle(np.zeros((height, width), np.uint8), middle, int(radius * side), 255, -1)
    return cv2.GaussianBlur(image, (0, 0), side / 128), mask


@settings(max_examples=40, deadline=None)
@given(IMAGES, st.sampled_from(sorted(CHANNELS)))
def test_any_image_gives_a_binary_mask_of_its_size_and_stays_as_it_was(image, channel):
    before = image.copy()
    mask = canny_mask(image, channel=channel)
    assert mask.dtype == np.uint8
    assert mask.shape == image.shape[:2]
    assert set(np.unique(mask)) <= {0, 255}
    np.testing.assert_array_equal(image, before)


@settings(max_examples=40, deadline=None)
@given(IMAGES)
def test_the_foreground_is_the_image_inside_the_mask_and_black_outside(image):
    foreground, inside = canny_foreground(image), canny_mask(image) > 0
    assert foreground.dtype == np.uint8
    np.testing.assert_array_equal(foreground[inside], image[inside])
    assert not foreground[~inside].any()


@pytest.mark.parametrize("value", [0, 128, 255])
def test_nothing_found_keeps_the_whole_image(value):
    blank = np.full((96, 96, 3), value, np.uint8)
    assert canny_mask(blank).all()
    np.testing.assert_array_equal(canny_foreground(blank), blank)


@pytest.mark.parametrize("size", [(64, 64), (96, 96), (128, 128), (240, 320), (300, 300)])
def test_the_same_parameters_find_the_cell_at_every_size(size):
    image, truth = smear(*size)
    assert dice(canny_mask(image), truth) > 0.85


@settings(max_examples=20, deadline=None)
@given(st.floats(0.3, 0.7), st.floats(0.3, 0.7), st.floats(0.15, 0.25))
def test_the_cell_is_found_wherever_it_lies(x, y, radius):
    image, truth = smear(centre=(x, y), radius=radius, red_cells=False)
    mask = canny_mask(image)
    assert dice(mask, truth) > 0.8
    assert mask[truth > 0].mean() > 0.9 * 255


def test_red_cells_are_not_in_the_mask():
    mask = canny_mask(smear()[0])
    assert not mask[:30, :30].any()
    assert not mask[-30:, -30:].any()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_image_gives_a_nearly_mirrored_mask(axis):
    image = smear(centre=(0.4, 0.55))[0]
    mirrored = canny_mask(np.ascontiguousarray(np.flip(image, axis)))
    assert dice(np.flip(mirrored, axis), canny_mask(image)) > 0.95


def test_black_padding_of_a_rotated_image_is_no_edge():
    image = smear(centre=(0.6, 0.6), red_cells=False)[0]
    image[:, :20] = 0
    assert not canny_edges(image)[:, :24].any()
    assert not canny_mask(image)[:, :24].any()


def test_an_unknown_channel_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'grren'.*luminance.*green"):
        canny_mask(np.zeros((32, 32, 3), np.uint8), channel="grren")


@pytest.mark.parametrize(("number", "least"), [(1, 0.85), (2, 0.77)])
def test_the_defaults_overlap_with_the_experts_masks_in_both_stains(real_data, number, least):
    folder = real_data / "segmentation_WBC" / f"Dataset {number}"
    overlaps = []
    for path in sorted(folder.glob("*.bmp"))[::3]:
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        cell = cv2.imread(str(path.with_suffix(".png")), cv2.IMREAD_GRAYSCALE) >= 64
        overlaps.append(dice(canny_mask(image), cell))
    assert np.mean(overlaps) > least
