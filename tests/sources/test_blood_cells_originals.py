import pytest

from wbc_pipeline.sources.blood_cells_originals import FOLDER, list_boxes, list_images
from wbc_pipeline.sources.listing import LayoutError

LABELS = ',Image,Category\n,0,"NEUTROPHIL, BASOPHIL"\n,1,EOSINOPHIL\n,2,\n,9,MONOCYTE\n'


def annotation(*objects):
    sides = ("xmin", "ymin", "xmax", "ymax")
    return "".join(
        ["<annotation>"]
        + [
            f"<object><name>{name}</name><bndbox>"
            + "".join(f"<{side}>{value}</{side}>" for side, value in zip(sides, box, strict=True))
            + "</bndbox></object>"
            for name, *box in objects
        ]
        + ["</annotation>"]
    )


@pytest.fixture
def home(tmp_path):
    """Three photographs: two white cells, one white and one red, not annotated."""
    home = tmp_path / FOLDER
    (home / "JPEGImages").mkdir(parents=True)
    (home / "Annotations").mkdir()
    for number in range(3):
        (home / "JPEGImages" / f"BloodImage_0000{number}.jpg").touch()
    (home / "JPEGImages" / "index.txt").touch()
    (home / "labels.csv").write_text(LABELS)
    annotate(home, 0, ("WBC", 0, 0, 5, 5), ("WBC", 5, 5, 9, 9))
    annotate(home, 1, ("WBC", 1, 2, 3, 4), ("RBC", 5, 5, 9, 9))
    return home


def annotate(home, number, *objects):
    file = home / "Annotations" / f"BloodImage_0000{number}.xml"
    file.write_text(annotation(*objects))


def list_by_source(home):
    return list_images(home.parents[2]).set_index("source_id")


def test_labels_keep_every_cell_and_rows_without_a_photograph_are_ignored(home):
    listing = list_by_source(home)
    assert listing["label"].dropna().tolist() == ["neutrophil, basophil", "eosinophil"]
    assert len(listing) == 3 and listing["problem"].isna().all()


def test_only_a_white_cell_alone_has_its_box_in_the_listing(home):
    assert list_by_source(home)["box"].tolist() == [None, [1, 2, 3, 4], None]


def test_every_box_is_listed_with_its_photograph(home):
    boxes = list_boxes(home.parents[2])
    assert boxes["name"].tolist() == ["wbc", "wbc", "wbc", "rbc"]
    assert boxes.loc[3].tolist() == ["JPEGImages/BloodImage_00001.jpg", "rbc", 5, 5, 9, 9]


def test_a_bad_annotation_file_is_a_problem_of_its_photograph_alone(home):
    annotate(home, 1, ("WBC", 9, 2, 3, 4))
    problems = list_by_source(home)["problem"].dropna().to_dict()
    assert set(problems) == {"BloodImage_00001"}
    assert "annotation unusable: BloodImage_00001.xml: " in problems["BloodImage_00001"]
    assert list_boxes(home.parents[2])["image_id"].nunique() == 1


def test_no_annotation_at_all_leaves_an_empty_table_of_boxes(home):
    for file in (home / "Annotations").iterdir():
        file.unlink()
    boxes = list_boxes(home.parents[2])
    assert len(boxes) == 0 and boxes["xmin"].dtype == float


def test_a_photograph_that_the_labels_do_not_mention_has_a_problem(home):
    (home / "JPEGImages" / "BloodImage_00007.jpg").touch()
    problem = list_by_source(home)["problem"]["BloodImage_00007"]
    assert problem == "label is missing: no row in labels.csv"


def test_labels_without_their_columns_are_an_error(home):
    (home / "labels.csv").write_text("image,category\n1,NEUTROPHIL\n")
    with pytest.raises(LayoutError, match=r"'Image' in .*labels\.csv\. Did you mean 'image'"):
        list_images(home.parents[2])


def test_photographs_are_listed_whatever_the_case_of_their_suffix(home):
    photographs = home / "JPEGImages"
    (photographs / "BloodImage_00000.jpg").rename(photographs / "BloodImage_00000.JPG")
    (photographs / "BloodImage_00001.jpg").rename(photographs / "BloodImage_00001.jpeg")
    listing = list_by_source(home)
    assert [name.partition(".")[2] for name in listing["image_id"]] == ["JPG", "jpeg", "jpg"]
    assert listing["label"].dropna().tolist() == ["neutrophil, basophil", "eosinophil"]
    assert listing["box"].tolist() == [None, [1, 2, 3, 4], None]


def test_the_size_that_an_annotation_declares_is_known(home):
    file = home / "Annotations" / "BloodImage_00001.xml"
    size = "<annotation><size><width>640</width><height>480</height></size>"
    file.write_text(file.read_text().replace("<annotation>", size))
    annotated = list_by_source(home)["annotated"]
    assert annotated.fillna("").tolist() == ["", "640 x 480", ""]
