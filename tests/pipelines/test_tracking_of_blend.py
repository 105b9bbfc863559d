from itertools import product
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from kept_results import result_of, variants_of
from mlflow.utils.file_utils import local_file_uri_to_path

VARIANTS = variants_of("blend")


@pytest.fixture(scope="module")
def runs(blended):
    client = mlflow.MlflowClient(f"sqlite:///{blended}/mlflow.db")
    experiment = client.get_experiment_by_name("blend")
    return client, client.search_runs([experiment.experiment_id])


def test_one_flat_run_for_each_variant_protocol_and_seed(runs):
    _, found = runs
    identities = {(run.data.tags["variant"], run.data.tags["protocol"]) for run in found}
    assert identities == set(product(VARIANTS, ("random", "source")))
    assert not any("mlflow.parentRunId" in run.data.tags for run in found)
    assert {run.info.status for run in found} == {"FINISHED"}


def test_runs_have_curves_scores_and_where_they_come_from(runs):
    client, found = runs
    run = next(run for run in found if run.data.tags["variant"] == "blend")
    assert [point.step for point in client.get_metric_history(run.info.run_id, "val/loss")] == [0]
    assert {"test/accuracy", "test/log_loss", "path/alpha", "cost/training_seconds"} <= set(
        run.data.metrics
    )
    assert {"key", "data_digest", "command", "dataset", "hardware"} <= set(run.data.tags)


def test_test_scores_are_those_of_the_report(runs, blended):
    _, found = runs
    metrics = pd.read_csv(blended / "08_reporting/demo/blend/metrics.csv")
    scores = metrics.set_index(["variant", "protocol"])["accuracy"]
    for run in found:
        expected = scores[run.data.tags["variant"], run.data.tags["protocol"]]
        assert run.data.metrics["test/accuracy"] == pytest.approx(expected)


def test_what_was_trained_while_nothing_tracked_is_entered_by_the_next_command(
    run_pipeline, tmp_path
):
    run_pipeline("blend", tmp_path, tracking={"enabled": False})
    assert not (tmp_path / "mlflow.db").exists()
    run_pipeline("blend", tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("blend")
    found = client.search_runs([experiment.experiment_id])
    assert len(found) == len(VARIANTS) * 2
    for run in found:
        assert {"val/loss", "test/accuracy", "cost/training_seconds"} <= set(run.data.metrics)
        assert run.data.params["stages.main.epochs"] == "1"


def test_logged_model_predicts_from_images(runs, blended, monkeypatch):
    _, found = runs
    run = next(run for run in found if run.data.tags["variant"] == "blend")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{blended}/mlflow.db")
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    images = np.load(result_of(blended / "03_primary/demo/images") / "images.npy")[:3]
    probabilities = model.predict(images)
    assert list(probabilities.columns) == ["basophil", "lymphocyte", "seg_neutrophil"]
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert model.metadata.signature is not None


@pytest.mark.slow
def test_a_moved_data_folder_keeps_its_models_and_leaves_the_old_place_alone(
    run_pipeline, tmp_path, monkeypatch
):
    run_pipeline("blend", tmp_path / "old", variants="normal")
    (tmp_path / "old").rename(tmp_path / "new")
    run_pipeline("blend", tmp_path / "new", variants="normal")
    assert not (tmp_path / "old").exists()
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("blend")
    for run in client.search_runs([experiment.experiment_id]):
        model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
        assert len(model.predict(np.zeros((1, 32, 32, 3), np.uint8))) == 1
        figure = mlflow.artifacts.list_artifacts(f"runs:/{run.info.run_id}/figures")
        assert [each.path for each in figure] == ["figures/run.png"]


def test_the_report_is_an_artifact_of_the_commands_run_among_the_reports(runs, blended):
    client, _ = runs
    experiment = client.get_experiment_by_name("reports")
    (run,) = client.search_runs([experiment.experiment_id])
    folder = Path(local_file_uri_to_path(run.info.artifact_uri))
    report = blended / "08_reporting/demo/blend/report.html"
    assert (folder / "blend/report.html").read_text() == report.read_text()
    assert "experiment blend, filter tags.dataset = &#39;demo&#39;" in report.read_text()
