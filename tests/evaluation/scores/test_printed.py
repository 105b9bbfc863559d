from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbc_pipeline.evaluation.scores.printed import (
    PrintedShare,
    line_totals,
    mean_of_recalls,
    per_cent,
    possible_sizes,
)

TEST = {"eosinophil": 623, "lymphocyte": 620, "monocyte": 620, "neutrophil": 624}


def read(*texts):
    return [PrintedShare.read(text) for text in texts]


def print_share(count, total, decimals, rounding=ROUND_HALF_UP):
    unit = Decimal(1).scaleb(-decimals)
    return f"{(Decimal(100 * count) / total).quantize(unit, rounding)} %"


def test_accuracies_of_blend_are_no_shares_of_15_per_cent_of_its_images():
    for share in read("98.80 %", "99.07 %"):
        assert not any(share.counts(size) for size in (486, 487))


def test_accuracies_of_blend_are_shares_of_15_per_cent_of_the_public_set():
    normal, blend = read("98.80 %", "99.07 %")
    assert [*normal.counts(750)] == [741]
    assert [*blend.counts(750)] == [743]


def test_second_accuracies_of_blend_need_at_least_1391_images():
    pair = read("0.9907", "0.9993")
    assert not pair[1].counts(750)
    assert per_cent(pair[1].value, 2) == "99.93 %"
    sizes = possible_sizes(pair)
    assert sizes[0] == 1391
    assert 750 in possible_sizes(read("0.9880", "0.9907"))


def test_recalls_of_separable_fit_no_counts_of_TEST():
    lymphocyte, *others = read("100 %", "99.06 %", "99.34 %", "97.77 %")
    assert lymphocyte.counts(TEST["lymphocyte"])
    for share in others:  # in whatever order of the classes
        assert not any(share.counts(total) for total in TEST.values())


def test_recalls_of_separable_do_not_make_its_accuracy():
    recalls = read("99.34 %", "100 %", "97.77 %", "99.06 %")
    least, most = mean_of_recalls(recalls, [*TEST.values()])
    (accuracy,) = read("99.06 %")
    assert 0.989 < least < most < 0.9905  # 100 % may be 99.5 %
    assert not accuracy.includes(least, most)
    assert not accuracy.counts(2487)


def test_trailing_zeros_count():
    assert len(PrintedShare.read("0.8").counts(1000)) == 101
    assert len(PrintedShare.read("0.80").counts(1000)) == 11
    assert [*PrintedShare.read("80.00 %").counts(1000)] == [800]


@pytest.mark.parametrize(
    ("rounding", "expected"), [("nearest", [1]), ("truncated", []), ("any", [1])]
)
def test_a_tie_belongs_to_both_neighbours_unless_digits_are_cut_off(rounding, expected):
    # 1 of 8 is 12.5 %: 13 % half up, 12 % half even, and 12 % cut off
    assert [*PrintedShare.read("13 %").counts(8, rounding)] == expected
    assert [*PrintedShare.read("12 %").counts(8, rounding)] == [1]


@given(
    st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))),
    st.integers(0, 4),
    st.sampled_from(
        [
            (ROUND_HALF_UP, "nearest"),
            (ROUND_HALF_EVEN, "nearest"),
            (ROUND_DOWN, "truncated"),
            (ROUND_HALF_UP, "any"),
            (ROUND_DOWN, "any"),
        ]
    ),
)
def test_the_count_behind_a_printed_share_is_found(share, decimals, modes):
    (count, total), (how, rounding) = share, modes
    printed = PrintedShare.read(print_share(count, total, decimals, how))
    assert count in printed.counts(total, rounding)


@given(st.integers(1, 300), st.integers(0, 10_000))
def test_every_count_found_is_printed_so(total, digits):
    printed = PrintedShare(digits, 10_000)
    for count in printed.counts(total):
        assert abs(100 * count - Decimal(digits) / 100 * total) <= Decimal("0.005") * total


@given(st.lists(st.integers(0, 60), min_size=2, max_size=5).filter(any), st.integers(0, 2))
def test_the_total_of_a_printed_row_is_among_those_found(cells, decimals):
    row = read(*(print_share(cell, sum(cells), decimals) for cell in cells))
    assert sum(cells) in line_totals(row, up_to=300)


def test_the_smallest_total_of_a_row_is_found_where_shares_are_unlike():
    assert line_totals(read("33.33 %", "66.67 %"), up_to=10) == [3, 6, 9]
    assert line_totals(read("50.0 %", "49.0 %"), up_to=400) == []


@pytest.mark.parametrize("wrong", ["about 90", "101 %", 98.8, "-0.1", "nan"])
def test_what_is_no_share_is_refused_with_what_to_write(wrong):
    with pytest.raises(ValueError, match=r"printed share .*: (write|give)"):
        PrintedShare.read(wrong)
