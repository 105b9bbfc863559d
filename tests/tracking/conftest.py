import json
import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.datasets.results import Result
from wbc_pipeline.models import build_network, save_network
from wbc_pipeline.tracking import current_tracker
from wbc_pipeline.tracking.tracker import Tracker

IDENTITY = {
    "paper": "blend",
    "variant": "normal",
    "protocol": "source",
    "seed": 0,
    "fold": 0,
    "dataset": "demo",
}
CLASSES = ["basophil", "monocyte"]
NETWORK = {
    "name": "normal_cnn",
    "arguments": {"classes": len(CLASSES), "image_size": 16},
    "classes": CLASSES,
    "packed_size": 16,
    "views": {"image": [{"clahe": {}}, {"resize": {"size": 16}}]},
}


@pytest.fixture
def network():
    """What stands in ``network.json`` of a small classifier."""
    return NETWORK


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """An MLflow database of which tests take copies: making one takes seconds."""
    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture(scope="session")
def make_tracker(empty_database):
    def make(folder):
        if not (folder / "mlflow.db").exists():
            shutil.copy(empty_database, folder)
        artifacts = (folder / "mlartifacts").as_uri()
        uri = f"sqlite:///{folder}/mlflow.db"
        tags = {"kedro_run": "now"}
        return Tracker(uri, artifacts=artifacts, tags=tags, reports=folder / "08_reporting")

    return make


@pytest.fixture(scope="session")
def _store(tmp_path_factory, make_tracker):
    return make_tracker(tmp_path_factory.mktemp("store"))


@pytest.fixture
def tracker(_store):
    current_tracker.set(_store)
    yield _store
    _store.is_broken = False
    current_tracker.set(None)


@pytest.fixture
def make_key():
    """A key that no other test has: its paper is named after the test."""

    def make(request_name, **params):
        identity = {**IDENTITY, "paper": request_name, "network": "normal_cnn"}
        train = {"stages": {"main": {"epochs": 2}}}
        return {"params": {**identity, **train, **params}, "data": {"rows": "a"}, "code": {}}

    return make


@pytest.fixture
def key(request, make_key):
    return make_key(request.node.name)


@pytest.fixture
def write_result(tmp_path):
    """Write what a training of two epochs leaves behind, a classifier's or a detector's."""

    def write(key, *, network=NETWORK, folder=tmp_path / "normal-source-0-abc"):
        folder.mkdir()
        build = {name: network[name] for name in ("name", "arguments")}
        save_network(folder, build_network(**build, seed=0), network)
        history = {"stage": "main", "epoch": [0, 1], "train_loss": [2.0, 1.0], "val_loss": [2, 1]}
        pd.DataFrame({**history, "seconds": 1.0}).to_parquet(folder / "history.parquet")
        paths = {"stage": "main", "step": [1, 2], "epoch": 0, "name": "alpha", "value": [0.5, 0.6]}
        pd.DataFrame(paths).to_parquet(folder / "paths.parquet")
        summary = {"epochs": 2, "best_epoch": 1, "training_seconds": 3.0, "device": "cpu"}
        facts = {"command": "kedro run --pipeline=blend", "git_commit": "c0ffee"}
        for name, content in {
            "summary": summary,
            "provenance": {**facts, "versions": {"torch": "2"}},
            "key": key,
        }.items():
            (folder / f"{name}.json").write_text(json.dumps(content))
        return Result(folder)

    return write


@pytest.fixture(scope="session")
def example():
    return np.random.default_rng(0).integers(0, 255, (1, 16, 16, 3), np.uint8)
