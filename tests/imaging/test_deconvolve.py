import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import restoration

from wbc_pipeline.imaging.deconvolve import (
    point_spread,
    richardson_lucy,
    unsupervised_wiener,
    wiener,
)

METHODS = [wiener, richardson_lucy, unsupervised_wiener]
SPREADS = ["gaussian", "disc"]
SIDES = st.integers(2, 24)
IMAGES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))


@pytest.fixture(scope="module")
def cell(real_data):
    path = min((real_data / "PBC_dataset_normal_DIB" / "eosinophil").glob("*.jpg"))
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA)


def blurred(image, psf, size):
    return cv2.filter2D(image, -1, point_spread(psf, size=size), borderType=cv2.BORDER_REFLECT)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(SPREADS), st.floats(0.01, 8))
def test_a_point_spread_is_an_odd_square_that_sums_to_1_and_mirrors_itself(psf, size):
    spread = point_spread(psf, size=size)
    assert spread.shape[0] == spread.shape[1]
    assert len(spread) % 2 == 1
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(spread, spread[::-1])
    np.testing.assert_array_equal(spread, spread.T)


def test_a_gaussian_point_spread_has_its_standard_deviation_and_a_disc_its_area():
    gaussian, disc = point_spread(size=4), point_spread("disc", size=8)
    x = np.arange(len(gaussian)) - len(gaussian) // 2
    assert np.sqrt((gaussian.sum(axis=0) * x**2).sum()) == pytest.approx(4, rel=0.03)
    assert 1 / disc.max() == pytest.approx(np.pi * 8**2, rel=0.01)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=5, deadline=None)
@given(IMAGES)
def test_any_image_keeps_dtype_and_shape_and_stays_as_it_was(method, image):
    before = image.copy()
    result = method(image)
    assert result.dtype == np.uint8
    assert result.shape == image.shape
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("psf", SPREADS)
def test_a_blurred_cell_comes_nearer_to_the_sharp_one_also_at_the_border(method, psf, cell):
    blur = blurred(cell, psf, 2)
    restored = method(blur, psf=psf, size=2)
    assert cv2.PSNR(restored, cell) > cv2.PSNR(blur, cell) + 2
    assert cv2.PSNR(restored[:4], cell[:4]) > cv2.PSNR(blur[:4], cell[:4]) + 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 40, 150)])
def test_a_flat_image_does_not_ring(method, colour):
    flat = np.full((16, 20, 3), colour, np.uint8)
    np.testing.assert_allclose(method(flat).astype(int), flat.astype(int), atol=1)


@pytest.mark.parametrize("method", [wiener, richardson_lucy])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_image_gives_the_mirrored_result(method, axis, cell):
    mirrored = np.flip(method(np.flip(cell, axis)), axis)
    np.testing.assert_allclose(mirrored.astype(int), method(cell).astype(int), atol=1)


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_equals_image_by_image_and_a_second_run_the_first(method):
    batch = np.random.default_rng(0).integers(0, 256, (2, 16, 20, 3), np.uint8)
    np.testing.assert_array_equal(method(batch), np.stack([method(image) for image in batch]))
    assert method(batch[:0]).shape == (0, 16, 20, 3)


@pytest.mark.parametrize("psf", SPREADS)
@pytest.mark.parametrize("method", METHODS)
def test_the_result_is_scikit_images_on_a_mirrored_image(method, psf, cell):
    spread = point_spread(psf, size=2)
    theirs = {
        wiener: lambda channel: restoration.wiener(channel, spread, 0.01),
        richardson_lucy: lambda channel: restoration.richardson_lucy(channel, spread, 10),
        unsupervised_wiener: lambda channel: restoration.unsupervised_wiener(channel, spread)[0],
    }[method]
    blur = blurred(cell[:, 8:], psf, 2)
    height, width, _ = blur.shape
    mirrored = np.pad(blur / 255, ((height, 0), (width, 0), (0, 0)), "symmetric")
    expected = np.dstack([theirs(channel) for channel in np.moveaxis(mirrored, -1, 0)])
    difference = method(blur, psf=psf, size=2) - 255 * expected[height:, width:].clip(0, 1)
    if method is richardson_lucy:  # theirs has black beyond the other two borders
        difference = difference[: -height // 3, : -width // 3]
    if method is unsupervised_wiener:  # the noise of its samples is another
        difference = cv2.blur(difference, (9, 9))
    assert np.abs(difference).max() < 1.5


def test_more_iterations_and_less_balance_are_sharper(cell):
    blur = blurred(cell, "gaussian", 1.5)
    lucy = [richardson_lucy(blur, iterations=n).std() for n in (3, 10, 20)]
    hunt = [wiener(blur, balance=b).std() for b in (1, 0.1, 0.001)]
    assert lucy == sorted(lucy)
    assert hunt == sorted(hunt)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        (wiener, {"psf": "box"}, "no point spread 'box'; known: disc, gaussian"),
        (wiener, {"balance": 0}, "balance must be above 0"),
        (wiener, {"size": 0}, "size must be above 0"),
        (richardson_lucy, {"iterations": 0}, "iterations must be above 0"),
        (unsupervised_wiener, {"psf": "disc", "size": -1}, "size must be above 0"),
    ],
)
def test_a_parameter_out_of_range_is_named(method, options, message):
    with pytest.raises(ValueError, match=message):
        method(np.zeros((16, 20, 3), np.uint8), **options)
