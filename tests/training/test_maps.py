import numpy as np
import pytest
import torch

from wbc_pipeline.models import build_network
from wbc_pipeline.training.maps import predict_maps

CPU = torch.device("cpu")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)


def build(name, **arguments):
    return build_network(name, {"classes": 3, "image_size": 32} | arguments, seed=0)


def test_maps_are_those_of_the_network_at_the_rows_asked_for(images):
    network = build("saliency_fusion").eval()
    found = predict_maps(network, [images], [5, 0, 3], device=CPU, batch_size=2)
    with torch.inference_mode():
        pixels = torch.from_numpy(images[[5, 0, 3]]).permute(0, 3, 1, 2) / 255
        output = network(pixels)
    assert found["masks"].shape == (3, 32, 32, 2)
    assert found["masks"].dtype == np.uint8
    expected = output.masks.sigmoid().permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(found["masks"] / 255, expected, atol=0.01)
    np.testing.assert_allclose(found["saliency"], output.saliency[:, 0].numpy(), atol=1e-4)


def test_maps_that_a_network_does_not_give_are_left_out(images):
    network = build("saliency_fusion", saliency=False)
    assert set(predict_maps(network, [images], [1], device=CPU)) == {"masks"}
    assert predict_maps(network, [images], [], device=CPU) == {}
