import json

import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.pipelines.quality.options import RegionOptions

TABLES = (
    "parts",
    "box_quality",
    "box_parameters",
    "masks_compared",
    "mask_quality",
    "mask_parameters",
    "best_restoration",
)
FIGURES = (
    "iou_histogram",
    "box_overlays",
    "mask_scores",
    "nucleus_masks",
    "cell_masks",
    "psnr_gain",
    "nucleus_dice",
    "restoration_sheet",
)


@pytest.fixture(scope="module")
def measured(run_pipeline, tmp_path_factory):
    """The outputs of one whole run on the demo set, which has masks and no boxes."""
    data = tmp_path_factory.mktemp("measured")
    run_pipeline("quality", data)
    return data


@pytest.fixture(scope="module")
def reports(measured):
    return measured / "08_reporting/demo/quality"


def test_the_report_has_every_table_and_figure(reports):
    report = (reports / "report.html").read_text()
    assert "DEMO DATA" in report
    for name in FIGURES:
        assert (reports / f"{name}.png").stat().st_size > 1000
        assert f'id="figure-{name}"' in report
    for name in TABLES:
        assert f'id="table-{name}"' in report
    assert report.index('id="table-parts"') < report.index("<h2>")


def test_what_was_tuned_stands_in_tables_of_its_own(reports):
    quality, parameters = (
        pd.read_csv(reports / f"box_{name}.csv") for name in ("quality", "parameters")
    )
    assert set(parameters["method"]) <= set(quality["method"])
    assert parameters["tuned_on"].ne("untuned").all()
    assert parameters["parameters"].str.contains("_region.").all()


def test_tuned_masks_are_better_than_untuned_ones(reports):
    compared = pd.read_csv(reports / "masks_compared.csv")
    means = compared.groupby("target")[["untuned", "within"]].mean()
    assert (means["within"] > means["untuned"]).all()


def test_boxes_are_compared_with_those_around_masks_where_none_are_annotated(reports):
    parts = pd.read_csv(reports / "parts.csv").set_index("part")
    assert parts["compared_with"]["boxes"] == "boxes around the masks"
    assert pd.read_csv(reports / "box_quality.csv")["mean"].between(0, 1).all()


def test_a_second_run_measures_nothing(run_pipeline, measured):
    results = measured / "07_model_output/demo/quality"
    kept = sorted(results.glob("*_results/*/*"))
    before = [file.stat().st_mtime_ns for file in kept]
    assert len(before) > 60
    run_pipeline("quality", measured)
    assert sorted(results.glob("*_results/*/*")) == kept
    assert [file.stat().st_mtime_ns for file in kept] == before


def test_each_method_is_kept_with_what_it_depends_on(measured):
    masks = measured / "07_model_output/demo/quality/mask_results"
    latest = json.loads((masks / "latest.json").read_text())
    assert {"canny", "watershed", "saliency"} <= set(latest)
    key = json.loads((masks / latest["canny"] / "key.json").read_text())
    assert key["params"]["steps"] == [{"canny_mask": {}}]
    assert "imaging/edges.py" in key["code"]
    assert len(pd.read_parquet(masks / latest["canny"] / "dice.parquet")) > 0


def test_a_set_without_boxes_and_masks_says_what_was_left_out(run_pipeline, tmp_path):
    random = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / "raw" / label).mkdir(parents=True)
        for number in range(3):
            noise = cv2.GaussianBlur(random.integers(0, 256, (40, 40, 3), np.uint8), (0, 0), 3)
            cv2.imwrite(str(tmp_path / "raw" / label / f"{number}.png"), noise)
    run_pipeline(
        "quality",
        tmp_path / "data",
        dataset="image_folder",
        sources={"image_folder": {"folder": str(tmp_path / "raw")}},
    )
    reports = tmp_path / "data/08_reporting/image_folder/quality"
    report = (reports / "report.html").read_text()
    assert "Boxes were not measured: no box of a white cell and no mask is annotated" in report
    assert "Masks were not measured: no mask is annotated" in report
    assert 'id="table-box_quality"' not in report
    assert len(pd.read_csv(reports / "restoration.csv")) > 100


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ({"steps": [{"colour_region": {}}, {"resize": {"size": 8}}]}, "must end with"),
        ({"steps": [{"otsu_mask": {}}]}, "finds a region"),
        ({"steps": [{"colour_region": {}}], "grid": {"colour_region.pad": [1]}}, "'pad'"),
        ({"steps": [{"colour_region": {}}], "grid": {"padding": [1]}}, "step.parameter"),
        ({"steps": [{"colour_region": {}}], "grid": {"colour_region.padding": []}}, "at least 1"),
    ],
)
def test_methods_that_cannot_find_a_region_are_refused(method, expected):
    published = dict.fromkeys(("mean", "min", "max", "sd", "median"), 0.5)
    with pytest.raises(ValueError, match=expected):
        RegionOptions(
            names=["wbc"],
            methods={"mine": method},
            published={"dataset": "mine", "images": 1, **published},
        )
