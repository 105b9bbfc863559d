from inspect import signature

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wbc_pipeline.imaging.batches import over_batch
from wbc_pipeline.imaging.enhance import clahe, equalise_histogram, gamma, unsharp_mask

FUNCTIONS = [clahe, equalise_histogram, gamma, unsharp_mask]
SIDES = st.integers(1, 40)
IMAGES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
FEW = settings(max_examples=15, deadline=None)


def grey_ramp(low=90, high=150):
    return np.tile(np.linspace(low, high, 48).astype(np.uint8)[:, None, None], (1, 40, 3))


@pytest.mark.parametrize("function", FUNCTIONS)
@FEW
@given(IMAGES)
def test_any_image_keeps_dtype_and_shape_and_stays_as_it_was(function, image):
    before = image.copy()
    result = function(image)
    assert result.dtype == np.uint8
    assert result.shape == image.shape
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_batch_equals_image_by_image(function):
    batch = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)
    np.testing.assert_array_equal(function(batch), np.stack([function(image) for image in batch]))
    assert function(batch[:0]).shape == (0, 24, 32, 3)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_memory_order_does_not_matter(function):
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    mirrored = image[:, ::-1]
    np.testing.assert_array_equal(function(mirrored), function(mirrored.copy()))


@FEW
@given(IMAGES)
def test_gamma_1_and_amount_0_change_nothing(image):
    np.testing.assert_array_equal(gamma(image, exponent=1), image)
    np.testing.assert_array_equal(unsharp_mask(image, amount=0), image)


@FEW
@given(st.floats(0.1, 5), st.floats(0.1, 5))
def test_gamma_rises_with_intensity_and_falls_with_the_exponent(one, other):
    levels = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, axis=2)
    low, high = sorted((one, other))
    bright, dark = gamma(levels, exponent=low), gamma(levels, exponent=high)
    assert (np.diff(dark[0, :, 0].astype(int)) >= 0).all()
    assert (bright >= dark).all()
    assert dark[0, [0, 255], 0].tolist() == [0, 255]


@pytest.mark.parametrize("function", [equalise_histogram, gamma, unsharp_mask])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 40, 150)])
def test_a_flat_image_stays_flat(function, colour):
    flat = np.full((24, 32, 3), colour, np.uint8)
    result = function(flat)
    assert (result == result[0, 0]).all()
    if function is not gamma:
        np.testing.assert_allclose(result, flat, atol=2)  # CIELAB in 8 bits


@pytest.mark.parametrize("function", [clahe, equalise_histogram])
def test_contrast_grows_on_lightness_and_leaves_grey_grey(function):
    ramp = grey_ramp()
    result = function(ramp).astype(int)
    assert result.std() > 1.02 * ramp.std()
    assert np.ptp(result, axis=-1).max() <= 1


def test_equalised_lightness_keeps_its_order_and_is_nearly_equalised_twice():
    once = equalise_histogram(grey_ramp())
    assert (np.diff(once[:, 0, 0].astype(int)) >= 0).all()
    np.testing.assert_allclose(equalise_histogram(once), once, atol=2)


def test_a_higher_clip_limit_gives_more_contrast():
    contrasts = [clahe(grey_ramp(), clip_limit=c, tiles=1).std() for c in (1.5, 3, 20)]
    assert contrasts == sorted(set(contrasts))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_image_is_sharpened_to_the_mirrored_result(axis):
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    mirrored = unsharp_mask(np.flip(image, axis))
    np.testing.assert_array_equal(np.flip(mirrored, axis), unsharp_mask(image))


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (clahe, {"clip_limit": 0}, "clip_limit must be above 0"),
        (clahe, {"tiles": 0}, "tiles must be above 0"),
        (gamma, {"exponent": -1}, "exponent must be above 0"),
        (unsharp_mask, {"radius": float("nan")}, "radius must be above 0"),
        (unsharp_mask, {"amount": -0.1}, "amount must be at least 0"),
    ],
)
def test_a_parameter_out_of_range_is_named(function, options, message):
    with pytest.raises(ValueError, match=message):
        function(grey_ramp(), **options)


@pytest.mark.parametrize("shape", [(24, 32), (24, 32, 4), (1, 2, 24, 32, 3)])
def test_what_is_no_rgb_image_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected RGB uint8 .* got uint8"):
        gamma(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="got float64"):
        gamma(np.zeros((24, 32, 3)))


def test_the_batch_decorator_keeps_name_and_parameters_for_yaml():
    def filtered(image, *, size=3):
        return image

    assert over_batch(filtered).__name__ == "filtered"
    assert list(signature(over_batch(filtered)).parameters) == ["image", "size"]
