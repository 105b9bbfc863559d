import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wbc_pipeline.evaluation.overlap import dice, iou

PAIRS = arrays(bool, st.tuples(st.just(2), st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)))


@given(PAIRS)
def test_both_scores_are_symmetric_between_0_and_1_and_tied_to_each_other(pair):
    mask, reference = pair
    d, j = dice(mask, reference), iou(mask, reference)
    assert ((j >= 0) & (j <= d) & (d <= 1)).all()
    np.testing.assert_allclose(d, 2 * j / (1 + j))
    np.testing.assert_array_equal(d, dice(reference, mask))


@given(PAIRS)
def test_a_batch_equals_its_masks_one_by_one(pair):
    for score in (dice, iou):
        one_by_one = [score(mask, reference) for mask, reference in zip(*pair, strict=True)]
        np.testing.assert_array_equal(score(*pair), one_by_one)


@given(PAIRS)
def test_a_mask_agrees_fully_with_itself(pair):
    assert (dice(pair, pair) == 1).all()
    assert (iou(pair, pair) == 1).all()


def test_two_empty_masks_agree_and_an_empty_one_misses_a_full_one():
    empty, full = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    assert dice(empty, empty) == iou(empty, empty) == 1
    assert dice(empty, full) == iou(empty, full) == 0


def test_masks_of_0_and_255_count_like_booleans():
    mask = np.array([[255, 255, 0, 0]], np.uint8)
    assert dice(mask, mask > 0) == 1
    assert iou(mask, np.array([[0, 255, 255, 0]], np.uint8)) == pytest.approx(1 / 3)


def test_one_reference_serves_a_batch():
    assert dice(np.ones((3, 4, 4)), np.ones((4, 4))).tolist() == [1, 1, 1]


def test_masks_of_different_size_are_refused():
    with pytest.raises(ValueError, match="different size"):
        dice(np.ones((4, 4)), np.ones((4, 5)))
