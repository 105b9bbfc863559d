import pandas as pd
import pytest

from wbc_pipeline.imaging.boxes import BOX_COLUMNS, place_boxes, upright_box
from wbc_pipeline.imaging.refusals import UnreadableImageError


def place(box, **options):
    options = {"shape": (20, 30), "orientation": 1, "annotated": None} | options
    return upright_box(box, **options)


@pytest.mark.parametrize(
    ("box", "options", "expected"),
    [
        ((1, 2, 3, 4), {}, (1, 2, 3, 4)),
        ((1, 2, 3.00001, 4), {}, (1, 2, 3, 4)),
        ((0.1, 0.25, 0.5, 0.75), {"is_share": True}, (3, 5, 15, 15)),
        ((-1e-7, 0, 1, 1), {"is_share": True}, (0, 0, 30, 20)),
        ((1, 2, 3, 5), {"orientation": 3, "annotated": "file"}, (27, 15, 29, 18)),
        ((1, 2, 3, 5), {"orientation": 6, "annotated": "20 x 30"}, (25, 1, 28, 3)),
        ((1, 2, 3, 5), {"orientation": 6, "annotated": "30 x 20"}, (1, 2, 3, 5)),
        (
            (0, 0, 0.5, 0.1),
            {"orientation": 6, "annotated": "file", "is_share": True},
            (27, 0, 30, 10),
        ),
    ],
)
def test_a_box_is_put_into_its_upright_image(box, options, expected):
    assert place(box, **options) == expected


@pytest.mark.parametrize(
    ("box", "options", "reason"),
    [
        ((0.1, 0.2, 0.5, 0.6), {}, "box between 0 and 1, where pixels are expected"),
        ((0, 0, 31, 20), {}, r"box outside the image: \[0, 0, 31, 20\] in 30 x 20"),
        ((5, 5, 5, 9), {}, "box without area"),
        ((1, 2, 3, 4), {"annotated": "640 x 480"}, "box of another size than its image"),
        ((1, 2, 3, 4), {"orientation": 8}, "box of an image that its EXIF tag turns"),
    ],
)
def test_a_box_that_does_not_fit_is_refused(box, options, reason):
    with pytest.raises(UnreadableImageError, match=reason):
        place(box, **options)


MANIFEST = pd.DataFrame(
    {
        "image_id": ["a", "b"],
        "path": ["/a", "/b"],
        "height": [20, 20],
        "width": [30, 30],
        "orientation": [1, 6],
        "annotated": [None, None],
        "status": ["ok", "ok"],
    }
)


def test_boxes_and_rejects_name_their_image_and_the_reason():
    boxes = pd.DataFrame(
        [("a", "wbc", 1, 2, 3, 4), ("b", "rbc", 1, 2, 3, 4), ("gone", "wbc", 1, 2, 3, 4)],
        columns=list(BOX_COLUMNS),
    )
    placed, rejects = place_boxes(boxes, MANIFEST)
    assert placed.to_numpy().tolist() == [["a", "wbc", 1, 2, 3, 4]]
    assert rejects[["image_id", "path"]].to_numpy().tolist() == [["b", "/b"]]
    assert rejects["status"][0].endswith("; it is around rbc")


def test_an_annotation_that_cannot_be_used_is_a_reject_with_its_file():
    row = {"image_id": "c", "problem": "annotation unusable: c.xml: no XML", "annotation": "/c.xml"}
    placed, rejects = place_boxes(pd.DataFrame([row]), MANIFEST)
    assert len(placed) == 0 and placed["xmin"].dtype == float
    assert rejects.to_numpy().tolist() == [["c", "/c.xml", row["problem"]]]
