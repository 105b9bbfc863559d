import numpy as np
import pandas as pd
import pytest
from paper_tables import VARIANTS, make_predictions
from scipy.stats import binomtest

from wbc_pipeline.evaluation.scores.comparison import (
    compare_published,
    measured_times,
    paired_differences,
    summarise_seeds,
)
from wbc_pipeline.evaluation.scores.metrics import read_outcomes, score_predictions


@pytest.fixture(scope="module")
def table(predictions, runs, published) -> pd.DataFrame:
    extra = measured_times(runs, predictions)
    frame = compare_published(predictions, published, extra=extra, resamples=300)
    return frame.set_index(["variant", "metric"])


def test_a_summary_is_the_mean_and_sd_over_seeds(predictions):
    summary = summarise_seeds(predictions, resamples=50)
    scores = score_predictions(predictions, resamples=2)
    groups = scores.groupby(["variant", "protocol"], sort=False)
    for metric in ("accuracy", "macro_f1", "log_loss", "ece"):
        of_metric = summary[summary["metric"] == metric]
        np.testing.assert_allclose(of_metric["mean"], groups[metric].mean())
        np.testing.assert_allclose(of_metric["sd"], groups[metric].std())
    assert (summary["seeds"] == 2).all()


def test_one_seed_has_the_interval_of_its_run_and_no_sd():
    run = make_predictions(variants=["blend"], protocols=["source"], seeds=[0])
    summary = summarise_seeds(run, resamples=300).set_index("metric")
    scores = score_predictions(run, resamples=300).iloc[0]
    for metric in ("accuracy", "macro_f1", "log_loss", "ece"):
        low_high = scores[[f"{metric}_low", f"{metric}_high"]].astype(float)
        np.testing.assert_allclose(summary.loc[metric, ["low", "high"]].astype(float), low_high)
    assert summary["sd"].isna().all()


def test_seeds_tested_on_different_images_are_summarised():
    run = make_predictions(variants=["blend"], protocols=["random"])
    first_half = run["image_id"].isin(run["image_id"].unique()[:120])
    apart = run[first_half == (run["seed"] == 0)]
    summary = summarise_seeds(apart, resamples=200).set_index("metric")
    assert summary.loc["accuracy", "low"] < summary.loc["accuracy", "mean"]
    assert summary.loc["accuracy", "mean"] < summary.loc["accuracy", "high"]


def test_published_reproduced_and_leak_free_stand_in_one_row(table, predictions):
    row = table.loc["blend", "accuracy"]
    means = score_predictions(predictions, resamples=2).query("variant == 'blend'")
    means = means.groupby("protocol")["accuracy"].mean()
    assert row["published"] == "0.9907 / 0.9993"
    assert row["reproduced"] == pytest.approx(means["random"])
    assert row["leak_free"] == pytest.approx(means["source"])
    assert row["difference"] == pytest.approx(means["random"] - means["source"])
    assert row["reproduced_low"] < row["reproduced"] < row["reproduced_high"]
    assert row["seeds"] == 2


def test_values_are_kept_as_printed_and_every_variant_is_listed(table):
    assert table.loc[("normal", "accuracy"), "published"] == "0.9880"
    assert table.loc[("soft_mask", "accuracy"), "published"] == ""
    assert [*table.index.unique("variant")] == VARIANTS


def test_epoch_time_is_a_ratio_to_the_reference_at_the_same_seed(table):
    row = table.loc["blend", "epoch_time_ratio"]
    assert row["published"] == "3.24"
    assert row["reproduced"] == pytest.approx((4.3 / 4 + 4.4 / 4.1) / 2)
    assert np.isnan(row["reproduced_low"])
    assert np.isnan(row["difference"])


def test_without_a_reference_there_is_no_epoch_time_ratio(runs):
    times = measured_times(runs[runs["variant"] != "normal"])
    assert set(times["metric"]) == {"training_seconds", "seconds_per_epoch"}


def test_a_protocol_that_was_not_run_is_nan():
    run = make_predictions(sources=12, variants=["blend"], protocols=["source"], seeds=[0])
    row = compare_published(run, {"blend": {"accuracy": 0.9}}, resamples=20).iloc[0]
    assert np.isnan(row["reproduced"])
    assert row["leak_free"] > 0
    assert row["seeds"] == 1


@pytest.mark.parametrize("protocol", ["domain", "dataset"])
def test_leak_free_numbers_come_from_other_protocols_only_where_source_was_not_run(protocol):
    run = make_predictions(sources=12, variants=["blend"], protocols=["random"], seeds=[0])
    apart = run.assign(protocol=protocol)
    apart.loc[apart.index[:24], "label"] = "basophil"
    source = run.assign(protocol="source", label="basophil")
    for others, expected in (([apart], apart), ([apart, source], source), ([], None)):
        row = compare_published(pd.concat([run, *others]), {}, resamples=2).iloc[0]
        if expected is None:
            assert np.isnan(row["leak_free"])
            assert row["leak_free_protocol"] is None
        else:
            assert row["leak_free"] == read_outcomes(expected).correct.mean()
            assert row["leak_free_protocol"] == expected["protocol"].iloc[0]


def test_an_auc_that_the_paper_prints_is_reproduced(predictions):
    table = compare_published(predictions, {"blend": {"auc": "0.99"}}, resamples=100)
    row = table.set_index(["variant", "metric"]).loc["blend", "auc"]
    scores = score_predictions(predictions, resamples=2).query("variant == 'blend'")
    assert row["reproduced"] == pytest.approx(scores.query("protocol == 'random'")["auc"].mean())
    assert row["reproduced_low"] < row["reproduced"] < row["reproduced_high"] <= 1
    assert np.isfinite(row["difference"])


def test_the_times_of_folds_are_averaged_within_their_seed(runs):
    later = runs.assign(fold=1, training_seconds=runs["training_seconds"] + 2)
    run = make_predictions(sources=12, variants=["blend"])
    once, folds = (
        compare_published(run, {}, extra=measured_times(table), resamples=2)
        .set_index(["variant", "metric"])
        .loc["blend", "training_seconds"]
        for table in (runs, pd.concat([runs, later]))
    )
    assert folds["reproduced"] == pytest.approx(once["reproduced"] + 1)
    assert folds["reproduced_sd"] == pytest.approx(once["reproduced_sd"])
    assert folds["seeds"] == once["seeds"] == 2


def test_a_published_metric_that_nobody_knows_is_named(predictions):
    with pytest.raises(ValueError, match=r"published metric 'loss' of variant 'blend'"):
        compare_published(predictions, {"blend": {"loss": 0.05}}, resamples=2)


def test_p_value_is_mcnemars_when_every_image_is_a_source():
    pair = make_predictions(views=1, variants=["normal", "blend"], protocols=["source"], seeds=[0])
    right = [read_outcomes(run).correct for _, run in pair.groupby("variant", sort=False)]
    better, worse = (right[1] & ~right[0]).sum(), (right[0] & ~right[1]).sum()
    row = paired_differences(pair, resamples=50).iloc[0]
    assert (row["better"], row["worse"]) == (better, worse)
    assert row["p_value"] == pytest.approx(binomtest(better, better + worse).pvalue)
    assert row["accuracy_difference"] == pytest.approx((better - worse) / 60)


def test_copies_of_a_cell_do_not_make_a_difference_more_significant():
    pair = make_predictions(views=1, variants=["normal", "blend"], protocols=["source"], seeds=[0])
    copies = pd.concat([pair.assign(image_id=pair["image_id"] + str(i)) for i in range(5)])
    once, often = (paired_differences(frame, resamples=50).iloc[0] for frame in (pair, copies))
    assert often["pairs"] == 5 * once["pairs"]
    assert often["p_value"] == once["p_value"]
    assert often["accuracy_difference_low"] == pytest.approx(once["accuracy_difference_low"])


def test_p_values_are_corrected_over_the_variants_of_a_protocol(predictions):
    table = paired_differences(predictions, resamples=50)
    assert len(table) == 8
    for _, rows in table.groupby("protocol"):
        ordered = rows.sort_values("p_value")
        stepped = ordered["p_value"] * np.arange(4, 0, -1)  # Holm, 1979
        np.testing.assert_allclose(ordered["p_holm"], np.minimum(stepped.cummax(), 1))
    worst = table.query("variant == 'learnable_canny'")
    assert (worst["accuracy_difference_high"] < 0).all()
    assert (worst["p_holm"] < 0.05).all()


def test_a_variant_equal_to_the_reference_differs_by_nothing():
    normal = make_predictions(sources=10, variants=["normal"], protocols=["source"], seeds=[0])
    row = paired_differences(pd.concat([normal, normal.assign(variant="copy")])).iloc[0]
    assert row["accuracy_difference"] == 0
    assert row["p_value"] == 1


def test_without_reference_there_is_nothing_to_compare(predictions):
    assert paired_differences(predictions, "absent").empty


def test_an_image_predicted_twice_in_a_run_is_refused(predictions):
    with pytest.raises(ValueError, match=r"'cells/0.png' occurs twice"):
        paired_differences(pd.concat([predictions, predictions.head(1)]))
