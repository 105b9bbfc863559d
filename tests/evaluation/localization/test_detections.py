import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.evaluation.localization.detections import (
    average_precision,
    best_regions,
    match_detections,
    score_localization,
    summarise_localization,
)
from wbc_pipeline.imaging.roi import SIDES

IMAGES = pd.DataFrame({"image_id": list("abcd"), "width": 640, "height": 480}).assign(
    source_group=["one", "one", "two", None]
)
CELL, OTHER = [100, 100, 200, 200], [400, 300, 500, 400]
TRUTH = pd.DataFrame([["a", *CELL], ["a", *OTHER], ["b", *CELL]], columns=["image_id", *SIDES])


def detections(*rows):
    return pd.DataFrame(rows, columns=["image_id", *SIDES, "score"])


FOUND = detections(
    ["a", 100, 100, 200, 150, 0.7],  # half of the cell
    ["a", *CELL, 0.9],
    ["a", 110, 100, 210, 200, 0.8],  # the same cell again
    ["c", *CELL, 0.6],  # nothing there
    ["b", *CELL, 0.3],  # not sure enough
)


def test_the_surest_detection_is_the_region_and_the_whole_image_where_there_is_none():
    regions = best_regions(FOUND, IMAGES, score=0.5)
    assert regions["image_id"].tolist() == list("abcd")
    assert regions["found"].tolist() == [True, False, True, False]
    assert regions[SIDES].to_numpy().tolist() == [CELL, [0, 0, 640, 480], CELL, [0, 0, 640, 480]]


def test_a_cell_is_matched_once_and_what_is_over_is_a_false_alarm():
    counts = match_detections(FOUND, TRUTH, IMAGES).set_index("image_id")
    assert counts.loc["a"].tolist() == [2, 1, 1, 2]  # boxes, matched, missed, false alarms
    assert counts.loc["b"].tolist() == [1, 0, 1, 0]
    assert counts.loc["c"].tolist() == [0, 0, 0, 1]
    assert counts.loc["d"].tolist() == [0, 0, 0, 0]


def test_the_surest_of_two_takes_the_cell():
    shifted = [100, 100, 200, 160]
    found = detections(["a", *shifted, 0.6], ["a", *CELL, 0.9])
    assert match_detections(found, TRUTH, IMAGES, iou=0.55)["matched"].sum() == 1
    both = pd.concat([TRUTH, pd.DataFrame([["a", *shifted]], columns=TRUTH.columns)])
    assert match_detections(found, both, IMAGES, iou=0.9)["matched"].sum() == 2


boxes = st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 30)] * 2).map(
    lambda box: [box[0], box[1], box[0] + box[2], box[1] + box[3]]
)


@settings(max_examples=30, deadline=None)
@given(st.lists(boxes, max_size=5), st.lists(st.tuples(boxes, st.floats(0, 1)), max_size=5))
def test_counts_add_up(true, found):
    truth = pd.DataFrame([["a", *box] for box in true], columns=TRUTH.columns)
    table = detections(*[["a", *box, score] for box, score in found])
    counts = match_detections(table, truth, IMAGES[:1], score=0.5).iloc[0]
    assert counts["matched"] + counts["missed"] == counts["boxes"] == len(true)
    assert counts["matched"] + counts["false_alarms"] == (table["score"] >= 0.5).sum()


def test_perfect_boxes_have_a_precision_of_one_and_it_falls_with_their_overlap():
    perfect = TRUTH.assign(score=0.9)
    assert average_precision(perfect, TRUTH, IMAGES) == pytest.approx({"ap_50": 1, "ap_50_95": 1})
    rough = perfect.assign(xmax=perfect["xmin"] + 72)  # IoU 0.72: right at 5 of 10 limits
    assert average_precision(rough, TRUTH, IMAGES) == pytest.approx({"ap_50": 1, "ap_50_95": 0.5})


def test_a_sure_false_alarm_in_an_image_without_a_cell_costs_precision():
    found = TRUTH.assign(score=0.9)
    alarmed = pd.concat([found, detections(["c", *CELL, 0.99])])
    assert average_precision(alarmed, TRUTH, IMAGES)["ap_50"] < 0.9


def test_precision_without_a_true_box_is_missing():
    assert np.isnan(list(average_precision(FOUND, TRUTH[:0], IMAGES).values())).all()


@pytest.fixture(scope="module")
def scored():
    found = pd.concat([FOUND.assign(method="light"), TRUTH.assign(method="sure", score=1.0)])
    looked = pd.concat(
        IMAGES[["image_id"]].assign(method=name, inference_ms=ms)
        for name, ms in (("light", 20.0), ("sure", None), ("blind", 5.0))
    )
    return found, score_localization(found, looked, TRUTH, IMAGES)


def test_every_method_has_a_row_for_every_image_it_looked_at(scored):
    table = scored[1].set_index(["method", "image_id"])
    assert len(table) == 3 * len(IMAGES)
    assert table.loc[("light", "a"), "iou"] == 1
    assert table.loc[("light", "b"), "iou"] == pytest.approx(100 * 100 / (640 * 480))
    assert table["iou"].isna().groupby("image_id").all().to_dict() == {
        "a": False,
        "b": False,
        "c": True,
        "d": True,
    }


def test_summary_has_a_row_per_method_even_of_one_that_finds_nothing(scored):
    found, table = scored
    summary = summarise_localization(table, found, TRUTH, resamples=50, level=0.95)
    summary = summary.set_index("method")
    assert summary.index.tolist() == ["light", "sure", "blind"]
    assert summary["images"].tolist() == [2, 2, 2]
    assert summary["not_found"].tolist() == [1, 0, 2]
    assert summary["false_alarms"].tolist() == [3, 0, 0]
    assert summary["missed"].tolist() == [2, 0, 3]
    assert summary.loc["sure", ["mean", "ap_50", "ap_50_95"]].tolist() == pytest.approx([1] * 3)
    assert summary.loc["blind", "ap_50"] == 0
    assert summary["inference_ms"].tolist() == pytest.approx([20, np.nan, 5], nan_ok=True)


def test_interval_draws_whole_sources():
    images = pd.DataFrame({"image_id": [str(n) for n in range(40)], "width": 640, "height": 480})
    truth = images[["image_id"]].assign(**dict(zip(SIDES, CELL, strict=True)))
    shift = np.repeat(np.linspace(0, 60, 4), 10)  # all images of a source are found alike
    found = truth.assign(method="m", score=1.0, xmax=truth["xmax"] - shift)
    looked = images[["image_id"]].assign(method="m", inference_ms=1.0)

    def width(groups):
        shown = images.assign(source_group=groups)
        table = score_localization(found, looked, truth, shown)
        row = summarise_localization(table, found, truth, resamples=200, level=0.95).iloc[0]
        return row["mean_high"] - row["mean_low"]

    assert width(np.repeat(list("abcd"), 10)) > 1.5 * width(images["image_id"])


def test_nothing_looked_at_gives_empty_tables_with_their_columns():
    looked = pd.DataFrame(columns=["method", "image_id", "inference_ms"])
    found = FOUND[:0].assign(method="")
    table = score_localization(found, looked, TRUTH, IMAGES)
    summary = summarise_localization(table, found, TRUTH, resamples=10, level=0.9)
    assert len(table) == len(summary) == 0
    assert {"method", "mean", "ap_50", "inference_ms"} <= set(summary.columns)
