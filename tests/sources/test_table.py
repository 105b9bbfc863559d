import csv

import pytest

from wbc_pipeline.sources.listing import LayoutError, MissingDataError
from wbc_pipeline.sources.table import list_images


def write(folder, *rows, header=("path", "label"), name="images.csv"):
    """Write a table, and empty files where it says that images lie beside it."""
    with open(folder / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    touch(folder, *(path for path, *_ in rows if path and not set(path) & set("/\\\0")))
    return folder


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def problems(raw, **options):
    listing = list_images(raw, file="images.csv", **options)
    return listing.set_index("image_id")["problem"].dropna().to_dict()


TWO = [("a.png", "x"), ("b.png", "y")]


def test_a_row_is_an_image_beside_the_table(tmp_path):
    listing = list_images(write(tmp_path, *TWO), file="images.csv")
    assert listing["image_id"].tolist() == ["a.png", "b.png"]
    assert listing["path"].tolist() == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert listing["label"].tolist() == ["x", "y"]
    rest = ["source_id", "domain", "published_part", "problem"]
    assert listing[rest].isna().all(axis=None)


def test_a_patient_is_no_cell(tmp_path):
    rows = [("a.png", "x", "p1"), ("b.png", "y", "p1"), ("c.png", "y", "")]
    write(tmp_path, *rows, header=("path", "label", "who"))
    listing = list_images(tmp_path, file="images.csv", patient_column="who")
    assert listing["patient"].fillna("unknown").tolist() == ["p1", "p1", "unknown"]
    assert listing["source_id"].isna().all()


def test_columns_folder_and_suffix_can_be_said(tmp_path):
    rows = [("7", "x", "cell 1", "TRAIN", "wright"), ("008", "y", "", "Valid", "")]
    write(tmp_path, *rows, header=("ID", "kind", "cell", "fold", "stain"))
    touch(tmp_path / "pictures", "7.jpg", "008.jpg")
    listing = list_images(
        "/nowhere",
        file=str(tmp_path / "images.csv"),
        images=str(tmp_path / "pictures"),
        path_column="ID",
        label_column="kind",
        source_column="cell",
        part_column="fold",
        domain_column="stain",
        suffix=".jpg",
    ).set_index("image_id")
    assert listing["path"]["7.jpg"] == str(tmp_path / "pictures" / "7.jpg")
    assert listing["published_part"].to_dict() == {"008.jpg": "validation", "7.jpg": "train"}
    assert listing[["source_id", "domain"]].loc["7.jpg"].tolist() == ["cell 1", "wright"]
    assert listing[["source_id", "domain"]].loc["008.jpg"].isna().all()


@pytest.mark.parametrize(
    "path", ["../secret.png", "/etc/passwd", "a/../../b.png", "..\\b.png", "C:\\b.png", "//h/b.png"]
)
def test_a_path_out_of_the_folder_is_a_problem(tmp_path, path):
    listing = list_images(write(tmp_path, *TWO, (path, "x")), file="images.csv")
    (problem,) = listing["problem"].dropna()
    assert problem.startswith("path leads out of the folder: ")


@pytest.mark.parametrize(
    ("row", "image_id", "problem"),
    [
        (("", "x"), "#line 4", "path missing"),
        (("a\0.png", "x"), "a\0.png", r"path that no file can have: 'a\x00.png'"),
        (("c.png", ""), "c.png", "label missing"),
        (("c.png",), "c.png", "label missing"),
        (("a.png", "x"), "a.png#line 4", "row repeats an earlier one: line 4 is line 2"),
        (("./q/../a.png", "x"), "a.png#line 4", "row repeats an earlier one: line 4 is line 2"),
    ],
)
def test_a_row_that_cannot_be_used_has_a_problem(tmp_path, row, image_id, problem):
    assert problems(write(tmp_path, *TWO, row)) == {image_id: problem}


def test_a_file_under_two_labels_is_a_problem_of_each_row(tmp_path):
    told = "file under different labels: 'x' in line 2, 'y' in line 4"
    found = problems(write(tmp_path, *TWO, ("a.png", "y"), ("c.png", "x")))
    assert found == {"a.png": told, "a.png#line 4": told}


def test_lines_are_counted_as_an_editor_does(tmp_path):
    touch(tmp_path, "a\nb.png", "c.png")
    (tmp_path / "images.csv").write_text('path,label\n"a\nb.png",x\n\nc.png,y\nc.png,y\n')
    assert problems(tmp_path) == {"c.png#line 6": "row repeats an earlier one: line 6 is line 5"}


def test_an_unknown_part_is_a_problem_and_an_empty_one_is_missing(tmp_path):
    rows = [(*row, part) for row, part in zip(TWO, ("train", " Test "), strict=True)]
    rows += [("c.png", "x", "holdout"), ("d.png", "x", "")]
    write(tmp_path, *rows, header=("path", "label", "part"))
    listing = list_images(tmp_path, file="images.csv", part_column="part")
    assert listing["published_part"].dropna().tolist() == ["train", "test"]
    assert listing["problem"].dropna().tolist() == [
        "unknown part: 'holdout' is none of train, training, val, valid, validation, dev, test, "
        "testing, testA, testB"
    ]


def test_a_misspelt_label_is_a_problem_and_no_class(tmp_path):
    rows = [(f"{n}.png", "neutrophil") for n in range(20)]
    listing = list_images(write(tmp_path, *rows, *TWO, ("c.png", "Neutrophil")), file="images.csv")
    row = listing.set_index("image_id").loc["c.png"]
    assert row["problem"].startswith("label looks misspelt: 'Neutrophil'")
    assert set(listing["label"].dropna()) == {"neutrophil", "x", "y"}


def test_a_label_that_is_not_among_the_classes_is_a_problem(tmp_path):
    rows = [*TWO, ("c.png", "xx")]
    found = problems(write(tmp_path, *rows), classes=["x", "y"])
    assert set(found) == {"c.png"}
    assert "'xx'. Did you mean 'x'?" in found["c.png"]


def test_names_with_blanks_quotes_and_other_letters_are_kept(tmp_path):
    names = ['it\'s a "cell".png', "naïve, ünïcode.png", "细胞.png", " leading.png"]
    listing = list_images(
        write(tmp_path, *[(name, "xy"[i % 2]) for i, name in enumerate(names)]), file="images.csv"
    )
    assert set(listing["image_id"]) == set(names)
    assert listing["problem"].isna().all()


NOTHING = ["NaN", "nan", "NA", "n/a", "None", "null", "<NA>"]


@pytest.mark.parametrize("label", NOTHING)
def test_a_label_that_reads_as_no_value_is_missing_unless_it_is_listed(tmp_path, untouched, label):
    raw = untouched(write(tmp_path, *TWO, ("c.png", label)))
    assert problems(raw) == {
        "c.png": f"label missing: {label!r} reads as no value; to keep it, list every class in "
        "`sources.table.classes`"
    }
    listing = list_images(raw, file="images.csv", classes=["x", "y", label])
    assert listing["label"].tolist() == ["x", "y", label]
    assert listing["problem"].isna().all()


def ids_of(raw, column, **options):
    listing = list_images(raw, file="images.csv", **options).set_index("image_id")
    return listing[column].fillna("").to_dict(), listing["warning"].dropna().to_dict()


@pytest.mark.parametrize(
    ("option", "column"),
    [("patient_column", "patient"), ("source_column", "source_id"), ("domain_column", "domain")],
)
def test_ids_are_stripped_and_look_alikes_are_one_with_a_warning(
    tmp_path, untouched, option, column
):
    rows = [
        (f"{n}.png", "xy"[n % 2], who) for n, who in enumerate(["P1", "P1 ", "\tP1", "p-1", "P2"])
    ]
    write(tmp_path, *rows, header=("path", "label", "who"))
    ids, warnings = ids_of(untouched(tmp_path), column, **{option: "who"})
    assert list(ids.values()) == ["P1", "P1", "P1", "P1", "P2"]
    what = column.removesuffix("_id")
    assert warnings == {"3.png": f"{what} taken for one spelled alike: 'p-1' for 'P1'"}


@pytest.mark.parametrize("patient", NOTHING)
def test_a_patient_that_reads_as_no_value_is_missing_with_a_warning(tmp_path, untouched, patient):
    rows = [("a.png", "x", "p1"), ("b.png", "y", patient), ("c.png", "y", f"{patient} ")]
    write(tmp_path, *rows, header=("path", "label", "who"))
    ids, warnings = ids_of(untouched(tmp_path), "patient", patient_column="who")
    assert ids == {"a.png": "p1", "b.png": "", "c.png": ""}
    told = f"patient missing: {patient!r} reads as no value"
    assert warnings == {"b.png": told, "c.png": told}


@pytest.mark.parametrize("nothing", NOTHING)
def test_a_mask_or_part_that_reads_as_no_value_is_missing_with_a_warning(tmp_path, nothing):
    rows = [("a.png", "x", "a.tif", "train"), ("b.png", "y", nothing, nothing)]
    write(tmp_path, *rows, header=("path", "label", "mask", "part"))
    touch(tmp_path, "a.tif")
    options = {"mask_column": "mask", "part_column": "part"}
    listing = list_images(tmp_path, file="images.csv", **options)
    assert listing["problem"].isna().all()
    assert listing["mask_path"].notna().tolist() == [True, False]
    assert listing["published_part"].notna().tolist() == [True, False]
    said = f"mask missing: {nothing!r} reads as no value; part missing: {nothing!r} reads as no"
    assert listing["warning"][1].startswith(said)


def test_a_mask_of_two_images_is_warned_of(tmp_path):
    rows = [("a.png", "x", "m.tif"), ("b.png", "y", "m.tif"), ("c.png", "y", "")]
    write(tmp_path, *rows, header=("path", "label", "mask"))
    touch(tmp_path, "m.tif")
    listing = list_images(tmp_path, file="images.csv", mask_column="mask")
    said = "mask of several images: m.tif of a.png, b.png"
    assert listing["warning"].fillna("").tolist() == [said, said, ""]


def test_rows_without_a_patient_are_counted(tmp_path, untouched, caplog):
    rows = [("a.png", "x", "p1"), ("b.png", "y", ""), ("c.png", "y", "nan")]
    write(tmp_path, *rows, header=("path", "label", "who"))
    list_images(untouched(tmp_path), file="images.csv", patient_column="who")
    (said,) = caplog.messages
    assert said.startswith("2 of 3 rows of ")
    assert "no patient (column 'who'): each counts as a patient of its own" in said


def test_a_full_patient_column_and_none_need_no_word(tmp_path, caplog):
    write(tmp_path, ("a.png", "x", "p1"), ("b.png", "y", "p1"), header=("path", "label", "who"))
    list_images(tmp_path, file="images.csv", patient_column="who")
    list_images(tmp_path, file="images.csv")
    assert caplog.messages == []


def test_labels_are_stripped(tmp_path, untouched):
    raw = untouched(write(tmp_path, *TWO, ("c.png", "x "), ("d.png", " y")))
    listing = list_images(raw, file="images.csv")
    assert listing["label"].tolist() == ["x", "y", "x", "y"]
    assert listing["problem"].isna().all()


@pytest.mark.parametrize(
    ("part", "meant", "warning"),
    [
        (" Train ", "train", None),
        ("TRAINING", "train", None),
        ("valid", "validation", None),
        ("Dev", "validation", None),
        ("Testing", "test", None),
        ("TestA", "test", "part taken for test: published as 'TestA'"),
        ("testb", "test", "part taken for test: published as 'testb'"),
        ("", None, None),
    ],
)
def test_parts_are_known_in_any_case(tmp_path, untouched, part, meant, warning):
    rows = [("a.png", "x", part), ("b.png", "y", "train")]
    write(tmp_path, *rows, header=("path", "label", "part"))
    listing = list_images(untouched(tmp_path), file="images.csv", part_column="part")
    told = listing.astype(object).where(listing.notna(), None).loc[0]
    assert (told["published_part"], told["warning"], told["problem"]) == (meant, warning, None)


def test_parts_taken_for_labels_are_an_error_that_names_the_column(tmp_path, untouched):
    write(tmp_path, ("a.png", "Train"), ("b.png", "TestA"), header=("path", "set"))
    with pytest.raises(LayoutError, match=r"column 'set' .* names of parts: TestA, Train\. Set"):
        list_images(untouched(tmp_path), file="images.csv", label_column="set")


def test_a_file_found_under_another_name_is_warned_of(tmp_path, untouched):
    raw = write(tmp_path, *TWO)
    (raw / "b.png").rename(raw / "B.PNG")
    listing = list_images(untouched(raw), file="images.csv").set_index("image_id")
    assert listing["warning"].dropna().to_dict() == {
        "B.PNG": "found under another name: 'b.png' is 'B.PNG'"
    }
    assert listing["path"]["B.PNG"] == str(raw / "B.PNG")


def test_images_of_one_name_are_told_apart_by_the_suffix_of_all(tmp_path):
    write(tmp_path, ("a", "x"), ("b.png", "y"))
    (tmp_path / "a").unlink()
    touch(tmp_path, "a.png", "a.jpg")
    assert problems(tmp_path) == {
        "a": "file is not clear: 'a' may be 'a.jpg', 'a.png'; write its name in full, or the "
        "suffix of all with `sources.table.suffix=.jpg`"
    }


def test_a_missing_file_names_the_nearest(tmp_path, untouched):
    raw = write(tmp_path, *TWO, ("cell_17.png", "x"))
    (raw / "cell_17.png").rename(raw / "cell_71.png")
    assert problems(untouched(raw)) == {
        "cell_17.png": "file is missing: 'cell_17.png'; the nearest is 'cell_71.png'"
    }


def test_two_rows_that_find_one_file_repeat_each_other(tmp_path, untouched):
    raw = write(tmp_path, *TWO, ("A.png", "x"))
    (raw / "A.png").unlink()
    assert problems(untouched(raw)) == {
        "a.png#line 4": "row repeats an earlier one: line 4 is line 2"
    }


def test_missing_files_are_no_reason_to_miss_a_class(tmp_path, untouched):
    raw = write(tmp_path, *TWO)
    (raw / "b.png").unlink()
    assert problems(untouched(raw)) == {"b.png": "file is missing: 'b.png'; the nearest is 'a.png'"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no rows"),
        (b"path,label\n", "has no rows"),
        (b"path,label\n\x81,x\n", "is not text. Save the table as CSV in UTF-8"),
        ("path,label\na,x\n".encode("utf-16")[:-1], "is not text"),
        ("path,label\na,x\n".encode("utf-16-le"), "is not text"),
        (b'path,label\na.png,x\n"b.png,y\n', "is no table, see line 3"),
        (b"path,label\na.png,x\nb.png,c.png,y\n", "line 3: 3 cells under 2 columns"),
        (b"path,label,label\na,x,y\n", "two columns have the same name"),
        (b"Path,label\na,x\n", r"No column 'path'.*Did you mean 'Path'.*'Path', 'label'"),
        (b"file;label\na;x\n", r"No column 'path' in .*separated by semicolons: 'file', 'label'"),
        (b"file\tlabel\na\tx\n", r"No column 'path' in .*separated by tabs: 'file', 'label'"),
        (b"file,label\na,x\n", r"No column 'path' in .*separated by commas: 'file', 'label'"),
        (b"path|label\na|x\n", r"No column 'path' in .*no comma, semicolon or tab .*'path\|label'"),
        (b"path,label\na,x\nb,x\n", r"Only one class, 'x', in .* apart\. Add rows"),
        (
            b"path,label\na,x\nb,NaN\nc,\n",
            "Only one class, 'x'.* Labels refused: 2, the first: "
            "label missing: 'NaN' reads as no value",
        ),
    ],
)
def test_what_is_no_table_of_images_is_an_error_that_names_the_file(tmp_path, content, message):
    (tmp_path / "images.csv").write_bytes(content)
    with pytest.raises(LayoutError, match=message) as error:
        list_images(tmp_path, file="images.csv")
    assert str(tmp_path / "images.csv") in str(error.value)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    (tmp_path / "images.csv").write_bytes(b"\xef\xbb\xbfpath,label\r\na,x\r\nb,y\r\n")
    assert len(list_images(tmp_path, file="images.csv")) == 2


def test_a_missing_folder_of_images_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"pictures.*sources\.table\.images"):
        list_images(write(tmp_path, *TWO), file="images.csv", images="pictures")
