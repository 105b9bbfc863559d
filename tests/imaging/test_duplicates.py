import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbc_pipeline.imaging.duplicates import group_duplicates, group_sources, hash_pixels
from wbc_pipeline.imaging.packing import pack_images
from wbc_pipeline.sources import leukemia5


def cell_like(seed, size=128):
    """A dark disc on a light ground with texture of its own, as cells look alike from afar."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:size, 0:size] - size / 2
    disc = np.hypot(rows, columns) < size / 4
    texture = cv2.GaussianBlur(rng.normal(0, 200, (size, size, 3)), (0, 0), size / 64)
    return np.clip(np.where(disc[..., None], 90, 210) + texture, 0, 255).astype(np.uint8)


def recompressed(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], 1)


def rescaled(image):
    return cv2.resize(cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA), image.shape[:2])


CHANGES = {
    "copied": lambda image: image,
    "mirrored": lambda image: image[:, ::-1],
    "turned": np.rot90,
    "mirrored and turned": lambda image: np.rot90(image[:, ::-1], 3),
    "recompressed": recompressed,
    "rescaled": rescaled,
    "darkened": lambda image: (image * 0.8).astype(np.uint8),
    "turned and recompressed": lambda image: recompressed(np.rot90(image, 2)),
}


def manifest_of(source_ids, statuses=None):
    return pd.DataFrame(
        {
            "image_id": [f"image_{i}" for i in range(len(source_ids))],
            "source_id": pd.Series(source_ids, dtype="str"),
            "patient": None,
            "sha256": None,
            "status": statuses or ["ok"] * len(source_ids),
        }
    )


@pytest.mark.parametrize("change", CHANGES)
def test_the_same_picture_changed_is_one_group(change):
    images = np.stack([cell_like(0), cell_like(1), CHANGES[change](cell_like(0))])
    assert group_duplicates(images).tolist() == [0, 1, 0]


def test_cells_that_only_look_alike_are_apart():
    images = np.stack([cell_like(seed) for seed in range(20)])
    assert group_duplicates(images).tolist() == list(range(20))


def test_black_corners_do_not_make_two_cells_one():
    images = np.stack([cell_like(seed) for seed in range(10)])
    rows, columns = np.mgrid[0:128, 0:128]
    images[:, rows + columns < 90] = 0
    images[:, rows + columns > 190] = 0
    assert len(set(group_duplicates(images))) == 10


def test_flat_images_and_no_images_are_no_trouble():
    assert group_duplicates(np.full((3, 32, 32, 3), 255, np.uint8)).tolist() == [0, 1, 2]
    assert len(group_duplicates(np.empty((0, 32, 32, 3), np.uint8))) == 0


def test_duplicates_are_found_across_blocks():
    cells = np.stack([cell_like(seed, size=16) for seed in range(700)])
    turned = np.rot90(cells[:, :, ::-1], axes=(1, 2))
    groups = group_duplicates(np.concatenate([cells, turned]))
    assert groups.tolist() == [*range(700), *range(700)]


def test_equal_images_are_one_group_however_many():
    images = np.repeat(cell_like(0, size=32)[None], 300, axis=0)
    assert set(group_duplicates(images)) == {0}


def test_the_result_of_grouping_does_not_depend_on_the_number_of_threads():
    images = np.stack([cell_like(seed % 400, size=16) for seed in range(600)])
    one, three = (group_duplicates(images, workers=workers) for workers in (1, 3))
    assert one.tolist() == three.tolist()


def test_the_real_duplicates_of_leukemia5_are_found_and_share_their_label(real_data, tmp_path):
    listing = leukemia5.list_images(real_data)
    pairs = {
        "basophil/BA_435917.jpg": "basophil/BA_858229.jpg",  # the same file twice
        "monocyte/MO_231316.jpg": "monocyte/MO_415531.jpg",  # recompressed
    }
    others = listing["image_id"].iloc[::50]
    wanted = listing["image_id"].isin([*pairs, *pairs.values(), *others])
    listing = listing[wanted].reset_index(drop=True)
    pack_images(listing, tmp_path / "images.npy", image_size=128)
    groups = group_duplicates(np.load(tmp_path / "images.npy", mmap_mode="r"))
    group_of = dict(zip(listing["image_id"], groups, strict=True))
    assert all(group_of[first] == group_of[second] for first, second in pairs.items())
    assert len(set(groups)) == len(listing) - len(pairs)


def test_equal_pixels_have_equal_digests():
    images = np.zeros((3, 4, 4, 3), np.uint8)
    images[2, 0, 0, 0] = 1
    first, second, third = hash_pixels(images)
    assert first == second != third


def test_known_sources_and_duplicates_are_joined_in_chains():
    manifest = manifest_of(["b", "a", "a", None, None])
    sources = group_sources(manifest, np.array([0, 0, 1, 1, 2]), one_image_per_cell=True)
    assert sources["source_group"].tolist() == ["a", "a", "a", "a", "image_4"]
    assert sources["source_id"].tolist() == ["b", "a", "a", "a", "image_4"]


def test_photographs_of_one_cell_stay_two_sources_of_one_group():
    sources = group_sources(
        manifest_of(["a", "a", "b", "c"]),
        np.arange(4),
        one_image_per_cell=False,
        same_cell=[("a", "b"), ("b", "not here")],
    )
    assert sources["source_id"].tolist() == ["a", "a", "b", "c"]
    assert sources["source_group"].tolist() == ["a", "a", "a", "c"]


def test_cells_of_one_patient_are_sources_of_their_own_in_one_group():
    manifest = manifest_of([None] * 4).assign(patient=["p", "p", "q", None])
    sources = group_sources(manifest, np.arange(4), one_image_per_cell=True)
    assert sources["source_id"].nunique() == 4
    assert sources["source_group"].tolist() == ["image_0", "image_0", "image_2", "image_3"]


def test_the_same_file_twice_is_one_source_even_if_its_pixels_say_nothing():
    manifest = manifest_of([None, "a", None, "b"]).assign(sha256=["0f", "0f", "1f", "2f"])
    sources = group_sources(manifest, np.arange(4), one_image_per_cell=True)
    assert sources["source_group"].tolist() == ["a", "a", "image_2", "b"]


def test_images_of_unknown_source_count_as_their_own_in_some_sets_alone():
    manifest = manifest_of([None, None, None])
    sources = group_sources(manifest, np.array([0, 1, 1]), one_image_per_cell=[True, False, True])
    assert sources["source_group"].tolist() == ["image_0", "image_2", "image_2"]
    sources = group_sources(manifest, np.arange(3), one_image_per_cell=[True, False, True])
    assert sources["source_group"].isna().tolist() == [False, True, False]


def test_augmented_copies_of_unknown_source_stay_unknown():
    sources = group_sources(
        manifest_of([None, None, "a", None]), np.array([0, 0, 1, 1]), one_image_per_cell=False
    )
    for column in sources:
        assert sources[column].isna().tolist() == [True, True, False, False]


def test_refused_rows_keep_their_source_and_have_no_group():
    manifest = manifest_of(["x", None, None], ["ok", "empty file", "ok"])
    sources = group_sources(manifest, np.array([0, 0]), one_image_per_cell=True)
    assert sources["source_id"].isna().tolist() == [False, True, False]
    assert sources["source_group"].isna().tolist() == [False, True, False]
    manifest.loc[0, "status"], manifest.loc[1, "status"] = "empty file", "ok"
    sources = group_sources(manifest, np.array([0, 0]), one_image_per_cell=True)
    assert sources["source_id"].tolist() == ["x", "image_1", "image_1"]
    assert sources["source_group"].isna().tolist() == [True, False, False]


def test_groups_of_other_images_are_refused():
    with pytest.raises(ValueError, match=r"2 images were grouped.*3 ok rows"):
        group_sources(manifest_of(["a"] * 3), np.array([0, 1]), one_image_per_cell=True)


@given(st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), st.integers(0, 5)), min_size=1))
def test_duplicates_and_known_sources_never_stand_in_two_groups(rows):
    sources, groups = zip(*rows, strict=True)
    named = group_sources(manifest_of(sources), np.array(groups), one_image_per_cell=True)
    assert named.notna().all(axis=None)
    assert (named.groupby(list(groups))["source_group"].nunique() == 1).all()
    assert (named.groupby("source_id")["source_group"].nunique() == 1).all()
