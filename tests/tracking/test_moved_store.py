import shutil

import mlflow
import pytest


@pytest.fixture(scope="module")
def original(tmp_path_factory, make_tracker):
    """A store with one run that has a file."""
    folder = tmp_path_factory.mktemp("before")
    tracker = make_tracker(folder)
    params = {"paper": "blend", "variant": "a", "protocol": "random", "seed": 0, "fold": 0}
    key = {"params": {**params, "dataset": "demo", "network": "n"}, "data": {}, "code": {}}
    with tracker.run(key):
        run = mlflow.MlflowClient(tracker.uri).search_runs(["1"])[0]
        mlflow.MlflowClient(tracker.uri).log_text(run.info.run_id, "kept", "note.txt")
    return folder, key, run.info.run_id


def read_note(tracker, run_id):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
        return mlflow.artifacts.load_text(f"runs:/{run_id}/note.txt")


def test_a_copied_store_uses_its_own_artifacts(original, make_tracker, tmp_path):
    folder, key, run_id = original
    shutil.copytree(folder, tmp_path / "copy")
    tracker = make_tracker(tmp_path / "copy")
    client = mlflow.MlflowClient(tracker.uri)
    here = (tmp_path / "copy/mlartifacts").as_uri()
    assert client.get_run(run_id).info.artifact_uri.startswith(here)
    with tracker.run({**key, "data": {"rows": "other"}}):
        pass
    assert all(run.info.artifact_uri.startswith(here) for run in client.search_runs(["1"]))
    (tmp_path / "copy").rename(tmp_path / "moved")
    assert read_note(make_tracker(tmp_path / "moved"), run_id) == "kept"


def test_a_database_copied_alone_keeps_the_artifacts_where_they_are(
    original, make_tracker, tmp_path
):
    folder, _, run_id = original
    shutil.copy(folder / "mlflow.db", tmp_path)
    assert read_note(make_tracker(tmp_path), run_id) == "kept"


def test_a_store_that_stayed_stays_as_it_is(original, make_tracker):
    folder, _, run_id = original
    assert read_note(make_tracker(folder), run_id) == "kept"
