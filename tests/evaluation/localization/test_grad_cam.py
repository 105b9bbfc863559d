import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from wbc_pipeline.evaluation.localization.grad_cam import grad_cam, share_inside
from wbc_pipeline.models import build_network

SIZE = 64


def build(name="saliency_fusion", **arguments):
    return build_network(name, {"classes": 3, "image_size": SIZE} | arguments, seed=0)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)


class BrightCorner(nn.Module):
    """Class 1 is as likely as the left upper quarter is bright."""

    views = ("image",)
    cam_layer = "shown"

    def __init__(self):
        super().__init__()
        self.shown = nn.Conv2d(3, 1, kernel_size=1)
        nn.init.ones_(self.shown.weight)
        nn.init.zeros_(self.shown.bias)

    def forward(self, image):
        bright = self.shown(image).mean((1, 2, 3))
        return torch.stack([-bright, bright], dim=1)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("saliency_fusion", {}),
        ("saliency_fusion", {"saliency": False, "fusion": False}),
        ("unet", {}),
        ("attention_localization", {}),
        ("deep_feature_cnn", {"backbone": "mobilenet_v3_small"}),
        ("resnext_fusion", {"blocks": [1, 1, 1, 1]}),
        ("masked_cnn", {}),
        ("mobile_u_net", {}),
    ],
)
def test_every_joint_network_has_a_layer_to_explain(name, arguments, images):
    network = build(name, **arguments)
    maps = grad_cam(network, [images] * len(network.views), labels=[0, 1, 2, 0, 1])
    assert maps.shape == (5, SIZE, SIZE)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() <= 1
    assert (maps.max(axis=(1, 2)) > 0.9).any()


def test_a_network_that_gives_logits_alone_is_explained(images):
    maps = grad_cam(build("le_net"), [images], layer="features.0")
    assert maps.shape == (5, SIZE, SIZE)


@pytest.mark.parametrize("layer", ["backbone.stages.0.blocks.0", "backbone.stages.2.blocks.1"])
def test_swin_blocks_are_read_with_their_channels_last(layer, images):
    network = build()
    maps = grad_cam(network, [images], layer=layer)
    # By hand: weights are mean gradients, one a channel, and the last axis has the channels.
    tokens = []
    network.eval().get_submodule(layer).register_forward_hook(
        lambda part, given, output: tokens.append(output)
    )
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
    logits = network(pixels).logits
    best = logits.max(dim=1).values.sum()
    [gradient] = torch.autograd.grad(best, tokens[0])
    coarse = (tokens[0] * gradient.mean((1, 2), keepdim=True)).sum(-1).relu().detach()
    step = SIZE // coarse.shape[1]
    centres = maps[:, step // 2 :: step, step // 2 :: step]
    for one, other in zip(centres.reshape(5, -1), coarse.flatten(1).numpy(), strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.95


def test_the_map_lies_on_what_the_class_is_read_from():
    images = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    images[:, 8:24, 8:24] = 255
    maps = grad_cam(BrightCorner(), [images], labels=[1])
    assert maps[0, 16, 16] > 0.9
    assert maps[0, 40:, 40:].max() == 0


def test_an_image_that_does_not_speak_for_the_class_has_an_empty_map():
    images = np.full((1, SIZE, SIZE, 3), 255, np.uint8)
    assert not grad_cam(BrightCorner(), [images], labels=[0]).any()


def test_batches_change_nothing(images):
    network = build()
    one, other = (grad_cam(network, [images], batch_size=size) for size in (2, 32))
    assert np.allclose(one, other, atol=1e-3)


def test_a_constant_image_has_finite_maps():
    images = np.full((2, SIZE, SIZE, 3), 200, np.uint8)
    assert np.isfinite(grad_cam(build(), [images])).all()


def test_no_image_gives_no_map(images):
    assert grad_cam(build(), [images[:0]]).shape == (0, SIZE, SIZE)


def test_the_network_stays_as_it_is(images):
    network = build().train()
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with torch.inference_mode():
        grad_cam(network, [images])
    assert network.training
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    assert all(weight.grad is None and weight.requires_grad for weight in network.parameters())
    assert not any(part._forward_hooks for part in network.modules())


def test_a_layer_that_does_not_exist_names_those_that_do(images):
    with pytest.raises(ValueError, match=r"no layer 'nowhere'; its layers are .*backbone\.stem"):
        grad_cam(build(), [images], layer="nowhere")


def test_a_layer_that_the_class_does_not_depend_on_is_named(images):
    with pytest.raises(ValueError, match=r"does not depend on the layer 'decoder\.masks'"):
        grad_cam(build(), [images], layer="decoder.masks")


def test_grad_cam_is_imported_only_where_it_is_used():
    code = (
        "import sys, wbc_pipeline.evaluation.localization.grad_cam; "
        "sys.exit('pytorch_grad_cam' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def mask(*values):
    return np.uint8([[values]])


@pytest.mark.parametrize(
    ("region", "values", "expected"),
    [
        ("cell", (0, 1, 2, 3), 0.9),
        ("nucleus", (0, 1, 2, 2), 0.7),
        ("nucleus", (0, 1, 2, 3), 0.5),  # which part the fourth shows is not known
        ("cell", (0, 0, 2, 255), 0.5),
        ("cell", (255, 255, 255, 255), np.nan),
        ("cell", (0, 0, 0, 0), np.nan),
        ("nucleus", (0, 3, 3, 3), np.nan),
    ],
)
def test_share_counts_known_pixels_of_the_region(region, values, expected):
    maps = np.float32([[[0.1, 0.2, 0.3, 0.4]]])
    assert share_inside(maps, mask(*values), region=region) == pytest.approx(expected, nan_ok=True)


def test_an_empty_map_has_no_share():
    assert np.isnan(share_inside(np.zeros((1, 1, 2), np.float32), mask(1, 1))).all()


def test_maps_of_another_size_than_the_masks_are_refused():
    with pytest.raises(ValueError, match="resize"):
        share_inside(np.zeros((1, 2, 2)), np.zeros((1, 4, 4), np.uint8))


def test_what_else_fails_is_not_blamed_on_the_layer(images, monkeypatch):
    network = build()
    monkeypatch.setattr(type(network), "forward", lambda *_: torch.zeros(1).view(2))
    with pytest.raises(RuntimeError, match="invalid for input"):
        grad_cam(network, [images])
