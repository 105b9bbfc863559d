import numpy as np
import pandas as pd
import pytest
from paper_tables import make_predictions

from wbc_pipeline.evaluation.scores.comparison import compare_published
from wbc_pipeline.evaluation.scores.entries import METRICS
from wbc_pipeline.evaluation.scores.metrics import RUN_KEYS, score_by_fold, score_predictions
from wbc_pipeline.evaluation.scores.overlaps import image_dice, image_iou, with_overlaps
from wbc_pipeline.evaluation.scores.per_class import overlaps_by_class

OF_MASKS = [name for name, metric in METRICS.items() if metric.columns]


@pytest.fixture
def run():
    """A classifier, and a network that segments; the latter's first ten masks are not known."""
    table = make_predictions(sources=30, variants=["normal", "blend"], protocols=["source"])
    random = np.random.default_rng(0)
    union = pd.array(random.integers(200, 400, len(table)), dtype="Int64")
    intersection = pd.array((union.to_numpy() * random.uniform(0.6, 1, len(table))).astype(int))
    table = table.assign(
        intersection_cell=intersection.astype("Int64"),
        union_cell=union,
        mask_pixels=pd.array(np.full(len(table), 1000), dtype="Int64"),
        saliency_inside=random.random(len(table)),
    )
    of_masks = ["intersection_cell", "union_cell", "mask_pixels", "saliency_inside"]
    unknown = (table["variant"] == "normal") | table["image_id"].isin(table["image_id"][:10])
    table.loc[unknown, of_masks] = None
    return table


def test_scores_of_masks_are_means_over_the_images_whose_mask_is_known(run):
    scores = score_predictions(run, resamples=100).set_index(["variant", "seed"])
    for seed in (0, 1):
        known = run[(run["variant"] == "blend") & (run["seed"] == seed)].dropna(subset="union_cell")
        assert len(known) == 110
        both, either = (known[f"{name}_cell"].astype(float) for name in ("intersection", "union"))
        row = scores.loc[("blend", seed)]
        assert row["iou_cell"] == pytest.approx((both / either).mean())
        assert row["dice_cell"] == pytest.approx((2 * both / (both + either)).mean())
        assert row["pixel_accuracy"] == pytest.approx(1 - (either - both).mean() / 1000)
        assert row["saliency_inside"] == pytest.approx(known["saliency_inside"].mean())
        assert row["iou_cell_low"] < row["iou_cell"] < row["iou_cell_high"]


def test_a_run_without_masks_has_no_scores_of_them(run):
    normal = score_predictions(run, resamples=20).query("variant == 'normal'")
    assert normal[["iou_cell", "dice_cell", "iou_cell_low"]].isna().all(axis=None)
    assert normal["accuracy"].notna().all()
    alone = score_predictions(run[run["variant"] == "normal"], resamples=20)
    assert not {*OF_MASKS} & {*alone}
    assert "iou_nucleus" not in score_predictions(run, resamples=20)


def test_intervals_of_masks_are_over_sources(run):
    alike = run[run["variant"] == "blend"].copy()
    first = alike.groupby("source_id")[["intersection_cell", "union_cell"]].transform("first")
    alike[["intersection_cell", "union_cell"]] = first
    wide, narrow = (
        score_predictions(table, resamples=300).iloc[0]
        for table in (alike, alike.assign(source_id=None))
    )
    width = [row["iou_cell_high"] - row["iou_cell_low"] for row in (wide, narrow)]
    assert width[0] > 1.4 * width[1]


def test_the_printed_iou_is_put_beside_ours(run):
    printed = {"blend": {"iou_cell": "0.82"}, "other": {"iou_cell": "0.79"}}
    table = compare_published(run, printed, resamples=20).set_index(["variant", "metric"])
    row = table.loc[("blend", "iou_cell")]
    assert row["published"] == "0.82"
    assert 0.7 < row["leak_free"] < 0.9
    assert ("normal", "iou_cell") not in table.index


def test_folds_have_scores_of_masks(run):
    manifest = pd.DataFrame({"image_id": run["image_id"].unique(), "domain": None})
    folds = run.assign(fold=pd.factorize(run["source_id"])[0] % 2)
    table = score_by_fold(folds, manifest, resamples=9).query("variant == 'blend'")
    assert table["iou_cell"].notna().all()
    assert table["iou_cell"].nunique() == 4


def test_masks_are_scored_by_class_and_over_all(run):
    table = overlaps_by_class(run, resamples=50)
    assert set(table["region"]) == {"cell"}
    assert set(table["variant"]) == {"blend"}
    for keys, rows in table.groupby(RUN_KEYS):
        by_label = rows.set_index("label")
        images = by_label.loc["all", "images"]
        assert images == 110 == by_label.drop("all")["images"].sum(), keys
        weighted = by_label.drop("all").eval("iou * images").sum() / images
        assert by_label.loc["all", "iou"] == pytest.approx(weighted)
    assert (table["iou_low"] < table["iou"]).all()
    assert table[["iou_high", "dice_high"]].max().max() <= 1
    assert (table["dice"] > table["iou"]).all()
    assert overlaps_by_class(run[run["variant"] == "normal"]).empty


def test_overlaps_of_all_classes_are_those_of_the_metrics(run):
    known = run.dropna(subset="union_cell")
    everything = overlaps_by_class(known, resamples=50).query("label == 'all'")
    metrics = score_predictions(known, resamples=50)
    for name in ("iou", "dice"):
        for end in ("", "_low", "_high"):
            np.testing.assert_allclose(everything[name + end], metrics[f"{name}_cell{end}"])


def test_two_empty_masks_agree_and_what_is_not_known_stays_so():
    both, either = np.array([0, 0, 5, np.nan]), np.array([0, 8, 10, np.nan])
    np.testing.assert_allclose(image_iou(both, either), [1, 0, 0.5, np.nan])
    np.testing.assert_allclose(image_dice(both, either), [1, 0, 2 / 3, np.nan])
    table = pd.DataFrame({"intersection_cell": both, "union_cell": either})
    assert {"iou_cell", "dice_cell"} == set(with_overlaps(table)) - set(table)
