import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.sources.finding import FileFinder, Found


def folder_of(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("name", "suffix", "file"),
    [
        ("cell_1.JPG", "", "cell_1.jpg"),
        ("Cell_1.jpg", "", "cell_1.jpg"),
        ("cell-1.jpg", "", "cell_1.jpg"),
        ("cell 1.jpg", "", "cell_1.jpg"),
        ("\ufeffcell\u20131.jpg", "", "cell_1.jpg"),
        ("cell_1", "", "cell_1.jpg"),
        ("cell_1.jpg", ".jpg", "cell_1.jpg"),
        ("cell_1.jpeg", "", "cell_1.jpg"),
        ("cell_1.jpg ", "", "cell_1.jpg"),
        ("cell_1 ", ".jpg", "cell_1.jpg"),
        (" A/CELL-1.JPG", "", "a/cell_1.jpg"),
        ("x.jpg", "", "x"),
        ("slide.17", ".png", "slide.17"),
    ],
)
def test_a_file_that_alone_fits_is_found_with_a_warning(tmp_path, untouched, name, suffix, file):
    folder = untouched(folder_of(tmp_path, file, "other.jpg", "cell_11.jpg", "slide.18"))
    found = FileFinder(folder, suffix=suffix).find(name)
    assert found == Found(file, None, f"found under another name: {name + suffix!r} is {file!r}")


@pytest.mark.parametrize(
    "name", ["a/1.png", "./a//1.png", "b/../a/1.png", "a\\1.png", ".\\a\\1.png"]
)
def test_another_way_to_write_the_path_needs_no_warning(tmp_path, untouched, name):
    assert FileFinder(untouched(folder_of(tmp_path, "a/1.png"))).find(name) == Found("a/1.png")


def test_the_file_of_that_very_name_comes_first(tmp_path):
    names = ["a.jpg", "A.JPG", "a.JPG", "a", "a "]
    finder = FileFinder(folder_of(tmp_path, *names))
    if len(list(tmp_path.iterdir())) < len(names):
        pytest.skip("this file system does not tell cases apart")
    assert [finder.find(name) for name in names] == [Found(name) for name in names]


def test_an_absolute_path_inside_the_folder_is_accepted(tmp_path, untouched):
    home = untouched(folder_of(tmp_path / "images", "a/1.png"))
    (tmp_path / "link").symlink_to(home)
    assert FileFinder(home).find(str(home / "a/1.png")) == Found("a/1.png")
    assert FileFinder(tmp_path / "link").find(str(home / "a/1.png")) == Found("a/1.png")
    assert FileFinder(tmp_path / "link").find(str(tmp_path / "link/a/1.png")) == Found("a/1.png")
    assert FileFinder(home).find("../images/a/1.png") == Found("a/1.png")
    outside = FileFinder(home).find(str(tmp_path / "b.png"))
    assert outside.problem.startswith("path leads out of the folder: ")


def test_a_folder_given_by_way_of_a_link_and_its_parent_is_the_one_that_the_system_means(tmp_path):
    folder_of(tmp_path / "disk/images", "1.png")
    (tmp_path / "disk/raw").mkdir()
    (tmp_path / "raw").symlink_to(tmp_path / "disk/raw")
    assert FileFinder(tmp_path / "raw/../images").find("1.png") == Found("1.png")


@pytest.mark.parametrize(
    ("files", "name", "told"),
    [
        (["a.jpg", "a.png"], "a", "'a.jpg', 'a.png'"),
        (["a-1.jpg", "a 1.jpg"], "a_1.jpg", "'a 1.jpg', 'a-1.jpg'"),
        (["a.jpeg", "a.jpg.jpg"], "a.jpg", "'a.jpeg', 'a.jpg.jpg'"),
    ],
)
def test_where_several_fit_none_is_taken(tmp_path, untouched, files, name, told):
    found = FileFinder(untouched(folder_of(tmp_path, *files))).find(name)
    assert found.problem == f"file is not clear: {name!r} may be {told}; write its name in full"
    assert found.warning is None


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("monocyte_17.png", "; the nearest is 'monocyte_71.png'"),
        ("cell.png", "; the nearest is 'deep/er/cell.png'"),
        ("deep/er/cell.jpg", "; the nearest is 'deep/er/cell.png'"),
        ("zzz", " in {folder}"),
    ],
)
def test_a_missing_file_names_the_nearest(tmp_path, untouched, name, nearest):
    folder = untouched(folder_of(tmp_path, "monocyte_71.png", "deep/er/cell.png", "basophil.png"))
    found = FileFinder(folder, what="mask").find(name)
    assert found == Found(name, f"mask is missing: {name!r}{nearest.format(folder=folder)}")


def test_a_photograph_is_not_taken_for_a_mask_of_its_name(tmp_path):
    assert FileFinder(folder_of(tmp_path, "1.jpg")).find("1.png").problem is not None


def test_annotations_beside_an_image_are_not_taken_for_it(tmp_path):
    folder = folder_of(tmp_path, "lym00.png", "lym00.xml", "lym00.txt")
    assert FileFinder(folder).find("lym00").path == "lym00.png"
    assert FileFinder(folder).find("lym00.bmp").problem is not None


def test_what_is_there_but_no_readable_file_is_left_to_reading(tmp_path):
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")
    assert FileFinder(tmp_path).find("broken.png") == Found("broken.png")


STEMS = ("a_1", "A_1", "a-1", "a 1", "b")
SUFFIXES = ("", ".jpg", ".JPG", ".jpeg", ".jpg.jpg", ".png", " ")
SPELLINGS = st.builds("".join, st.tuples(st.sampled_from(STEMS), st.sampled_from(SUFFIXES)))


@settings(deadline=None, max_examples=200)
@given(files=st.sets(SPELLINGS, min_size=1, max_size=6), name=SPELLINGS)
def test_a_file_is_never_guessed_where_two_fit(files, name):
    with tempfile.TemporaryDirectory() as folder:
        folder_of(Path(folder), *files)
        files = set(os.listdir(folder))
        found = FileFinder(Path(folder)).find(name)
        if found.problem is None:
            assert found.path in files
            assert (found.warning is None) == (found.path == name)
        if found.warning is not None:  # it was the only one: without it none is left
            os.remove(Path(folder, found.path))
            assert FileFinder(Path(folder)).find(name).problem.startswith("file is missing")
