import pytest

from wbc_pipeline.sources.pbc import COARSE, FOLDER, list_images


@pytest.fixture
def raw(tmp_path):
    """Every folder, and files with prefixes that fit, contradict, or say nothing."""
    for name in COARSE:
        (tmp_path / FOLDER / name).mkdir(parents=True)
    for name in (
        "monocyte/MO_1.jpg",
        "monocyte/LY_2.jpg",
        "neutrophil/NEUTROPHIL_3.jpg",
        "ig/IG_4.jpg",
        "ig/NEUTROPHIL_5.jpg",
        "ig/pmy_6.jpg",
        "platelet/scan.jpg",
    ):
        (tmp_path / FOLDER / name).touch()
    return tmp_path


def by_name(raw, labels, column):
    return list_images(raw, labels=labels).set_index("image_id")[column].dropna().to_dict()


@pytest.mark.parametrize("labels", ["coarse", "fine"])
def test_a_prefix_that_contradicts_its_folder_is_a_problem(raw, labels):
    problems = by_name(raw, labels, "problem")
    start = "prefix contradicts the folder: "
    assert problems["monocyte/LY_2.jpg"] == start + "LY belongs to lymphocyte"
    assert problems["ig/NEUTROPHIL_5.jpg"] == start + "NEUTROPHIL belongs to neutrophil"


def test_coarse_labels_are_those_of_the_folders(raw):
    problems, labels = by_name(raw, "coarse", "problem"), by_name(raw, "coarse", "label")
    assert set(problems) == {"monocyte/LY_2.jpg", "ig/NEUTROPHIL_5.jpg"}
    assert all(label == name.split("/")[0] for name, label in labels.items())


def test_files_without_a_fine_label_have_a_problem_when_fine_labels_are_asked_for(raw):
    problems, labels = by_name(raw, "fine", "problem"), by_name(raw, "fine", "label")
    for name in ("neutrophil/NEUTROPHIL_3.jpg", "ig/IG_4.jpg", "platelet/scan.jpg"):
        assert problems[name].startswith("no fine label: the prefix ")
        assert name not in labels
    assert labels["ig/pmy_6.jpg"] == "PMY" and "ig/pmy_6.jpg" not in problems


def test_other_labels_are_refused(raw):
    with pytest.raises(ValueError, match=r"'medium'.*coarse or fine"):
        list_images(raw, labels="medium")
