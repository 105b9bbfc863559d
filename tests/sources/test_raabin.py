import pandas as pd
import pytest

from wbc_pipeline.sources.listing import LayoutError
from wbc_pipeline.sources.raabin import CLASSES, FOLDER, FOLDERS, list_images

BY_SLIDE, BY_TIME = "95-8-27-1_100_2.jpg", "20190526_163055_1.jpg"  # as in the published TestA


def make(home, folders=FOLDERS, rename=str):
    for part, published in folders.items():
        for label in published.classes:
            for name in (BY_SLIDE, BY_TIME):
                file = home / rename(f"{part}/{label}") / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()


@pytest.fixture
def home(tmp_path):
    """Two images of each class in each folder, a name of either kind."""
    make(tmp_path / FOLDER)
    return tmp_path / FOLDER


def rows(home):
    return list_images(home.parent).set_index("image_id")


def test_each_folder_is_a_part_and_the_second_microscope_a_domain(home):
    listing = list_images(home.parent)
    folder = listing["image_id"].str.split("/").str[0]
    known = pd.DataFrame({"folder": folder, **listing[["published_part", "domain"]]})
    assert {*known.itertuples(index=False, name=None)} == {
        ("Train", "train", "first_microscope"),
        ("TestA", "test", "first_microscope"),
        ("TestB", "test", "second_microscope"),
    }
    assert len(listing) == 2 * (5 + 5 + 2)
    assert set(listing["label"]) == {name.lower() for name in CLASSES}
    assert listing["problem"].isna().all()


def test_a_name_tells_the_slide_or_the_day_but_no_cell_twice(home):
    listing = rows(home)
    by_slide, by_time = (
        listing.loc[f"Train/Basophil/{name}", ["patient", "filename_group"]]
        for name in (BY_SLIDE, BY_TIME)
    )
    assert by_slide.tolist() == ["95-8-27-1", "95-8-27-1"]
    assert by_time.isna().tolist() == [True, False] and by_time["filename_group"] == "20190526"
    assert listing["source_id"].isna().all()  # each file is a cell of its own


def test_a_stray_file_in_a_class_is_listed_to_be_refused_and_one_beside_the_classes_is_not(home):
    for name in ("Train/Basophil/notes.txt", "Train/notes.txt", "notes.txt"):
        (home / name).touch()
    (home / "GrTh").mkdir()
    stray = rows(home).filter(like="notes", axis=0)
    assert stray.index.tolist() == ["Train/Basophil/notes.txt"]
    assert stray[["patient", "filename_group"]].isna().all(axis=None)


@pytest.mark.parametrize(
    "rename",
    [
        str.lower,
        str.upper,
        lambda path: path.replace("Test", "Test-"),
        lambda path: f"Cropped_double_labeled/{path}",
        lambda path: f"{path.split('/')[0]}/{path}",  # an archive unpacked into a folder
    ],
)
def test_other_cases_and_wrapping_folders_are_the_same_data_set(rename, home, tmp_path):
    make(tmp_path / "other" / FOLDER, rename=rename)
    listing, other = list_images(tmp_path), list_images(tmp_path / "other")
    columns = ["label", "domain", "published_part", "filename_group", "patient"]
    pd.testing.assert_frame_equal(
        *(rows[columns].sort_values(columns, ignore_index=True) for rows in (listing, other))
    )
    first = other.iloc[0]
    assert first["path"] == str(tmp_path / "other" / FOLDER / first["image_id"])


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("TestA", r"No folder TestA in .*Raabin-WBC; the folders there: TestB, Train\."),
        ("TestB/Neutrophil", r"No folder Neutrophil in .*TestB; the folders there: Lymphocyte\."),
        ("Train/Monocyte", r"No folder Monocyte in .*Train; .*Lymphocyte, Neutrophil\."),
    ],
)
def test_a_missing_folder_is_named_with_what_is_there(missing, message, home):
    (home / missing).rename(home.parent / "elsewhere")
    with pytest.raises(LayoutError, match=message):
        list_images(home.parent)


def test_a_folder_that_is_no_class_is_an_error(home):
    (home / "Train" / "Burst").mkdir()
    with pytest.raises(LayoutError, match=r"Train/Burst is no class of Raabin-WBC.*Basophil, Eos"):
        list_images(home.parent)


def test_a_folder_in_two_cases_is_an_error(home):
    (home / "train").mkdir()
    with pytest.raises(LayoutError, match=r"Two folders for one in .*: Train and train"):
        list_images(home.parent)
