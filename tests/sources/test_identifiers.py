import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbc_pipeline.sources.identifiers import clean_ids


@pytest.mark.parametrize(
    "alike",
    [
        *(["P1", "p1"], ["P 1", "P-1", "P_1"], ["Müller", "MU\u0308LLER"], ["1 1", "1-1"]),
        *(["P\u20134", "P-4"], ["P\u200b3", "P3"], ["\ufeffP1", "P1"]),
    ],
)
def test_ids_that_look_alike_are_one(alike):
    cleaned, warnings = clean_ids(alike, "patient")
    assert len(set(cleaned)) == 1
    assert warnings.count(None) == 1


@pytest.mark.parametrize(
    "apart", [["P1", "P11"], ["P1-1", "P11"], ["1-1", "11"], ["-1", "1"], ["P1", "P01"], ["a", "b"]]
)
def test_ids_that_honest_tables_tell_apart_stay_apart(apart):
    assert clean_ids(apart, "patient") == (apart, [None, None])


def test_the_most_frequent_spelling_is_kept():
    cleaned, warnings = clean_ids(["p1", "P1", "P1"], "patient")
    assert cleaned == ["P1"] * 3
    assert warnings == ["patient taken for one spelled alike: 'p1' for 'P1'", None, None]


def test_an_id_of_invisible_signs_is_missing():
    assert clean_ids(["\ufeff", "P1"], "patient")[0] == ["", "P1"]


@given(st.lists(st.text("aB1 -_\t", max_size=4), max_size=12))
def test_cleaning_is_final_and_never_parts_equal_ids(ids):
    cleaned, warnings = clean_ids(ids, "source")
    assert clean_ids(cleaned, "source") == (cleaned, [None] * len(ids))
    of = {}
    for before, after, warning in zip(ids, cleaned, warnings, strict=True):
        assert of.setdefault(before.strip(), after) == after
        assert (warning is None) == (before.strip() == after)
