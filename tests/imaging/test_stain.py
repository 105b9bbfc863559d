import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import rgb_from_hed, separate_stains
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer

from wbc_pipeline.imaging.stain import (
    fit_macenko,
    fit_reinhard,
    haematoxylin_eosin,
    macenko,
    reinhard,
)

METHODS = [reinhard, macenko]
SIDES = st.integers(1, 24)
IMAGES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
BLUE, PINK = (0.65, 0.70, 0.29), (0.07, 0.99, 0.11)


def stained(*colours, height=32, width=40, seed=0):
    """Random amounts of stains with the given optical densities, on light of 240."""
    amounts = np.random.default_rng(seed).uniform(0.3, 1.5, (height, width, len(colours)))
    return np.rint(240 * np.exp(-amounts @ np.array(colours))).astype(np.uint8)


def lab_statistics(image):
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab.mean(axis=(0, 1)), lab.std(axis=(0, 1))


@pytest.fixture(scope="module")
def cells(real_data):
    """Three cells of one laboratory, and one of another with other colours."""
    folder = real_data / "PBC_dataset_normal_DIB"
    paths = [min((folder / kind).glob("*.jpg")) for kind in ("eosinophil", "ig", "lymphocyte")]
    paths.append(real_data / "segmentation_WBC" / "Dataset 1" / "041.bmp")
    images = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]
    return [cv2.resize(image, (96, 96), interpolation=cv2.INTER_AREA) for image in images]


@pytest.mark.filterwarnings("error")  # a NaN cast to uint8 warns
@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None)
@given(IMAGES)
def test_any_image_keeps_dtype_and_shape_and_stays_as_it_was(method, image):
    before = image.copy()
    result = method(image, reference=stained(BLUE, PINK))
    assert result.dtype == np.uint8
    assert result.shape == image.shape
    np.testing.assert_array_equal(image, before)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (240, 240, 240), (90, 40, 150)])
def test_a_flat_image_comes_back_unchanged_and_is_no_reference(method, colour):
    flat = np.full((24, 32, 3), colour, np.uint8)
    np.testing.assert_array_equal(method(flat, reference=stained(BLUE, PINK)), flat)
    with pytest.raises(ValueError, match=r"reference of (Reinhard|Macenko)"):
        method(stained(BLUE, PINK), reference=flat)


def test_an_image_of_one_stain_or_hardly_any_is_left_alone_by_macenko():
    blank = np.full((32, 40, 3), 235, np.uint8)
    blank[:2, :3] = stained(BLUE, PINK)[:2, :3]
    for image in (stained((0.5, 0.5, 0.5)), blank):
        np.testing.assert_array_equal(macenko(image, reference=stained(BLUE, PINK)), image)


def test_reinhard_gives_the_references_mean_and_spread_in_lab(cells):
    reference = cells[-1]
    for image in cells[:-1]:
        # Of the colours inside sRGB: a result that needs no clipping.
        mild = reinhard(image, reference=reference // 2 + 60)
        mean, spread = lab_statistics(reference // 2 + 60)
        np.testing.assert_allclose(lab_statistics(mild)[0], mean, atol=0.5)
        np.testing.assert_allclose(lab_statistics(mild)[1], spread, atol=0.5)


def test_normalising_to_itself_nearly_leaves_an_image(cells):
    for image in cells:
        assert np.abs(reinhard(image, reference=image).astype(int) - image).max() <= 1
    # Macenko keeps what two stains explain: all of a section, not all of a smear.
    section = stained(BLUE, PINK)
    assert np.abs(macenko(section, reference=section).astype(int) - section).max() <= 2
    for image in cells[:-1]:
        assert np.abs(macenko(image, reference=image).astype(int) - image).mean() < 15


@pytest.mark.parametrize("method", METHODS)
def test_a_cell_of_another_laboratory_comes_nearer_to_the_references_colours(method, cells):
    reference = cells[0]
    for image in cells[-1:]:
        result = method(image, reference=reference)
        before, after = (
            np.linalg.norm(lab_statistics(i)[0] - lab_statistics(reference)[0])
            for i in (image, result)
        )
        assert after < before


def test_macenko_moves_both_stains_to_the_references():
    image, reference = stained(BLUE, PINK), stained((0.7, 0.3, 0.65), (0.1, 0.7, 0.7))
    result = macenko(image, reference=reference)
    np.testing.assert_allclose(result.mean(axis=(0, 1)), reference.mean(axis=(0, 1)), rtol=0.1)


def test_stains_that_torchstain_puts_in_another_order_are_not_swapped():
    # Like two smears of one laboratory (Barcelona): strong nuclei and a pale second stain.
    image = stained((1.1, 1.64, 0.4), (0.2, 0.22, 0.26))
    reference = stained((1.04, 1.64, 0.44), (0.228, 0.204, 0.26))
    fitted = NumpyMacenkoNormalizer()
    fitted.fit(reference)
    theirs = fitted.normalize(image)[0]
    ours = macenko(image, reference=reference)
    assert cv2.PSNR(ours, image) > 25
    assert cv2.PSNR(theirs, image) < 20


@pytest.mark.parametrize(
    ("fit", "theirs"),
    [(fit_reinhard, NumpyReinhardNormalizer), (fit_macenko, NumpyMacenkoNormalizer)],
)
def test_the_result_is_torchstains_up_to_rounding(fit, theirs, cells):
    image, reference = cells[1], cells[0]
    normaliser = theirs()
    normaliser.fit(reference)
    expected = normaliser.normalize(image)
    expected = expected[0] if isinstance(expected, tuple) else expected
    assert np.abs(fit(reference)(image).astype(int) - expected).max() <= 2


@pytest.mark.parametrize(("method", "fit"), [(reinhard, fit_reinhard), (macenko, fit_macenko)])
def test_a_batch_equals_image_by_image_and_fitting_once_fitting_each_time(method, fit):
    reference = stained(BLUE, PINK)
    batch = np.stack([stained(PINK, BLUE, seed=seed) for seed in (1, 2, 3)])
    alone = np.stack([method(image, reference=reference) for image in batch])
    np.testing.assert_array_equal(method(batch, reference=reference), alone)
    np.testing.assert_array_equal(fit(reference)(batch), alone)
    assert fit(reference)(batch[:0]).shape == (0, 32, 40, 3)


@settings(max_examples=20, deadline=None)
@given(IMAGES)
def test_densities_are_finite_float32_from_0_up(image):
    densities = haematoxylin_eosin(image)
    assert densities.dtype == np.float32
    assert densities.shape == image.shape
    assert np.isfinite(densities).all()
    assert (densities >= 0).all()
    np.testing.assert_array_equal(haematoxylin_eosin(image[None]), densities[None])


@settings(max_examples=20, deadline=None)
@given(IMAGES)
def test_haematoxylin_and_eosin_are_scikit_images_with_a_residual_at_right_angles(image):
    stains = np.array([*rgb_from_hed[:2], np.cross(*rgb_from_hed[:2])])
    expected = separate_stains(image, np.linalg.inv(stains))
    np.testing.assert_allclose(haematoxylin_eosin(image), expected, atol=1e-5)


def test_twice_the_stain_has_twice_the_density_and_stains_do_not_mix():
    image = np.array([np.exp(-k * np.array([BLUE, PINK])) for k in (1, 2)])
    once, twice = haematoxylin_eosin(np.rint(255 * image).astype(np.uint8))
    np.testing.assert_allclose(twice, 2 * once, atol=0.003)
    np.testing.assert_allclose(once, np.diag([1, 1, 0])[:2] / np.log(1e6), atol=0.002)


def test_the_nucleus_of_a_real_cell_holds_the_most_haematoxylin(cells):
    for image in cells[:-1]:
        nucleus = image.mean(axis=-1) < np.quantile(image.mean(axis=-1), 0.1)
        haematoxylin = haematoxylin_eosin(image)[..., 0]
        assert haematoxylin[nucleus].mean() > 2 * haematoxylin[~nucleus].mean()


@pytest.mark.parametrize(
    "reference", [np.zeros((8, 8), np.uint8), np.zeros((2, 8, 8, 3), np.uint8)]
)
@pytest.mark.parametrize("method", METHODS)
def test_a_reference_that_is_no_single_rgb_image_is_refused(method, reference):
    with pytest.raises(ValueError, match=r"expected RGB uint8 \[H, W, 3\], got"):
        method(stained(BLUE, PINK), reference=reference)
