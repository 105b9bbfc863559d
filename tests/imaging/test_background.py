import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.audit.guessing import chance_test, guess_from_features
from wbc_pipeline.imaging.background import FEATURES, background_features, border_features
from wbc_pipeline.imaging.packing import pack_images
from wbc_pipeline.sources import leukemia5

BOTH = [border_features, background_features]


def smear(seed=0, radius=25, centre=(64, 64)):
    """A violet cell on grainy ground; its mask."""
    image = np.random.default_rng(seed).normal(220, 4, (128, 128, 3)).clip(0, 255).astype(np.uint8)
    mask = cv2.circle(np.zeros((128, 128), np.uint8), centre, radius, 2, -1)
    image[mask > 0] = 90, 40, 150
    return image, mask


@pytest.mark.parametrize("describe", BOTH)
@pytest.mark.parametrize("centre", [(64, 64), (64, 5)])
def test_features_do_not_see_the_cell_even_where_it_reaches_the_border(describe, centre):
    image, mask = smear(centre=centre)
    other = image.copy()
    other[cv2.dilate(mask, np.ones((7, 7))) > 0] = 200, 20, 20
    features = describe(np.stack([image, other]), np.stack([mask, mask]))
    pd.testing.assert_series_equal(features.loc[0], features.loc[1], check_names=False)


@pytest.mark.parametrize("describe", BOTH)
def test_features_do_not_tell_the_size_of_the_cell(describe):
    ground = np.full((128, 128, 3), 225, np.uint8)
    ground[::3, ::3] = 215
    masks = np.stack([smear(radius=radius)[1] for radius in (10, 25, 40)])
    features = describe(np.stack([ground] * 3), masks)
    assert (features.std() < 0.02).all()


def test_border_features_see_only_the_frame():
    image, mask = smear()
    other = image.copy()
    other[20:-20, 20:-20] = 100
    features = border_features(np.stack([image, other]), np.stack([mask, mask]))
    pd.testing.assert_series_equal(features.loc[0], features.loc[1], check_names=False)


def test_features_are_means_and_spreads_of_the_background():
    image, mask = smear()
    (row,) = background_features(image[None], mask[None]).to_dict("records")
    away = cv2.erode(2 - mask, np.ones((21, 21))) > 0
    assert row["red_mean"] == pytest.approx(image[away, 0].mean())
    assert row["green_sd"] == pytest.approx(image[away, 1].std())
    expected = np.quantile(image[away, 2], [0.05, 0.5, 0.95], method="inverted_cdf")
    assert [row[f"blue_q{quantile}"] for quantile in ("05", "50", "95")] == expected.tolist()


def test_noise_is_told_from_sharp_edges():
    quiet, mask = smear()
    quiet[mask == 0] = 220
    edged = quiet.copy()
    edged[:, 20:24] = 100
    noisy = smear()[0]
    features = background_features(np.stack([quiet, edged, noisy]), np.stack([mask] * 3))
    assert features["fine_lightness_noise"].round(3).tolist()[:2] == [0, 0]
    assert features["fine_lightness_noise"][2] > 1
    assert features["fine_lightness_sd"][1] > features["fine_lightness_sd"][2] > 1


def test_black_corners_are_counted_and_not_taken_for_colour():
    image, mask = smear()
    cornered = image.copy()
    cornered[:, :12] = 0
    images, masks = np.stack([image, cornered]), np.stack([mask, mask])
    whole, frame = background_features(images, masks), border_features(images, masks)
    assert whole["black"].tolist() == pytest.approx([0, 12 / 128])
    assert frame["black"].tolist() == pytest.approx([0, (10 * 128 + 2 * 20) / (128**2 - 108**2)])
    for features in (whole, frame):
        assert features.loc[1].drop("black").to_numpy() == pytest.approx(
            features.loc[0].drop("black").to_numpy(), rel=0.15, abs=0.2
        )


def test_where_an_image_has_no_mask_the_cell_is_found():
    image, mask = smear()
    other = image.copy()
    other[mask > 0] = 60, 20, 120
    features = background_features(
        np.stack([image, other]), np.stack([mask, np.full_like(mask, 255)])
    )
    assert features["red_q05"].min() > 200


@pytest.mark.parametrize("describe", BOTH)
def test_an_image_without_a_cell_or_all_black_has_no_features(describe):
    blank = np.full((96, 96, 3), 230, np.uint8)
    features = describe(np.stack([blank, 0 * blank]))
    assert features.isna().all(axis=None)


def test_rows_are_those_of_the_images_memory_mapped_or_not(tmp_path):
    images = np.stack([smear(seed)[0] for seed in range(130)])
    images[70:, ..., 0] //= 2
    np.save(tmp_path / "images.npy", images)
    mapped = border_features(np.load(tmp_path / "images.npy", mmap_mode="r"))
    pd.testing.assert_frame_equal(mapped, border_features(images))
    assert tuple(mapped) == FEATURES
    assert mapped.index.tolist() == list(range(130))
    assert (mapped["red_mean"] > 200).tolist() == [True] * 70 + [False] * 60
    assert (mapped.dtypes == np.float32).all()


@pytest.mark.parametrize("width", [0, 0.5, 1])
def test_a_frame_without_width_or_inside_is_refused(width):
    with pytest.raises(ValueError, match=r"between 0 and 0\.5"):
        border_features(np.zeros((1, 64, 64, 3), np.uint8), width=width)


def test_the_border_alone_tells_the_laboratory_of_leukemia5(real_data, tmp_path):
    listing = leukemia5.list_images(real_data).iloc[::25].reset_index(drop=True)
    pack_images(listing, tmp_path / "images.npy", image_size=128)
    features = border_features(np.load(tmp_path / "images.npy", mmap_mode="r"))
    guesses = guess_from_features(features, listing["domain"], None)
    result = chance_test(guesses, None, permutations=100)
    assert result["images"] == 200
    assert result["balanced_accuracy"] > 0.97
    assert result["p_permutation"] < 0.01
