import pytest

from wbc_pipeline.sources.image_folder import list_images
from wbc_pipeline.sources.listing import LayoutError


def make(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.touch()


def test_a_sub_folder_is_a_class_and_every_file_is_listed(tmp_path):
    make(tmp_path, "my/b/2.txt", "my/a/1.jpg", "my/a/more/3", "my/readme.txt", "my/.git/x")
    listing = list_images(tmp_path, folder="my")
    assert listing["image_id"].tolist() == ["a/1.jpg", "a/more/3", "b/2.txt"]
    assert listing["label"].tolist() == ["a", "a", "b"]
    assert listing["published_part"].isna().all()


def test_an_absolute_folder_needs_no_raw_root(tmp_path):
    make(tmp_path, "a/1.jpg", "b/2.jpg")
    assert len(list_images("/nowhere", folder=str(tmp_path))) == 2


def test_part_folders_in_any_case_are_published_parts(tmp_path):
    make(tmp_path, "TRAIN/a/1.jpg", "TRAIN/b/2.jpg", "Val/a/1.jpg", "test/b/1.jpg")
    listing = list_images(tmp_path, folder=".")
    assert listing["published_part"].tolist() == ["train", "train", "validation", "test"]
    assert listing["label"].tolist() == ["a", "b", "a", "b"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.jpg"], "No class folders in"),
        (["a/1.jpg", "b/"], "class folder .*b is empty"),
        (["a/1.jpg", "a/2.jpg"], "Only one class, 'a'"),
        (["train/a/1.jpg", "train/b/1.jpg", "extra/1.jpg"], "mixes the parts train .*: extra"),
    ],
)
def test_a_wrong_layout_names_the_folder_and_the_fix(tmp_path, names, message):
    make(tmp_path, *names)
    with pytest.raises(LayoutError, match=message) as error:
        list_images(tmp_path, folder=".")
    assert str(tmp_path) in str(error.value)


def test_a_misspelt_class_folder_is_a_problem_of_its_files_and_no_class(tmp_path):
    make(tmp_path, "Monocyte/1.jpg", "Monocyte/2.jpg", "basophil/3.jpg", "monocyte /4.jpg")
    listing = list_images(tmp_path, folder=".").set_index("image_id")
    (problem,) = listing["problem"].dropna()
    assert problem.startswith("label looks misspelt: 'monocyte ' (1 rows) for 'Monocyte'")
    assert set(listing["label"].dropna()) == {"Monocyte", "basophil"}


def test_given_classes_are_not_doubted_and_others_are_a_problem(tmp_path):
    make(tmp_path, "MY/1.jpg", "my/2.jpg", "MY/3.jpg", "debris/4.jpg")
    listing = list_images(tmp_path, folder=".", classes=["MY", "my"]).set_index("image_id")
    assert list(listing["problem"].dropna().index) == ["debris/4.jpg"]


def test_one_class_and_its_misspelling_are_only_one_class(tmp_path):
    make(tmp_path, "Monocyte/1.jpg", "Monocyte/2.jpg", "monocyte/3.jpg")
    with pytest.raises(LayoutError, match="Only one class, 'Monocyte'"):
        list_images(tmp_path, folder=".")
