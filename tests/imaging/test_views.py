import pickle
import shutil
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging import views
from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.imaging.contact_sheet import contact_sheet
from wbc_pipeline.imaging.reading import UnreadableImageError, read_image
from wbc_pipeline.imaging.views import FileImages, PackedImages, write_view

CANNY = build_chain([{"clahe": {}}, {"canny_mask": {}}, {"resize": {"size": 24}}])
CELL = build_chain([{"colour_region": {}}, {"resize": {"size": 24}}])


@pytest.fixture
def packed(tmp_path):
    images = np.full((1100, 40, 40, 3), 230, np.uint8)
    for row, image in enumerate(images[:-1]):  # the last one stays empty
        cv2.circle(image, (15 + row % 10, 20), 6 + row % 5, (110, 80, 190), -1)
    np.save(tmp_path / "images.npy", images)
    return PackedImages(np.load(tmp_path / "images.npy", mmap_mode="r"))


@pytest.fixture
def files(tmp_path):
    paths = [str(tmp_path / f"{row}.png") for row in range(3)]
    for row, path in enumerate(paths):
        image = np.full((60, 80 + row, 3), 230, np.uint8)
        cv2.imwrite(path, cv2.circle(image, (40, 30), 9, (190, 80, 110), -1))
    return paths


@pytest.mark.parametrize("workers", [1, 3])
def test_a_view_of_a_memory_map_equals_the_chain_image_by_image(tmp_path, packed, workers):
    assert write_view(CANNY, packed, tmp_path / "view.npy", workers=workers) is not None
    view = np.load(tmp_path / "view.npy", mmap_mode="r")
    assert view.dtype == np.uint8
    np.testing.assert_array_equal(view[:50], np.stack([CANNY(packed[row]) for row in range(50)]))
    np.testing.assert_array_equal(view[-1], CANNY(packed[1099]))


def test_what_was_found_is_told_and_where_nothing_was(tmp_path, packed):
    found = write_view(CELL, packed, tmp_path / "view.npy")
    assert found["found"].tolist() == [True] * 1099 + [False]
    assert found.loc[1099, "crop_xmin":"crop_ymax"].tolist() == [0, 0, 40, 40]
    assert found.loc[0, "crop_xmin"] > 0


def test_files_are_read_at_their_own_size(tmp_path, files):
    found = write_view(CELL, FileImages(files, max_pixels=10**6), tmp_path / "view.npy")
    assert (found["xmax"] > 40).all()
    assert np.load(tmp_path / "view.npy").shape == (3, 24, 24, 3)


def test_a_file_that_has_gone_is_named(tmp_path, files):
    images = FileImages([*files, "gone.png"], max_pixels=10**6)
    with pytest.raises(UnreadableImageError, match=r"gone.png was readable .* put it back"):
        write_view(CELL, images, tmp_path / "view.npy")


def test_a_file_that_was_replaced_after_packing_is_refused_by_name(tmp_path, files):
    digests = [read_image(path).sha256 for path in files]
    images = FileImages(files, max_pixels=10**6, sha256=digests)
    write_view(CELL, images, tmp_path / "view.npy")
    shutil.copy(files[1], files[2])
    with pytest.raises(UnreadableImageError, match=r"2\.png has changed .* run the ingestion"):
        write_view(CELL, images, tmp_path / "view.npy")


def test_a_part_of_the_files_keeps_the_digests_of_its_rows(files):
    digests = [read_image(path).sha256 for path in files]
    part = FileImages(files, max_pixels=10**6, sha256=digests).part(range(1, 3))
    shutil.copy(files[0], files[2])
    assert part[0].shape == (60, 81, 3)
    with pytest.raises(UnreadableImageError, match="has changed since it was packed"):
        part[1]


class Counted(PackedImages):
    """Images that note which of them were asked for, and stop at one of them."""

    def __init__(self, pixels, stop_at=None):
        super().__init__(pixels)
        self.stop_at, self.asked = stop_at, set()

    def __getitem__(self, row):
        if self._rows[row] == self.stop_at:
            raise KeyboardInterrupt
        self.asked.add(self._rows[row])
        return super().__getitem__(row)

    def part(self, rows):
        part = super().part(rows)
        part.stop_at, part.asked = self.stop_at, self.asked
        return part


def test_an_interrupted_view_goes_on_where_it_was_and_gives_the_same_bytes(
    tmp_path, packed, monkeypatch
):
    monkeypatch.setattr(views, "_SECONDS_BETWEEN_SYNCS", 0)
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, parts = tmp_path / "whole" / "view.npy", tmp_path / "parts" / "view.npy"
    pixels = np.load(tmp_path / "images.npy", mmap_mode="r")
    found = write_view(CELL, packed, whole, workers=1)
    with pytest.raises(KeyboardInterrupt):
        write_view(CELL, Counted(pixels, stop_at=700), parts, workers=1)
    rest = Counted(pixels)
    found_in_parts = write_view(CELL, rest, parts, workers=1)
    assert min(rest.asked - {0}) in (640, 672)  # all but what was in work
    assert rest.asked >= {0, *range(672, 1100)}
    assert parts.read_bytes() == whole.read_bytes()
    assert found_in_parts.equals(found)
    assert [path.name for path in parts.parent.iterdir()] == ["view.npy"]


def test_packed_images_travel_as_a_path(packed):
    assert len(pickle.dumps(packed)) < 1000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(packed))[7], packed[7])


def test_images_that_were_packed_anew_meanwhile_are_refused(packed, tmp_path):
    travelling = pickle.dumps(packed)
    np.save(tmp_path / "images.npy", np.zeros((4, 8, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r"images\.npy was packed anew by another command"):
        pickle.loads(travelling)


def test_a_part_of_the_images_has_its_own_numbers(packed, files):
    np.testing.assert_array_equal(packed.part(range(5, 9))[1], packed[6])
    assert len(packed.part(range(5, 9))) == 4
    by_path = FileImages(files, max_pixels=10**6)
    np.testing.assert_array_equal(by_path.part(range(1, 3))[0], by_path[1])


def test_a_dask_cluster_of_two_workers_gives_the_same_bytes(tmp_path, packed):
    pytest.importorskip("distributed", reason="pip install -e '.[dask]'")
    for backend in ("threads", "dask"):
        (tmp_path / backend).mkdir()
        write_view(CELL, packed, tmp_path / backend / "view.npy", backend=backend, workers=2)
    by_threads, by_dask = (tmp_path / name / "view.npy" for name in ("threads", "dask"))
    assert by_dask.read_bytes() == by_threads.read_bytes()


def test_dask_that_is_not_installed_is_an_error_that_says_what_to_install(
    tmp_path, packed, monkeypatch
):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install -e '.\[dask\]'"):
        write_view(CELL, packed, tmp_path / "view.npy", backend="dask")


def test_an_unknown_backend_is_refused(tmp_path, packed):
    with pytest.raises(ValueError, match="no backend 'thread'; known: threads, dask"):
        write_view(CELL, packed, tmp_path / "view.npy", backend="thread")


def test_results_of_different_shapes_are_refused(tmp_path, files):
    images = FileImages(files, max_pixels=10**6)
    with pytest.raises(ValueError, match=r"1.png became .* end the view with a resize step"):
        write_view(build_chain([{"clahe": {}}]), images, tmp_path / "view.npy")


def test_no_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no images"):
        write_view(CELL, FileImages([], max_pixels=1), tmp_path / "view.npy")


def test_a_contact_sheet_outlines_the_crop_and_marks_what_was_not_found(packed):
    images = [packed[0], packed[1099]]
    sheet = contact_sheet(CELL, images, title="cell", tile=40)
    assert sheet.shape[1] == 2 * 44
    green, red = (sheet == (0, 160, 60)).all(axis=2), (sheet == (220, 0, 0)).all(axis=2)
    assert green[:, :44].any() and not green[:, 44:].any()
    assert red[:, 44:].any() and not red[:, :44].any()


GEOMETRIES = [
    [{"resize": {"size": 24}}],
    [{"clahe": {}}, {"colour_region": {}}, {"resize": {"size": 32}}],
    [{"colour_region": {"padding": 0.3}}, {"square_region": {}}, {"resize": {"size": 64}}],
    [{"canny_mask": {}}, {"resize": {"size": 50}}, {"gamma": {}}],
    [
        {"colour_region": {"padding": 0.6}},
        {"colour_region": {"padding": 0.1}},
        {"resize": {"size": 20}},
    ],
]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(GEOMETRIES), st.integers(15, 65), st.integers(15, 45), st.integers(6, 14))
def test_a_mask_follows_its_image(tmp_path_factory, steps, x, y, radius):
    folder = tmp_path_factory.mktemp("mask")
    image, grey = np.full((60, 80, 3), 230, np.uint8), np.zeros((60, 80), np.uint8)
    cv2.circle(image, (x, y), radius, (200, 80, 110), -1)  # BGR, as it is written
    cv2.circle(grey, (x, y), radius, 255, -1)
    paths = [str(folder / name) for name in ("image.png", "mask.png")]
    for path, pixels in zip(paths, (image, grey), strict=True):
        cv2.imwrite(path, pixels)
    (folder / "view").mkdir()
    images = FileImages(paths[:1], mask_paths=paths[1:], max_pixels=10**6)
    write_view(build_chain(steps), images, folder / "view" / "view.npy", progress=False)
    (view,), (mask,) = (np.load(folder / "view" / f"{name}.npy") for name in ("view", "masks"))
    assert mask.shape == view.shape[:2]
    assert set(np.unique(mask)) <= {0, 3}
    is_cell = view[..., 0].astype(int) - view[..., 1] > 15  # red beyond green: violet
    edge = cv2.dilate(mask, np.ones((5, 5))) != cv2.erode(mask, np.ones((5, 5)))
    np.testing.assert_array_equal(is_cell[~edge], mask[~edge] == 3)


def test_masks_of_packed_images_are_scaled_and_unknown_ones_stay_unknown(tmp_path, packed):
    masks = np.full((1100, 40, 40), 255, np.uint8)
    masks[0, :20], masks[0, 20:] = 0, 3
    np.save(tmp_path / "packed_masks.npy", masks)
    (tmp_path / "view").mkdir()
    pixels, masks = (
        np.load(tmp_path / name, mmap_mode="r") for name in ("images.npy", "packed_masks.npy")
    )
    images = pickle.loads(pickle.dumps(PackedImages(pixels, masks)))
    write_view(build_chain([{"resize": {"size": 24}}]), images, tmp_path / "view" / "view.npy")
    view = np.load(tmp_path / "view" / "masks.npy")
    assert view.shape == (1100, 24, 24)
    assert (view[0, :12] == 0).all() and (view[0, 12:] == 3).all() and (view[1:] == 255).all()


def test_a_file_without_a_mask_among_others_has_an_unknown_one(tmp_path, files):
    masks = [str(tmp_path / "mask.png"), None, np.nan]
    cv2.imwrite(masks[0], np.full((60, 80), 29, np.uint8))
    levels = ['{"background": 255, "cytoplasm": 29}', None, np.nan]
    (tmp_path / "view").mkdir()
    images = FileImages(files, mask_paths=masks, mask_levels=levels, max_pixels=10**6)
    write_view(CELL, images, tmp_path / "view" / "view.npy")
    view = np.load(tmp_path / "view" / "masks.npy")
    assert [np.unique(mask).tolist() for mask in view] == [[1], [255], [255]]


def test_a_view_of_images_without_masks_has_none(tmp_path, packed):
    (tmp_path / "view").mkdir()
    write_view(CANNY, packed, tmp_path / "view" / "view.npy")
    assert [path.name for path in (tmp_path / "view").iterdir()] == ["view.npy"]
