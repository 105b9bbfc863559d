import pytest
import torch
from torch import nn
from torch.nn import functional

from wbc_pipeline.models import build_network, load_network, save_network
from wbc_pipeline.models.concatenated_block_cnn import ConcatenatedBlock, ConcatenatedBlockCNN
from wbc_pipeline.models.imagenet_cnn import ImageNetCNN
from wbc_pipeline.models.layer_table import describe_layers
from wbc_pipeline.models.pretrained import BACKBONES
from wbc_pipeline.models.three_block_cnn import ThreeBlockCNN

SMALLEST = {"le_net": 16, "three_block_cnn": 8, "concatenated_block_cnn": 32}
QUICK = [name for name in BACKBONES if name.startswith("mobilenet")]


def parameters_of(part):
    return sum(weight.numel() for weight in part.parameters())


def layers_of(name, image_size):
    network = build_network(name, {"classes": 4, "image_size": image_size}, seed=0)
    return describe_layers(network, image_size=image_size)


def test_le_net_has_the_maps_and_weights_of_lecuns_on_three_colours():
    rows = [(layer.shape, layer.parameters) for layer in layers_of("le_net", 32)]
    assert rows == [
        ((6, 28, 28), 3 * 5 * 5 * 6 + 6),
        ((6, 14, 14), 0),
        ((16, 10, 10), 6 * 5 * 5 * 16 + 16),
        ((16, 5, 5), 0),
        ((400,), 0),
        ((120,), 400 * 120 + 120),
        ((84,), 120 * 84 + 84),
        ((4,), 84 * 4 + 4),
    ]


def test_three_block_cnn_is_the_papers_layer_by_layer():
    rows = [(layer.shape, layer.parameters) for layer in layers_of("three_block_cnn", 64)]
    assert rows == [
        ((32, 64, 64), 3 * 9 * 32 + 32),
        ((32, 32, 32), 0),
        ((64, 32, 32), 32 * 9 * 64 + 64),
        ((64, 16, 16), 0),
        ((128, 16, 16), 64 * 9 * 128 + 128),
        ((128, 8, 8), 0),
        ((8192,), 0),
        ((64,), 8192 * 64 + 64),
        ((128,), 64 * 128 + 128),
        ((64,), 128 * 64 + 64),
        ((4,), 64 * 4 + 4),
    ]


def test_each_of_the_three_blocks_drops_a_fifth():
    network = ThreeBlockCNN(classes=4, image_size=64)
    assert [part.p for part in network.modules() if isinstance(part, nn.Dropout)] == [0.2] * 3


def test_concatenated_block_cnn_has_35396_weights_for_four_classes():
    # A block with C maps in and n filters: C·n + n, n·n + n, 9·n·n + n, and 2·n thrice.
    blocks = [1692, 6552, 12_064, 7512, 4266, 1980]
    network = ConcatenatedBlockCNN(classes=4, image_size=64)
    assert [parameters_of(block) for block in network.blocks] == blocks
    stem = 2 * 3 + (3 * 25 * 12 + 12) + 2 * 12
    dense = 24 * 2 * 2 * 4 + 4
    assert parameters_of(network) == stem + sum(blocks) + dense == 35_396


def test_concatenating_blocks_are_halved_five_times_and_double_their_filters():
    shapes = []
    network = ConcatenatedBlockCNN(classes=4, image_size=64).eval()
    for block in network.blocks:
        block.register_forward_hook(lambda part, inputs, output: shapes.append(output.shape[1:]))
    network(torch.rand(1, 3, 64, 64))
    maps, sides = [24, 48, 64, 48, 36, 24], [64, 32, 16, 8, 4, 2]
    assert shapes == [(filters, side, side) for filters, side in zip(maps, sides, strict=True)]


def test_block_gives_its_fourth_layer_beside_its_sixth():
    block = ConcatenatedBlock(5, 7).eval()
    layers = []
    for part in block.modules():
        if isinstance(part, nn.Conv2d | nn.BatchNorm2d):
            part.register_forward_hook(lambda part, inputs, output: layers.append(output))
    output = block(torch.rand(2, 5, 8, 8))
    assert len(layers) == 6
    assert torch.equal(output, torch.cat([layers[3], layers[5]], dim=1))


def test_softmax_of_the_concatenated_block_cnn_is_its_sigmoids_by_their_sum():
    network = build_network("concatenated_block_cnn", {"classes": 5, "image_size": 32}, seed=0)
    units = []
    network.classes.register_forward_hook(lambda part, inputs, output: units.append(output))
    logits = network.eval()(torch.rand(3, 3, 32, 32))
    sigmoids = units[0].sigmoid()
    shares = sigmoids / sigmoids.sum(dim=1, keepdim=True)
    assert torch.allclose(logits.softmax(dim=1), shares)
    labels = torch.tensor([0, 2, 4])
    by_hand = -shares[range(3), labels].log().mean()
    assert torch.allclose(functional.cross_entropy(logits, labels), by_hand)
    assert not torch.allclose(shares, units[0].softmax(dim=1))


def test_units_far_below_zero_still_have_a_finite_loss():
    network = ConcatenatedBlockCNN(classes=3, image_size=32).eval()
    nn.init.constant_(network.classes.bias, -500.0)
    loss = functional.cross_entropy(network(torch.rand(2, 3, 32, 32)), torch.tensor([0, 1]))
    assert loss.isfinite()


@pytest.mark.parametrize(("name", "smallest"), SMALLEST.items())
@pytest.mark.parametrize("more", [0, 1, 17])
def test_sizes_from_the_smallest_on_work(name, smallest, more):
    size = smallest + more
    network = build_network(name, {"classes": 3, "image_size": size}, seed=0)
    assert network(torch.rand(2, 3, size, size)).shape == (2, 3)


@pytest.mark.parametrize(("name", "smallest"), SMALLEST.items())
def test_too_small_an_image_is_refused(name, smallest):
    with pytest.raises(ValueError, match=f"image_size is .* at least {smallest}"):
        build_network(name, {"classes": 3, "image_size": smallest - 1}, seed=0)


@pytest.mark.parametrize(("backbone", "smallest"), [("mobilenet_v2", 32), ("inception_v3", 75)])
def test_smallest_image_depends_on_the_backbone(backbone, smallest):
    network = ImageNetCNN(classes=3, image_size=smallest, backbone=backbone).eval()
    assert network(torch.rand(1, 3, smallest, smallest)).shape == (1, 3)
    with pytest.raises(ValueError, match=f"image_size is .* at least {smallest}"):
        ImageNetCNN(classes=3, image_size=smallest - 1, backbone=backbone)


def test_unknown_backbone_names_the_known():
    with pytest.raises(ValueError, match="vgg16, resnet50, inception_v3, mobilenet_v2"):
        ImageNetCNN(classes=3, image_size=64, backbone="alexnet")


@pytest.mark.parametrize("backbone", QUICK)
def test_gradient_reaches_every_weight_of_a_backbone(backbone):
    arguments = {"classes": 3, "image_size": 64, "backbone": backbone}
    network = build_network("imagenet_cnn", arguments, seed=0)
    network(torch.rand(4, 3, 64, 64)).square().sum().backward()
    still = [name for name, weight in network.named_parameters() if not weight.grad.any()]
    assert still == []


@pytest.mark.parametrize("name", SMALLEST)
def test_gradient_reaches_every_weight(name):
    network = build_network(name, {"classes": 3, "image_size": 64}, seed=0)
    network(torch.rand(8, 3, 64, 64)).square().sum().backward()
    still = [name for name, weight in network.named_parameters() if not weight.grad.any()]
    assert still == []


def test_pooled_features_are_dropped_in_training_alone():
    network = ImageNetCNN(classes=3, image_size=32, backbone="mobilenet_v3_small", dropout=0.5)
    seen = []
    network.dropout.register_forward_hook(lambda part, inputs, output: seen.append(output))
    image = torch.rand(16, 3, 32, 32)
    network(image)
    network.eval()(image)
    trained, predicted = ((features == 0).float().mean() for features in seen)
    assert trained > 0.4 > predicted


def test_seed_decides_the_weights_and_saving_keeps_the_backbone(tmp_path):
    arguments = {"classes": 3, "image_size": 32, "backbone": "mobilenet_v3_small"}
    one, other, another = (
        build_network("imagenet_cnn", arguments, seed=seed).eval() for seed in (0, 0, 1)
    )
    image = torch.rand(2, 3, 32, 32)
    assert torch.equal(one(image), other(image))
    assert not torch.equal(one(image), another(image))
    save_network(tmp_path, one, {"name": "imagenet_cnn", "arguments": arguments})
    loaded, _ = load_network(tmp_path)
    assert torch.equal(loaded(image), one(image))
