from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from printed_tables import CLASSES, MADE, TEST, print_shares

from wbc_pipeline.evaluation.scores.printed import PrintedShare, find_counts, score_bounds


def test_row_percentages_and_column_totals_have_one_set_of_counts():
    found = find_counts(of_rows=print_shares(MADE, axis=1), column_totals=TEST)
    assert found.is_unique
    assert (found.low == MADE).all()
    assert found.low.sum(axis=1).tolist() == [720, 581, 435, 751]
    assert found.accuracy() == (Fraction(1861, 2487),) * 2


def test_an_accuracy_printed_beside_is_held_against_the_counts():
    found = find_counts(of_rows=print_shares(MADE, axis=1), column_totals=TEST)
    bounds = score_bounds(found, CLASSES, labels="columns")["accuracy"]
    assert not PrintedShare.read("80 %").includes(*bounds)
    assert PrintedShare.read("74.8 %").includes(*bounds)


def test_column_percentages_fit_totals_that_were_swapped():
    swapped = MADE[:, [1, 0, 2, 3]]
    shares = print_shares(swapped, axis=0)
    assert find_counts(of_columns=shares, column_totals=TEST) is None
    found = find_counts(of_columns=shares, column_totals=TEST, any_order=True)
    assert found.low.sum(axis=0).tolist() == [620, 623, 620, 624]
    assert (found.low == swapped).all()


@pytest.mark.parametrize("axis", ["row_totals", "column_totals"])
def test_percentages_of_other_images_fit_no_totals_in_any_order(axis):
    other = MADE - np.diag([23, 17, 31, 29])
    shares = print_shares(other, axis=1)
    assert find_counts(of_rows=shares, **{axis: TEST}, any_order=True) is None


def test_percentages_of_rows_and_columns_that_do_not_go_together_have_no_counts():
    rows, columns = print_shares(MADE, axis=1), print_shares(MADE, axis=0)
    images = (1, 3000)
    assert find_counts(of_rows=rows, of_columns=columns, images=images).is_unique
    columns[0][0], columns[1][0] = columns[1][0], columns[0][0]
    assert find_counts(of_rows=rows, of_columns=columns, images=images) is None


def test_few_decimals_leave_a_range_that_holds_the_counts():
    found = find_counts(of_rows=print_shares(MADE, axis=1, decimals=0), column_totals=TEST)
    assert not found.is_unique
    assert ((found.low <= MADE) & (found.high >= MADE)).all()
    least, most = found.accuracy()
    assert least < Fraction(1861, 2487) < most


def test_cells_that_are_not_known_are_left_open():
    shares = print_shares(MADE, axis=1)
    shares[2][3] = None
    found = find_counts(of_rows=shares, column_totals=TEST)
    assert found.low[2, 3] <= MADE[2, 3] <= found.high[2, 3]


matrices = st.integers(2, 4).flatmap(
    lambda size: st.lists(
        st.lists(st.integers(0, 40), min_size=size, max_size=size).filter(any),
        min_size=size,
        max_size=size,
    )
)


@settings(max_examples=40, deadline=None)
@given(matrices, st.integers(0, 2), st.sampled_from(["of_rows", "of_all"]), st.booleans())
def test_the_counts_behind_a_printed_matrix_are_among_those_found(
    matrix, decimals, of, totals_of_rows
):
    counts = np.array(matrix)
    shares = print_shares(counts, axis=1 if of == "of_rows" else (0, 1), decimals=decimals)
    axis, name = (1, "row_totals") if totals_of_rows else (0, "column_totals")
    found = find_counts(**{of: shares, name: counts.sum(axis=axis).tolist()})
    assert ((found.low <= counts) & (counts <= found.high)).all()
    assert found.correct[0] <= np.trace(counts) <= found.correct[1]


@settings(max_examples=40, deadline=None)
@given(matrices)
def test_scores_of_unique_counts_are_those_of_scikit_learn(matrix):
    from sklearn.metrics import precision_recall_fscore_support

    counts = np.array(matrix)
    names = [str(number) for number in range(len(counts))]
    found = find_counts(
        of_rows=print_shares(counts, axis=1, decimals=3), row_totals=counts.sum(axis=1).tolist()
    )
    bounds = score_bounds(found, names)
    truth, predicted = (
        np.repeat(np.indices(counts.shape)[i].ravel(), counts.ravel()) for i in (0, 1)
    )
    scores = precision_recall_fscore_support(
        truth, predicted, labels=range(len(counts)), zero_division=0
    )
    for metric, values in zip(("precision", "recall", "f1"), scores[:3], strict=True):
        for name, value in zip(names, values, strict=True):
            assert [float(end) for end in bounds[f"{metric}_{name}"]] == pytest.approx([value] * 2)
        assert float(bounds[f"macro_{metric}"][0]) == pytest.approx(values.mean())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"of_rows": [["50", "50"]], "row_totals": [2]}, "as many rows as columns"),
        ({"row_totals": [2, 2]}, "percentages of rows, columns or all"),
        ({"of_rows": [["50", "50"], ["0", "100"]]}, "no limit of images: give"),
    ],
)
def test_a_table_that_cannot_be_held_against_anything_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        find_counts(**given)
