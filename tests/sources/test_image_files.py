"""What `images=` may name."""

import os

import pytest

from wbc_pipeline.sources.image_files import list_image_files
from wbc_pipeline.sources.listing import LayoutError, MissingDataError


@pytest.fixture
def home(tmp_path):
    for name in ("a.png", "deep/b.TIFF", "deep/c", "notes.txt", ".hidden.png"):
        file = tmp_path / "slides" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path


def ids(found):
    return found[0]["image_id"].tolist()


def test_a_folder_gives_what_may_be_an_image_and_says_what_it_left_out(home):
    found = list_image_files("slides/", home)
    assert ids(found) == ["a.png", "deep/b.TIFF", "deep/c"]
    assert found[1] == ["notes.txt"]
    assert found[0]["path"].tolist()[0] == str(home / "slides/a.png")


def test_a_glob_reaches_any_depth_and_gives_every_file_that_fits(home):
    assert ids(list_image_files("slides/**/*.[tT]*", home)) == ["deep/b.TIFF", "notes.txt"]


def test_brackets_in_the_name_of_the_project_s_folder_are_no_glob(tmp_path):
    home = tmp_path / "films [new]"
    (home / "slides").mkdir(parents=True)
    (home / "slides/a.png").touch()
    assert ids(list_image_files("slides/*.png", home)) == ["a.png"]
    assert ids(list_image_files(f"{tmp_path}/films*/**/*.png", home)) == ["a.png"]


def test_a_name_that_is_no_text_can_be_written_into_a_table(tmp_path):
    try:
        open(os.path.join(os.fsencode(tmp_path), b"cell\xff.png"), "wb").close()
    except OSError:
        pytest.skip("this file system wants UTF-8")
    ((image_id, path),) = list_image_files(".", tmp_path)[0].to_numpy().tolist()
    assert image_id == r"cell\xff.png" and os.path.isfile(path)


def test_a_table_that_names_no_file_is_told(home):
    (home / "list.csv").write_text("path,who\n,me\n")
    with pytest.raises(MissingDataError, match="its column path is empty"):
        list_image_files("list.csv", home)


def test_one_file_is_taken_whatever_it_is_called(home):
    assert ids(list_image_files(str(home / "slides/notes.txt"), home)) == ["notes.txt"]


def test_a_table_names_files_beside_it_or_anywhere_and_even_missing_ones(home):
    table = home / "slides/list.csv"
    table.write_text(f"path;who\na.png;x\ndeep\\b.TIFF;y\n{home}/gone.png;z\n")
    found = list_image_files("slides/list.csv", home)[0]
    assert found["path"].tolist() == [
        str(home / "slides/a.png"),
        str(home / "slides/deep/b.TIFF"),
        f"{home}/gone.png",
    ]


def test_a_table_without_paths_is_an_error(home):
    (home / "list.csv").write_text("file\na.png\n")
    with pytest.raises(LayoutError, match="No column 'path'"):
        list_image_files("list.csv", home)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [("nowhere", "no such file"), ("slides/*.gif", "no file fits"), ("empty", "of the 1 files")],
)
def test_nothing_under_a_name_is_told(home, asked, reason):
    (home / "empty").mkdir()
    (home / "empty/notes.txt").touch()
    with pytest.raises(MissingDataError, match=reason):
        list_image_files(asked, home)
