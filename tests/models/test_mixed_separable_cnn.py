import pytest
import torch

from wbc_pipeline.models import build_network
from wbc_pipeline.models.layer_table import describe_layers
from wbc_pipeline.models.mixed_separable_cnn import SMALLEST_IMAGE, MixedSeparableCNN

ARGUMENTS = {"classes": 4, "image_size": 64}
SMALL = {"classes": 3, "image_size": 32, "filters": (8, 8, 8), "hidden": (16, 8)}
NO_EXTRAS = {"batch_norm": False, "global_pooling": False}

# Table 1 of the separable paper: output and parameters of each layer. It gives one number for
# both sides of an output, and none of its own to the 1×3 convolution.
PUBLISHED = {
    "convolution_1": ((128, 62, 62), 3568),
    "convolution_2": ((128, 60, 60), 147_584),
    "batch_norm": ((128, 60, 60), 512),
    "pool_1": ((128, 30, 30), 0),
    "horizontal": ((64, 30, 28), 24_640),
    "vertical": ((64, 28, 28), 12_352),
    "pool_2": ((64, 14, 14), 0),
    "depthwise": ((64, 12, 12), 640),
    "pointwise": ((32, 12, 12), 2080),
    "pool_3": ((32, 6, 6), 0),
    "global_pool": ((32, 1, 1), 0),
    "flatten": ((32,), 0),
    "dense_1": ((512,), 16_896),
    "dense_2": ((256,), 131_328),
    "classes": ((4,), 1028),
}
# Printed 3,568 = 3·3·3·128 + 112, but 128 filters have 128 biases: 3·3·3·128 + 128.
MISPRINTS = {"convolution_1": 3584}


def layers_of(**changes):
    network = build_network("mixed_separable_cnn", ARGUMENTS | changes, seed=0)
    return {layer.name: layer for layer in describe_layers(network, image_size=64)}


def parameters_of(**changes):
    network = build_network("mixed_separable_cnn", ARGUMENTS | changes, seed=0)
    return sum(weight.numel() for weight in network.parameters())


def test_every_layer_has_the_published_parameters_but_for_one_misprint():
    ours = {name: layer.parameters for name, layer in layers_of().items()}
    published = {name: parameters for name, (_, parameters) in PUBLISHED.items()}
    assert {name: ours[name] for name in ours if ours[name] != published[name]} == MISPRINTS
    assert list(ours) == list(published)


def test_every_layer_has_the_published_shape():
    assert {name: layer.shape for name, layer in layers_of().items()} == {
        name: shape for name, (shape, _) in PUBLISHED.items()
    }


def test_batch_norm_counts_moving_statistics_as_keras_does():
    trained = parameters_of() - parameters_of(batch_norm=False)
    assert (trained, layers_of()["batch_norm"].parameters) == (2 * 128, 4 * 128)


def test_half_of_both_hidden_layers_is_dropped():
    network = build_network("mixed_separable_cnn", ARGUMENTS, seed=0)
    dropped = []
    network.dropout.register_forward_hook(lambda part, inputs, output: dropped.append(output))
    network(torch.rand(16, 3, 64, 64))
    assert [units.shape[1] for units in dropped] == [512, 256]
    assert all(abs((units == 0).float().mean() - 0.5) < 0.05 for units in dropped)


@pytest.mark.parametrize("filters", [16, 32, 64, 128])
def test_ablation_takes_equal_filters_in_all_blocks(filters):
    layers = layers_of(filters=(filters,) * 3, **NO_EXTRAS)
    names = ("convolution_1", "convolution_2", "horizontal", "vertical", "depthwise", "pointwise")
    assert [layers[name].shape[0] for name in names] == [filters] * 6
    assert layers["depthwise"].parameters == 3 * 3 * filters + filters


def test_without_global_pooling_the_maps_are_flattened():
    layers = layers_of(global_pooling=False)
    assert "global_pool" not in layers
    assert layers["flatten"].shape == (32 * 6 * 6,)
    assert layers["dense_1"].parameters == 32 * 6 * 6 * 512 + 512


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("leaky_relu", [-0.6, 1.0]), ("relu", [0.0, 1.0]), ("swish", [-0.2384, 0.7311])],
)
def test_activation_is_the_named_one(activation, expected):
    network = MixedSeparableCNN(**SMALL, activation=activation)
    values = network.activation(torch.tensor([-2.0, 1.0]))
    assert torch.allclose(values, torch.tensor(expected), atol=1e-4)


def test_unknown_activation_names_the_known():
    with pytest.raises(ValueError, match="leaky_relu, relu, swish"):
        MixedSeparableCNN(**SMALL, activation="mish")


@pytest.mark.parametrize("changes", [{"filters": (8, 8)}, {"hidden": (8, 8, 8)}])
def test_wrong_number_of_sizes_is_refused(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=f"{name} is .* but this network needs"):
        MixedSeparableCNN(**SMALL | changes)


@pytest.mark.parametrize("global_pooling", [True, False])
@pytest.mark.parametrize("image_size", [SMALLEST_IMAGE, 37, 80])
def test_other_image_sizes_work_down_to_the_smallest(image_size, global_pooling):
    changes = {"image_size": image_size, "global_pooling": global_pooling}
    network = MixedSeparableCNN(**SMALL | changes)
    assert network(torch.rand(2, 3, image_size, image_size)).shape == (2, 3)


def test_too_small_an_image_is_refused():
    with pytest.raises(ValueError, match=f"at least {SMALLEST_IMAGE}"):
        MixedSeparableCNN(classes=4, image_size=SMALLEST_IMAGE - 1)


@pytest.mark.parametrize("activation", ["leaky_relu", "swish"])
@pytest.mark.parametrize("changes", [{}, NO_EXTRAS])
def test_gradient_reaches_every_weight(changes, activation):
    changes = changes | {"activation": activation}
    network = build_network("mixed_separable_cnn", SMALL | changes, seed=0)
    network(torch.rand(8, 3, 32, 32)).square().sum().backward()
    still = [name for name, weight in network.named_parameters() if not weight.grad.any()]
    assert still == []


def test_same_seed_gives_the_same_logits():
    image = torch.rand(2, 3, 32, 32)
    one, other, another = (
        build_network("mixed_separable_cnn", SMALL, seed=seed).eval()(image) for seed in (0, 0, 1)
    )
    assert torch.equal(one, other)
    assert not torch.equal(one, another)
