import numpy as np
import onnxruntime
import pytest
import torch

from wbc_pipeline.models import build_network, load_network, save_network
from wbc_pipeline.models.export import export_onnx

ARGUMENTS = {"classes": 3, "image_size": 16, "filters": (8, 16), "dense": 32}
CANNY = {"canny": {"low": 30, "high": 90, "sigma": 1.0}}


def saved(folder, name, **arguments):
    arguments = ARGUMENTS | arguments
    network = build_network(name, arguments, seed=0)
    save_network(folder, network, {"name": name, "arguments": arguments})
    return folder


@pytest.mark.parametrize("name", ["normal_cnn", "blend_cnn", "soft_mask_cnn", "adaptive_blend_cnn"])
def test_onnx_gives_the_same_logits_for_any_batch(name, tmp_path):
    folder = saved(tmp_path, name)
    export_onnx(folder, tmp_path / "network.onnx")
    network, _ = load_network(folder)
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    views = {view: torch.rand(5, 3, 16, 16) for view in network.views}
    with torch.no_grad():
        expected = network(*views.values()).numpy()
    (logits,) = session.run(None, {view: array.numpy() for view, array in views.items()})
    assert np.allclose(logits, expected, atol=1e-4)


def test_a_network_with_opencv_inside_is_refused(tmp_path):
    folder = saved(tmp_path, "learnable_canny_cnn", **CANNY)
    with pytest.raises(ValueError, match="cannot express"):
        export_onnx(folder, tmp_path / "network.onnx")
