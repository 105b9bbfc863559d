import json

import pytest
from annotation_files import write_coco

from wbc_pipeline.sources import combined, image_folder, table
from wbc_pipeline.sources.annotations.attach import Names, find_masks, levels_text, match
from wbc_pipeline.sources.annotations.common import Annotation
from wbc_pipeline.sources.listing import LayoutError, MissingDataError, listing_digest


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("x/a.png", ["x/a.png"]),
        ("x/a.jpg", ["x/a.png"]),
        ("x/a", ["x/a.png"]),
        ("elsewhere/b.png", ["y/b.png"]),
        ("b", ["y/b.png"]),
        ("c.v1", ["y/c.v1.png"]),
        ("c.v2", []),
        ("a", ["x/a.png", "y/a.png"]),
        ("d", []),
    ],
)
def test_an_image_is_found_by_as_much_of_its_path_as_tells_it_apart(name, found):
    assert Names(["x/a.png", "y/a.png", "y/b.png", "y/c.v1.png", "y/c.png"]).find(name) == found


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_masks_are_found_by_folder_and_stem(tmp_path):
    touch(tmp_path, "x/a.png", "y/a.png", "b.tif")
    found = find_masks(tmp_path, ["x/a.jpg", "y/a.jpg", "y/b.jpg", "y/d.jpg"])
    names = {"x/a.jpg": "x/a.png", "y/a.jpg": "y/a.png", "y/b.jpg": "b.tif"}
    assert found == {image: str(tmp_path / mask) for image, mask in names.items()}


def test_a_mask_that_fits_several_images_is_an_error_and_not_missing(tmp_path):
    touch(tmp_path, "a.png", "b.png")
    with pytest.raises(LayoutError, match=r"fits several images: x/a\.jpg, y/a\.jpg\. Put masks"):
        find_masks(tmp_path, ["x/a.jpg", "y/a.jpg", "y/b.jpg"])


def test_a_mask_in_the_folder_of_another_image_is_not_taken(tmp_path):
    touch(tmp_path, "A/000.png", "scans/B/001.png")
    assert list(find_masks(tmp_path, ["B/000.jpg", "B/001.jpg"])) == ["B/001.jpg"]


def test_an_annotation_of_the_same_path_goes_before_one_that_was_read_first():
    annotations = [Annotation(image, "coco.json", []) for image in ("A/1.png", "B/1.png")]
    by_image, unfit = match(annotations, ["B/1.png"])
    assert by_image == {"B/1.png": annotations[1]}
    assert [one.image for one in unfit] == ["A/1.png"]


def test_an_annotation_under_another_folder_is_warned_of(tmp_path):
    write_coco(tmp_path / "coco.json", {"A/a.png": [], "up/x/b.png": [], "c.png": []})
    rows = [("B/a.png", "x", ""), ("x/b.png", "y", ""), ("y/c.png", "y", "")]
    listing = table.list_images(own_table(tmp_path, rows), file="images.csv", boxes="coco.json")
    found = "annotation found under another folder: A/a.png"
    assert listing["warning"].fillna("").tolist() == [found, "", ""]


@pytest.mark.parametrize("names", [["c.png"], ["x/a.png", "x/a.tif"]])
def test_a_folder_of_masks_that_do_not_fit_is_an_error(names, tmp_path):
    with pytest.raises(LayoutError, match=r"(No mask in|Several masks in) .*x/a\.jpg"):
        find_masks(touch(tmp_path, *names), ["x/a.jpg"])


@pytest.mark.parametrize(
    ("levels", "reason"),
    [
        ({"background": 0}, "names background: give the values of background and cell"),
        ({"background": 0, "nucleus": 1}, "give the values of background and cell"),
        ({"background": 0, "cell": 0}, "two parts one value"),
        ({"background": 0, "cell": "blue"}, "gives 'blue' for a value"),
        (
            {"background": 0, "cell": -1},
            "gives -1 for a value of masks: grey levels are 0 to 65535",
        ),
        ({"background": 0, "cell": 65536}, "grey levels are 0 to 65535"),
    ],
)
def test_levels_that_say_too_little_are_an_error(levels, reason):
    with pytest.raises(LayoutError, match=reason):
        levels_text(levels)


def own_table(folder, rows=(("a.png", "x", "masks/a.png"), ("b.png", "y", ""))):
    lines = ["path,label,mask", *map(",".join, rows)]
    (folder / "images.csv").write_text("\n".join(lines))
    return touch(folder, *(name for image, _, mask in rows for name in (image, mask) if name))


def test_a_table_names_masks_and_their_levels(tmp_path):
    options = {"mask_column": "mask", "mask_levels": {"background": 0, "cell": 255}}
    listing = table.list_images(own_table(tmp_path), file="images.csv", **options)
    assert listing["mask_path"].tolist()[0] == str(tmp_path / "masks/a.png")
    assert listing["mask_levels"].tolist()[0] == '{"background": 0, "cell": 255}'
    assert listing.loc[1, ["mask_path", "mask_levels", "problem"]].isna().all()


def test_masks_may_lie_in_a_folder_of_their_own_and_not_outside(tmp_path):
    touch(tmp_path / "m", "a.png")
    own_table(tmp_path, [("a.png", "x", "a.png"), ("b.png", "y", "../b.png"), ("c.png", "y", "")])
    listing = table.list_images(tmp_path, file="images.csv", mask_column="mask", masks="m")
    assert listing["mask_path"][0] == str(tmp_path / "m/a.png")
    assert listing["problem"][1].startswith("path leads out of the folder: '../b.png'")


def test_a_missing_place_of_annotations_is_an_error(tmp_path):
    with pytest.raises(MissingDataError, match=r"gone\.json, which `sources\.table\.boxes` names"):
        table.list_images(own_table(tmp_path), file="images.csv", boxes="gone.json")


def test_outlines_are_masks_and_the_declared_size_is_known(tmp_path):
    write_coco(tmp_path / "coco.json", {"a.png": [("x", [2, 2, 8, 8])], "b.png": []})
    listing = table.list_images(
        own_table(tmp_path), file="images.csv", boxes="coco.json", annotations="file"
    )
    assert listing["annotated"].tolist() == ["24 x 16, file"] * 2
    assert listing["mask_path"].fillna("").tolist() == [f"{tmp_path}/coco.json#7", ""]
    levels = json.loads(listing["mask_levels"][0])
    assert "x" in levels["cell"] and levels["nucleus"] == ["nuclei", "nucleus"]


def test_outlines_that_may_be_no_cells_are_refused_until_it_is_said(tmp_path):
    write_coco(tmp_path / "coco.json", {"a.png": [("platelet", [2, 2, 8, 8])]})
    options = {"file": "images.csv", "boxes": "coco.json"}
    rows = [("a.png", "x", ""), ("b.png", "y", ""), ("c.png", "", "")]  # one has another problem
    listing = table.list_images(own_table(tmp_path, rows), **options)
    reason = "outlined objects that may be no cells: platelet; say with `mask_levels`"
    assert listing["problem"][0].startswith(reason)
    listing = table.list_images(tmp_path, **options, mask_levels={"cell": "Platelet"})
    assert listing["problem"].fillna("").tolist() == ["", "", "label missing"]
    assert json.loads(listing["mask_levels"][0]) == {"cell": ["platelet"]}


def test_a_changed_annotation_file_changes_the_digest_of_the_listing(tmp_path):
    write_coco(tmp_path / "coco.json", {"a.png": [("x", [2, 2, 8, 8])]})
    touch(own_table(tmp_path), "a.png", "b.png")
    options = {"file": "images.csv", "boxes": "coco.json"}
    before = listing_digest(table.list_images(tmp_path, **options))
    write_coco(tmp_path / "coco.json", {"a.png": [("x", [2, 2, 8, 80])]})
    assert listing_digest(table.list_images(tmp_path, **options)) != before


def test_annotations_without_an_image_are_said(tmp_path):
    write_coco(tmp_path / "coco.json", {"a.png": [("x", [2, 2, 8, 8])], "z.png": []})
    images = table.list_images(own_table(tmp_path), file="images.csv")
    boxes = table.list_boxes(tmp_path, listing=images, boxes="coco.json")
    assert boxes["image_id"].tolist() == ["a.png", "z.png"]
    assert boxes["problem"][1] == "annotation without an image: none is called so"


def test_a_table_of_images_in_another_folder_may_have_boxes(tmp_path):
    write_coco(tmp_path / "coco.json", {"a.png": [("x", [2, 2, 8, 8])]})
    (tmp_path / "images.csv").write_text("path,label\na.png,x\nb.png,y")
    touch(tmp_path / "cells", "a.png", "b.png")
    options = {"file": "images.csv", "images": "cells", "boxes": "coco.json"}
    listed = {"table": table.list_images(tmp_path, **options)}
    boxes = combined.list_boxes(listed, tmp_path, options={"table": options})
    assert boxes["image_id"].tolist() == ["a.png"]


def test_annotations_of_other_images_are_an_error(tmp_path):
    write_coco(tmp_path / "coco.json", {"z.png": []})
    with pytest.raises(LayoutError, match=r"is not about the listed images, its first is 'z\.png'"):
        table.list_images(own_table(tmp_path), file="images.csv", boxes="coco.json")


@pytest.mark.parametrize("place", ["images/masks", "masks"])
def test_a_folder_of_masks_beside_the_classes_is_no_class(place, tmp_path):
    touch(tmp_path / "images", "x/a.jpg", "y/b.jpg", "y/c.jpg")
    touch(tmp_path / place, "x/a.png", "b.png")
    listing = image_folder.list_images(tmp_path, folder="images", masks=place)
    assert listing["label"].tolist() == ["x", "y", "y"]
    assert listing["mask_path"].fillna("").tolist() == [
        *(str(tmp_path / place / name) for name in ("x/a.png", "b.png")),
        "",
    ]
    assert listing["warning"].fillna("").tolist() == ["", "", "mask missing: none is called so"]


def test_a_folder_of_labels_beside_gives_boxes(tmp_path):
    touch(tmp_path, "images/x/a.jpg", "images/y/b.jpg", "images/labels/x/a.txt")
    (tmp_path / "images/labels/classes.txt").write_text("wbc")
    (tmp_path / "images/labels/x/a.txt").write_text("0 0.5 0.5 0.5 0.5")
    options = {"folder": "images", "boxes": "images/labels"}
    images = image_folder.list_images(tmp_path, **options)
    boxes = image_folder.list_boxes(tmp_path, listing=images, **options)
    assert boxes[["image_id", "name", "is_share"]].to_numpy().tolist() == [["x/a.jpg", "wbc", True]]
