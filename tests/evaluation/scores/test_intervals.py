import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from wbc_pipeline.evaluation.scores.intervals import (
    CHUNK,
    bootstrap_interval,
    bootstrap_totals,
    mean_interval,
    mean_of_sums,
    normal_quantile,
    resample_weights,
    resampling_units,
    sum_by_unit,
    unit_labels,
    wilson_interval,
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


def interval_of_means(values, **options):
    totals = np.column_stack([values, np.ones(len(values))])
    return bootstrap_interval(totals, mean_of_sums, totals[:, -1], **options)


def test_interval_of_a_mean_is_as_wide_as_theory_says():
    values = np.random.default_rng(5).normal(size=400)
    low, high = interval_of_means(values, resamples=2000)
    assert (high - low)[0] == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)


def test_few_units_have_students_interval():
    values = np.random.default_rng(7).normal(size=5)
    low, high = interval_of_means(values, resamples=4000)
    assert (high - low)[0] == pytest.approx(2 * 2.776 * values.std(ddof=1) / 5**0.5, rel=0.15)


def test_the_interval_of_a_skewed_mean_reaches_further_to_the_long_side():
    values = np.random.default_rng(8).exponential(size=30)
    low, high = interval_of_means(values)
    assert high[0] - values.mean() > 1.1 * (values.mean() - low[0])


def test_a_stratum_that_is_all_alike_by_chance_borrows_the_spread_of_the_others():
    alike = np.r_[np.tile([0.0, 1.0], 20), np.ones(4)]
    lone = np.r_[np.tile([0.0, 1.0], 20), np.ones(1)]
    strata = np.arange(44) >= 40
    for values, own in ((alike, strata), (lone, strata[:41])):
        low, high = interval_of_means(values, strata=own)
        without = interval_of_means(values[:40])
        assert 0 < low[0] < values.mean() < high[0]
        assert (high - low)[0] > (without[1] - without[0])[0] * 40 / len(values)


def test_copies_of_a_source_do_not_narrow_the_interval():
    values = pd.Series(np.random.default_rng(6).normal(size=50))
    sources = pd.Series(np.arange(50))
    once = mean_interval(values, sources, resamples=200, level=0.95)
    copies = mean_interval(values.repeat(10), sources.repeat(10), resamples=200, level=0.95)
    assert copies == pytest.approx(once)


@pytest.mark.parametrize("hits", [[0, 0, 0], [1, 1, 1], [1, 0, 1]])
def test_units_of_one_image_have_wilsons_interval(hits):
    ends = wilson_interval(np.array(hits), np.ones(3))
    expected = proportion_confint(sum(hits), 3, method="wilson")
    assert ends == pytest.approx(expected, abs=1e-9)


def test_copies_of_a_cell_count_by_how_alike_they_are():
    images, whole = np.full(40, 20), np.repeat([0, 20], 20)
    low, high = wilson_interval(whole, images)  # each cell all right or all wrong
    assert (low, high) == pytest.approx(proportion_confint(20, 40, method="wilson"), abs=0.005)
    closer = wilson_interval(np.full(40, 10), images)  # no spread between cells at all
    assert high - low > 2 * (closer[1] - closer[0])
    all_independent = proportion_confint(400, 800, method="wilson")
    assert closer[1] - closer[0] > all_independent[1] - all_independent[0]


def test_a_cell_with_most_of_the_images_counts_for_most_of_the_interval():
    low, _ = wilson_interval(np.array([97, 1, 1, 1]), np.array([97, 1, 1, 1]))
    assert low < wilson_interval(np.ones(2), np.ones(2))[0]


def test_a_class_with_one_cell_has_an_interval_from_0_to_1():
    assert wilson_interval(np.array([619]), np.array([620])) == (0, 1)


def test_a_mean_lies_in_its_interval_over_groups():
    values = pd.Series(np.random.default_rng(6).normal(size=50)).repeat(10)
    groups = pd.Series(np.arange(50).repeat(10))
    low, high = mean_interval(values, groups, resamples=500, level=0.95)
    assert low < values.mean() < high
    alone = mean_interval(values, pd.Series(np.arange(500)), resamples=500, level=0.95)
    assert high - low > 2 * (alone[1] - alone[0])
    assert np.isnan(mean_interval(values, groups * 0, resamples=5, level=0.95)).all()


def test_one_unit_and_units_all_alike_have_no_bootstrap_interval():
    assert np.isnan(interval_of_means(np.array([0.5]))).all()
    assert np.isnan(interval_of_means(np.ones(10))).all()


def test_a_level_in_percent_is_refused():
    with pytest.raises(ValueError, match=r"level is 95.*0\.95"):
        normal_quantile(95)
