import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from kedro.io import DatasetError
from spread_answers import spread_answers

from wbc_pipeline.datasets.folders import OnnxDataset
from wbc_pipeline.errors import UserError
from wbc_pipeline.models import NETWORKS, build_network, load_network, save_network
from wbc_pipeline.tracking.served_model import ImageClassifier
from wbc_pipeline.training.classifier import Classifier
from wbc_pipeline.training.export import describe_export, export_onnx

PROJECT = Path(__file__).parents[2]
CLASSES = ["a", "b", "c"]
ARGUMENTS = {"classes": 3, "image_size": 16, "filters": (8, 16), "dense": 32}
CANNY = {"canny": {"low": 30, "high": 90, "sigma": 1.0}}
MIXED = {"classes": 3, "image_size": 24, "filters": (8, 8, 8), "hidden": (16, 16)}
COMPACT = {"classes": 3, "image_size": 16, "filters": (8, 16), "blocks": (1, 1)}
ANSWERS = {"turns": True, "prior_correction": 0.5, "class_counts": [90, 9, 1]}
PHOTOGRAPHS = 4


def saved(folder, name, *, described=None, **arguments):
    network = build_network(name, arguments, seed=0)
    folder.mkdir(exist_ok=True)
    description = {"name": name, "arguments": arguments, "classes": CLASSES, "packed_size": 40}
    save_network(folder, network, description | (described or {}))
    return folder


def resized(size):
    return {"image": [{"resize": {"size": size}}]}


def probabilities(network, views):
    """From uint8 views, [B, S, S, 3]."""
    inputs = [torch.from_numpy(view).permute(0, 3, 1, 2).float() / 255 for view in views]
    with torch.no_grad():
        found = network(*inputs)
    return getattr(found, "logits", found).softmax(dim=1).numpy()


def drawn_views(network, size):
    random = np.random.default_rng(0)
    return {view: random.integers(0, 256, (5, size, size, 3), np.uint8) for view in network.views}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("normal_cnn", ARGUMENTS),
        ("blend_cnn", ARGUMENTS),
        ("soft_mask_cnn", ARGUMENTS),
        ("adaptive_blend_cnn", ARGUMENTS),
        ("mixed_separable_cnn", MIXED),
        ("mixed_separable_cnn", MIXED | {"activation": "swish", "global_pooling": False}),
        ("compact_residual_cnn", COMPACT),
    ],
)
def test_onnx_gives_the_same_probabilities_for_any_batch(name, arguments, tmp_path):
    folder = saved(tmp_path, name, **arguments)
    export_onnx(folder, tmp_path / "network.onnx")
    network, _ = load_network(folder)
    views = drawn_views(network, arguments["image_size"])
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    (found,) = session.run(None, views)
    np.testing.assert_allclose(found, probabilities(network, views.values()), atol=1e-6)


def test_of_a_joint_network_the_classes_are_exported(tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "tiny_joint", "tiny_joint:TinyJoint")
    folder = saved(tmp_path, "tiny_joint", views=["image", "prior"], image_size=16)
    export_onnx(folder, tmp_path / "network.onnx")
    network, _ = load_network(folder)
    views = drawn_views(network, 16)
    (found,) = onnxruntime.InferenceSession(tmp_path / "network.onnx").run(None, views)
    np.testing.assert_allclose(found, probabilities(network, views.values()), atol=1e-6)


def test_a_network_with_opencv_inside_is_refused(tmp_path):
    folder = saved(tmp_path, "learnable_canny_cnn", **ARGUMENTS, **CANNY)
    with pytest.raises(UserError, match="cannot express"):
        export_onnx(folder, tmp_path / "network.onnx")
    assert not list(tmp_path.glob("*.onnx"))


def test_a_file_has_to_be_named(tmp_path):
    with pytest.raises(DatasetError, match=r"onnx=model\.onnx"):
        OnnxDataset(filepath=None).save(tmp_path)


def test_views_that_are_more_than_resized_images_are_not_among_the_resizes():
    views = {
        "plain": [],
        "small": [{"resize": {"size": 16}}],
        "whole": [{"full_resolution": {}}, {"resize": {"size": 16}}],
        "clear": [{"clahe": {}}, {"resize": {"size": 16}}],
    }
    described = {"views": views, "packed_size": 40, "arguments": {"image_size": 16}}
    facts = describe_export(described, list(views))
    assert json.loads(facts["resizes"]) == {"plain": [40], "small": [40, 16], "whole": [16]}
    assert json.loads(facts["views"]) == views


@pytest.mark.parametrize("carried", [False, True])
def test_what_chains_read_is_named_as_in_a_portable_folder(tmp_path, carried):
    home = "files" if carried else str(tmp_path)
    detector, stain = ("0-detector_region", "1-reinhard.png") if carried else ("light", "stain.png")
    views = {
        "image": [
            {"full_resolution": {}},
            {"detector_region": {"model": f"{home}/{detector}", "score": 0.3}},
            {"reinhard": {"reference": f"{home}/{stain}"}},
        ],
        "plain": [{"reinhard": {"reference": "drawn"}}],
    }
    described = {"views": views, "packed_size": 40, "arguments": {"image_size": 16}}
    facts = describe_export(described | ({"carried": True} if carried else {}), list(views))
    found = json.loads(facts["views"])
    assert found["image"][1:] == [
        {"detector_region": {"model": "files/0-detector_region", "score": 0.3}},
        {"reinhard": {"reference": "files/1-reinhard.png"}},
    ]
    assert found["plain"] == views["plain"] and str(tmp_path) not in "".join(facts.values())


@pytest.fixture(scope="module")
def exported(photographs, tmp_path_factory):
    """A model whose answers are turned and corrected, and the ONNX file that was made of it."""
    folder = tmp_path_factory.mktemp("exported")
    described = {"views": resized(16), **ANSWERS, "trained_as": {"dataset": "demo"}}
    saved(folder, "normal_cnn", described=described, **ARGUMENTS)
    network, description = load_network(folder)
    small = np.stack([cv2.resize(each, (16, 16), interpolation=0) for each in photographs[1]])
    save_network(folder, spread_answers(network, small, size=16), description)
    export_onnx(folder, folder / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def photographs(real_data, tmp_path_factory):
    """Real photographs of 100 × 140 pixels, as files and as pixels [N, 140, 100, 3], RGB."""
    folder = tmp_path_factory.mktemp("photographs")
    files, pixels = [], []
    for source in sorted((real_data / "ALL_IDB2/img").glob("*.tif"))[:: 260 // PHOTOGRAPHS]:
        image = cv2.resize(cv2.imread(str(source)), (100, 140), interpolation=cv2.INTER_AREA)
        files.append(folder / f"{source.stem}.png")
        cv2.imwrite(str(files[-1]), image)
        pixels.append(image[..., ::-1])
    return files, np.ascontiguousarray(pixels)


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    """The example of the documentation, as a file."""
    text = (PROJECT / "docs/how-to/serve-and-export.md").read_text()
    (code,) = re.findall(r"```python\n(import json.*?)```", text, flags=re.DOTALL)
    file = tmp_path_factory.mktemp("example") / "answer.py"
    file.write_text(code)
    return file


def ask(python, answer, model, file):
    """Run the example in an empty folder, with nothing of this project in reach."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, answer, model, file],
        capture_output=True,
        text=True,
        check=True,
        cwd=answer.parent,
        env=environment,
    )
    return ast.literal_eval(done.stdout)


def expected_answers(folder, pixels):
    """Of `predict`, and of the served model."""
    classifier, served = Classifier(folder), ImageClassifier()
    views = np.stack([classifier.look(image)["image"].image for image in pixels])
    served.load_context(SimpleNamespace(artifacts={"network": folder}))
    return classifier.answer([views]).probabilities, served.predict(pixels).to_numpy()


def test_predict_the_served_model_and_onnx_give_one_answer(exported, photographs, answer):
    files, pixels = photographs
    asked, served = expected_answers(exported, pixels)
    np.testing.assert_allclose(served, asked, atol=1e-6)
    found = [ask(sys.executable, answer, exported / "model.onnx", file) for file in files]
    assert list(found[0]) == CLASSES
    found = np.array([list(each.values()) for each in found])
    np.testing.assert_allclose(found, asked, atol=1e-4)
    assert asked.std(axis=0).max() > 0.05  # they depend on the image
    network, _ = load_network(exported)
    views = np.stack([Classifier(exported).look(image)["image"].image for image in pixels])
    assert not np.allclose(probabilities(network, [views]), asked, atol=0.01)  # without turns


def test_the_file_says_what_it_is(exported):
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    facts = session.get_modelmeta().custom_metadata_map
    described = json.loads((exported / "network.json").read_text())
    for name in ("classes", "views", "packed_size", *ANSWERS, "trained_as"):
        assert json.loads(facts[name]) == described[name]
    assert json.loads(facts["resizes"]) == {"image": [40, 16]}
    assert session.get_inputs()[0].shape[1:] == [16, 16, 3]


@pytest.mark.slow
def test_an_exported_model_answers_where_only_three_packages_are_installed(
    exported, photographs, answer, tmp_path
):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", bare], check=True)
    packages = ("onnxruntime", "numpy", "opencv-python-headless")
    got = subprocess.run(
        [bare / "bin/python", "-m", "pip", "install", "-q", *packages],
        capture_output=True,
        text=True,
        check=False,
    )
    if got.returncode:
        reason = f"{', '.join(packages)} cannot be installed here: {got.stderr.strip()[-300:]}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    files, pixels = photographs
    found = ask(bare / "bin/python", answer, exported / "model.onnx", files[0])
    asked, _ = expected_answers(exported, pixels[:1])
    np.testing.assert_allclose(list(found.values()), asked[0], atol=1e-4)
