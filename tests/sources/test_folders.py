import pytest

from wbc_pipeline.sources.folders import folder_named, folders_in, unwrap
from wbc_pipeline.sources.listing import LayoutError


def test_folders_are_named_by_their_letters_and_digits(tmp_path):
    for name in ("Test-A", "TRAIN", ".hidden", "__MACOSX"):
        (tmp_path / name).mkdir()
    (tmp_path / "notes.txt").touch()
    assert folders_in(tmp_path) == {"testa": tmp_path / "Test-A", "train": tmp_path / "TRAIN"}
    assert folder_named("Train", tmp_path, "a set") == tmp_path / "TRAIN"


def test_a_wrapping_folder_is_gone_through_and_a_wanted_one_is_not(tmp_path):
    (tmp_path / "a" / "b" / "Train").mkdir(parents=True)
    assert unwrap(tmp_path, ["train"]) == tmp_path / "a" / "b"
    (tmp_path / "a" / "other").mkdir()
    assert unwrap(tmp_path, ["train"]) == tmp_path / "a"


def test_a_link_in_a_circle_is_not_followed(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path)
    assert unwrap(tmp_path, ["train"]) == tmp_path
    with pytest.raises(LayoutError, match=r"No folder train .*: loop"):
        folder_named("train", tmp_path, "a set")
