import cv2
import numpy as np
import pytest

from wbc_pipeline.imaging.overlaps import find_overlaps
from wbc_pipeline.imaging.packing import pack_images
from wbc_pipeline.sources.listing import list_source

SIZE = 128


def pack(real_data, tmp_path, name, wanted, **options):
    listing = list_source(name, real_data, data=tmp_path, options=options)
    listing = listing[listing["image_id"].isin(wanted)].reset_index(drop=True)
    assert len(listing) == len(wanted)
    pack_images(listing, tmp_path / f"{name}.npy", image_size=SIZE)
    return listing["image_id"], np.load(tmp_path / f"{name}.npy", mmap_mode="r")


def pairs_of(names, overlaps):
    return {
        (names[first], names[second])
        for first, second in zip(overlaps["first"], overlaps["second"], strict=True)
    }


@pytest.fixture(scope="module")
def photograph(real_data):
    """A photograph of many cells, RGB, 480 x 640."""
    folder = real_data / "blood-cells/dataset-master/dataset-master/JPEGImages"
    return cv2.imread(str(folder / "BloodImage_00010.jpg"))[..., ::-1]


def cut(photograph, x, y, side=240):
    crop = np.ascontiguousarray(photograph[y : y + side, x : x + side])
    return cv2.resize(crop, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def test_neighbours_cut_from_one_photograph_overlap(photograph):
    images = np.stack([cut(photograph, *corner) for corner in ((0, 0), (100, 60), (390, 230))])
    overlaps = find_overlaps(images)
    assert overlaps[["first", "second"]].to_numpy().tolist() == [[0, 1]]
    assert overlaps["share"][0] == pytest.approx(140 * 180 / 240**2, abs=0.03)


@pytest.mark.parametrize("angle", [30, 90, 145])
def test_a_turned_crop_is_found(photograph, angle):
    turn = cv2.getRotationMatrix2D((120, 120), angle, 1)
    turned = cv2.warpAffine(photograph[:240, :240].copy(), turn, (240, 240))
    images = np.stack([cut(photograph, 0, 0), cut(turned, 0, 0), cut(photograph, 300, 200)])
    assert len(find_overlaps(images)) == 1


def test_another_zoom_and_white_balance_are_found(photograph):
    balanced = np.clip(photograph * np.array([0.9, 1.0, 1.1]) + 8, 0, 255).astype(np.uint8)
    images = np.stack([cut(photograph, 60, 40, 240), cut(balanced, 80, 60, 180)])
    assert len(find_overlaps(images)) == 1


def test_only_the_chosen_rows_are_looked_at_and_keep_their_numbers(photograph):
    corners = ((0, 0), (390, 230), (100, 60), (50, 30))
    images = np.stack([cut(photograph, *corner) for corner in corners])
    overlaps = find_overlaps(images, rows=[0, 1, 3])
    assert overlaps[["first", "second"]].to_numpy().tolist() == [[0, 3]]


@pytest.mark.parametrize("images", [0, 1, 3])
def test_nothing_overlaps_among_flat_images_or_none(images):
    flat = np.full((images, SIZE, SIZE, 3), 200, np.uint8)
    assert find_overlaps(flat).empty


def test_the_result_does_not_depend_on_the_number_of_threads(photograph):
    images = np.stack([cut(photograph, 20 * step, 10 * step) for step in range(6)])
    one, three = (find_overlaps(images, workers=workers) for workers in (1, 3))
    assert one.equals(three)
    assert len(one) > 5


def test_features_on_disk_leave_nothing_behind(photograph, tmp_path):
    images = np.stack([cut(photograph, 20 * step, 10 * step) for step in range(2)])
    assert len(find_overlaps(images, scratch=tmp_path)) == 1
    assert not list(tmp_path.iterdir())


def test_pairs_far_apart_in_a_long_array_are_found(photograph):
    others = [
        np.random.default_rng(place).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
        for place in range(100)
    ]
    images = np.stack([cut(photograph, 0, 0), *others, cut(photograph, 60, 0)])
    assert find_overlaps(images)[["first", "second"]].to_numpy().tolist() == [[0, 101]]


def test_lisc_shows_cells_that_were_photographed_several_times(real_data, tmp_path):
    wanted = [f"baso/{number}.jpg" for number in (1, 2, 11, 15, 20, 30, 31, 40, 50)]
    names, images = pack(real_data, tmp_path, "lisc", wanted)
    assert pairs_of(names, find_overlaps(images)) >= {
        ("baso/2.jpg", "baso/50.jpg"),  # the same file
        ("baso/11.jpg", "baso/15.jpg"),
        ("baso/11.jpg", "baso/20.jpg"),
        ("baso/30.jpg", "baso/31.jpg"),
    }


def test_one_cell_under_two_white_balances_and_turned_is_found_in_leukemia5(real_data, tmp_path):
    twins = {("monocyte/MO_417623.jpg", "monocyte/MO_571631.jpg")}
    others = [f"monocyte/{name}.jpg" for name in ("MO_311939", "MO_145357", "MO_231316")]
    names, images = pack(real_data, tmp_path, "leukemia5", [*next(iter(twins)), *others])
    assert pairs_of(names, find_overlaps(images)) == twins


def test_blasts_at_two_zooms_are_found_in_all_idb2(real_data, tmp_path):
    listing = list_source("all_idb2", real_data, data=tmp_path)
    pack_images(listing, tmp_path / "all_idb2.npy", image_size=SIZE)
    overlaps = find_overlaps(np.load(tmp_path / "all_idb2.npy", mmap_mode="r"))
    pairs = set(zip(overlaps["first"], overlaps["second"], strict=True))
    assert len(pairs) == 18
    assert {(182, 183), (228, 230)} < pairs  # few features agree, and not all of one direction


def test_one_cell_under_two_labels_is_found_in_segmentation_wbc(real_data, tmp_path):
    wanted = [f"Dataset 1/{number:03}.bmp" for number in (60, 61, 90, 91, 201, 235)]
    names, images = pack(real_data, tmp_path, "segmentation_wbc", wanted)
    assert pairs_of(names, find_overlaps(images)) == {("Dataset 1/060.bmp", "Dataset 1/090.bmp")}
