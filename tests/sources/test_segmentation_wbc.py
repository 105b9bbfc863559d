import pytest

from wbc_pipeline.sources.listing import LayoutError, MissingDataError
from wbc_pipeline.sources.segmentation_wbc import FOLDER, list_images

TABLES = {"Dataset 1": "image ID,class label\n1,2\n", "Dataset 2": "image ID,class\n1,5\n"}


@pytest.fixture
def home(tmp_path):
    """One image with mask and class in either data set."""
    home = tmp_path / FOLDER
    for name, text in TABLES.items():
        (home / name).mkdir(parents=True)
        for file in ("001.bmp", "001.png"):
            (home / name / file).touch()
        (home / f"Class Labels of {name}.csv").write_text(text)
    return home


def problems(home):
    listing = list_images(home.parent)
    return listing.set_index("image_id")["problem"].dropna().to_dict()


def test_tables_with_other_column_names_are_read(home):
    listing = list_images(home.parent)
    assert listing["label"].tolist() == ["lymphocyte", "basophil"]
    assert listing["domain"].tolist() == ["rapid_stain", "cellavision"]
    assert problems(home) == {}


def test_an_image_that_the_table_does_not_name_has_a_problem(home):
    (home / "Dataset 1" / "002.bmp").touch()
    missing = "class is missing: no row in Class Labels of Dataset 1.csv"
    assert problems(home) == {"Dataset 1/002.bmp": missing}


def test_a_row_without_its_image_has_a_problem_and_says_where_the_image_should_be(home):
    (home / "Class Labels of Dataset 2.csv").write_text("image ID,class\n1,5\n7,1\n")
    listing = list_images(home.parent)
    row = listing.set_index("image_id").loc["Dataset 2/007.bmp"]
    assert row["problem"].startswith("image is missing: Dataset 2/007.bmp")
    assert row["path"] == str(home / "Dataset 2" / "007.bmp")
    assert row["label"] == "neutrophil"


def test_an_image_without_mask_has_a_problem(home):
    (home / "Dataset 2" / "001.png").unlink()
    assert problems(home) == {"Dataset 2/001.bmp": "mask is missing: Dataset 2/001.png"}


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("1,6\n", "unknown class number: '6' in .*1.csv, known are 1, 2, 3, 4, 5"),
        ("1,\n", "unknown class number: ''"),
        ("1,2\n1,3\n", "several classes: 2, 3"),
    ],
)
def test_a_class_number_that_tells_no_class_is_a_problem(home, rows, problem):
    (home / "Class Labels of Dataset 1.csv").write_text(f"image ID,class label\n{rows}")
    listing = list_images(home.parent)
    assert listing["problem"].str.match(problem).tolist()[0]
    assert listing["label"].isna().tolist() == [True, False]


def test_a_table_without_a_column_of_classes_is_an_error(home):
    (home / "Class Labels of Dataset 1.csv").write_text("image ID,kind\n1,2\n")
    with pytest.raises(LayoutError, match=r"begins with 'class' in .*Dataset 1\.csv.*kind"):
        list_images(home.parent)


def test_a_missing_table_is_named(home):
    (home / "Class Labels of Dataset 2.csv").unlink()
    with pytest.raises(MissingDataError, match=r"Class Labels of Dataset 2\.csv"):
        list_images(home.parent)
