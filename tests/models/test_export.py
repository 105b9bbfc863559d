import numpy as np
import onnxruntime
import pytest
import torch

from wbc_pipeline.models import NETWORKS, build_network, load_network, save_network
from wbc_pipeline.models.export import export_onnx

ARGUMENTS = {"classes": 3, "image_size": 16, "filters": (8, 16), "dense": 32}
CANNY = {"canny": {"low": 30, "high": 90, "sigma": 1.0}}
MIXED = {"classes": 3, "image_size": 24, "filters": (8, 8, 8), "hidden": (16, 16)}
COMPACT = {"classes": 3, "image_size": 16, "filters": (8, 16), "blocks": (1, 1)}


def saved(folder, name, **arguments):
    network = build_network(name, arguments, seed=0)
    save_network(folder, network, {"name": name, "arguments": arguments})
    return folder


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
def test_onnx_gives_the_same_logits_for_any_batch(name, arguments, tmp_path):
    folder = saved(tmp_path, name, **arguments)
    export_onnx(folder, tmp_path / "network.onnx")
    network, _ = load_network(folder)
    size = arguments["image_size"]
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    views = {view: torch.rand(5, 3, size, size) for view in network.views}
    with torch.no_grad():
        expected = network(*views.values()).numpy()
    (logits,) = session.run(None, {view: array.numpy() for view, array in views.items()})
    assert np.allclose(logits, expected, atol=1e-4)


def test_of_a_joint_network_the_class_logits_are_exported(tmp_path, monkeypatch):
    monkeypatch.setitem(NETWORKS, "tiny_joint", "tiny_joint:TinyJoint")
    folder = saved(tmp_path, "tiny_joint", views=["image", "prior"], image_size=16)
    export_onnx(folder, tmp_path / "network.onnx")
    network, _ = load_network(folder)
    views = {view: torch.rand(5, 3, 16, 16) for view in network.views}
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    found = session.run(None, {view: array.numpy() for view, array in views.items()})
    assert len(found) == 1
    with torch.no_grad():
        expected = network(*views.values()).logits.numpy()
    assert np.allclose(found[0], expected, atol=1e-4)


def test_a_network_with_opencv_inside_is_refused(tmp_path):
    folder = saved(tmp_path, "learnable_canny_cnn", **ARGUMENTS, **CANNY)
    with pytest.raises(ValueError, match="cannot express"):
        export_onnx(folder, tmp_path / "network.onnx")
