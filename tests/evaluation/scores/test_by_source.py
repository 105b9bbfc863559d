import numpy as np
import pandas as pd
import pytest
from audit_tables import make_manifest, make_splits
from paper_tables import CLASSES, PROTOCOLS, VARIANTS, make_predictions

from wbc_pipeline.evaluation.audit.leaks import measure_leaks
from wbc_pipeline.evaluation.report.tables import collapse_intervals
from wbc_pipeline.evaluation.scores.by_source import accuracy_by_source, protocol_summary, recalls
from wbc_pipeline.evaluation.scores.comparison import summarise_seeds
from wbc_pipeline.evaluation.scores.per_class import per_class_scores

ANSWERS = {"basophil": [0.9, 0.1, 0.0], "monocyte": [0.1, 0.8, 0.1], "blast": [0.0, 0.3, 0.7]}


def predict(*tests: tuple[str | None, str, str], **run: object) -> pd.DataFrame:
    """Predictions of one run from (source, label, answer)."""
    keys = {"variant": "cnn", "protocol": "source", "seed": 0, "fold": 0} | run
    keys |= {"part": "test", "condition": "clean"}
    names = [f"p_{name}" for name in ANSWERS]
    rows = [
        {"image_id": f"images/{i}.png", "source_id": source, "label": label}
        | dict(zip(names, ANSWERS[answer], strict=True))
        for i, (source, label, answer) in enumerate(tests)
    ]
    return pd.DataFrame(rows).assign(**keys).astype({"source_id": "str"})


def list_images(predictions: pd.DataFrame) -> pd.DataFrame:
    """Make the manifest of the images that were predicted."""
    images = predictions.drop_duplicates("image_id")[["image_id", "label", "source_id"]]
    return make_manifest(images.reset_index(drop=True))


@pytest.fixture(scope="module")
def summary(predictions) -> pd.DataFrame:
    return protocol_summary(predictions, list_images(predictions), resamples=50)


def test_a_source_is_scored_over_all_of_its_images_and_seeds():
    first = predict(("a", "blast", "blast"), ("a", "blast", "monocyte"), ("b", "blast", "blast"))
    second = predict(("a", "blast", "basophil"), ("a", "blast", "monocyte"), seed=1)
    table = accuracy_by_source(pd.concat([first, second])).set_index("source_id")
    assert table.loc["a", ["images", "accuracy", "seeds"]].tolist() == [4, 0.25, 2]
    assert table.loc["a", "taken_for"] == "monocyte"
    assert table.loc["b", ["images", "accuracy", "seeds"]].tolist() == [1, 1.0, 1]
    assert pd.isna(table.loc["b", "taken_for"])


def test_the_worst_source_comes_first_and_of_equals_the_larger():
    run = predict(
        ("right", "blast", "blast"),
        ("small", "blast", "monocyte"),
        ("large", "monocyte", "blast"),
        ("large", "monocyte", "blast"),
    )
    later = pd.concat([run.assign(variant="z"), run.assign(variant="a")])
    table = accuracy_by_source(later)
    assert table["source_id"].tolist() == ["large", "small", "right"] * 2
    assert table["variant"].tolist() == ["z"] * 3 + ["a"] * 3


def test_a_source_of_two_labels_has_the_more_frequent_one():
    run = predict(("a", "monocyte", "monocyte"), ("a", "blast", "blast"), ("a", "blast", "blast"))
    row = accuracy_by_source(run).iloc[0]
    assert (row["label"], row["accuracy"]) == ("blast", 1.0)


def test_images_of_unknown_source_are_no_source():
    table = accuracy_by_source(predict((None, "blast", "blast"), ("a", "blast", "blast")))
    assert table["source_id"].tolist() == ["a"]


def test_degraded_images_do_not_count():
    run = predict(("a", "blast", "blast"), ("b", "monocyte", "monocyte"))
    both = pd.concat([run, run.assign(condition="noise-3", label="basophil")])
    pd.testing.assert_frame_equal(accuracy_by_source(both), accuracy_by_source(run))
    pd.testing.assert_frame_equal(recalls(both, {}), recalls(run, {}))
    images = list_images(run)
    pd.testing.assert_frame_equal(protocol_summary(both, images), protocol_summary(run, images))


def test_a_recall_pools_seeds_and_lies_in_its_interval(predictions):
    table = recalls(predictions, {})
    assert table["variant"].tolist() == list(np.repeat(VARIANTS, len(CLASSES)))
    assert table["label"].tolist() == CLASSES * len(VARIANTS)
    scores = per_class_scores(predictions)
    hits = scores.assign(hits=scores["recall"] * scores["support"])
    sums = hits.groupby(["variant", "label", "protocol"])[["hits", "support"]].sum()
    pooled = (sums["hits"] / sums["support"]).unstack()
    ours = table.set_index(["variant", "label"])
    for protocol in PROTOCOLS:
        np.testing.assert_allclose(ours[protocol], pooled.loc[ours.index, protocol])
        known = ours[ours[f"{protocol}_low"].notna()]
        assert (known[f"{protocol}_low"] <= known[protocol]).all()
        assert (known[protocol] <= known[f"{protocol}_high"]).all()


def test_recalls_stand_beside_what_the_paper_prints():
    run = predict(("a", "blast", "blast"), ("b", "monocyte", "blast"))
    plain = recalls(run, {"cnn": {"blast": "1.00", "eosinophil": 0.9}, "other": {"blast": 0.5}})
    assert plain["printed"].tolist() == ["", "", "1.00"]
    among_others = recalls(run, {"cnn": {"accuracy": 0.9, "recall_blast": ["0.990", 1]}})
    assert among_others["printed"].tolist() == ["", "", "0.990 / 1"]
    assert collapse_intervals(plain).columns.tolist() == [
        "variant",
        "label",
        "printed",
        "source",
    ]


def test_what_is_printed_is_not_taken_for_the_protocol_called_published():
    run = predict(("a", "blast", "blast"), ("b", "monocyte", "blast")).assign(protocol="published")
    table = recalls(run, {"cnn": {"blast": "0.99"}}).set_index("label")
    assert table.loc["blast", ["printed", "published"]].tolist() == ["0.99", 1.0]


def test_the_recall_of_a_class_of_one_source_may_be_anything():
    tests = [("a", "blast", "blast"), ("a", "blast", "monocyte")]
    tests += [(f"b{i}", "monocyte", "monocyte" if i % 3 else "blast") for i in range(9)]
    row = recalls(predict(*tests), {}).set_index("label")
    assert row.loc["blast", "source"] == 0.5
    assert row.loc["blast", ["source_low", "source_high"]].tolist() == [0, 1]
    assert row.loc["monocyte", "source_low"] < row.loc["monocyte", "source_high"]
    assert row.loc["basophil", ["source", "source_low", "source_high"]].isna().all()


def test_a_variant_that_was_not_run_under_a_protocol_has_no_recall_there():
    run = predict(("a", "blast", "blast"), ("b", "blast", "monocyte"))
    other = run.assign(variant="other", protocol="random")
    table = recalls(pd.concat([run, other]), {}).set_index(["variant", "label"])
    assert table.loc[("cnn", "blast"), "source"] == 0.5
    assert np.isnan(table.loc[("cnn", "blast"), "random"])


def test_a_summary_has_the_scores_of_its_seeds(summary, predictions):
    scores = summarise_seeds(predictions, resamples=50)
    for name in ("accuracy", "macro_f1"):
        of_metric = scores[scores["metric"] == name]
        for ours, theirs in {"": "mean", "_low": "low", "_high": "high", "_sd": "sd"}.items():
            np.testing.assert_array_equal(summary[name + ours], of_metric[theirs])
    assert (summary["seeds"] == 2).all()
    assert (summary["interval_unit"] == "source").all()


def test_a_summary_counts_cells_and_not_their_views(summary):
    assert (summary["test_images"] == 240).all()
    assert (summary["test_sources"] == 60).all()
    assert (summary["images_leaked"] == 0).all()  # all images of all cells are tested


def test_a_cell_of_many_images_counts_once():
    many = [("many", "blast", "monocyte")] * 8
    few = [(f"cell-{i}", "monocyte", "monocyte") for i in range(3)] + [("e", "blast", "blast")]
    run = predict(*many, *few)
    row = protocol_summary(run, list_images(run), resamples=50).iloc[0]
    assert row["accuracy"] == pytest.approx(4 / 12)
    assert row["source_accuracy"] == pytest.approx(4 / 5)
    assert row["source_accuracy_low"] < 4 / 5 < row["source_accuracy_high"] <= 1


def test_with_an_image_per_cell_both_accuracies_agree():
    first = predict(*[(f"cell-{i}", "blast", "blast" if i % 3 else "monocyte") for i in range(12)])
    both = pd.concat([first, first.iloc[:6].assign(seed=1)])
    row = protocol_summary(both, list_images(both), resamples=200).iloc[0]
    for end in ("", "_sd"):
        assert row[f"source_accuracy{end}"] == pytest.approx(row[f"accuracy{end}"])


def test_the_folds_of_a_seed_are_one_test_part():
    tests = [(f"cell-{i}", "blast" if i % 2 else "monocyte", "blast") for i in range(10)]
    folds = predict(*tests).assign(fold=np.arange(10) % 5)
    row = protocol_summary(folds.iloc[::-1], list_images(folds), resamples=20).iloc[0]
    assert row["test_images"] == 10
    assert row["test_sources"] == 10


def test_images_leak_where_their_cell_is_tested_in_another_fold():
    tests = [(f"cell-{i // 2}", "blast" if i % 4 < 2 else "monocyte", "blast") for i in range(8)]
    run, images = predict(*tests), list_images(predict(*tests))
    by_image = run.assign(fold=np.arange(8) % 2)
    by_cell = run.assign(fold=np.arange(8) // 4)
    assert protocol_summary(by_image, images, resamples=20)["images_leaked"].item() == 1
    assert protocol_summary(by_cell, images, resamples=20)["images_leaked"].item() == 0


def test_nothing_leaks_from_images_that_no_part_has():
    run = predict(("a", "blast", "blast"), ("a", "blast", "blast"), ("b", "monocyte", "blast"))
    images, tested = list_images(run), run.drop(index=1)
    unused = run.loc[[1], ["image_id", "protocol", "seed", "fold"]]
    assert protocol_summary(tested, images, resamples=20)["images_leaked"].item() == 0.5
    for left, leaked in ((unused, 0), (unused.assign(fold=1), 0.5)):
        table = protocol_summary(tested, images, unused=left, resamples=20)
        assert table["images_leaked"].item() == leaked


def test_a_class_that_a_seed_does_not_test_is_the_fewest():
    first = predict(("a", "blast", "blast"), ("b", "monocyte", "blast"), ("c", "basophil", "blast"))
    second = first[first["label"] != "monocyte"].assign(seed=1)
    both = pd.concat([first, second])
    row = protocol_summary(both, list_images(both), resamples=20).iloc[0]
    assert (row["fewest_test_sources"], row["fewest_class"]) == (0, "monocyte")
    assert row["test_sources"] == 2.5


def test_a_summary_counts_the_leaks_that_the_audit_counts():
    predictions = make_predictions(sources=40, variants=["blend"]).drop(columns="part")
    manifest = list_images(predictions)
    splits = make_splits(manifest, random="image_id", source="source_id")
    tested = splits.loc[splits["part"] == "test", ["image_id", "protocol", "seed", "part"]]
    tested = predictions.merge(tested, on=["image_id", "protocol", "seed"])
    summary = protocol_summary(tested, manifest, resamples=20).set_index("protocol")
    leaks = measure_leaks(splits, manifest).set_index("protocol")
    leaked = leaks["images_leaked"] + leaks["images_overlapping"]
    assert leaked["random"] == 1
    for name in ("test_images", "test_sources"):
        pd.testing.assert_series_equal(summary[name], leaks[name], check_dtype=False)
    pd.testing.assert_series_equal(summary["images_leaked"], leaked, check_names=False)


def test_a_class_that_was_left_out_does_not_leak():
    run = predict(("a", "blast", "blast"), ("b", "monocyte", "blast"))
    left_out = make_manifest(
        pd.DataFrame({"image_id": ["x.png"], "label": ["smudge"], "source_id": ["a"]})
    )
    images = pd.concat([list_images(run), left_out], ignore_index=True)
    assert protocol_summary(run, images, resamples=20)["images_leaked"].item() == 0
    assert protocol_summary(run, images.assign(label="blast"))["images_leaked"].item() == 0.5


def test_cells_are_not_counted_where_they_are_not_known():
    run = predict((None, "blast", "blast"), (None, "monocyte", "blast"), protocol="random")
    row = protocol_summary(run, list_images(run), resamples=20).iloc[0]
    unknown = [
        "source_accuracy",
        "test_sources",
        "images_leaked",
        "fewest_test_sources",
        "fewest_class",
    ]
    assert row[unknown].isna().all()
    assert (row["test_images"], row["interval_unit"]) == (2, "image")


def test_the_manifest_of_another_data_set_is_refused(predictions):
    other = list_images(predictions).tail(3)
    with pytest.raises(ValueError, match=r"'cells/0.png' of the predictions is not among the 3"):
        protocol_summary(predictions, other, resamples=2)
