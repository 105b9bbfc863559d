import pickle
import sys

import cv2
import numpy as np
import pytest

from wbc_pipeline.imaging import views
from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.imaging.contact_sheet import contact_sheet
from wbc_pipeline.imaging.reading import UnreadableImageError
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


class Counted:
    """Images that say which of them were asked for, and stop at one of them."""

    def __init__(self, images, stop_at=None):
        self.images, self.stop_at, self.asked = images, stop_at, set()

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        if row == self.stop_at:
            raise KeyboardInterrupt
        self.asked.add(row)
        return self.images[row]

    def part(self, rows):
        return [self[row] for row in rows]

    def forget(self):
        pass


def test_an_interrupted_view_goes_on_where_it_was_and_gives_the_same_bytes(
    tmp_path, packed, monkeypatch
):
    monkeypatch.setattr(views, "_SECONDS_BETWEEN_SYNCS", 0)
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole, parts = tmp_path / "whole" / "view.npy", tmp_path / "parts" / "view.npy"
    found = write_view(CELL, packed, whole, workers=1)
    with pytest.raises(KeyboardInterrupt):
        write_view(CELL, Counted(packed, stop_at=700), parts, workers=1)
    rest = Counted(packed)
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
    with pytest.raises(RuntimeError, match=r"images\.npy was packed anew by another command"):
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
    with pytest.raises(ValueError, match=r"image 1 became .* end the view with a resize step"):
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
