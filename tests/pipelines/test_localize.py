import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from kept_results import result_of, write_times

from wbc_pipeline.imaging.packing import accepted
from wbc_pipeline.imaging.roi import SIDES
from wbc_pipeline.models import build_network, load_network
from wbc_pipeline.pipelines.localize.nodes import split_annotated
from wbc_pipeline.pipelines.splitting.options import Protocols

TABLES = (
    "localization",
    "home_and_away",
    "matches",
    "trained_detectors",
    "whole_and_region",
    "other_methods",
    "printed_matrices",
    "printed_parts",
    "robustness",
    "robustness_area",
    "metrics",
    "published",
)
FIGURES = (
    "iou_histograms",
    "detection_overlays",
    "worst_ten",
    "worst_ten_away",
    "robustness_curves",
    "confusion_matrices",
)
VARIANTS = ("custom_2_whole", "custom_2_roi", "vgg16_roi")
DETECTORS = ("mask_rcnn_resnet50", "light", "light_stain", "mask_rcnn_stain")


@pytest.fixture(scope="module")
def localized(run_pipeline, tmp_path_factory):
    """The outputs of one whole run: three variants, two detectors."""
    data = tmp_path_factory.mktemp("localized")
    run_pipeline(
        "localize",
        data,
        variants="+".join(VARIANTS),
        localize={"localization": {"chosen": "+".join(DETECTORS)}},
        tracking={"enabled": False},
    )
    return data


@pytest.fixture
def report(localized):
    reports = localized / "08_reporting/demo/localize"
    return lambda name: pd.read_csv(reports / f"{name}.csv")


def test_all_outputs_stand_where_the_design_says(localized):
    reports = localized / "08_reporting/demo/localize"
    for name in (*(f"{table}.csv" for table in TABLES), "report.html"):
        assert (reports / name).is_file(), name
    for name in FIGURES:
        assert (reports / f"{name}.png").stat().st_size > 10_000, name


def test_no_photograph_stands_on_two_sides(localized):
    images = accepted(pd.read_parquet(localized / "02_intermediate/demo/manifest.parquet"))
    annotated = pd.read_parquet(localized / "05_model_input/demo/localize/annotated.parquet")
    sides = annotated.merge(images, on="image_id").groupby("source_group")["part"].nunique()
    assert (sides == 1).all()
    assert set(annotated["part"]) == {"train", "test"}


def test_a_set_that_is_left_out_trains_nothing_and_is_tested_whole():
    names = [f"{dataset}{number}" for dataset in "abc" for number in range(6)]
    manifest = pd.DataFrame({"image_id": names, "dataset": [name[0] for name in names]})
    manifest = manifest.assign(status="ok", label=None, source_group=names)
    manifest.loc[manifest["image_id"] == "b0", "source_group"] = "a0"  # the same cell in two sets
    truth = manifest[["image_id"]].assign(xmin=0, ymin=0, xmax=9, ymax=9)
    split = split_annotated(
        manifest=manifest,
        boxes=truth[:0],
        truth=truth,
        options=SimpleNamespace(test=0.4),
        protocols=Protocols(["random", "dataset"]),
        seeds=1,
    )
    assert split["protocol"].unique().tolist() == ["source", "dataset"]
    for fold, left_out in enumerate("abc"):
        parts = split[(split["protocol"] == "dataset") & (split["fold"] == fold)]
        tested = set(parts.loc[parts["part"] == "test", "image_id"])
        trained = set(parts.loc[parts["part"] == "train", "image_id"])
        assert tested == {name for name in names if name[0] == left_out}
        assert trained == set(names) - tested - ({"b0"} if left_out == "a" else set()) - (
            {"a0"} if left_out == "b" else set()
        )


def test_detectors_are_trained_for_real_and_predict_test_images_alone(localized):
    annotated = pd.read_parquet(localized / "05_model_input/demo/localize/annotated.parquet")
    test = set(annotated.loc[annotated["part"] == "test", "image_id"])
    models = localized / "06_models/demo/localize/detectors"
    assert {path.parent.parent.name for path in models.glob("*/*/key.json")} == set(DETECTORS)
    for name in DETECTORS:
        network, description = load_network(result_of(models, f"{name}/source-0"))
        begun = build_network(description["name"], description["arguments"], seed=0).state_dict()
        changed = [
            weight
            for key, weight in network.state_dict().items()
            if key.endswith("weight") and not torch.equal(weight, begun[key])
        ]
        assert len(changed) > 20
        assert all(torch.isfinite(weight).all() for weight in changed)
        detections = localized / "07_model_output/demo/localize/detections"
        found = result_of(detections, f"{name}/source-0")
        looked = pd.read_parquet(found / "times.parquet")["image_id"]
        fields = looked.str.startswith("field of ")
        assert set(looked[~fields]) == test
        assert fields.sum() > 0 and set(looked[fields].str.removeprefix("field of ")) <= test
        assert set(pd.read_parquet(found / "detections.parquet")["image_id"]) <= set(looked)


def test_scenes_are_drawn_of_images_with_a_cell_and_hold_their_boxes(localized):
    truth = pd.read_parquet(localized / "02_intermediate/demo/localize/true_boxes.parquet")
    scenes = result_of(localized / "05_model_input/demo/localize/scenes", "light_stain/0")
    drawn = pd.read_parquet(scenes / "scenes.parquet")["image_id"]
    assert set(drawn) <= set(truth["image_id"])
    boxes = pd.read_parquet(scenes / "boxes.parquet")
    assert boxes["row"].nunique() == len(drawn) == len(np.load(scenes / "images.npy"))
    assert boxes[SIDES].stack().between(0, 64).all()


def test_every_annotated_box_is_matched_or_missed(localized, report):
    truth = pd.read_parquet(localized / "02_intermediate/demo/localize/true_boxes.parquet")
    annotated = pd.read_parquet(localized / "05_model_input/demo/localize/annotated.parquet")
    test = annotated.loc[annotated["part"] == "test", "image_id"]
    matches = report("matches").set_index(["method", "part"])
    for method in (*DETECTORS, "colour", "colour_published", "colour_nucleus"):
        of_method = matches.loc[(method, "test")]
        assert of_method["matched"] + of_method["missed"] == truth["image_id"].isin(test).sum()
    everything = matches.loc[("colour", "all")]
    assert everything["matched"] + everything["missed"] == len(truth)


def test_the_printed_iou_stands_beside_ours(report):
    localization = report("localization").set_index(["method", "part"])
    assert localization.loc[("mask_rcnn_resnet50", "test"), "published_mean"] == 0.69
    assert localization.loc[("colour_published", "all"), "published_mean"] == 0.59
    assert localization.loc[("colour_nucleus", "all"), "mean"] > 0.6  # easy in two of the stains
    assert localization["mean"].between(localization["min"], localization["max"]).all()


def test_whole_and_region_are_compared_on_the_same_images(report):
    compared = report("whole_and_region")
    assert compared["network"].unique().tolist() == ["custom_2"]
    assert (compared["region"] - compared["whole"]).tolist() == pytest.approx(
        compared["difference"].tolist(), abs=1e-6
    )


def test_other_peoples_methods_stand_above_ours(report):
    table = report("other_methods").set_index("method")
    assert table.index[0] == "Ongun 2001" and table.loc["Ongun 2001", "images"] == 108
    assert table.loc["proposed", "published"] == 0.925
    metrics = report("metrics").query("variant == 'custom_2_roi' and condition == 'clean'")
    ours = table.loc[["ours, custom_2_roi"]]
    assert set(ours["accuracy"]) <= set(metrics["accuracy"])


def test_every_condition_is_predicted_and_saved(localized):
    table = localized / "07_model_output/demo/localize/robustness_predictions.parquet"
    predictions = pd.read_parquet(table)
    conditions = set(predictions["condition"])
    assert {"clean", "noise 0.1", "noise_clean_region 0.1", "noise_median 0.1"} <= conditions
    assert set(predictions["variant"]) == set(VARIANTS)


def test_a_second_run_trains_nothing(localized, run_pipeline):
    weights = "06_models/demo/localize/**/weights.safetensors"
    before = write_times(localized, weights)
    run_pipeline(
        "localize",
        localized,
        variants="+".join(VARIANTS),
        localize={"localization": {"chosen": "+".join(DETECTORS)}},
        tracking={"enabled": False},
    )
    assert before and write_times(localized, weights) == before


def test_a_trained_detector_is_a_step_of_a_view(localized, run_pipeline, tmp_path):
    model = result_of(localized / "06_models/demo/localize/detectors", "light/source-0")
    steps = [
        {"full_resolution": {}},
        {"detector_region": {"model": str(model), "score": 0.0}},
        {"square_region": {}},
        {"resize": {"size": 16}},
    ]
    run_pipeline("roi", tmp_path, roi={"views": {"detected": steps}})
    view = result_of(tmp_path / "04_feature/demo/roi", "detected")
    assert pd.read_parquet(view / "regions.parquet")["found"].any()
    assert json.loads((view / "key.json").read_text())["params"]["steps"] == steps


def test_a_detector_crops_no_photographs_that_it_was_trained_on_for_a_classifier(
    localized, run_pipeline, tmp_path
):
    model = result_of(localized / "06_models/demo/localize/detectors", "light/source-0")
    steps = [
        {"full_resolution": {}},
        {"detector_region": {"model": str(model), "score": 0.0}},
        {"resize": {"size": 32}},
    ]
    with pytest.raises(
        ValueError, match="its view image has the step detector_region, which was fitted on"
    ):
        run_pipeline(
            "blend",
            tmp_path,
            blend={"views": {"image": steps}},
            variants="normal",
            tracking={"enabled": False},
        )
    assert not list(tmp_path.glob("06_models/**/weights.safetensors"))


def test_without_boxes_the_report_says_so_and_the_networks_are_trained(
    localized, run_pipeline, tmp_path
):
    manifest = accepted(pd.read_parquet(localized / "02_intermediate/demo/manifest.parquet"))
    for row in manifest.itertuples():
        place = tmp_path / "raw/images" / row.label / row.image_id.replace("/", "-")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(row.path)
    run_pipeline(
        "localize",
        tmp_path / "data",
        dataset="image_folder",
        raw=str(tmp_path / "raw"),
        variants="le_net_roi",
        protocols="random",
        tracking={"enabled": False},
    )
    reports = tmp_path / "data/08_reporting/image_folder/localize"
    page = (reports / "report.html").read_text()
    assert "no box of a white cell" in page
    models = tmp_path / "data/06_models/image_folder/localize"
    assert {path.parent.parent.name for path in models.rglob("key.json")} == {"le_net_roi"}
    assert len(pd.read_csv(reports / "metrics.csv")) == 1


def test_weights_that_cannot_be_had_stop_the_command_before_any_training(run_pipeline, tmp_path):
    missing = str(tmp_path / "vgg16.pth")
    with pytest.raises(ValueError, match=r"vgg16\.pth"):
        run_pipeline(
            "localize",
            tmp_path / "data",
            variants="vgg16_roi",
            localize={"variants": {"vgg16_roi": {"weights": missing}}},
            tracking={"enabled": False},
        )
    assert not list((tmp_path / "data").glob("06_models/**/weights.safetensors"))
