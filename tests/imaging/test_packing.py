import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from wbc_pipeline.imaging.packing import (
    MANIFEST_COLUMNS,
    RejectedImagesError,
    accepted,
    build_manifest,
    check_rejected_share,
    count_warnings,
    independent_sources,
    pack_images,
    rejected,
)
from wbc_pipeline.imaging.reading import read_image
from wbc_pipeline.sources import blood_cells
from wbc_pipeline.sources.listing import as_listing


@pytest.fixture
def folder(tmp_path):
    """Forty images and forty files that are none, in turn; names that need care."""
    rng = np.random.default_rng(0)
    for i in range(80):
        path = tmp_path / f"{i:02d} it's ünïcode.png"
        if i % 2:
            path.write_text("no image")
        else:
            cv2.imencode(".png", rng.integers(0, 256, (20, 30, 3), np.uint8))[1].tofile(path)
    return tmp_path


def listing_of(folder, masks=None):
    rows = [
        {"image_id": path.name, "path": str(path), "label": "xy"[i % 4 // 2]}
        for i, path in enumerate(sorted(folder.glob("*.png")))
    ]
    for index, mask in (masks or {}).items():
        rows[index]["mask_path"] = str(mask)
    return as_listing(rows)


def manifest_of(statuses, labels=None):
    return pd.DataFrame(
        {
            "image_id": [f"{i}.png" for i in range(len(statuses))],
            "path": [f"/data/{i}.png" for i in range(len(statuses))],
            "label": labels or ["a"] * len(statuses),
            "status": statuses,
        }
    )


def test_rows_of_the_array_are_the_ok_rows_of_the_manifest(folder, tmp_path):
    listing = listing_of(folder)
    outcome = pack_images(listing, tmp_path / "out" / "images.npy", image_size=20)
    manifest = build_manifest(listing, outcome)
    images = np.load(tmp_path / "out" / "images.npy", mmap_mode="r")
    assert tuple(manifest.columns) == MANIFEST_COLUMNS
    assert images.shape == (40, 20, 20, 3)
    for row, path in enumerate(accepted(manifest)["path"]):
        scaled = cv2.resize(read_image(path).pixels, (20, 20), interpolation=cv2.INTER_AREA)
        assert np.array_equal(images[row], scaled)
    assert rejected(manifest)["status"].eq("not an image").all()
    assert len(accepted(manifest)) + len(rejected(manifest)) == len(listing)


def test_the_outcome_does_not_depend_on_the_number_of_threads(folder, tmp_path):
    listing = listing_of(folder)
    tables = [
        pack_images(listing, tmp_path / f"o{n}" / "images.npy", image_size=8, workers=n)
        for n in (1, 5)
    ]
    pd.testing.assert_frame_equal(*tables)
    first, second = (tmp_path / f"o{n}" / "images.npy" for n in (1, 5))
    assert first.read_bytes() == second.read_bytes()


def test_sizes_are_those_of_the_file(folder, tmp_path):
    outcome = pack_images(listing_of(folder), tmp_path / "o" / "i.npy", image_size=64)
    first = outcome.iloc[0]
    assert (first["height"], first["width"], len(first["sha256"])) == (20, 30, 64)
    assert outcome.loc[1, ["height", "width", "sha256"]].isna().all()


def test_masks_are_packed_beside_and_unknown_where_there_is_none(folder, tmp_path):
    mask = np.zeros((20, 30), np.uint8)
    mask[:10] = 255
    (tmp_path / "masks").mkdir()
    for name, values in (("right", mask), ("wrong", mask[:9]), ("bad", mask)):
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), values)
    (tmp_path / "masks" / "bad.png").write_bytes(b"not a mask")
    names = {0: "right.png", 4: "wrong.png", 6: "bad.png"}
    listing = listing_of(folder, {i: tmp_path / "masks" / name for i, name in names.items()})
    outcome = pack_images(listing, tmp_path / "o" / "images.npy", image_size=20)
    masks = np.load(tmp_path / "o" / "masks.npy")
    assert masks.shape == (38, 20, 20)
    assert (masks[0, :10] == 3).all() and (masks[0, 10:] == 0).all() and (masks[1:] == 255).all()
    assert outcome["status"][4] == "mask of another size than its image: 30 x 9 against 30 x 20"
    assert outcome["status"][6] == "mask unreadable: not an image"


def test_masks_are_packed_by_the_levels_that_the_listing_tells(folder, tmp_path):
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), np.full((20, 30), 29, np.uint8))
    listing = listing_of(folder, {0: tmp_path / "masks" / "a.png"})
    listing.at[0, "mask_levels"] = '{"background": 255, "cytoplasm": 29, "nucleus": 179}'
    pack_images(listing, tmp_path / "o" / "images.npy", image_size=20)
    assert (np.load(tmp_path / "o" / "masks.npy")[0] == 1).all()


def test_a_row_with_a_problem_is_refused_for_it_and_its_file_stays_closed(tmp_path):
    row = {"image_id": "a", "path": "/nowhere", "problem": "file name tells no label: 'a'"}
    outcome = pack_images(as_listing([row]), tmp_path / "images.npy", image_size=8)
    assert outcome["status"].tolist() == [row["problem"]]


@pytest.mark.parametrize(
    ("box", "status"),
    [
        ([0, 0, 30, 20], "ok"),
        ([2.5, 3.5, 9.5, 9.5], "ok"),
        ([-1, 0, 30, 20], "box outside the image: [-1, 0, 30, 20] in 30 x 20"),
        ([0, 0, 30, 21], "box outside the image: [0, 0, 30, 21] in 30 x 20"),
        ([0, 0, float("nan"), 20], "box outside the image: [0, 0, nan, 20] in 30 x 20"),
        ([9, 0, 9, 20], "box without area: [9, 0, 9, 20]"),
    ],
)
def test_a_box_must_lie_inside_its_image(folder, tmp_path, box, status):
    listing = listing_of(folder).iloc[:1].copy()
    listing.at[0, "box"] = box
    outcome = pack_images(listing, tmp_path / "o" / "images.npy", image_size=8)
    assert outcome["status"].tolist() == [status]


def test_masks_of_an_earlier_run_do_not_linger(folder, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "masks.npy").touch()
    pack_images(listing_of(folder), tmp_path / "o" / "images.npy", image_size=8)
    assert [path.name for path in (tmp_path / "o").iterdir()] == ["images.npy"]


def test_an_interrupted_run_leaves_the_old_array_and_no_fragment(folder, tmp_path, monkeypatch):
    target = tmp_path / "o" / "images.npy"
    pack_images(listing_of(folder), target, image_size=8)
    before, threads = target.read_bytes(), cv2.getNumThreads()

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("wbc_pipeline.imaging.packing.read_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pack_images(listing_of(folder), target, image_size=16)
    assert target.read_bytes() == before
    assert list(target.parent.iterdir()) == [target]
    assert cv2.getNumThreads() == threads


def test_a_manifest_refuses_the_outcome_of_another_listing(folder, tmp_path):
    listing = listing_of(folder)
    outcome = pack_images(listing, tmp_path / "o" / "images.npy", image_size=8)
    with pytest.raises(ValueError, match="another listing"):
        build_manifest(listing.iloc[:5], outcome)


def test_an_image_of_unknown_source_is_a_source_of_its_own():
    images = pd.DataFrame({"image_id": ["a", "b", "c"], "source_group": ["x", None, "x"]})
    assert independent_sources(images).tolist() == ["x", "b", "x"]


def test_a_small_share_of_refused_files_is_fine():
    check_rejected_share(manifest_of(["ok"] * 95 + ["empty file"] * 5), 0.05)


def test_too_many_refused_files_are_counted_by_reason_and_named():
    statuses = ["ok", "empty file", "more pixels than the cap: 9", "more pixels than the cap: 8"]
    with pytest.raises(RejectedImagesError) as error:
        check_rejected_share(manifest_of(statuses), 0.1)
    parts = ("3 of 4", "2 x more pixels than the cap", "1 x empty", "/data/1.png", "max_rejected")
    assert all(part in str(error.value) for part in parts)


def test_a_class_that_lost_all_of_its_images_stops_the_run():
    manifest = manifest_of(["ok"] * 99 + ["empty file"], ["a"] * 99 + ["b"])
    with pytest.raises(RejectedImagesError, match=r"class b .*1 x empty file"):
        check_rejected_share(manifest, 0.5)


def test_a_class_may_be_lost_where_that_is_allowed_and_two_are_left():
    manifest = manifest_of(["ok"] * 99 + ["empty file"], [*"ab"] * 49 + ["a", "c"])
    with pytest.raises(RejectedImagesError, match=r"class c .*or go on .*lost_classes=warn`\.$"):
        check_rejected_share(manifest, 0.5)
    check_rejected_share(manifest, 0.5, may_lose_classes=True)
    with pytest.raises(RejectedImagesError, match="max_rejected"):
        check_rejected_share(manifest, 0, may_lose_classes=True)
    one_left = manifest_of(["ok"] * 99 + ["empty file"], ["a"] * 99 + ["b"])
    with pytest.raises(RejectedImagesError, match=r"class b .*Mend or remove these files\.$"):
        check_rejected_share(one_left, 0.5, may_lose_classes=True)


def test_files_of_a_doubtful_label_are_no_class_to_lose():
    manifest = manifest_of(["ok"] * 99 + ["label looks misspelt: 'A'"], ["a"] * 99 + [None])
    check_rejected_share(manifest, 0.05)


def test_nothing_but_refused_files_stops_the_run_at_any_limit():
    with pytest.raises(RejectedImagesError, match="All 3"):
        check_rejected_share(manifest_of(["empty file"] * 3), 1.0)
    with pytest.raises(RejectedImagesError, match="No image is listed"):
        check_rejected_share(manifest_of([]), 1.0)


def test_real_images_are_packed_whole(real_data, tmp_path):
    listing = blood_cells.list_images(real_data).iloc[::60].reset_index(drop=True)
    outcome = pack_images(listing, tmp_path / "images.npy", image_size=64)
    assert outcome["status"].eq("ok").all()
    assert set(zip(outcome["height"], outcome["width"], strict=True)) == {(240, 320)}
    assert np.load(tmp_path / "images.npy", mmap_mode="r").shape == (len(listing), 64, 64, 3)


def test_warnings_of_listing_and_reading_stand_side_by_side(folder, tmp_path):
    listing = listing_of(folder)
    listing["warning"] = pd.Series(["found under another name: a.png", None] * 40, dtype="str")
    outcome = pack_images(listing, tmp_path / "o" / "i.npy", image_size=8)
    outcome["warning"] = pd.Series(["bits scaled: 12"] * 3 + [None] * 77, dtype="str")
    warnings = build_manifest(listing, outcome)["warning"]
    assert warnings[0] == "found under another name: a.png; bits scaled: 12"
    assert warnings[1] == "bits scaled: 12"
    assert warnings[4] == "found under another name: a.png"
    assert pd.isna(warnings[5])


def listing_with_masks(folder, *masks):
    """An image of 12 x 10 pixels for each mask."""
    rows = []
    for number, mask in enumerate(masks):
        for kind, pixels in (("image", np.full((10, 12, 3), 90, np.uint8)), ("mask", mask)):
            Image.fromarray(pixels).save(folder / f"{kind}{number}.png")
        rows.append({"image_id": str(number), "path": str(folder / f"image{number}.png")})
        rows[-1]["mask_path"] = str(folder / f"mask{number}.png")
    return as_listing(rows)


def halves(left, right):
    return np.repeat(np.uint8([[left] * 6 + [right] * 6]), 10, axis=0)


def test_one_mask_with_all_parts_tells_how_to_take_those_that_lack_one(tmp_path):
    masks = [halves(0, 1), halves(0, 255), halves(1, 2), halves(0, 0)]
    outcome = pack_images(listing_with_masks(tmp_path, *masks), tmp_path / "i.npy", image_size=12)
    parts = [np.unique(mask).tolist() for mask in np.load(tmp_path / "masks.npy")]
    assert parts == [[0, 1], [0, 3], [1, 2], [0]]
    assert outcome["mask_levels"].tolist()[0] == '{"background": 0, "cytoplasm": 1, "nucleus": 2}'
    assert outcome["mask_levels"].tolist()[1] == '{"background": 0, "cell": 255}'


def test_empty_masks_are_said_and_counted(tmp_path):
    listing = listing_with_masks(tmp_path, halves(0, 0), halves(0, 1), halves(0, 0))
    manifest = build_manifest(listing, pack_images(listing, tmp_path / "i.npy", image_size=12))
    empty = "mask empty: no pixel of a cell"
    assert manifest["warning"].fillna("").tolist() == [empty, "", empty]
    assert count_warnings(manifest).to_dict() == {"mask empty": 2}


def test_values_that_are_not_recognised_are_listed_in_the_reason(tmp_path):
    listing = listing_with_masks(tmp_path, halves(3, 7), halves(0, 1))
    outcome = pack_images(listing, tmp_path / "i.npy", image_size=12)
    reason = "mask unreadable: values of the mask not recognised: 3, 7; say with `mask_levels`"
    assert outcome["status"][0].startswith(reason)
    assert outcome["status"][1] == "ok"


def test_a_mask_without_a_tag_turns_with_its_image_and_the_manifest_says_so(tmp_path):
    tag = Image.Exif()
    tag[0x112] = 6
    pixels = np.zeros((10, 12, 3), np.uint8)
    pixels[:5] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=tag)
    Image.fromarray(pixels[..., 0] // 200).save(tmp_path / "mask.png")
    row = {
        "image_id": "a",
        "path": str(tmp_path / "a.png"),
        "mask_path": str(tmp_path / "mask.png"),
    }
    outcome = pack_images(as_listing([row]), tmp_path / "i.npy", image_size=12)
    (image,), (mask,) = np.load(tmp_path / "i.npy"), np.load(tmp_path / "masks.npy")
    assert outcome["warning"].tolist() == ["mask turned with its image: EXIF orientation 6"]
    assert (image[:, 7:, 0] > 150).all() and (image[:, :5, 0] < 50).all()  # the top is right now
    assert np.array_equal(mask == 3, image[..., 0] > 100)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_a_box_of_a_turned_image_is_turned_or_its_row_is_refused(orientation, tmp_path):
    tag = Image.Exif()
    tag[0x112] = orientation
    pixels = np.zeros((10, 12, 3), np.uint8)
    pixels[1:4, 2:9] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=tag)
    row = {"image_id": "a", "path": str(tmp_path / "a.png"), "box": [2, 1, 9, 4]}
    for annotated in ("file", "12 x 10, file"):
        listing = as_listing([row | {"annotated": annotated}])
        outcome = pack_images(listing, tmp_path / "i.npy", image_size=12)
        upright = read_image(tmp_path / "a.png").pixels
        xmin, ymin, xmax, ymax = map(int, outcome["box"][0])
        assert (upright[ymin:ymax, xmin:xmax] == 200).all()
        assert upright.sum() == upright[ymin:ymax, xmin:xmax].sum()
    outcome = pack_images(as_listing([row]), tmp_path / "i.npy", image_size=12)
    assert outcome["status"][0].startswith("box of an image that its EXIF tag turns: orientation")


def test_a_mask_of_a_turned_square_is_refused_unless_its_side_is_said(tmp_path):
    tag = Image.Exif()
    tag[0x112] = 3
    Image.new("RGB", (12, 12)).save(tmp_path / "a.png", exif=tag)
    Image.fromarray(halves(0, 1)).resize((12, 12), 0).save(tmp_path / "mask.png")
    row = {
        "image_id": "a",
        "path": str(tmp_path / "a.png"),
        "mask_path": str(tmp_path / "mask.png"),
    }
    statuses, left = {}, {}
    for said in (None, "file", "upright"):
        outcome = pack_images(
            as_listing([row | {"annotated": said}]), tmp_path / "i.npy", image_size=12
        )
        statuses[said] = outcome["status"][0]
        left[said] = np.load(tmp_path / "masks.npy")[:, 0, 0].tolist()
    assert statuses[None].startswith("mask of an image that its EXIF tag turns: orientation 3")
    assert (statuses["file"], statuses["upright"]) == ("ok", "ok")
    assert (left["file"], left["upright"]) == ([3], [0])
