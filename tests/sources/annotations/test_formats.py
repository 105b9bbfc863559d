"""COCO, YOLO and CSV, as files that tools write and as files that went wrong."""

import json

import pandas as pd
import pytest

from wbc_pipeline.sources.annotations import coco, csv_boxes, yolo
from wbc_pipeline.sources.annotations.attach import list_boxes
from wbc_pipeline.sources.listing import LayoutError


def coco_file(folder, **changes):
    content = {
        "images": [
            {"id": 907, "file_name": "sub\\a.png", "width": 30, "height": 20},
            {"id": "x1", "file_name": "b.png", "width": 0, "height": 0},
        ],
        "categories": [{"id": 40, "name": " WBC "}, {"id": 3, "name": "Nucleus"}],
        "annotations": [
            {"id": 5, "image_id": 907, "category_id": 40, "bbox": [2, 3, 10, 4.5]},
            {"id": 9, "image_id": 907, "category_id": 3, "segmentation": [[0, 0, 4, 0, 4, 4]]},
            {"id": 7, "image_id": "x1", "category_id": 40, "bbox": [0, 0, 9, 9]},
        ],
    }
    file = folder / "coco.json"
    file.write_text(json.dumps(content | changes))
    return file


def test_coco_ids_may_be_any_and_boxes_have_corners(tmp_path):
    first, second = coco.read(coco_file(tmp_path))
    assert (first.image, first.size) == ("sub/a.png", (30, 20))
    assert first.boxes == [("wbc", 2, 3, 12, 7.5)]
    assert (first.mask, first.outlined) == (f"{tmp_path}/coco.json#907", {"nucleus"})
    assert (second.size, second.mask) == (None, None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": None}, "is no COCO annotation"),
        ({"images": [{"id": 1}, {"id": "1"}]}, "gives two images one id"),
        ({"images": [{"id": [1]}]}, r"has an id that is no number and no text: \[1\]"),
        ({"annotations": [{"id": 1}]}, "has no 'image_id'"),
    ],
)
def test_a_json_of_another_layout_is_an_error(changes, reason, tmp_path):
    with pytest.raises(LayoutError, match=rf"coco\.json: {reason}.*Give a JSON file"):
        coco.read(coco_file(tmp_path, **changes))


def test_coco_objects_find_their_image_whether_its_id_is_a_number_or_text(tmp_path):
    found = {"id": 5, "image_id": "907", "category_id": "40", "bbox": [2, 3, 10, 4.5]}
    first, _ = coco.read(coco_file(tmp_path, annotations=[found]))
    assert first.boxes == [("wbc", 2, 3, 12, 7.5)]


def test_coco_objects_of_no_image_are_said(tmp_path):
    found = {"id": 5, "image_id": 907, "category_id": 40, "bbox": [2, 3, 10, 4.5]}
    file = coco_file(tmp_path, annotations=[found, *[found | {"image_id": 13}] * 2])
    *_, stray = annotations = coco.read(file)
    assert len(annotations) == 3
    assert stray.problem == "annotation without an image: id '13'"
    boxes = list_boxes(pd.DataFrame({"image_id": ["sub/a.png", "b.png"]}), annotations)
    assert boxes["problem"].dropna().tolist() == [stray.problem]
    with pytest.raises(LayoutError, match="has annotations, but of no image in it, such as '13'"):
        coco.read(coco_file(tmp_path, annotations=[found | {"image_id": 13}]))


def test_a_coco_image_without_a_name_is_said(tmp_path):
    images = [{"id": 907, "file_name": None}, {"id": "x1", "file_name": "b.png"}]
    annotations = coco.read(coco_file(tmp_path, images=images))
    boxes = list_boxes(pd.DataFrame({"image_id": ["b.png"]}), annotations)
    reason = "annotation unusable: coco.json: image 907 has no file_name"
    assert boxes["problem"].dropna().tolist() == [reason]


def test_a_file_that_is_no_json_is_an_error(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(LayoutError, match=r"a\.json: is no COCO annotation"):
        coco.read(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"category_id": 1}, "no category has the id 1"),
        ({"bbox": [1, 2, 3]}, "a box of 3 numbers"),
        ({"bbox": [1, 2, 3, "wide"]}, "no number: 'wide'"),
        ({"bbox": [1, 2, 3, float("nan")]}, "no number: nan"),
    ],
)
def test_a_bad_object_is_a_problem_of_its_image_alone(bad, reason, tmp_path):
    objects = [
        {"id": 5, "image_id": 907, "category_id": 40, "bbox": [2, 3, 10, 4]} | bad,
        {"id": 7, "image_id": "x1", "category_id": 40, "bbox": [0, 0, 9, 9]},
    ]
    first, second = coco.read(coco_file(tmp_path, annotations=objects))
    assert first.problem == f"annotation unusable: coco.json: annotation 5: {reason}"
    assert second.problem is None and len(second.boxes) == 1


def yolo_folder(folder, lines, names="WBC\nRBC\n", names_file="classes.txt"):
    (folder / names_file).write_text(names)
    (folder / "train").mkdir()
    (folder / "train" / "a.v1.txt").write_text(lines)
    return folder


@pytest.mark.parametrize(
    ("names_file", "names"),
    [
        ("classes.txt", "WBC\nRBC\n"),
        ("obj.names", "WBC\r\nRBC"),
        ("data.yaml", "names: [WBC, RBC]"),
        ("data.yaml", "names: {0: WBC, 1: RBC}"),
    ],
)
def test_yolo_boxes_are_shares_with_names(names_file, names, tmp_path):
    folder = yolo_folder(tmp_path, "1 0.5 0.5 0.5 0.25\n\n", names, names_file)
    [found] = yolo.read(folder)
    assert (found.image, found.is_share, found.size) == ("train/a.v1", True, None)
    assert found.boxes == [("rbc", 0.25, 0.375, 0.75, 0.625)]


@pytest.mark.parametrize("other", ["obj.names", "mine.names"])
def test_a_file_of_names_is_no_yolo_annotation(other, tmp_path):
    folder = yolo_folder(tmp_path, "1 0.5 0.5 0.5 0.25")
    (folder / other).write_text("WBC\nRBC")
    (folder / "train" / "classes.txt").write_text("WBC\nRBC")
    names_file = folder / "train" / ".." / other
    assert [found.image for found in yolo.read(folder, names_file)] == ["train/a.v1"]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("names: abc", "names no classes"),
        ("names: 3", "names no classes"),
        ("names: []", "names no classes"),
        ("names: [WBC, null]", "has a class without a name"),
    ],
)
def test_yolo_names_that_are_no_list_of_texts_are_an_error(names, reason, tmp_path):
    folder = yolo_folder(tmp_path, "0 0.5 0.5 0.1 0.1", names, "data.yaml")
    with pytest.raises(LayoutError, match=rf"data\.yaml: {reason}\. Say with `box_names`"):
        yolo.read(folder)


def test_the_box_of_a_yolo_polygon_is_taken(tmp_path):
    [found] = yolo.read(yolo_folder(tmp_path, "0 0.1 0.2 0.5 0.2 0.5 0.9\n"))
    assert found.boxes == [("wbc", 0.1, 0.2, 0.5, 0.9)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2 0.5 0.5 0.5 0.25", "class 2 has no name, known are 0 to 1"),
        ("0 0.5 0.5 0.5", "3 numbers behind the class, expected 4"),
        ("0 40 30 20 10", "shares of the sides are 0 to 1, and not all of these are"),
        ("WBC 0.5 0.5 0.5 0.25", "no number: 'WBC'"),
    ],
)
def test_a_bad_line_is_named(line, reason, tmp_path):
    [found] = yolo.read(yolo_folder(tmp_path, f"0 0.5 0.5 0.1 0.1\n{line}\n"))
    assert found.problem == f"annotation unusable: a.v1.txt: line 2: {reason}"


def test_yolo_without_names_of_classes_is_an_error(tmp_path):
    folder = yolo_folder(tmp_path, "0 0.5 0.5 0.1 0.1")
    (folder / "classes.txt").unlink()
    with pytest.raises(LayoutError, match=r"has none of classes\.txt, .*`box_names`"):
        yolo.read(folder / "train")


def test_a_csv_file_has_a_row_per_box(tmp_path):
    file = tmp_path / "boxes.csv"
    file.write_text(
        "image_id,name,xmin,ymin,xmax,ymax\na.png,WBC,1,2,3,4.5\nsub\\b.png,RBC,0,0,1,x\n"
        "a.png,RBC,5,6,7,8\n"
    )
    first, second = csv_boxes.read(file)
    assert first.boxes == [("wbc", 1, 2, 3, 4.5), ("rbc", 5, 6, 7, 8)]
    assert second.image == "sub/b.png"
    assert second.problem == "annotation unusable: boxes.csv: line 3: no number: 'x'"
