import ast
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
import torch
from mlflow.utils.file_utils import local_file_uri_to_path

from wbc_pipeline.models import (
    NETWORK_FILES,
    NETWORKS,
    load_network,
    network_class,
    save_network,
)
from wbc_pipeline.tracking import served_code
from wbc_pipeline.tracking.model_logging import served_modules
from wbc_pipeline.tracking.served_code import reachable_files, requirements
from wbc_pipeline.tracking.served_model import ImageClassifier
from wbc_pipeline.training.predict import correct_prior, predict_probabilities
from wbc_pipeline.training.turns import Turned

VIEWS = {"image": [{"clahe": {}}, {"wavelet": {}}], "region": [{"colour_region": {}}]}


@pytest.fixture
def artifacts(tracker, key, write_result, example):
    """The kept result, and the folder of the model that was logged for it."""
    result = write_result(key)
    tracker.enter(result, example)
    client = mlflow.MlflowClient(tracker.uri)
    run = tracker._find(key["params"]["paper"], result.digest)
    model = client.get_logged_model(run.outputs.model_outputs[0].model_id)
    return result, run, Path(local_file_uri_to_path(model.artifact_location))


def names_of(lines):
    return {line.partition("==")[0].lower() for line in lines}


def third_party(file):
    """Modules of other packages in import statements of a file, types' imports apart."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.split(".")[0])
    return modules - sys.stdlib_module_names - {"wbc_pipeline"}


@pytest.fixture(scope="module")
def are_required():
    packages = packages_distributions()

    def check(modules, lines):
        return all({name.lower() for name in packages[each]} & names_of(lines) for each in modules)

    return check


@pytest.mark.parametrize("network", NETWORKS)
def test_requirements_have_all_that_the_code_beside_imports(network, are_required):
    files = reachable_files(served_modules({"name": network, "views": VIEWS}))
    needed = set().union(*map(third_party, files))
    assert are_required(needed, requirements(files))


def test_a_network_of_torchvision_requires_torchvision():
    description = {"name": "imagenet_cnn", "views": {}}
    assert "torchvision" in names_of(requirements(reachable_files(served_modules(description))))


def test_requirements_name_versions_that_an_index_has(monkeypatch):
    monkeypatch.setattr(served_code, "version", lambda name: "2.11.0+cpu")
    served_code._version.cache_clear()
    try:
        assert "numpy==2.11.0" in requirements(
            [Path(served_code.__file__).with_name("served_model.py")]
        )
    finally:
        served_code._version.cache_clear()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_code_beside_is_the_network_and_what_it_needs_and_no_pipeline(network):
    files = reachable_files(served_modules({"name": network, "views": VIEWS}))
    places = {file.as_posix().partition("/wbc_pipeline/")[2] for file in files}
    assert f"models/{network_class(network).__module__.rpartition('.')[2]}.py" in places
    assert {"imaging/enhance.py", "imaging/denoise.py", "imaging/roi.py"} <= places
    assert not any(place.startswith(("pipelines/", "sources/")) for place in places)


def test_weights_are_kept_once(artifacts):
    result, _, logged = artifacts
    weights = logged / "artifacts/network/weights.safetensors"
    assert os.path.samefile(weights, result.folder / "weights.safetensors")
    others = sum(
        file.stat().st_size for file in logged.rglob("*") if file.is_file() and file != weights
    )
    assert others < 700_000


def test_a_model_predicts_with_the_code_beside_and_imports_nothing_but_its_requirements(
    artifacts, example, tmp_path, are_required
):
    _, _, logged = artifacts
    np.save(tmp_path / "example.npy", example)
    code = dedent(f"""
        import builtins, sys
        import mlflow, numpy as np
        imported, real = set(), builtins.__import__
        def record(name, globals=None, locals=None, fromlist=(), level=0):
            if globals and str(globals.get("__name__")).startswith("wbc_pipeline"):
                imported.add(name.split(".")[0])
            return real(name, globals, locals, fromlist, level)
        builtins.__import__ = record
        model = mlflow.pyfunc.load_model({str(logged)!r})
        table = model.predict(np.load({str(tmp_path / "example.npy")!r}))
        assert abs(table.sum(axis=1) - 1).max() < 1e-6
        import wbc_pipeline
        print(*imported)
        print(wbc_pipeline.__file__)
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    *_, imported, place = done.stdout.splitlines()
    assert place.startswith(str(logged / "code"))
    others = set(imported.split()) - sys.stdlib_module_names - {"wbc_pipeline"}
    lines = (logged / "requirements.txt").read_text().splitlines()
    assert others and are_required(others, lines)
    assert "mlflow" in names_of(lines)  # all of it: the server stands in no part of it


def test_a_model_answers_by_turns_and_corrects_the_prior_as_its_variant_does(
    write_result, key, network
):
    answers = {"turns": True, "prior_correction": 0.5, "class_counts": [90, 10]}
    views = {"image": [{"resize": {"size": 16}}]}
    result = write_result(key, network=network | answers | {"views": views})
    images = np.random.default_rng(1).integers(0, 255, (3, 16, 16, 3), np.uint8)
    model = ImageClassifier()
    model.load_context(SimpleNamespace(artifacts={"network": result.folder}))
    trained, _ = load_network(result.folder)
    plain, turned = (
        predict_probabilities(each, [images], np.arange(3), device=torch.device("cpu"))[0]
        for each in (trained, Turned(trained))
    )
    expected = correct_prior(turned, [90, 10], power=0.5)
    assert not np.allclose(expected, plain, atol=1e-3)
    np.testing.assert_allclose(model.predict(images), expected, rtol=1e-6)


def test_a_model_trained_on_a_gpu_answers_on_the_cpu(write_result, key, network, tmp_path):
    result = write_result(key)
    summary = json.loads((result.folder / "summary.json").read_text())
    trained = {"device": "cuda", "precision": "bf16-mixed", "hardware": "NVIDIA H100 80GB HBM3"}
    (result.folder / "summary.json").write_text(json.dumps(summary | trained))
    plain, _ = load_network(result.folder)
    there = plain.to("cuda" if torch.cuda.is_available() else "cpu")
    save_network(result.folder, there, network)
    images = np.random.default_rng(1).integers(0, 255, (3, 20, 30, 3), np.uint8)
    alone = tmp_path / "alone"  # what answers depends on no other file
    alone.mkdir()
    for name in NETWORK_FILES:
        shutil.copy(result.folder / name, alone)
        assert b"cuda" not in (alone / name).read_bytes()
    found = []
    for folder in (result.folder, alone):
        model = ImageClassifier()
        model.load_context(SimpleNamespace(artifacts={"network": folder}))
        assert {each.device.type for each in model._classifier.network.parameters()} == {"cpu"}
        found.append(model.predict(images).to_numpy())
    np.testing.assert_allclose(found[0].sum(axis=1), 1)
    np.testing.assert_array_equal(*found)


def test_a_model_has_a_signature_and_an_example(artifacts, tracker, monkeypatch):
    _, run, _ = artifacts
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.uri)
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    assert model.metadata.signature.outputs.input_names() == ["basophil", "monocyte"]
    assert model.input_example.dtype == np.uint8
    assert np.allclose(model.predict(model.input_example).sum(axis=1), 1)
