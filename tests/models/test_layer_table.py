import torch

from wbc_pipeline.models import build_network
from wbc_pipeline.models.layer_table import describe_layers

ARGUMENTS = {"classes": 3, "image_size": 16, "filters": (4, 8), "dense": 16}


def test_layers_come_in_the_order_in_which_they_run():
    network = build_network("blend_cnn", ARGUMENTS, seed=0)
    layers = describe_layers(network, image_size=16)
    assert layers[:3] == [
        ("cnn.features.0.0", (4, 16, 16), 3 * 3 * 3 * 4 + 4),
        ("cnn.features.0.2", (4, 16, 16), 4 * 4),
        ("cnn.features.0.3", (4, 16, 16), 3 * 3 * 4 * 4 + 4),
    ]
    assert layers[-1] == ("cnn.head.5", (3,), 16 * 3 + 3)


def test_describing_a_network_leaves_it_as_it_was():
    network = build_network("normal_cnn", ARGUMENTS, seed=0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    describe_layers(network, image_size=16)
    assert network.training
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())
    assert not any(part._forward_hooks for part in network.modules())
