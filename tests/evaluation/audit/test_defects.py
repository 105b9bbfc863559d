import numpy as np
import pandas as pd
import pytest
from audit_tables import (
    make_codes,
    make_copies,
    make_groups,
    make_laboratories,
    make_metrics,
    make_splits,
    make_tables,
)

from wbc_pipeline.evaluation.audit import tables as audit
from wbc_pipeline.evaluation.audit.defects import SEVERITIES, count_findings, find_defects
from wbc_pipeline.evaluation.audit.gaps import count_shared_files

GUESS = {
    "target": "label",
    "features": "background",
    "balanced_accuracy": 0.62,
    "balanced_accuracy_low": 0.6,
    "balanced_accuracy_high": 0.64,
    "chance": 0.25,
    "p_permutation": 0.0001,
    "reason": None,
}
NOT_GUESSED = GUESS | {
    name: np.nan for name in GUESS if name.startswith(("balanced", "chance", "p_"))
}


def only(found: pd.DataFrame, *words: str) -> pd.Series:
    """The one finding that has all these words."""
    has = [all(word in text for word in words) for text in found["finding"]]
    assert sum(has) == 1, found["finding"].tolist()
    return found[has].iloc[0]


def judge_overlaps(**columns: list) -> pd.Series:
    """The finding of two pairs of photographs, a and b, c and d."""
    overlaps = pd.DataFrame({"first": ["a", "c"], "second": ["b", "d"]})
    columns = {"same_cell": [False] * 2} | columns
    overlaps = overlaps.assign(across_parts=False, labels_differ=False).assign(**columns)
    overlaps["same_cell"] = overlaps["same_cell"].astype("boolean")
    manifest = make_copies()
    splits = make_splits(manifest, source="source_id")
    found = find_defects(**make_tables(manifest, splits, overlaps=overlaps))
    return only(found, "2 pairs of photographs show one field of view")


@pytest.fixture(scope="module")
def of_copies() -> pd.DataFrame:
    manifest = make_copies()
    unit_of = {"random": "image_id", "filename": "filename_group", "source": "source_id"}
    splits = make_splits(manifest, **unit_of)
    published = manifest[["image_id"]].assign(protocol="published", seed=0)
    published["part"] = manifest["published_part"]
    measurements = pd.DataFrame({"black_border": 0.08}, index=range(120))
    metrics = make_metrics(random=0.97, filename=0.97, source=0.8, published=0.82)
    splits = pd.concat([splits, published])
    return find_defects(**make_tables(manifest, splits, metrics=metrics, measurements=measurements))


@pytest.fixture(scope="module")
def of_laboratories() -> pd.DataFrame:
    manifest = make_laboratories()
    return find_defects(**make_tables(manifest, make_splits(manifest, random="image_id")))


@pytest.fixture(scope="module")
def of_codes() -> pd.DataFrame:
    manifest = make_codes()
    splits = make_splits(manifest, source="source_id")
    measurements = pd.DataFrame({"black_border": 0.08 * (manifest["label"] == "NA")})
    shared_files = count_shared_files(manifest, {"another": manifest.loc[[1, 40, 60]]})
    tables = {"measurements": measurements, "shared_files": shared_files}
    return find_defects(**make_tables(manifest, splits, **tables))


def test_copies_on_both_sides_of_a_random_split_are_serious(of_copies):
    leak = only(of_copies, "protocol random", "show a source that is also trained on")
    assert leak["severity"] == "serious"
    assert "100% of the 30 test images of 19 independent sources" in leak["finding"]
    assert "120 images show 24 sources" in leak["finding"]


def test_names_that_are_no_sources_are_serious(of_copies):
    names = only(of_copies, "file's name suggests is not its source")
    assert names["severity"] == "serious"
    assert "one of the 5 groups covers up to 16 sources (16.0 on average" in names["finding"]
    assert "24 of 24 sources are spread" in names["finding"]


def test_a_published_split_that_parts_no_source_is_said_to_be_right(of_copies):
    right = only(of_copies, "protocol published", "no source stands in both")
    assert right["severity"] == "note"
    assert "45 test images of 6 sources" not in right["finding"]
    assert "30 test images of 6 independent sources" in right["finding"]


def test_few_photographs_behind_a_test_part_are_serious(of_copies):
    few = only(of_copies, "as few as 1 independent source behind")
    assert few["severity"] == "serious"
    assert "1 of class monocyte under published" in few["finding"]
    assert "down to 2.5%" in few["finding"]


def test_the_price_of_a_leak_names_both_accuracies(of_copies):
    price = only(of_copies, "accuracy of 0.970 [0.950, 0.990] under the protocol random")
    assert "0.800 [0.780, 0.820] under source, a difference of +0.170" in price["finding"]
    assert price["severity"] == "serious"


def test_a_difference_to_a_score_without_interval_is_no_proof():
    manifest, metrics = make_copies(), make_metrics(random=0.97, source=0.8)
    last = metrics.index[-1]  # one seed of source
    metrics.loc[last, ["accuracy_low", "accuracy_high"]] = np.nan
    splits = make_splits(manifest, random="image_id", source="source_id")
    found = find_defects(**make_tables(manifest, splits, metrics=metrics))
    price = only(found, "0.970 [0.950, 0.990] under the protocol random and 0.800 under source")
    assert price["severity"] == "caution"


def test_a_protocol_without_a_leak_has_no_price(of_copies):
    assert not any("under the protocol published and" in text for text in of_copies["finding"])


def test_balance_that_is_made_of_copies_is_named(of_copies):
    balance = only(of_copies, "balanced by copies")
    assert "1.0 to 1 in images but 5.0 to 1 in sources" in balance["finding"]
    assert "neutrophil 20 against monocyte 4 independent sources" in balance["finding"]


def test_black_corners_are_named(of_copies):
    assert only(of_copies, "black borders", "8.0% or more")["severity"] == "caution"


def test_findings_are_sorted_by_severity_and_have_advice(of_copies):
    places = of_copies["severity"].map(SEVERITIES.index)
    assert places.is_monotonic_increasing
    assert of_copies["advice"].str.endswith(".").all()
    assert of_copies["finding"].str.endswith(".").all()


def test_laboratories_along_class_lines_are_serious(of_laboratories):
    confounded = only(of_laboratories, "4 of 4 classes come from one stain or laboratory only")
    assert confounded["severity"] == "serious"
    assert "Barcelona: basophil, monocyte; Munich: myeloblast, neutrophil" in confounded["finding"]
    assert "Cramér's V of class and domain is 1.00" in confounded["finding"]


def test_a_pair_of_identical_files_is_named(of_laboratories):
    pair = only(of_laboratories, "2 images in 1 group")
    assert pair["severity"] == "caution"
    assert "images/0.png and images/1.png" in pair["finding"]


def test_a_duplicate_pair_across_published_parts_is_serious():
    manifest = make_laboratories()
    manifest["published_part"] = ["train", "test"] * 40
    found = find_defects(**make_tables(manifest, make_splits(manifest, source="source_id")))
    pair = only(found, "2 images in 1 group", "1 group with two published parts")
    assert pair["severity"] == "serious"


def test_a_group_of_duplicates_counts_once_under_its_closest_tie():
    manifest = make_laboratories()
    groups = make_groups(manifest)
    groups.loc[2, "group"] = groups.loc[0, "group"]  # shifted; the other two are one file
    groups.loc[[10, 11], "group"] = 99
    found = find_defects(
        **make_tables(
            manifest,
            make_splits(manifest, source="source_id"),
            duplicates=audit.list_duplicates(manifest, groups),
        )
    )
    text = only(found, "5 images in 2 groups")["finding"]
    assert "identical file 1" in text
    assert "same spot 1" in text


def test_one_image_that_leaks_cannot_explain_a_large_difference():
    manifest = pd.concat([make_laboratories()] * 5, ignore_index=True)
    manifest["image_id"] = [f"images/{i}.png" for i in range(400)]
    twice = manifest["image_id"].replace({"images/1.png": "images/0.png"})
    manifest = manifest.assign(source_id=twice, source_group=twice, sha256=twice)
    splits = make_splits(manifest, random="image_id", source="source_id")
    metrics = make_metrics(random=0.97, source=0.8)
    found = find_defects(**make_tables(manifest, splits, metrics=metrics))
    assert only(found, "a difference of +0.170")["severity"] == "note"


def test_unknown_sources_are_serious_and_claim_no_leak():
    manifest = make_copies().assign(source_id=None, source_group=None)
    found = find_defects(**make_tables(manifest, make_splits(manifest, random="image_id")))
    unknown = only(found, "The source is known for 0% of the 120 images")
    assert unknown["severity"] == "serious"
    assert not any("no source stands in both" in text for text in found["finding"])


def test_a_source_with_two_labels_is_named_with_them():
    manifest = make_copies()
    manifest.loc[0, "label"] = "monocyte"
    found = find_defects(**make_tables(manifest, make_splits(manifest, source="source_id")))
    conflict = only(found, "carry different labels")
    assert "1 source with 3 images (2.5% of all)" in conflict["finding"]
    assert "photograph-0 (monocyte, neutrophil)" in conflict["finding"]
    assert conflict["severity"] == "serious"


def test_a_class_that_the_background_gives_away_is_serious():
    manifest = make_laboratories()
    splits = make_splits(manifest, source="source_id")
    guesses = pd.DataFrame([GUESS, GUESS | {"target": "domain"}])
    found = find_defects(**make_tables(manifest, splits, guesses=guesses))
    told = only(found, "the label is told", "0.620 [0.600, 0.640]", "chance 0.250")
    assert told["severity"] == "serious"
    assert "permutation p < 0.001" in told["finding"]
    assert only(found, "the domain is told")["severity"] == "note"


def test_a_guess_no_better_than_chance_is_a_note():
    manifest = make_laboratories()
    blind = GUESS | {"balanced_accuracy_low": 0.2, "balanced_accuracy": 0.26}
    splits, guesses = make_splits(manifest, source="source_id"), pd.DataFrame([blind])
    found = find_defects(**make_tables(manifest, splits, guesses=guesses))
    assert only(found, "the label is told")["severity"] == "note"


def test_a_guess_that_was_not_possible_is_a_note_with_the_reason():
    manifest = make_laboratories()
    splits = make_splits(manifest, source="source_id")
    failed = NOT_GUESSED | {"features": "border", "reason": "a guess needs two classes."}
    guesses = pd.DataFrame([GUESS, failed])
    found = find_defects(**make_tables(manifest, splits, guesses=guesses))
    assert only(found, "border", "a guess needs two classes.")["severity"] == "note"
    assert only(found, "From the background alone")["severity"] == "serious"
    assert not found["finding"].str.contains(r"\b(?:nan|None)\b").any()


def test_a_class_that_has_its_own_file_size_is_named():
    manifest = make_laboratories()
    manifest.loc[manifest["domain"] == "Munich", "width"] = 400
    found = find_defects(**make_tables(manifest, make_splits(manifest, source="source_id")))
    assert "V 1.00 over 2 sizes" in only(found, "size of a file goes with its class")["finding"]


def test_rejects_missing_labels_and_imbalance_are_named():
    manifest = make_laboratories()
    manifest.loc[[20, 21], "status"] = "truncated: half a file"
    manifest.loc[22:38, "label"] = None
    found = find_defects(**make_tables(manifest, make_splits(manifest, source="source_id")))
    assert "2 files (2.5%)" in only(found, "2 × truncated")["finding"]
    assert only(found, "17 of 78 images carry no label")["severity"] == "caution"
    assert "20.0 to 1" in only(found, "Classes are unbalanced")["finding"]


def test_recovered_sources_are_reported_with_their_doubts():
    manifest = make_copies()
    recovery = pd.DataFrame({"certain": True, "mirrored": [True, False] * 60})
    recovery["label_agrees"] = pd.Series([None] * 20 + [True] * 100, dtype="boolean")
    splits = make_splits(manifest, source="source_id")
    found = find_defects(**make_tables(manifest, splits, recovery=recovery))
    sure = only(found, "with certainty for 120 of 120 images; 50% are mirrored")
    assert (sure["severity"], "100 of 100" in sure["finding"]) == ("note", True)
    doubtful = recovery.assign(certain=[False] * 20 + [True] * 100)
    found = find_defects(**make_tables(manifest, splits, recovery=doubtful))
    assert only(found, "with certainty for 100 of 120")["severity"] == "caution"


def test_one_cell_in_two_published_parts_is_serious():
    pair = judge_overlaps(same_cell=[False, True], across_parts=[False, True])
    assert pair["severity"] == "serious"
    assert "1 of them the same white cell" in pair["finding"]
    assert "1 such cell stands in two published parts (c and d)" in pair["finding"]
    assert "under two labels" not in pair["finding"]


def test_one_cell_under_two_labels_is_serious():
    pair = judge_overlaps(same_cell=[True, True], labels_differ=[True, False])
    assert pair["severity"] == "serious"
    assert "1 such cell stands under two labels (a and b)" in pair["finding"]
    assert "published part" not in pair["finding"]


def test_different_cells_of_one_field_of_view_may_have_different_labels_and_parts():
    pair = judge_overlaps(across_parts=[True, True], labels_differ=[True, True])
    assert pair["severity"] == "caution"
    assert "2 other pairs across published parts share only surroundings" in pair["finding"]
    assert "two labels" not in pair["finding"]
    assert "white cell" not in pair["finding"]


def test_photographs_without_a_box_around_the_cell_may_share_it():
    pair = judge_overlaps(same_cell=[None, None], across_parts=[True, True])
    assert pair["severity"] == "caution"
    assert "only surroundings" not in pair["finding"]


def test_files_that_stand_in_another_data_set_are_named_with_it():
    shared_files = pd.DataFrame(
        [("lisc", 1, "monocyte", "a.png"), ("pbc", 1200, "basophil, monocyte", "b.png")],
        columns=["dataset", "files", "classes", "example"],
    )
    manifest = make_laboratories()
    splits = make_splits(manifest, source="source_id")
    found = find_defects(**make_tables(manifest, splits, shared_files=shared_files))
    one = only(found, "1 file (monocyte) also stands in the data set lisc, byte by byte")
    many = only(found, "1,200 files (basophil, monocyte) also stand in the data set pbc")
    assert [one["severity"], many["severity"]] == ["caution", "caution"]


def test_overlapping_sources_on_two_sides_are_told_from_shared_ones():
    manifest = make_copies()
    group = manifest["source_id"].replace({"photograph-20": "photograph-21"})
    manifest = manifest.assign(source_group=group)
    found = find_defects(**make_tables(manifest, make_splits(manifest, source="source_id")))
    assert only(found, "protocol source", "no source stands in both")["severity"] == "note"
    overlap = only(found, "protocol source", "near-duplicate or the patient in common")
    assert overlap["severity"] == "serious"


def test_tables_without_rows_give_no_findings_but_what_no_table_can_tell():
    manifest = make_laboratories().head(0)
    splits = pd.DataFrame({"image_id": [], "protocol": [], "seed": [], "part": []})
    found = find_defects(**make_tables(manifest, splits.astype({"image_id": "str"})))
    assert only(found, "No table names the patient")["severity"] == "note"
    assert "serious" not in set(found["severity"])


def test_patients_are_missed_only_where_they_are_not_known():
    manifest = make_laboratories()
    tables = make_tables(manifest, make_splits(manifest, source="source_id"))
    known = find_defects(**tables | {"patients_known": True})
    unknown = find_defects(**tables | {"patients_known": False})
    assert only(unknown, "No table names the patient")["severity"] == "note"
    assert not known["finding"].str.contains("patient").any()
    assert len(unknown) == len(known) + 1


@pytest.mark.parametrize(
    "words",
    [
        "parts lack classes (test: NA)",
        "2 of class NA under source",
        "2 images in 1 group show",
        "0 groups with two published parts, 1 group with two labels",
        "cell-0 (0, NA)",
        "3 files (0, 1, NA) also stand in the data set another",
        "(Barcelona: 0, 1; Munich: NA)",
        "The size of a file goes with its class (Cramér's V 1.00 over 2 sizes",
        "The label explains",
        "a quarter of the images of NA, and show in 1 of 3 classes",
        "10.0 to 1 (0 40 against NA 4 images)",
        "covers up to 13 sources",
    ],
)
def test_codes_of_classes_are_written_like_names(of_codes, words):
    assert only(of_codes, words)["evidence"]


def test_a_class_called_na_is_a_label(of_codes):
    assert not of_codes["finding"].str.contains("carry no label").any()


def test_findings_are_counted_in_a_sentence_and_the_first_serious_one_is_said():
    found = pd.DataFrame(
        {
            "severity": ["serious", "serious", "note"],
            "finding": ["Copies of one cell leak.", "Labels differ.", "No patients."],
        }
    )
    assert count_findings(found) == "Findings: 2 serious, 1 note. Copies of one cell leak."
    notes = found[found["severity"] == "note"]
    assert count_findings(notes) == "Findings: 1 note. None of them is serious."
    assert count_findings(found.head(0)) == "Nothing was found."
