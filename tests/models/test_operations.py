import pytest

from wbc_pipeline.models import network_class
from wbc_pipeline.models.operations import count_operations


def test_operations_are_those_of_convolutions_and_products():
    size, arguments = 32, {"classes": 5, "image_size": 32, "filters": [4, 8, 8], "dense": 16}
    found = count_operations("normal_cnn", arguments)
    network = network_class("normal_cnn")(**arguments)
    by_hand, side = 0, size
    for layer in network.modules():
        name = type(layer).__name__
        if name == "Conv2d":
            by_hand += 2 * side**2 * layer.weight.numel()
        elif name == "Linear":
            by_hand += 2 * layer.weight.numel()
        elif name == "MaxPool2d":
            side //= 2
    assert found == by_hand


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        ("blend_cnn", {}),
        (
            "learnable_canny_cnn",
            {"canny": {"channel": "stain", "sigma": 1.5, "low": 20, "high": 60}},
        ),
    ],
)
def test_networks_of_two_views_and_those_that_look_at_values_are_counted_too(network, arguments):
    assert count_operations(network, {"classes": 3, "image_size": 32, **arguments}) > 1e6
