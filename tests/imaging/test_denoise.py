import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wbc_pipeline.imaging.denoise import (
    bilateral_filter,
    gaussian_filter,
    median_filter,
    non_local_means,
    total_variation,
    wavelet,
)

FILTERS = [
    median_filter,
    bilateral_filter,
    gaussian_filter,
    non_local_means,
    total_variation,
    wavelet,
]
SIDES = st.integers(8, 32)
IMAGES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
FEW = settings(max_examples=8, deadline=None)


@pytest.fixture(scope="module")
def cell(real_data):
    path = min((real_data / "PBC_dataset_normal_DIB" / "neutrophil").glob("*.jpg"))
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def noisy(cell):
    noise = np.random.default_rng(0).normal(0, 12, cell.shape)
    return (cell + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("denoise", FILTERS)
@FEW
@given(IMAGES)
def test_any_image_keeps_dtype_and_shape_and_stays_as_it_was(denoise, image):
    before = image.copy()
    result = denoise(image)
    assert result.dtype == np.uint8
    assert result.shape == image.shape
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("denoise", [median_filter, bilateral_filter, gaussian_filter])
@FEW
@given(IMAGES)
def test_a_local_mean_or_median_stays_within_the_range_of_the_image(denoise, image):
    result = denoise(image)
    assert (result.min(axis=(0, 1)) >= image.min(axis=(0, 1))).all()
    assert (result.max(axis=(0, 1)) <= image.max(axis=(0, 1))).all()


@pytest.mark.parametrize("denoise", FILTERS)
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (90, 40, 150)])
def test_a_flat_image_comes_back_as_it_was(denoise, colour):
    flat = np.full((24, 32, 3), colour, np.uint8)
    np.testing.assert_array_equal(denoise(flat), flat)


@pytest.mark.parametrize("denoise", [median_filter, bilateral_filter, gaussian_filter])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_image_gives_the_mirrored_result(denoise, axis, noisy):
    mirrored = np.flip(denoise(np.flip(noisy, axis)), axis)
    np.testing.assert_allclose(mirrored.astype(int), denoise(noisy).astype(int), atol=1)


@pytest.mark.parametrize("denoise", FILTERS)
def test_noise_on_a_real_cell_is_reduced(denoise, cell, noisy):
    assert cv2.PSNR(denoise(noisy), cell) > cv2.PSNR(noisy, cell) + 3


@pytest.mark.parametrize("denoise", FILTERS)
def test_a_batch_equals_image_by_image(denoise):
    batch = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)
    np.testing.assert_array_equal(denoise(batch), np.stack([denoise(image) for image in batch]))
    assert denoise(batch[:0]).shape == (0, 24, 32, 3)


@pytest.mark.parametrize(
    ("denoise", "options"),
    [
        (median_filter, {"size": 1}),
        (bilateral_filter, {"sigma_colour": 0.01}),
        (gaussian_filter, {"sigma": 0.1}),
        (non_local_means, {"strength": 0.01}),
        (non_local_means, {"window": 1}),
        (total_variation, {"weight": 1e-6}),
        (wavelet, {"sigma": 0.01}),
    ],
)
def test_the_weakest_parameter_changes_nothing(denoise, options, noisy):
    np.testing.assert_array_equal(denoise(noisy, **options), noisy)


@pytest.mark.parametrize(
    ("denoise", "name", "values"),
    [
        (median_filter, "size", (3, 5, 9)),
        (bilateral_filter, "sigma_colour", (10, 40, 160)),
        (gaussian_filter, "sigma", (0.5, 1, 2)),
        (non_local_means, "strength", (5, 10, 20)),
        (total_variation, "weight", (0.02, 0.1, 0.5)),
        (wavelet, "sigma", (2, 10, 40)),
    ],
)
def test_a_larger_parameter_smooths_more(denoise, name, values, noisy):
    roughness = [cv2.Laplacian(denoise(noisy, **{name: v}), cv2.CV_32F).std() for v in values]
    assert roughness == sorted(roughness, reverse=True)


def test_a_median_of_a_median_of_a_straight_edge_is_that_edge():
    image = np.full((24, 32, 3), 200, np.uint8)
    image[:, 16:] = 90, 40, 150
    np.testing.assert_array_equal(median_filter(image, size=5), image)


@pytest.mark.parametrize(
    ("denoise", "options", "message"),
    [
        (median_filter, {"size": 4}, "size must be odd"),
        (median_filter, {"size": -1}, "size must be odd and at least 1"),
        (bilateral_filter, {"sigma_space": 0}, "sigma_space must be above 0"),
        (bilateral_filter, {"sigma_colour": -1}, "sigma_colour must be above 0"),
        (gaussian_filter, {"sigma": 0}, "sigma must be above 0"),
        (non_local_means, {"strength": 0}, "strength must be above 0"),
        (non_local_means, {"patch": 2}, "patch must be odd"),
        (non_local_means, {"window": 8}, "window must be odd"),
        (total_variation, {"weight": 0}, "weight must be above 0"),
        (wavelet, {"sigma": 0}, "sigma must be above 0"),
    ],
)
def test_a_parameter_out_of_range_is_named(denoise, options, message):
    with pytest.raises(ValueError, match=message):
        denoise(np.zeros((24, 32, 3), np.uint8), **options)
