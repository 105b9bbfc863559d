import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.evaluation.scores.intervals import (
    CHUNK,
    bootstrap_totals,
    mean_interval,
    percentile_interval,
    resample_weights,
    resampling_units,
    sum_by_unit,
    unit_labels,
)


def test_images_of_one_source_share_a_unit():
    frame = pd.DataFrame({"image_id": list("abcd"), "source_id": ["x", "y", "x", "y"]})
    units, kind = resampling_units(frame)
    assert units.tolist() == [0, 1, 0, 1]
    assert kind == "source"


def test_an_image_without_source_is_its_own_unit_and_the_kind_says_so():
    frame = pd.DataFrame({"image_id": list("abca"), "source_id": ["x", None, None, "x"]})
    units, kind = resampling_units(frame)
    assert units.tolist() == [0, 1, 2, 0]
    assert kind == "image"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_weights_of_one_give_the_totals_of_all_images(units):
    units = np.unique(units, return_inverse=True)[1]
    values = np.random.default_rng(0).normal(size=(len(units), 3))
    totals = sum_by_unit(values, units)
    np.testing.assert_allclose(np.ones(len(totals)) @ totals, values.sum(axis=0))


def test_every_resample_draws_as_many_units_as_there_are():
    weights = resample_weights(7, 50, np.random.default_rng(0))
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()


def test_bootstrap_is_the_same_for_the_same_seed_and_pairs_two_statistics():
    totals = np.arange(12.0).reshape(6, 2)
    both = bootstrap_totals(totals, resamples=20, seed=3)
    np.testing.assert_array_equal(both, bootstrap_totals(totals, resamples=20, seed=3))
    apart = bootstrap_totals(totals[:, :1], resamples=20, seed=3)
    np.testing.assert_allclose(both[:, :1], apart)
    assert (both != bootstrap_totals(totals, resamples=20, seed=4)).any()


def test_each_stratum_is_in_every_resample_with_its_size():
    strata = np.repeat(["rare", "common"], [2, 10])
    totals = np.column_stack([strata == "rare", strata == "common"]).astype(float)
    samples = bootstrap_totals(totals, strata=strata, resamples=50)
    assert (samples == [2, 10]).all()


def test_a_unit_has_the_label_of_its_images():
    labels = unit_labels(np.array(["a", "b", "a", "b"]), np.array([1, 0, 1, 0]))
    assert labels.tolist() == ["b", "a"]


def test_bootstrap_in_chunks_draws_all_resamples():
    totals = np.ones((CHUNK // 3, 1))
    samples = bootstrap_totals(totals, resamples=4)
    assert samples.shape == (4, 1)
    assert (samples == len(totals)).all()


def test_interval_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(5).normal(size=(400, 1))
    samples = bootstrap_totals(values, resamples=2000) / 400
    low, high = percentile_interval(samples, 400)
    assert (high - low)[0] == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_copies_of_a_source_do_not_narrow_the_interval():
    values = np.random.default_rng(6).normal(size=(50, 1))
    once = percentile_interval(bootstrap_totals(values) / 50, 50)
    copies = sum_by_unit(values.repeat(10, axis=0), np.arange(50).repeat(10))
    np.testing.assert_allclose(percentile_interval(bootstrap_totals(copies) / 500, 50), once)


def test_a_mean_lies_in_its_interval_over_groups():
    values = pd.Series(np.random.default_rng(6).normal(size=50)).repeat(10)
    groups = pd.Series(np.arange(50).repeat(10))
    low, high = mean_interval(values, groups, resamples=500, level=0.95)
    assert low < values.mean() < high
    alone = mean_interval(values, pd.Series(np.arange(500)), resamples=500, level=0.95)
    assert high - low > 2 * (alone[1] - alone[0])
    assert np.isnan(mean_interval(values, groups * 0, resamples=5, level=0.95)).all()


def test_one_unit_has_no_interval():
    low, high = percentile_interval(np.ones((100, 2)), units=1)
    assert np.isnan([low, high]).all()


def test_a_level_in_percent_is_refused():
    with pytest.raises(ValueError, match=r"level is 95.*0\.95"):
        percentile_interval(np.ones((10, 1)), units=3, level=95)
