from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wbc_pipeline.imaging.packing import pack_images
from wbc_pipeline.sources.krd_wbc import FOLDER, list_images
from wbc_pipeline.sources.listing import LayoutError, MissingDataError

ROWS = "Image1,Lymphocyte\nimage99,Basophil\nImaeg405,Neutrophil\n"  # spelt as published


def make(home, rename=str):
    for number in (1, 99, 405):
        for folder, prefix in (("image", "image"), ("mask", "mask")):
            file = home / rename(f"Dataset/{folder}/{prefix}{number}.jpg")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    table = home / rename("class labels.csv")
    table.parent.mkdir(exist_ok=True)
    table.write_text(f"Image ID,Categoriy\n{ROWS}")
    return table


@pytest.fixture
def home(tmp_path):
    """Three images with masks and classes."""
    make(tmp_path / FOLDER)
    return tmp_path / FOLDER


def problems(home):
    return list_images(home.parent).set_index("image_id")["problem"].dropna().to_dict()


def write_rows(home, rows, header="Image ID,Categoriy"):
    (home / "class labels.csv").write_text(f"{header}\n{rows}")


def test_ids_are_matched_by_their_number_however_the_word_is_spelt(home):
    listing = list_images(home.parent).set_index("image_id")
    assert listing["label"].to_dict() == {
        "Dataset/image/image1.jpg": "lymphocyte",
        "Dataset/image/image405.jpg": "neutrophil",
        "Dataset/image/image99.jpg": "basophil",
    }
    for number in (1, 99, 405):
        row = listing.loc[f"Dataset/image/image{number}.jpg"]
        assert row["path"] == str(home / "Dataset" / "image" / f"image{number}.jpg")
        assert row["mask_path"] == str(home / "Dataset" / "mask" / f"mask{number}.jpg")
    assert problems(home) == {}


@pytest.mark.parametrize(
    "header", ["Image ID,Categoriy", "Image ID,Category", "image id , CATEGORY"]
)
def test_the_column_of_classes_is_found_in_either_spelling(header, home):
    write_rows(home, ROWS, header)
    assert list_images(home.parent)["label"].notna().all()


def test_masks_are_white_cells_on_black_and_their_soft_edges_are_cut_in_the_middle(home, tmp_path):
    disc = np.hypot(*(np.mgrid[:64, :64] - 32)) < 16
    for number in (1, 99, 405):
        Image.new("RGB", (64, 64)).save(home / f"Dataset/image/image{number}.jpg")
        Image.fromarray(np.uint8(disc) * 255).save(home / f"Dataset/mask/mask{number}.jpg")
    pack_images(
        list_images(home.parent),
        tmp_path / "images.npy",
        masks_target=tmp_path / "masks.npy",
        image_size=64,
    )
    masks = np.load(tmp_path / "masks.npy")
    assert np.unique(masks).tolist() == [0, 3]  # a cell whose parts are not known
    assert ((masks[0] == 3) != disc).mean() < 0.002


@pytest.mark.parametrize(
    "rename",
    [
        lambda path: path.replace("image/", "IMAGE/").replace("mask/", "Mask/"),
        lambda path: f"KRD-WBC dataset/{path}",
        lambda path: path.removeprefix("Dataset/"),
        lambda path: path.replace(".jpg", ".JPG"),
    ],
)
def test_other_cases_and_wrapping_folders_are_the_same_data_set(rename, home, tmp_path):
    make(tmp_path / "other" / FOLDER, rename)
    listing, other = list_images(tmp_path), list_images(tmp_path / "other")
    assert other["label"].tolist() == listing["label"].tolist()
    assert other["mask_path"].map(Path).map(Path.is_file).all()
    assert (tmp_path / "other" / FOLDER / other["image_id"][0]).samefile(other["path"][0])
    assert other["problem"].isna().all()


def test_an_image_that_the_table_does_not_name_has_a_problem(home):
    for name in ("image2.jpg", "notes.txt", "image1 (copy).jpg"):
        (home / "Dataset" / "image" / name).touch()
    missing = "class is missing: no row in class labels.csv"
    names = ("image1 (copy).jpg", "image2.jpg", "notes.txt")
    assert problems(home) == {f"Dataset/image/{name}": missing for name in names}


def test_a_row_without_its_image_has_a_problem_and_says_where_the_image_should_be(home):
    write_rows(home, ROWS + "Image600,Monocyte\n")
    row = list_images(home.parent).set_index("image_id").loc["Dataset/image/image600.jpg"]
    assert row["problem"] == "image is missing: image600.jpg, listed in class labels.csv"
    assert row["path"] == str(home / "Dataset" / "image" / "image600.jpg")
    assert row["label"] == "monocyte"


def test_an_image_without_mask_or_with_two_has_a_problem(home):
    (home / "Dataset" / "mask" / "mask1.jpg").unlink()
    (home / "Dataset" / "mask" / "mask99.png").touch()
    assert problems(home) == {
        "Dataset/image/image1.jpg": "mask is missing: no mask has the number of image1.jpg",
        "Dataset/image/image99.jpg": "several masks: mask99.jpg, mask99.png",
    }


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("Image1,Blast\n", "unknown class: 'blast' in class labels.csv, known are basophil"),
        ("Image1,\n", "unknown class: ''"),
        ("Image1,Monocyte\nimage1,Basophil\n", "several classes: basophil, monocyte"),
    ],
)
def test_a_row_that_tells_no_class_is_a_problem(home, rows, problem):
    write_rows(home, rows)
    row = list_images(home.parent).set_index("image_id").loc["Dataset/image/image1.jpg"]
    assert row["problem"].startswith(problem)
    assert row.isna()["label"]


def test_a_row_given_twice_with_one_class_is_none(home):
    write_rows(home, ROWS + "Image1,lymphocyte \n")
    assert problems(home) == {}


def test_a_table_without_a_column_of_classes_is_an_error(home):
    write_rows(home, ROWS, "Image ID,Kind")
    with pytest.raises(LayoutError, match=r"begins with 'categor' in .*labels\.csv.*, Kind"):
        list_images(home.parent)


@pytest.mark.parametrize("name", ["image", "mask"])
def test_a_missing_folder_is_named_with_what_is_there(name, home):
    (home / "Dataset" / name).rename(home / "Dataset" / "other")
    with pytest.raises(LayoutError, match=rf"No folder {name} in .*Dataset; .*other.*KRD-WBC"):
        list_images(home.parent)


def test_a_missing_table_is_named(home):
    (home / "class labels.csv").unlink()
    with pytest.raises(MissingDataError, match=r"class labels\.csv"):
        list_images(home.parent)
