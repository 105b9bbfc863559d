"""Variants that segment and classify at once, beside one that classifies alone."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from kept_results import result_of

from wbc_pipeline.errors import UserError
from wbc_pipeline.models import NETWORKS
from wbc_pipeline.pipelines.experiment.options import Variant
from wbc_pipeline.pipelines.experiment.trainings import training_of
from wbc_pipeline.sources import demo

PROJECT = Path(__file__).parents[2]
CLASSES = ["basophil", "lymphocyte", "seg_neutrophil"]
SIZES = {"filters": [4, 4, 4], "dense": 8}
OF_MASKS = {
    *("intersection_cell", "union_cell", "intersection_nucleus", "union_nucleus"),
    *("mask_pixels", "saliency_inside"),
}


@pytest.fixture(scope="module")
def conf(tmp_path_factory):
    """The test's configuration with two joint variants of ``blend``, and a prior."""
    folder = shutil.copytree(PROJECT / "conf", tmp_path_factory.mktemp("joint") / "conf")
    shutil.rmtree(folder / "local")
    shutil.copytree(folder / "test", folder / "local")
    local = folder / "local/parameters_blend.yml"
    parameters = yaml.safe_load(local.read_text())
    parameters["blend"]["views"]["prior"] = [{"resize": {"size": 32}}, {"saliency_image": {}}]
    parameters["blend"]["variants"] = {
        "alone": {"network": "normal_cnn", "arguments": SIZES},
        "joint": {"network": "tiny_joint"},
        "unaligned": {"network": "tiny_joint", "losses": {"alignment": 0}},
    }
    local.write_text(yaml.safe_dump(parameters))
    return folder


@pytest.fixture(scope="module")
def joined(run_pipeline, conf, tmp_path_factory):
    """The outputs on two sets, of which one has no masks."""
    folder = tmp_path_factory.mktemp("joined")
    demo.list_images(
        folder / "other", cells_per_class=4, views_per_cell=2, image_size=48, classes=CLASSES
    )
    (table,) = (folder / "other").glob("*/cells.csv")
    columns = {"path_column": "image_id", "source_column": "source_id"}
    NETWORKS["tiny_joint"] = "tiny_joint:TinyJoint"
    try:
        run_pipeline(
            "blend",
            folder / "data",
            env=None,
            conf=conf,
            dataset="demo+table",
            sources={"table": {"file": str(table), **columns}},
            protocols="source",
            variants="alone+joint+unaligned",
        )
        yield folder / "data"
    finally:
        del NETWORKS["tiny_joint"]


def test_predictions_count_pixels_where_a_network_segments_and_a_mask_is_known(joined):
    table = pd.read_parquet(joined / "07_model_output/demo+table/blend/predictions.parquet")
    assert set(table) >= OF_MASKS
    known = table["union_cell"].notna()
    assert set(table.loc[known, "variant"]) == {"joint", "unaligned"}
    assert set(table.loc[known, "dataset"]) == {"demo"}
    assert known.sum() == ((table["dataset"] == "demo") & (table["variant"] != "alone")).sum()
    assert (table["intersection_cell"] <= table["union_cell"]).dropna().all()
    assert table["union_nucleus"].dtype == "Int64"


def test_scores_of_masks_stand_in_the_metrics_and_in_the_tracking(joined):
    import mlflow

    metrics = pd.read_csv(joined / "08_reporting/demo+table/blend/metrics.csv").set_index("variant")
    assert metrics.loc[["joint", "unaligned"], ["iou_cell", "dice_nucleus"]].notna().all(axis=None)
    assert metrics.loc["alone", ["iou_cell", "pixel_accuracy"]].isna().all()
    overlaps = pd.read_csv(joined / "08_reporting/demo+table/blend/overlaps.csv")
    assert set(overlaps["label"]) == {"all", *CLASSES}
    client = mlflow.MlflowClient(f"sqlite:///{joined}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("blend").experiment_id])
    tracked = {run.data.tags["variant"]: run.data.metrics for run in runs}
    assert tracked["joint"]["test/iou_cell"] == pytest.approx(metrics.loc["joint", "iou_cell"])
    assert "test/iou_cell" not in tracked["alone"]


def test_a_joint_training_is_kept_by_its_losses_and_its_prior(joined):
    from wbc_pipeline.datasets.results import all_results

    trained = {
        result.key["params"]["variant"]: result
        for result in all_results(joined)
        if "network" in result.key["params"]
    }
    joint, unaligned, alone = (trained[name].key for name in ("joint", "unaligned", "alone"))
    assert joint["params"]["losses"]["alignment"] == 0.5
    assert set(joint["data"]["views"]) == {"image", "prior"}
    assert set(unaligned["data"]["views"]) == {"image"}
    assert "losses" not in alone["params"]
    assert {"training/joint.py", "training/tasks/joint.py"} <= set(joint["code"])
    assert not {name for name in alone["code"] if "joint" in name}
    paths = trained["joint"].table("paths")
    assert set(paths["name"]) == {"cross_entropy", "bce", "dice", "alignment"}


def test_the_prior_is_bright_where_the_cell_is(joined):
    home = joined / "04_feature/demo+table/blend"
    prior = np.load(result_of(home, "prior") / "images.npy")
    masks = np.load(result_of(home, "image") / "masks.npy")
    assert prior.shape[1:] == (32, 32, 3)
    assert (prior == prior[..., :1]).all()
    cell, ground = (prior[..., 0][masks == part].mean() for part in (2, 0))
    assert cell > ground + 50


def test_a_tracked_joint_network_is_served_by_its_class_probabilities(joined):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{joined}/mlflow.db")
    experiment = client.get_experiment_by_name("blend").experiment_id
    (run,) = client.search_runs([experiment], "tags.variant = 'joint'")
    (model,) = client.search_logged_models([experiment], f"source_run_id = '{run.info.run_id}'")
    mlflow.set_tracking_uri(f"sqlite:///{joined}/mlflow.db")
    try:
        loaded = mlflow.pyfunc.load_model(model.model_uri)
    finally:
        mlflow.set_tracking_uri(None)
    answers = loaded.predict(np.zeros((2, 40, 40, 3), np.uint8))
    assert list(answers) == CLASSES
    np.testing.assert_allclose(answers.sum(axis=1), 1)


def test_losses_of_a_network_that_classifies_alone_are_refused():
    variant = Variant.model_validate({"network": "normal_cnn", "losses": {"dice": 2}})
    with pytest.raises(UserError, match=r"normal_cnn classifies alone.*variant sharp"):
        training_of(variant, identity={"variant": "sharp"})


def test_an_unknown_loss_is_refused():
    with pytest.raises(ValueError, match=r"losses\.focal"):
        Variant.model_validate({"network": "normal_cnn", "losses": {"focal": 2}})
