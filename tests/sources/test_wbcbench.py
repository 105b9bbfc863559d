import csv

import pytest
from challenge_files import PREFIXES, make_challenge

from wbc_pipeline.sources.combined import come_degraded, list_submission
from wbc_pipeline.sources.listing import LayoutError, MissingDataError
from wbc_pipeline.sources.wbcbench import CLASSES, list_images


@pytest.fixture
def make(real_data, tmp_path):
    def write(**options):
        return make_challenge(tmp_path, real_data / "PBC_dataset_normal_DIB", **options)

    return write


def rows(home):
    return list_images(home.parent).set_index("image_id")


def edit(table, change):
    """Change the rows of a table: lists of cells, the header first."""
    with table.open(newline="") as file:
        lines = change(list(csv.reader(file)))
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(lines)


def test_each_folder_is_a_published_part_and_only_the_test_part_has_no_labels(make):
    listing = rows(make())
    assert listing["problem"].isna().all()
    folder = listing.index.str.rpartition("/").get_level_values(0)
    parts = listing.groupby(folder)["published_part"].agg(set).to_dict()
    assert parts == {
        "phase1": {"train"},
        "phase2/train": {"train"},
        "phase2/eval": {"validation"},
        "phase2/test": {"test"},
    }
    assert set(listing["label"].dropna()) == set(PREFIXES) < set(CLASSES)
    assert listing["label"].isna().tolist() == (folder == "phase2/test").tolist()


def test_a_degraded_image_has_the_source_of_its_pristine_twin(make):
    listing = rows(make(cells=4))
    twins = listing.groupby("source_id").filter(lambda group: len(group) > 1)
    assert len(twins) == 2 * 2 * len(PREFIXES)
    folders = twins.index.str.partition("/").get_level_values(0)
    for _, pair in twins.groupby("source_id"):
        assert set(pair.index.str.partition("/").get_level_values(0)) == {"phase1", "phase2"}
        assert pair["patient"].nunique() == pair["label"].nunique() == 1
    assert set(folders) == {"phase1", "phase2"}


def test_one_hash_is_one_patient_in_any_table(make):
    listing = rows(make(cells=2))
    of_patient = listing.groupby("patient").size()
    assert of_patient["SNE-0"] == 3  # two pristine cells, and the twin of one


def test_without_the_later_columns_each_id_is_a_source_of_no_known_patient(make):
    listing = rows(make(told=False))
    assert listing["source_id"].is_unique and listing["patient"].isna().all()
    assert not listing["source_id"].str.endswith(".jpg").any()


def test_an_id_without_a_suffix_names_the_same_image(make):
    home = make()
    before = rows(home)

    def shorten(lines):
        return [[cell.removesuffix(".jpg") for cell in line] for line in lines]

    edit(home / "phase2_train.csv", shorten)
    after = rows(home)
    assert after["source_id"].equals(before["source_id"]) and after["path"].equals(before["path"])


def test_a_class_in_small_letters_is_that_class_and_an_unknown_one_a_problem(make):
    home = make()

    def relabel(lines):
        lines[1][1], lines[2][1], lines[3][1] = "sne", "ERB", ""
        return lines

    edit(home / "phase1_label.csv", relabel)
    listing = rows(home)
    assert listing["label"].iloc[0] == "SNE" and listing["problem"].isna().iloc[0]
    second, third = listing.iloc[1:3].to_dict("records")
    assert second["problem"].startswith("unknown class: 'ERB' in phase1_label.csv, known are SNE")
    assert third["problem"] == "class is missing: a row of phase1_label.csv has none"


def test_rows_without_a_file_files_without_a_row_and_repeated_ids_are_problems(make):
    home = make()
    (home / "phase2/train/stray.jpg").touch()
    next((home / "phase1").iterdir()).rename(home / "phase1/other.jpg")
    edit(home / "phase2_eval.csv", lambda lines: [*lines, lines[1]])
    problems = rows(home)["problem"].dropna()
    kinds = sorted(text.partition(":")[0] for text in problems)
    assert kinds == [
        "file is missing",
        "no row in the table",
        "no row in the table",
        "row repeats an ID",
    ]


def test_a_submission_names_the_test_images_in_the_order_and_spelling_of_the_table(make):
    home = make()

    def turn(lines):
        return [lines[0], *([line[0].removesuffix(".jpg"), *line[1:]] for line in lines[:0:-1])]

    edit(home / "phase2_test.csv", turn)
    listed = list_submission("wbcbench", home.parent)
    assert listed["ID"].is_monotonic_decreasing
    assert listed["image_id"].tolist() == [f"phase2/test/{name}.jpg" for name in listed["ID"]]
    assert set(listed["image_id"]) == set(rows(home).query("published_part == 'test'").index)


def test_a_test_folder_without_a_table_is_listed_all_the_same(make):
    home = make()
    before = list_submission("wbcbench", home.parent)
    (home / "phase2_test.csv").unlink()
    assert list_submission("wbcbench", home.parent).equals(before)
    tested = rows(home).query("published_part == 'test'")
    assert tested["problem"].isna().all() and len(tested) == len(before)


def test_of_several_sets_a_submission_has_the_ids_of_the_joined_listing(make):
    home = make()
    joined = list_submission("pbc+wbcbench", home.parent)
    assert joined["image_id"].str.startswith("wbcbench/phase2/test/").all()
    assert list_submission("pbc", home.parent).empty


def test_a_published_test_part_with_labels_keeps_them(make):
    listing = rows(make(labelled_test=True))
    assert listing["label"].notna().all()


def test_only_what_comes_degraded_says_so():
    assert come_degraded("wbcbench") and come_degraded("pbc+wbcbench")
    assert not come_degraded("pbc") and not come_degraded("segmentation_wbc+lisc")


@pytest.mark.parametrize(
    ("missing", "error", "message"),
    [
        ("phase1_label.csv", MissingDataError, r"No file .*phase1_label\.csv.*wbc-bench-2026"),
        ("phase2/eval", LayoutError, r"No folder eval in .*phase2; the folders there: test, train"),
    ],
)
def test_what_is_missing_is_named(missing, error, message, make):
    home = make()
    (home / missing).rename(home.parent / "elsewhere")
    with pytest.raises(error, match=message):
        list_images(home.parent)


def test_tables_without_two_classes_are_an_error(make):
    home = make()
    for table in ("phase1_label.csv", "phase2_train.csv", "phase2_eval.csv"):
        edit(home / table, lambda lines: [lines[0], *([line[0], "SNE"] for line in lines[1:])])
    with pytest.raises(LayoutError, match="Fewer than two classes have an image"):
        list_images(home.parent)
