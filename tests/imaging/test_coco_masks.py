import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from wbc_pipeline.imaging.coco_masks import draw_object
from wbc_pipeline.imaging.masks import read_labelled_mask
from wbc_pipeline.imaging.refusals import UnreadableImageError

SQUARE = np.zeros((20, 30), bool)
SQUARE[4:12, 3:15] = True


def polygon(xmin, ymin, xmax, ymax):
    return [[xmin, ymin, xmax, ymin, xmax, ymax, xmin, ymax]]


def runs(mask):
    flat = mask.ravel(order="F").astype(int)
    starts = np.flatnonzero(np.diff(flat, prepend=0))  # COCO begins with a run of 0, maybe empty
    counts = np.diff([0, *starts, flat.size]).tolist()
    return {"size": list(mask.shape), "counts": counts}


def compressed(mask):
    packed = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return packed | {"counts": packed["counts"].decode()}


@pytest.mark.parametrize("segmentation", [polygon(3, 4, 15, 12), runs(SQUARE), compressed(SQUARE)])
def test_polygons_and_run_lengths_are_drawn_alike(segmentation):
    assert np.array_equal(draw_object(segmentation, 20, 30), SQUARE)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_run_lengths_round_trip(seed, share):
    mask = np.random.default_rng(seed).random((20, 30)) < share
    for segmentation in (runs(mask), compressed(mask)):
        assert np.array_equal(draw_object(segmentation, 20, 30), mask)


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 2, 3, 4]], "polygon without three points: 4 numbers"),
        ([[1, 2, 3, 4, 5, 6, 7]], "polygon without three points"),
        ([[1, 2, 3, 4, 5, 1e9]], "polygon outside the image: 30 x 20"),
        ([[1, 2, 3, 4, 5, float("nan")]], "polygon outside the image"),
        ({"size": [30, 20], "counts": [600]}, "run lengths of another size"),
        ({"size": [20, 30], "counts": [500]}, "run lengths that do not fill their image: 500"),
        ({"size": [20, 30], "counts": [700, -100]}, "run lengths that do not fill"),
        ({"size": [20, 30], "counts": "zzzzz"}, "run lengths that do not fill"),
        ({"counts": [600]}, "object that cannot be drawn"),
        ("polygon", "object that cannot be drawn"),
    ],
)
def test_what_cannot_be_drawn_is_refused(segmentation, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        draw_object(segmentation, 20, 30)


def write(tmp_path, *objects):
    names = ("cell", "nucleus", "cytoplasm", "platelet")
    content = {
        "images": [{"id": 907, "width": 30, "height": 20}],
        "categories": [{"id": 5 * number, "name": name} for number, name in enumerate(names)],
        "annotations": [
            {"image_id": 907, "category_id": 5 * names.index(name), "segmentation": outline}
            for name, outline in objects
        ],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    return f"{tmp_path}/coco.json#907"


def read(reference, **options):
    levels = json.dumps({name: [name] for name in ("cell", "nucleus", "cytoplasm")})
    options = {"levels": levels, "max_pixels": 1000} | options
    return read_labelled_mask(reference, (20, 30), **options)


def test_a_cell_around_a_nucleus_is_cytoplasm_and_another_a_cell(tmp_path):
    reference = write(
        tmp_path,
        ("nucleus", polygon(5, 6, 9, 9)),
        ("cell", runs(SQUARE)),
        ("cell", polygon(20, 4, 24, 8)),
        ("platelet", polygon(0, 15, 3, 18)),
    )
    parts = read(reference).parts
    assert (parts[6:9, 5:9] == 2).all() and (parts[4:8, 20:24] == 3).all()
    assert (parts[SQUARE] > 0).all() and set(np.unique(parts[SQUARE])) == {1, 2}
    assert (parts[15:18] == 0).all()


def test_a_mask_without_objects_is_empty_and_said(tmp_path):
    assert read(write(tmp_path)).warning == "mask empty: no pixel of a cell"


def test_a_changed_file_is_read_again(tmp_path):
    read(write(tmp_path))
    assert read(write(tmp_path, ("cell", runs(SQUARE)))).parts.sum() == 3 * SQUARE.sum()


def test_a_byte_order_mark_and_ids_as_text_are_read(tmp_path):
    reference = write(tmp_path, ("cell", runs(SQUARE)))
    file = tmp_path / "coco.json"
    text = file.read_text().replace('"category_id": 0', '"category_id": "0"')
    file.write_text(text, encoding="utf-8-sig")
    assert read(reference).parts.sum() == 3 * SQUARE.sum()


def test_an_unknown_category_refuses_only_the_mask_it_is_in(tmp_path):
    reference = write(tmp_path, ("cell", runs(SQUARE)))
    file = tmp_path / "coco.json"
    content = json.loads(file.read_text())
    content["images"].append({"id": 908, "width": 30, "height": 20})
    content["annotations"].append({"image_id": 908, "category_id": 99, "segmentation": [[0] * 6]})
    file.write_text(json.dumps(content))
    assert read(reference).parts.any()
    with pytest.raises(UnreadableImageError, match="no category has the id 99"):
        read(reference.replace("907", "908"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: "{", "no annotation file in COCO's format"),
        (lambda text: "[]", "no annotation file in COCO's format"),
        (lambda text: text.replace("907", "908"), "no image with this id in .*: 907"),
        (lambda text: text.replace(": 30", ": 31"), "another size than its image: 31 x 20"),
        (lambda text: text.replace(": 30", ": 3000"), "more pixels than the cap"),
    ],
)
def test_a_file_that_tells_no_mask_is_refused(change, reason, tmp_path):
    reference = write(tmp_path)
    file = tmp_path / "coco.json"
    file.write_text(change(file.read_text()))
    with pytest.raises(UnreadableImageError, match=reason):
        read(reference)
