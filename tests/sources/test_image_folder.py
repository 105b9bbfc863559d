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
    ("folder", "part"),
    [
        ("Training", "train"),
        ("train_set", "train"),
        ("VALID", "validation"),
        ("dev", "validation"),
        ("testing", "test"),
        ("Test Images", "test"),
    ],
)
def test_parts_are_known_under_their_usual_names(tmp_path, untouched, folder, part):
    make(tmp_path, f"{folder}/a/1.jpg", f"{folder}/b/2.jpg")
    listing = list_images(untouched(tmp_path), folder=".")
    assert listing["published_part"].tolist() == [part] * 2
    assert listing["label"].tolist() == ["a", "b"]
    assert listing["warning"].isna().all()


def test_two_published_test_parts_are_test_and_keep_their_names(tmp_path, untouched):
    make(
        tmp_path,
        *(f"{part}/{label}/1.jpg" for part in ("Train", "TestA", "TestB") for label in "ab"),
    )
    listing = list_images(untouched(tmp_path), folder=".")
    assert listing["published_part"].value_counts().to_dict() == {"test": 4, "train": 2}
    warnings = listing.set_index("image_id")["warning"].dropna()
    assert warnings["TestA/a/1.jpg"] == "part taken for test: published as 'TestA'"
    assert warnings["TestB/b/1.jpg"] == "part taken for test: published as 'TestB'"
    assert len(warnings) == 4


def test_part_folders_that_differ_by_case_are_both_listed(tmp_path):
    make(tmp_path, "train/a/1.jpg", "Train/b/1.jpg")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this file system does not tell cases apart")
    assert len(list_images(tmp_path, folder=".")) == 2


def test_an_empty_class_folder_is_warned_of(tmp_path, untouched, caplog):
    make(tmp_path, "a/1.jpg", "b/1.jpg", "c/", "d/.hidden")
    listing = list_images(untouched(tmp_path), folder=".")
    assert listing["label"].tolist() == ["a", "b"]
    assert caplog.messages == [f"Class folders without any file: {tmp_path}/c, {tmp_path}/d."]


def test_files_beside_the_class_folders_are_counted(tmp_path, untouched, caplog):
    make(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "train/2.jpg", "notes.txt", ".hidden")
    assert len(list_images(untouched(tmp_path), folder=".")) == 2
    assert caplog.messages == [
        "2 files beside the class folders belong to no class and are left out, such as "
        f"{tmp_path}/notes.txt."
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1.jpg"], "No class folders in"),
        (["a/", "b/"], r"No images in .*Without any file: .*/a, .*/b\."),
        (["a/1.jpg", "b/"], r"Only one class, 'a', in .*Without any file: .*/b\."),
        (["a/1.jpg", "a/2.jpg"], "Only one class, 'a'"),
        (["train/a/1.jpg", "train/b/1.jpg", "extra/1.jpg"], "mixes the parts train .*: extra"),
        (["Training/1.jpg", "testing/1.jpg"], "No class folders in .*/Training"),
        (["train/train/a/1.jpg", "test/test/a/1.jpg"], "a part within a part.*folder` to .*/test"),
        (["w/a/1.jpg", "w/b/1.jpg"], r"in it \(a, b\) are the classes .*folder` to .*/w;"),
        (["w/Train/a/1.jpg", "w/TestA/a/1.jpg"], r"\(TestA, Train\) are .*folder` to .*/w;"),
    ],
)
def test_a_wrong_layout_names_the_folder_and_the_fix(tmp_path, untouched, names, message):
    make(tmp_path, *names)
    with pytest.raises(LayoutError, match=message) as error:
        list_images(untouched(tmp_path), folder=".")
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


@pytest.mark.parametrize(
    "masks", ["masks", "notes/masks", "notes/../notes/masks", "b/masks", "../link/notes/masks"]
)
def test_masks_are_no_images_and_no_class_wherever_they_lie(tmp_path, untouched, masks):
    (tmp_path / "link").symlink_to("my")
    make(tmp_path, "my/a/1.jpg", "my/b/2.jpg", f"my/{masks}/1.png", f"my/{masks}/2.png")
    listing = list_images(untouched(tmp_path), folder="my", masks=f"my/{masks}")
    assert listing["image_id"].tolist() == ["a/1.jpg", "b/2.jpg"]
    assert listing["mask_path"].notna().all()


def test_the_part_that_masks_lie_in_is_still_a_part(tmp_path):
    make(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "train/masks/1.png")
    listing = list_images(tmp_path, folder=".", masks="train/masks")
    assert listing["image_id"].tolist() == ["test/a/3.jpg", "train/a/1.jpg", "train/b/2.jpg"]


def test_other_files_beside_masks_are_warned_of(tmp_path, caplog):
    make(tmp_path, "a/1.jpg", "b/2.jpg", "notes/masks/1.png", "notes/by.txt", "b/masks/2.png")
    list_images(tmp_path, folder=".", masks="notes/masks")
    assert "notes holds masks or boxes and no images" in caplog.text
    caplog.clear()
    list_images(tmp_path, folder=".", masks="b/masks")
    assert f"Masks or boxes lie in {tmp_path / 'b'}: every other" in caplog.text


def test_boxes_are_no_class_wherever_they_lie(tmp_path):
    make(tmp_path, "a/1.jpg", "b/2.jpg", "notes/")
    boxes = "image_id,name,xmin,ymin,xmax,ymax\n1.jpg,cell,0,0,1,1\n"
    (tmp_path / "notes/boxes.csv").write_text(boxes)
    listing = list_images(tmp_path, folder=".", boxes="notes/boxes.csv")
    assert set(listing["label"]) == {"a", "b"}


@pytest.mark.parametrize("masks", [".", "my"])
def test_images_are_not_taken_for_their_own_masks(tmp_path, masks):
    make(tmp_path, "my/a/1.jpg", "my/b/2.jpg")
    with pytest.raises(LayoutError, match="would be their own masks"):
        list_images(tmp_path, folder="my", masks=masks)
