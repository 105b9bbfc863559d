import shutil
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest

from wbc_pipeline.tracking import current_tracker
from wbc_pipeline.tracking.hook import TrackingHook

DETECTOR = {"name": "light_detector", "arguments": {"image_size": 64}, "views": {"image": []}}


class Nodes:
    def __init__(self, *tags):
        self.nodes = [SimpleNamespace(tags=set(tags))]


@pytest.fixture
def hook(tmp_path, monkeypatch, empty_database):
    shutil.copy(empty_database, tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    hook = TrackingHook()
    options = {"enabled": True, "uri": f"sqlite:///{tmp_path}/mlflow.db"}
    parameters = {"tracking": options, "data": str(tmp_path), "dataset": "demo"}
    hook.after_context_created(SimpleNamespace(config_loader={"parameters": parameters}))
    yield hook
    hook.after_pipeline_run()


def runs(paper):
    client = mlflow.MlflowClient(current_tracker.get().uri)
    experiment = client.get_experiment_by_name(paper)
    return client.search_runs([experiment.experiment_id]) if experiment else []


def test_a_pipeline_that_neither_trains_nor_reports_is_not_tracked(hook):
    hook.before_pipeline_run({"run_id": "now"}, Nodes("ingestion"))
    assert current_tracker.get() is None


def test_kept_trainings_are_entered_when_they_are_loaded_detectors_too(
    hook, make_key, write_result, example, tmp_path
):
    hook.before_pipeline_run({"run_id": "now"}, Nodes("training"))
    detector = write_result(make_key("localize", variant="light"), network=DETECTOR)
    hook.after_dataset_loaded("localize.detectors", {"light/source-0": detector})
    assert len(runs("localize")) == 1
    hook.after_dataset_loaded("images", SimpleNamespace(pixels=np.repeat(example, 3, axis=0)))
    classifier = write_result(make_key("blend"), folder=tmp_path / "classifier")
    hook.after_dataset_loaded("blend.trainings", {"normal/source-0": classifier})
    (run,) = runs("blend")
    assert run.outputs.model_outputs
    hook.after_dataset_loaded("blend.predictions", {"normal/source-0": classifier})
    assert len(runs("blend")) == 1


def test_all_reports_of_a_command_are_artifacts_of_one_run(hook):
    hook.before_pipeline_run({"run_id": "now"}, Nodes("reporting"))
    for name in ("blend", "audit"):
        hook.after_dataset_saved(f"{name}.report.report", f"<h1>{name}</h1>")
    (run,) = runs("reports")
    assert run.info.status == "FINISHED"
    assert run.data.tags["kedro_run"] == "now" and run.data.tags["dataset"] == "demo"
    client = mlflow.MlflowClient(current_tracker.get().uri)
    for name in ("blend", "audit"):
        (page,) = client.list_artifacts(run.info.run_id, name)
        assert page.path == f"{name}/report.html" and page.file_size > 0
        assert f"experiment `{name}`, filter `tags.dataset" in run.data.tags["mlflow.note.content"]
    hook.after_pipeline_run()
    hook.before_pipeline_run({"run_id": "later"}, Nodes("reporting"))
    hook.after_dataset_saved("blend.report.report", "<h1>blend</h1>")
    assert len(runs("reports")) == 2
