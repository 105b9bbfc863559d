"""The contracts of ``design``: what flows between stages, as one run of ``blend`` leaves it."""

import json

import numpy as np
import pandas as pd
import pytest
from kept_results import result_of

from wbc_pipeline.datasets.atomic import SUFFIXES
from wbc_pipeline.evaluation.scores.entries import METRICS
from wbc_pipeline.imaging.packing import accepted
from wbc_pipeline.models import load_network

MANIFEST = [
    *("image_id", "dataset", "label", "source_id", "source_group", "domain", "published_part"),
    *("box", "mask_path", "width", "height", "sha256", "status"),
]
SPLITS = ["dataset", "image_id", "protocol", "seed", "fold", "part"]
PREDICTIONS = [
    *("dataset", "image_id", "source_id", "part", "variant", "protocol", "seed", "fold"),
    *("condition", "label", "p_basophil", "p_lymphocyte", "p_seg_neutrophil", "inference_ms"),
]
RUN = ["variant", "protocol", "seed", "fold"]
CHARTS = ("score_intervals", "training_curves", "robustness_curves")  # that Plotly draws on a page
SAID_OTHERWISE = ("verdict", "confusion_matrices")  # by a sentence, and by a matrix to click
KEPT = ("02_intermediate", "03_primary", "04_feature", "05_model_input", "06_models")
TRAINED = {
    *("key.json", "provenance.json", "summary.json", "network.json"),
    *("weights.safetensors", "history.parquet", "paths.parquet"),
}


@pytest.fixture(scope="module")
def manifest(blended):
    return pd.read_parquet(blended / "02_intermediate/demo/manifest.parquet")


@pytest.fixture(scope="module", params=["predictions", "robustness_predictions"])
def predictions(blended, request):
    return pd.read_parquet(blended / f"07_model_output/demo/blend/{request.param}.parquet")


def test_the_manifest_has_a_row_per_image(manifest):
    assert set(MANIFEST) <= set(manifest)
    assert manifest["image_id"].is_unique
    assert (manifest[["dataset", "status"]] == ["demo", "ok"]).all(axis=None)
    assert manifest["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert (manifest.groupby("source_id")["source_group"].nunique() == 1).all()


def test_images_and_masks_are_of_the_accepted_rows_in_order(blended, manifest):
    folder = result_of(blended / "03_primary/demo/images")
    images, masks = (np.load(folder / f"{name}.npy") for name in ("images", "masks"))
    assert images.dtype == masks.dtype == np.uint8
    assert images.shape == (len(accepted(manifest)), 48, 48, 3)
    assert masks.shape == images.shape[:3]
    assert set(np.unique(masks)) == {0, 1, 2}  # background, cytoplasm, nucleus
    outcome = pd.read_parquet(folder / "outcome.parquet")
    assert outcome["image_id"].tolist() == manifest["image_id"].tolist()


@pytest.mark.parametrize("view", ["image", "foreground"])
def test_a_view_is_an_array_of_the_same_rows(blended, manifest, view):
    pixels = np.load(result_of(blended / "04_feature/demo/blend", view) / "images.npy")
    assert (pixels.dtype, pixels.shape) == (np.uint8, (len(accepted(manifest)), 32, 32, 3))


def test_splits_give_each_image_one_part_of_each_run(blended, manifest):
    splits = pd.read_parquet(blended / "05_model_input/demo/splits.parquet")
    assert list(splits) == SPLITS
    assert set(splits["part"]) == {"train", "validation", "test"}
    assert not splits.duplicated(["image_id", "protocol", "seed", "fold"]).any()
    assert set(splits["image_id"]) == set(manifest["image_id"])
    dealt = result_of(blended / "05_model_input/demo/splits", "source-0") / "splits.parquet"
    pd.testing.assert_frame_equal(
        pd.read_parquet(dealt), splits[splits["protocol"] == "source"].reset_index(drop=True)
    )


def test_predictions_have_a_row_per_run_image_and_condition(predictions, manifest):
    assert list(predictions) == PREDICTIONS
    assert not predictions.duplicated([*RUN, "image_id", "condition"]).any()
    probabilities = predictions.filter(regex="^p_")
    assert np.allclose(probabilities.sum(axis=1), 1)
    facts = predictions.merge(manifest, on=["dataset", "image_id"], suffixes=("", "_of_image"))
    assert len(facts) == len(predictions)
    assert (facts["label"] == facts["label_of_image"]).all()
    assert (facts["source_id"] == facts["source_group"]).all()


def test_a_training_leaves_weights_without_code_and_what_rebuilds_the_network(blended):
    folders = [path.parent for path in blended.glob("06_models/demo/blend/*/*/key.json")]
    assert len(folders) == 10
    for folder in folders:
        assert {path.name for path in folder.iterdir()} == TRAINED
        _, description = load_network(folder)
        assert set(description) == {
            *("name", "arguments", "views", "classes", "class_counts", "packed_size"),
            "trained_as",
        }
        assert set(description["views"]) <= {"image", "foreground"}


def test_every_kept_result_lies_in_a_folder_named_by_its_key_and_says_how_it_was_made(blended):
    from wbc_pipeline.datasets.results import all_results

    results = all_results(blended)
    assert {result.folder.relative_to(blended).parts[0] for result in results} >= set(KEPT)
    for result in results:
        assert set(result.key) == {"params", "data", "code"}
        assert result.folder.name.rpartition("-")[2] == result.digest
        assert {"seconds", "date", "versions", "cores", "command"} <= set(result.provenance)


def test_the_last_command_s_results_are_found_by_name(blended):
    folder = blended / "06_models/demo/blend"
    places = json.loads((folder / "latest.json").read_text())
    assert set(places) == {
        f"{variant}/{protocol}-0"
        for variant in ("normal", "blend", "learnable_canny", "soft_mask", "adaptive_blend")
        for protocol in ("random", "source")
    }
    assert all((folder / place / "key.json").is_file() for place in places.values())


def test_reports_score_every_run_and_every_fold(blended):
    reports = blended / "08_reporting/demo/blend"
    metrics, by_fold = (
        pd.read_csv(reports / f"{name}.csv") for name in ("metrics", "metrics_by_fold")
    )
    of_classes = {name: metric for name, metric in METRICS.items() if not metric.columns}
    scores = [name for name, metric in of_classes.items() if metric.is_score]
    intervals = [name for name, metric in of_classes.items() if metric.interval]
    shared = {"images", "sources", *scores, *(f"{name}_low" for name in intervals)}
    assert {"variant", "protocol", "seed", "condition", *shared} <= set(metrics)
    assert {*RUN, "condition", "tested", *shared} <= set(by_fold)
    assert (metrics["condition"] == "clean").all()
    for name in ("scores_chart", "curves_chart", "robustness_chart"):  # what kedro-viz draws
        assert {"data", "layout"} <= set(json.loads((reports / f"{name}.json").read_text()))


def test_a_report_is_one_page_of_what_lies_beside_it(blended):
    reports = blended / "08_reporting/demo/blend"
    page = (reports / "report.html").read_text()
    listed = {}
    for index in reports.glob(".*.json"):
        listed |= json.loads(index.read_text())
    assert len(listed) > 15
    for name, item in listed.items():
        assert item["heading"] and item["caption"], name
        assert (reports / f"{name}{SUFFIXES[item['kind']]}").is_file()
        kind = "chart" if name in CHARTS else item["kind"]
        assert name in SAID_OTHERWISE or f'id="{kind}-{name}"' in page
