import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.imaging.degrade import DEGRADATIONS, SEVERITIES, degrade
from wbc_pipeline.imaging.degraded_views import Condition, write_degraded_view
from wbc_pipeline.imaging.reading import UnreadableImageError, read_image
from wbc_pipeline.imaging.steps import settle
from wbc_pipeline.imaging.views import FileImages, PackedImages

NOTHING = build_chain([])
CELL = build_chain([{"colour_region": {}}, {"resize": {"size": 24}}])
SMALL = build_chain([{"resize": {"size": 24}}])
DARK = Condition("illumination_gradient", 0.9, NOTHING)
NOISE = Condition("gaussian_noise", 0.2, NOTHING)


def cell(x=24, height=48, width=64, radius=9):
    image = np.full((height, width, 3), 230, np.uint8)
    return cv2.circle(image, (x, height // 2), radius, (110, 80, 190), -1)


@pytest.fixture
def packed(tmp_path):
    np.save(
        tmp_path / "packed.npy",
        np.stack([cell(15 + row % 20, radius=7 + row % 5) for row in range(80)]),
    )
    return PackedImages(np.load(tmp_path / "packed.npy", mmap_mode="r"))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_degraded_view_is_that_of_each_row_by_itself(tmp_path, packed, workers):
    rows = [*range(0, 80, 2), 79]
    write_degraded_view(CELL, packed, rows, tmp_path / "view.npy", NOISE, workers=workers)
    view = np.load(tmp_path / "view.npy")
    assert view.dtype == np.uint8
    by_hand = [NOISE.view(CELL, packed[row], row) for row in rows]
    np.testing.assert_array_equal(view, np.stack(by_hand))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(DEGRADATIONS)), st.integers(1, 5), st.integers(0, 10**6))
def test_an_image_is_degraded_as_its_row_says_whatever_is_around_it(kind, severity, row):
    condition = Condition(kind, SEVERITIES[kind][severity - 1], NOTHING)
    batch = torch.from_numpy(cell()).permute(2, 0, 1).expand(2, -1, -1, -1).contiguous()
    both = degrade(batch, kind, severity=severity, seed=0, rows=[row + 1, row])
    alone = both[1].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(condition.apply(cell(), row), alone)


def test_two_views_of_a_row_begin_with_the_same_degraded_image(packed):
    degraded = NOISE.apply(packed[5], 5)
    for chain in (CELL, SMALL):
        np.testing.assert_array_equal(NOISE.view(chain, packed[5], 5), chain(degraded))


def test_files_are_degraded_at_their_own_size(tmp_path):
    paths = [str(tmp_path / f"{row}.png") for row in range(3)]
    for row, path in enumerate(paths):
        cv2.imwrite(path, cell(width=64 + row)[..., ::-1])
    images = FileImages(paths, max_pixels=10**6)
    write_degraded_view(SMALL, images, [0, 2], tmp_path / "view.npy", NOISE)
    by_hand = SMALL(NOISE.apply(cell(width=66), 2))
    np.testing.assert_array_equal(np.load(tmp_path / "view.npy")[1], by_hand)


def test_a_file_that_was_replaced_after_packing_is_not_degraded(tmp_path):
    path = str(tmp_path / "0.png")
    cv2.imwrite(path, cell())
    images = FileImages([path], max_pixels=10**6, sha256=[read_image(path).sha256])
    write_degraded_view(SMALL, images, [0], tmp_path / "view.npy", NOISE)
    cv2.imwrite(path, cell(x=30))
    with pytest.raises(UnreadableImageError, match=r"0\.png has changed since it was packed"):
        write_degraded_view(SMALL, images, [0], tmp_path / "view.npy", NOISE)


def test_a_restoration_comes_between_the_degradation_and_the_view(packed):
    median = build_chain([{"median_filter": {"size": 3}}])
    restored = NOISE._replace(restore=median)
    np.testing.assert_array_equal(
        restored.view(SMALL, packed[3], 3), SMALL(median(NOISE.apply(packed[3], 3)))
    )
    error = [np.abs(one.apply(cell(), 0) - cell().astype(int)).mean() for one in (restored, NOISE)]
    assert error[0] < error[1]


def test_what_is_found_on_the_clean_image_is_shown_of_the_degraded_one():
    lost = DARK._replace(degradation="gaussian_noise", amount=2.0)
    crop = build_chain([{"colour_region": {}}])
    on_clean = lost._replace(finds_on_clean=True).view(crop, cell(), 0)
    left, top, right, bottom, found = settle(crop.run(cell())).place
    assert found
    np.testing.assert_array_equal(on_clean, lost.apply(cell(), 0)[top:bottom, left:right])
    assert lost.view(crop, cell(), 0).shape != on_clean.shape


def test_a_file_is_complete_however_many_chunks_it_has(tmp_path, packed):
    write_degraded_view(SMALL, packed, range(80), tmp_path / "view.npy", DARK, workers=2)
    view = np.load(tmp_path / "view.npy")
    assert view.shape == (80, 24, 24, 3)
    assert view.reshape(80, -1).any(axis=1).all()


@pytest.mark.parametrize(
    ("chain", "rows", "condition", "message"),
    [
        (SMALL, [], NOISE, "no images to degrade"),
        (CELL, [0], Condition("jpeg", 300, NOTHING), "quality 300 of jpeg: use 1 to 100"),
        (build_chain([{"colour_region": {}}]), range(80), DARK, "end the view with a resize step"),
        (SMALL, [0], Condition("jpeg", 5, SMALL, finds_on_clean=True), "give both one shape"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, packed, *, chain, rows, condition, message):
    with pytest.raises(ValueError, match=message):
        write_degraded_view(chain, packed, rows, tmp_path / "view.npy", condition)
