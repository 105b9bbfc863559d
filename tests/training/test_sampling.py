import numpy as np
import pytest
import torch

from wbc_pipeline.training.sampling import RowBatches, balancing_weights

ROWS = torch.arange(100, 110)


def order(batches, epoch=0):
    batches.set_epoch(epoch)
    return torch.cat(list(batches)).tolist()


def test_rows_in_order_are_all_there():
    batches = RowBatches(ROWS, batch_size=4)
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert len(batches) == 3
    assert order(batches) == ROWS.tolist()


def test_each_epoch_has_its_own_order_that_no_random_state_changes():
    batches = RowBatches(ROWS, batch_size=5, seed=(0, 0))
    first = order(batches)
    torch.manual_seed(1)
    assert order(batches) == first
    assert sorted(first) == sorted(order(batches, 1)) == ROWS.tolist()
    assert order(batches, 1) != first
    assert order(RowBatches(ROWS, batch_size=5, seed=(0, 1))) != first


def test_a_last_shuffled_batch_that_is_not_full_is_dropped_unless_it_is_the_only_one():
    assert [len(batch) for batch in RowBatches(ROWS, batch_size=4, seed=(0,))] == [4, 4]
    assert [len(batch) for batch in RowBatches(ROWS, batch_size=16, seed=(0,))] == [10]


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_processes_share_the_rows_in_batches_of_equal_number(processes):
    shares = [
        RowBatches(ROWS, batch_size=2, rank=rank, processes=processes) for rank in range(processes)
    ]
    lengths = {len(list(share)) for share in shares}
    assert lengths == {len(shares[0])}
    assert {row for share in shares for row in order(share)} == set(ROWS.tolist())


def test_weights_make_groups_equally_likely():
    groups = np.array(["many"] * 90 + ["few"] * 10)
    batches = RowBatches(
        torch.arange(100), batch_size=100, seed=(0,), weights=balancing_weights(groups)
    )
    drawn = np.concatenate([groups[order(batches, epoch)] for epoch in range(20)])
    assert 0.45 < (drawn == "few").mean() < 0.55


def test_sources_are_equally_likely_within_classes_that_are():
    classes = np.array(["rare"] * 30 + ["frequent"] * 120)
    sources = np.array(["a"] * 28 + ["b"] * 2 + ["c"] * 100 + ["d"] * 10 + ["e"] * 10)
    weights = balancing_weights(classes, sources)
    drawn = {name: weights[sources == name].sum() / weights.sum() for name in "abcde"}
    expected = {"a": 1 / 4, "b": 1 / 4, "c": 1 / 6, "d": 1 / 6, "e": 1 / 6}
    assert drawn == pytest.approx(expected)


def test_drawing_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    list(RowBatches(ROWS, batch_size=4, seed=(0,)).loader())
    assert torch.equal(torch.get_rng_state(), before)
