import time

import mlflow
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.keys import digest
from wbc_pipeline.provenance import command_line
from wbc_pipeline.tracking import current_tracker, model_logging, track_run
from wbc_pipeline.tracking.tracker import Tracker

DETECTOR = {
    "name": "light_detector",
    "arguments": {"image_size": 64},
    "views": {"image": [{"resize": {"size": 64}}]},
}


def runs_of(tracker, key):
    client = mlflow.MlflowClient(tracker.uri)
    experiment = client.get_experiment_by_name(key["params"]["paper"])
    return client.search_runs([experiment.experiment_id])


def only_run(tracker, key):
    (run,) = runs_of(tracker, key)
    return run


def curve(tracker, key, name):
    run = only_run(tracker, key)
    points = mlflow.MlflowClient(tracker.uri).get_metric_history(run.info.run_id, name)
    return sorted((point.step, point.value) for point in points)


def fail(*args, **kwargs):
    raise OSError("no space left")


def report_of(key, **scores):
    run = {name: key["params"][name] for name in ("variant", "protocol", "seed")}
    metrics = pd.DataFrame([{**run, "condition": "clean", **scores}])
    return metrics, pd.DataFrame([{**run, "key": digest(key)}])


def test_a_run_is_finished_with_its_parameters_and_tags(tracker, key):
    with track_run(key):
        assert only_run(tracker, key).info.status == "RUNNING"
    run = only_run(tracker, key)
    assert run.info.status == "FINISHED"
    assert run.data.params["stages.main.epochs"] == "2"
    assert run.data.tags["variant"] == "normal"
    assert run.data.tags["key"] == digest(key)
    assert run.data.tags["kedro_run"] == "now"
    assert run.inputs.dataset_inputs[0].dataset.name == "demo"


def test_a_run_says_where_it_comes_from_in_standard_tags(tracker, key):
    with track_run(key):
        pass
    tags = only_run(tracker, key).data.tags
    assert tags["mlflow.source.name"] == command_line()
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["mlflow.source.git.commit"] == tags["git_commit"]
    assert tags["mlflow.user"]
    assert tags["versions.torch"]
    for word in ("normal_cnn", "demo", "source", "seed 0"):
        assert word in tags["mlflow.note.content"]


def test_system_metrics_are_sampled(tracker, key):
    with track_run(key):
        time.sleep(2.5)
    assert "system/cpu_utilization_percentage" in only_run(tracker, key).data.metrics


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED"), (SystemExit, "KILLED")],
)
def test_a_run_that_ends_early_says_how(tracker, key, error, status):
    with pytest.raises(error), track_run(key):
        raise error
    assert only_run(tracker, key).info.status == status


def test_a_run_whose_model_cannot_be_logged_ends_and_is_completed_later(
    tracker, key, write_result, example, monkeypatch
):
    result = write_result(key)
    with monkeypatch.context() as patch:
        patch.setattr(model_logging, "log_model", fail)
        with track_run(key) as tracked:
            tracked.log_result(result.folder, example=example)
    assert tracker.is_broken
    assert only_run(tracker, key).info.status == "FINISHED"
    assert not only_run(tracker, key).outputs.model_outputs
    tracker.is_broken = False  # the next command
    tracker.enter(result, example)
    run = only_run(tracker, key)
    assert len(run.outputs.model_outputs) == 1
    assert run.data.metrics["cost/training_seconds"] == 3
    assert curve(tracker, key, "train/loss") == [(0, 2.0), (1, 1.0)]
    assert curve(tracker, key, "path/alpha") == [(1, 0.5), (2, 0.6)]  # logged once


def test_a_resumed_training_gets_the_epochs_of_before_and_no_point_twice(
    tracker, key, write_result
):
    result = write_result(key, network=DETECTOR)
    with track_run(key) as tracked:
        tracked.logger.log_metrics({"train_loss": 1.0, "epoch": 1.0}, step=7)
        tracked.log_result(result.folder)
    assert curve(tracker, key, "train/loss") == [(0, 2.0), (1, 1.0)]
    assert curve(tracker, key, "val/loss") == [(0, 2.0), (1, 1.0)]
    assert only_run(tracker, key).data.metrics["train/loss"] == 1.0  # of the last epoch


def test_a_run_says_what_each_stage_has_unfrozen_and_at_which_rate(tracker, key, write_result):
    result = write_result(key, network=DETECTOR)
    history = pd.read_parquet(result.folder / "history.parquet").assign(
        stage=["head", "all"],
        stage_number=[0.0, 1.0],
        unfrozen=["classes", "backbone, classes"],
        unfrozen_parameters=[12.0, 3000.0],
        learning_rate=[1e-3, 1e-5],
    )
    history.to_parquet(result.folder / "history.parquet")
    with track_run(key) as tracked:
        tracked.log_result(result.folder)
    assert curve(tracker, key, "stage/number") == [(0, 0), (1, 1)]
    assert curve(tracker, key, "stage/learning_rate") == [(0, 1e-3), (1, 1e-5)]
    assert curve(tracker, key, "stage/unfrozen_parameters") == [(0, 12), (1, 3000)]
    tags = only_run(tracker, key).data.tags
    assert (tags["unfrozen.head"], tags["unfrozen.all"]) == ("classes", "backbone, classes")


@pytest.mark.parametrize("method", ["log_batch", "log_inputs", "get_run"])
def test_a_run_whose_beginning_cannot_be_logged_ends(tracker, key, method, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(tracker._client, method, fail)
        with track_run(key):
            pass
    assert only_run(tracker, key).info.status == "FINISHED"


def test_system_metrics_that_cannot_be_had_leave_no_run_open(tracker, key, monkeypatch):
    monkeypatch.setattr("wbc_pipeline.tracking.tracker.SystemMetricsMonitor", fail)
    with track_run(key):
        pass
    assert only_run(tracker, key).info.status == "FINISHED"


def test_a_training_made_while_nothing_tracked_is_entered_once(tracker, key, write_result, example):
    result = write_result(key)
    tracker.enter(result, example)
    tracker.enter(result, example)
    run = only_run(tracker, key)
    assert run.info.status == "FINISHED"
    assert curve(tracker, key, "train/loss") == [(0, 2.0), (1, 1.0)]
    assert run.data.tags["mlflow.source.git.commit"] == "c0ffee"  # of the training
    assert run.data.tags["result_folder"] in run.data.tags["mlflow.note.content"]


def test_a_detector_is_entered_without_images_and_without_a_model(tracker, key, write_result):
    tracker.enter(write_result(key, network=DETECTOR), None)
    run = only_run(tracker, key)
    assert run.data.metrics["cost/training_seconds"] == 3
    assert not run.outputs.model_outputs


def test_a_classifier_entered_without_images_gets_its_model_from_a_command_that_has_them(
    tracker, key, write_result, example
):
    result = write_result(key)
    tracker.enter(result, None)
    assert not only_run(tracker, key).outputs.model_outputs
    tracker.enter(result, example)
    assert only_run(tracker, key).outputs.model_outputs


def test_test_scores_join_the_run_that_was_trained(tracker, key):
    with track_run(key):
        pass
    scores = {"accuracy": 0.75, "accuracy_low": 0.6, "accuracy_high": 0.8, "auc": np.nan}
    tracker.log_scores(key["params"]["paper"], *report_of(key, **scores))
    run = only_run(tracker, key)
    assert run.data.metrics["test/accuracy"] == 0.75
    assert "test/auc" not in run.data.metrics  # not a number
    assert "test/accuracy_low" not in run.data.metrics
    assert "0.750** (interval 0.600 to 0.800)" in run.data.tags["mlflow.note.content"]
    assert "08_reporting/demo" in run.data.tags["mlflow.note.content"]


def test_scores_that_have_not_changed_are_not_logged_again(tracker, key):
    with track_run(key):
        pass
    for accuracy in (0.7, 0.7, 0.8):
        tracker.log_scores(key["params"]["paper"], *report_of(key, accuracy=accuracy))
    assert curve(tracker, key, "test/accuracy") == [(0, 0.7), (0, 0.8)]


def test_an_ensemble_has_one_run_however_often_it_is_logged(tracker, request, make_key):
    paper = request.node.name
    trained = make_key(paper)
    ensemble = make_key(paper, variant="both", members=["normal", "blend"], combine="weighted")
    del ensemble["params"]["network"]
    for accuracy in (0.8, 0.9):
        tracker.log_ensemble(ensemble, weights={"normal": 0.25, "blend": 0.75})
        metrics, _ = report_of(ensemble, accuracy=accuracy)
        tracker.log_scores(paper, metrics, report_of(trained)[1])
    run = only_run(tracker, ensemble)
    assert run.info.status == "FINISHED"
    assert run.data.params["members"] == "['normal', 'blend']"
    assert run.data.params["combine"] == "weighted"
    assert run.data.params["weights.blend"] == "0.75"
    assert run.data.metrics["test/accuracy"] == 0.9
    assert "ensemble of ['normal', 'blend']" in run.data.tags["mlflow.note.content"]


def test_a_dead_server_warns_and_costs_seconds(monkeypatch, caplog, key):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    start = time.perf_counter()
    dead = Tracker("http://127.0.0.1:9", artifacts=None, tags={})
    current_tracker.set(dead)
    with track_run(key) as tracked:
        assert tracked.logger is None
    current_tracker.set(None)
    assert time.perf_counter() - start < 15
    assert sum("no longer tracked" in record.message for record in caplog.records) == 1


def test_without_a_tracker_nothing_is_tracked(key, tmp_path):
    with track_run(key) as tracked:
        assert tracked.logger is None
        tracked.log_result(tmp_path)


def test_a_store_of_files_costs_a_warning_and_not_the_run(tmp_path, key, caplog):
    (tmp_path / "mlruns").mkdir()
    tracker = Tracker(f"file:{tmp_path}/mlruns", artifacts=None, tags={})
    with tracker.run(key) as tracked:
        assert tracked.logger is None
    database = f"sqlite:///{tmp_path}/mlruns.db"
    (record,) = caplog.records
    assert record.getMessage() == (
        f"MLflow no longer writes into folders of files like {tmp_path}/mlruns: this command is "
        "not tracked. Its results are on disk, and the next command that tracks enters them. Take "
        f"the old runs along with `mlflow migrate-filestore --source {tmp_path}/mlruns --target "
        f"{database}`, then set MLFLOW_TRACKING_URI={database}."
    )
    assert not list((tmp_path / "mlruns").iterdir())


def test_no_old_runs_are_taken_along_where_there_are_none(tmp_path, key, caplog):
    with Tracker(f"{tmp_path}/mlruns", artifacts=None, tags={}).run(key):
        pass
    assert caplog.messages[0].endswith(
        f"enters them. Set MLFLOW_TRACKING_URI=sqlite:///{tmp_path}/mlruns.db."
    )
    assert not (tmp_path / "mlruns").exists()


def test_an_address_that_mlflow_does_not_know_costs_a_warning(key, caplog):
    with Tracker("foo://nowhere", artifacts=None, tags={}).run(key):
        pass
    (record,) = caplog.records
    assert record.getMessage().startswith("MLflow at foo://nowhere failed")
