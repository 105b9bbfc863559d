import time

import mlflow
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.tracking import current_tracker, track_run
from wbc_pipeline.tracking.tracker import Tracker

KEY = {
    "paper": "blend",
    "variant": "normal",
    "protocol": "source",
    "seed": 0,
    "fold": 0,
    "dataset": "demo",
    "train": {"epochs": 1},
    "views": {"image": "abc"},
    "labels": "def",
    "rows": "ghi",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder}/mlflow.db"
    return Tracker(uri, artifacts=(folder / "mlartifacts").as_uri(), tags={"kedro_run": "now"})


@pytest.fixture
def tracker(store):
    current_tracker.set(store)
    yield store
    current_tracker.set(None)


def status_of_latest(tracker):
    client = mlflow.MlflowClient(tracker.uri)
    experiment = client.get_experiment_by_name("blend")
    return client.search_runs([experiment.experiment_id])[0]


def test_a_run_is_finished_with_its_parameters_and_tags(tracker):
    with track_run(KEY):
        assert status_of_latest(tracker).info.status == "RUNNING"
    run = status_of_latest(tracker)
    assert run.info.status == "FINISHED"
    assert run.data.params["train.epochs"] == "1"
    assert run.data.tags["variant"] == "normal"
    assert run.data.tags["kedro_run"] == "now"
    assert run.inputs.dataset_inputs[0].dataset.name == "demo"


def test_system_metrics_are_sampled(tracker):
    with track_run(KEY):
        time.sleep(2.5)
    assert "system/cpu_utilization_percentage" in status_of_latest(tracker).data.metrics


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_a_run_that_ends_early_says_how(tracker, error, status):
    with pytest.raises(error), track_run(KEY):
        raise error
    assert status_of_latest(tracker).info.status == status


def scores(key):
    run = {"variant": "normal", "protocol": "source", "seed": 0}
    metrics = pd.DataFrame([{**run, "condition": "clean", "accuracy": 0.75, "auc": np.nan}])
    summary = {
        "key": key,
        "epochs": 1,
        "best_epoch": 0,
        "training_seconds": 1.0,
        "seconds_per_epoch": 1.0,
        "parameters": 10,
    }
    return metrics, pd.DataFrame([{**run, **summary}])


def test_test_scores_join_the_run_that_was_trained(tracker):
    with track_run(KEY):
        pass
    trained = status_of_latest(tracker)
    tracker.log_scores("blend", *scores(trained.data.tags["key"]))
    run = mlflow.MlflowClient(tracker.uri).get_run(trained.info.run_id)
    assert run.data.metrics["test_accuracy"] == 0.75
    assert "test_auc" not in run.data.metrics  # not a number


def test_a_dead_server_warns_and_costs_seconds(monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    start = time.perf_counter()
    dead = Tracker("http://127.0.0.1:9", artifacts=None, tags={})
    current_tracker.set(dead)
    with track_run(KEY) as tracked:
        assert list(tracked.callbacks) == []
    current_tracker.set(None)
    assert time.perf_counter() - start < 15
    assert sum("no longer tracked" in record.message for record in caplog.records) == 1


def test_without_a_tracker_nothing_is_tracked():
    with track_run(KEY) as tracked:
        assert list(tracked.callbacks) == []
