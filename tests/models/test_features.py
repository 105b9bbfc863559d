"""What the last layer of a network looks at."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from wbc_pipeline.models import build_network
from wbc_pipeline.models.features import WithFeatures, find_last_layers
from wbc_pipeline.models.joint import as_classifier

SIZE = 48


def build(name, **arguments):
    arguments = {"classes": 3, "image_size": SIZE, **arguments}
    return as_classifier(build_network(name, arguments, seed=0)).eval()


@pytest.mark.parametrize(
    ("name", "arguments", "head", "maps"),
    [
        ("normal_cnn", {"filters": [4, 4, 4], "dense": 8}, "head.5", "head.1"),
        ("mixed_separable_cnn", {"filters": [4, 4, 4]}, "classes", "pool_3"),
        ("pretrained_cnn", {"backbone": "test_efficientnet"}, "head.1", "backbone.stages"),
        ("kan_transformer", {}, "head", None),  # tokens have no map
    ],
)
def test_the_last_layers_of_networks_are_found(name, arguments, head, maps):
    found = find_last_layers(build(name, **arguments), SIZE)
    assert (found.head, found.maps) == (head, maps)


@torch.inference_mode()
def test_features_are_what_the_last_layer_makes_logits_of():
    network = build("mixed_separable_cnn", filters=[4, 4, 4])
    logits, features = WithFeatures(network, "classes")(torch.rand(2, 3, SIZE, SIZE))
    torch.testing.assert_close(network.classes(features), logits)


def test_threads_get_features_of_their_own_images():
    network = WithFeatures(build("mixed_separable_cnn", filters=[4, 4, 4]), "classes")
    network.requires_grad_(False)
    images = [torch.rand(1, 3, SIZE, SIZE) for _ in range(12)]
    expected = [network(image)[1] for image in images]
    with ThreadPoolExecutor(4) as pool:
        found = [features for _, features in pool.map(network, images)]
    torch.testing.assert_close(found, expected)
