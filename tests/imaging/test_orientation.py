import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from wbc_pipeline.imaging.orientation import (
    annotated_side,
    turn_box,
    turn_upright,
    valid_orientation,
)
from wbc_pipeline.imaging.refusals import UnreadableImageError

orientations = st.integers(1, 8)
sides = st.integers(1, 9)


@settings(deadline=None)
@given(orientations, sides, sides)
def test_an_image_turns_as_pillow_turns_it(orientation, height, width):
    pixels = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    image = Image.fromarray(pixels)
    image.getexif()[0x112] = orientation
    assert np.array_equal(turn_upright(pixels, orientation), ImageOps.exif_transpose(image))


@settings(deadline=None)
@given(orientations, st.data())
def test_a_mask_and_a_box_turn_with_their_image(orientation, data):
    height, width = data.draw(sides), data.draw(sides)
    xmin, ymin = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    xmax, ymax = data.draw(st.integers(xmin + 1, width)), data.draw(st.integers(ymin + 1, height))
    image, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    image[ymin:ymax, xmin:xmax] = 200
    mask[ymin:ymax, xmin:xmax] = 2
    image, mask = turn_upright(image, orientation), turn_upright(mask, orientation)
    assert np.array_equal(image[..., 0] == 200, mask == 2)
    xmin, ymin, xmax, ymax = turn_box((xmin, ymin, xmax, ymax), orientation, mask.shape)
    drawn = np.zeros_like(mask)
    drawn[ymin:ymax, xmin:xmax] = 2
    assert np.array_equal(drawn, mask)


@pytest.mark.parametrize("value", [None, 0, 9, "6", 1.5])
def test_what_is_no_orientation_turns_nothing(value):
    assert valid_orientation(value) == 1


@pytest.mark.parametrize(
    ("annotated", "orientation", "side"),
    [
        (None, 1, "upright"),
        ("file", 1, "upright"),  # nothing to turn
        ("30 x 20", 1, "upright"),
        ("file", 3, "file"),
        ("upright", 6, "upright"),
        ("20 x 30", 6, "file"),
        ("30 x 20", 8, "upright"),
        ("20 x 30, upright", 6, "file"),  # what the annotation declares goes first
        ("30 x 20, file", 3, "file"),
    ],
)
def test_the_side_is_told_by_the_declared_size_or_said(annotated, orientation, side):
    assert annotated_side(annotated, orientation, (20, 30), "box") == side


@pytest.mark.parametrize(
    ("annotated", "orientation", "reason"),
    [
        (None, 3, "box of an image that its EXIF tag turns: orientation 3, .* `annotations`"),
        ("30 x 20", 3, "box of an image that its EXIF tag turns"),
        ("64 x 48", 1, "box of another size than its image: 64 x 48 against 30 x 20"),
        ("20 x 30", 3, "box of another size than its image: 20 x 30 against 30 x 20"),
    ],
)
def test_annotations_of_an_unknown_side_are_refused(annotated, orientation, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        annotated_side(annotated, orientation, (20, 30), "box")


def test_of_a_turned_square_no_size_tells_the_side():
    with pytest.raises(UnreadableImageError, match="EXIF tag turns"):
        annotated_side("20 x 20", 6, (20, 20), "mask")
