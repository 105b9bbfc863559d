"""The saliency paper: masks and classes at once, with masks, without, and with strange ones."""

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from kept_results import result_of, variants_of

from wbc_pipeline.imaging.masks import BACKGROUND
from wbc_pipeline.imaging.packing import accepted
from wbc_pipeline.models import build_network, load_network
from wbc_pipeline.sources import demo
from wbc_pipeline.training.maps import predict_maps

CLASSES = ["basophil", "lymphocyte", "seg_neutrophil"]
RARE, EMPTY = "seg_neutrophil", "images/basophil/basophil_0000_0.png"
TABLES = (
    *("hypotheses", "directions", "paired_tests", "published_spread", "attention", "grad_cam"),
    *("metrics", "published", "overlaps", "per_class", "robustness", "paired"),
)
FIGURES = (
    *("cell_overlaps", "nucleus_overlaps", "roc_curves", "precision_recall", "outlines"),
    *("attention_full", "confusion_matrices"),
)
COUNTS = ["intersection_cell", "union_cell"]
QUIET = {"tracking": {"enabled": False}}


@pytest.fixture(scope="module")
def fused(run_pipeline, tmp_path_factory):
    """The outputs of all variants on the demo."""
    data = tmp_path_factory.mktemp("fused")
    run_pipeline("saliency", data, protocols="source", **QUIET)
    return data


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """A user's images with a table: paths, labels, cells, stains and masks."""
    folder = tmp_path_factory.mktemp("cells")
    demo.list_images(folder, cells_per_class=6, views_per_cell=2, image_size=48, classes=CLASSES)
    (file,) = folder.glob("*/cells.csv")
    return file


@pytest.fixture(scope="module")
def strange(run_pipeline, cells, tmp_path_factory):
    """A user's own set: the mask of one image is empty, and a class has a single cell."""
    home, data = cells.parent, tmp_path_factory.mktemp("strange")
    table = pd.read_csv(cells)
    rare = (table["label"] == RARE) & (table["source_id"] != f"{RARE}_0000")
    empty = home / "masks/empty.png"
    cv2.imwrite(str(empty), np.zeros((48, 48), np.uint8))
    table.loc[table["image_id"] == EMPTY, "mask_id"] = "masks/empty.png"
    table.loc[table["domain"].str.endswith("laboratory_b"), "domain"] = "laboratory_b"
    table[~rare].to_csv(home / "strange.csv", index=False)
    run_pipeline(
        "saliency",
        data,
        dataset="table",
        sources={"table": columns(home / "strange.csv", masks=True)},
        protocols="domain",
        variants="full+without_alignment+without_fusion",
        **QUIET,
    )
    return data


def columns(file, *, masks):
    """Say which column of a table is what."""
    named = {"path": "image_id", "source": "source_id", "domain": "domain"}
    named |= {"mask": "mask_id"} if masks else {}
    levels = {"mask_levels": {"background": 0, "cytoplasm": 128, "nucleus": 255}} if masks else {}
    return {"file": str(file)} | {f"{key}_column": name for key, name in named.items()} | levels


def read_predictions(data, dataset="demo"):
    return pd.read_parquet(data / f"07_model_output/{dataset}/saliency/predictions.parquet")


def test_every_variant_leaves_its_files(fused):
    reports = fused / "08_reporting/demo/saliency"
    for name in (*(f"{table}.csv" for table in TABLES), "report.html"):
        assert (reports / name).is_file(), name
    for name in FIGURES:
        assert (reports / f"{name}.png").stat().st_size > 5_000, name
    metrics = pd.read_csv(reports / "metrics.csv")
    assert metrics["variant"].tolist() == [*variants_of("saliency")]
    assert metrics[["iou_cell", "iou_nucleus", "pixel_accuracy"]].notna().all(axis=None)


def test_the_iou_of_each_image_follows_from_its_predictions_and_from_the_network(fused):
    table = read_predictions(fused)
    images = accepted(pd.read_parquet(fused / "02_intermediate/demo/manifest.parquet"))
    place = pd.Series(np.arange(len(images)), index=images["image_id"])
    view = result_of(fused / "04_feature/demo/saliency", "image")
    pixels, masks = (np.load(view / f"{name}.npy") for name in ("images", "masks"))
    network, _ = load_network(result_of(fused / "06_models/demo/saliency", "unet/source-0"))
    test = table[(table["variant"] == "unet") & (table["part"] == "test")]
    rows = place[test["image_id"]].to_numpy()
    found = predict_maps(network, [pixels], rows, device=torch.device("cpu"))["masks"]
    found, true = found[..., 0] >= 128, masks[rows] != BACKGROUND
    counts = np.stack([(found & true).sum(axis=(1, 2)), (found | true).sum(axis=(1, 2))], axis=1)
    np.testing.assert_allclose(test[COUNTS].to_numpy(int), counts, atol=2)  # rounded to a byte
    metrics = pd.read_csv(fused / "08_reporting/demo/saliency/metrics.csv").set_index("variant")
    both, either = (test[name].to_numpy(float) for name in COUNTS)
    assert metrics.loc["unet", "iou_cell"] == pytest.approx((both / either).mean())


def test_attention_is_measured_in_each_image_and_variant(fused):
    measured = pd.read_csv(fused / "08_reporting/demo/saliency/grad_cam.csv")
    assert set(measured["variant"]) == {*variants_of("saliency")}
    assert measured["grad_cam_inside"].dropna().between(0, 1).all()
    has_map = measured["saliency_inside"].notna()
    assert set(measured.loc[has_map, "variant"]) == {
        *("full", "without_fusion", "without_alignment", "attention_localization")
    }


def test_what_the_paper_prints_stands_beside_ours_with_its_deviation(fused):
    printed = pd.read_csv(fused / "08_reporting/demo/saliency/published_spread.csv")
    row = printed[(printed["variant"] == "without_saliency") & (printed["metric"] == "iou_cell")]
    assert row["published"].tolist() == ["0.76 ± 0.02"]
    of_class = printed[printed["label"] == "lymphocyte"].set_index("metric")
    assert of_class["published"].to_dict() == {"iou_cell": "0.83", "auc": "0.97"}
    assert of_class["source"].notna().all()


def test_hypotheses_say_what_to_run_where_no_shift_was_tested(fused):
    table = pd.read_csv(fused / "08_reporting/demo/saliency/hypotheses.csv")
    assert table["verdict"].tolist() == ["not run", "not run"]
    assert "--params=protocols=domain,variants=full+without_alignment" in table["finding"][0]
    page = (fused / "08_reporting/demo/saliency/report.html").read_text()
    assert "protocols=domain,variants=full+without_fusion" in page


def test_own_images_with_masks_are_learnt_and_both_directions_are_judged(strange):
    predictions = read_predictions(strange, "table")
    assert predictions["union_cell"].notna().all()
    table = pd.read_csv(strange / "08_reporting/table/saliency/hypotheses.csv")
    for _, verdicts in table.groupby("hypothesis"):
        assert set(verdicts["tested"].dropna()) == {"giemsa/laboratory_a", "laboratory_b"}
        assert set(verdicts["verdict"]) <= {"supported", "refuted", "undecided"}
    tests = pd.read_csv(strange / "08_reporting/table/saliency/paired_tests.csv")
    assert set(tests["variant"]) == {"without_alignment", "without_fusion"}
    assert set(tests["metric"]) == {"iou_cell", "macro_f1"}
    assert set(tests["fold"]) == {0, 1}


def test_an_empty_mask_is_scored_by_what_was_found_in_it(strange):
    predictions = read_predictions(strange, "table").query(f"image_id == '{EMPTY}'")
    assert len(predictions)
    assert (predictions["mask_pixels"] == 32 * 32).all()
    assert predictions["union_cell"].notna().all()
    for name in ("metrics", "overlaps"):
        table = pd.read_csv(strange / f"08_reporting/table/saliency/{name}.csv")
        assert table.filter(regex="^iou(_cell)?$").notna().all(axis=None)


def test_a_class_that_a_part_lacks_is_told_and_does_not_stop_the_run(strange):
    splits = pd.read_parquet(strange / "05_model_input/table/splits.parquet")
    manifest = pd.read_parquet(strange / "02_intermediate/table/manifest.parquet")
    dealt = splits.merge(manifest[["image_id", "label"]], on="image_id")
    tested = dealt[dealt["part"] == "test"].groupby("fold")["label"].agg(set)
    assert any(RARE not in labels for labels in tested)
    page = (strange / "08_reporting/table/saliency/report.html").read_text()
    assert RARE in page and "has no test image" in page


def test_a_set_without_masks_trains_the_class_head_alone(run_pipeline, cells, tmp_path):
    run_pipeline(
        "saliency",
        tmp_path,
        dataset="table",
        sources={"table": columns(cells, masks=False)},
        protocols="domain",
        variants="full+without_alignment",
        **QUIET,
    )
    predictions = read_predictions(tmp_path, "table")
    assert "union_cell" not in predictions
    training = result_of(tmp_path / "06_models/table/saliency", "full/domain-0")
    losses = pd.read_parquet(training / "paths.parquet").groupby("name")["value"].max()
    assert losses["cross_entropy"] > 0 and losses["alignment"] > 0  # aligned with the prior
    assert losses["bce"] == losses["dice"] == 0
    reports = tmp_path / "08_reporting/table/saliency"
    verdicts = pd.read_csv(reports / "hypotheses.csv").set_index("hypothesis")["verdict"]
    assert verdicts.to_dict() == {"alignment": "not measured", "fusion": "not run"}
    assert not (reports / "grad_cam.csv").exists()


def test_a_set_of_one_class_still_learns_masks(run_pipeline, tmp_path):
    one = {"classes": ["lymphocyte"], "cells_per_class": 9}
    run_pipeline(
        "saliency",
        tmp_path,
        sources={"demo": one},
        protocols="source",
        variants="full",
        **QUIET,
    )
    (row,) = pd.read_csv(tmp_path / "08_reporting/demo/saliency/metrics.csv").to_dict("records")
    assert row["accuracy"] == 1 and np.isnan(row["auc"])
    assert 0 <= row["iou_cell"] <= 1


def test_the_paper_environment_has_the_published_sizes_and_schedule():
    from kedro.framework.project import pipelines, settings
    from kedro.framework.startup import bootstrap_project
    from kept_results import PROJECT

    from wbc_pipeline.parameters.schema import check_parameters

    bootstrap_project(PROJECT)
    pipelines.set_requested(["saliency"])
    try:
        parameters = settings.CONFIG_LOADER_CLASS(
            str(PROJECT / "conf"), env="paper", **settings.CONFIG_LOADER_ARGS
        )["parameters"]
    finally:
        pipelines.set_requested(None)
    checked = check_parameters(parameters).saliency
    assert (parameters["dataset"], parameters["seeds"]) == ("segmentation_wbc", 5)
    train = checked.train
    assert (train.epochs, train.batch_size, train.learning_rate) == (100, 32, 4e-4)
    assert (train.schedule, train.step_epochs, train.step_factor) == ("step", 30, 0.1)
    assert (train.monitor, train.patience) == ("val_macro_f1", 10)
    assert (train.optimizer, train.class_weights) == ("adam", "balanced")
    changes = train.augmentation.model_dump(exclude_defaults=True)
    assert train.augmentation.flip
    assert changes == {"rotation": 15, "contrast": 0.2, "noise": 0.05}
    weights = checked.variants.root["full"].losses.model_dump()
    expected = {"cross_entropy": 1, "bce": 1, "dice": 1, "alignment": 0.5, "rim": 0}
    assert weights == expected
    without = checked.variants.root["without_alignment"].losses.model_dump()
    assert without == {**expected, "alignment": 0}
    full = checked.variants.root["full"]
    network = build_network(
        full.network, {"classes": 3, "image_size": 224, **full.arguments}, seed=0
    )
    with torch.inference_mode():
        _, *maps = network.eval().backbone(torch.zeros(1, 3, 224, 224))
    assert [tuple(each.shape[1:]) for each in maps] == [(64, 56, 56), (128, 28, 28), (256, 14, 14)]
