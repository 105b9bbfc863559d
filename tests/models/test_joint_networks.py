import resource

import pytest
import torch
from torch import nn

from wbc_pipeline.errors import UserError
from wbc_pipeline.models import build_network, load_network, save_network
from wbc_pipeline.models.cross_layer_fusion import CrossLayerFusion
from wbc_pipeline.models.efficient_swin import EfficientSwin
from wbc_pipeline.models.joint import REGIONS
from wbc_pipeline.models.joint_heads import resize
from wbc_pipeline.models.saliency_fusion import SaliencyFusionNet

LEARNING = {
    "saliency_fusion": {},
    "unet": {},
    "attention_localization": {},
    "deep_feature_cnn": {"backbone": "mobilenet_v3_small"},
    "resnext_fusion": {"blocks": [1, 1, 1, 1], "groups": 8},
    "mobile_u_net": {},
}
JOINT = LEARNING | {"masked_cnn": {}}


def build(name, image_size=64, **arguments):
    arguments = {"classes": 3, "image_size": image_size} | JOINT[name] | arguments
    return build_network(name, arguments, seed=0)


def views_for(network, *, batch=2, size=64):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(batch, 3, size, size, generator=generator) for _ in network.views]


def loss_of(output):
    """Something that every output counts in."""
    return sum(tensor.square().mean() for tensor in output if tensor is not None)


def parameters_of(part):
    return sum(weight.numel() for weight in part.parameters())


def test_efficient_swin_has_the_papers_sizes():
    maps = EfficientSwin()(torch.rand(1, 3, 224, 224))
    assert [tuple(one.shape[1:]) for one in maps[1:]] == [
        (64, 56, 56),
        (128, 28, 28),
        (256, 14, 14),
    ]


def test_second_swin_block_of_a_stage_shifts_its_windows():
    blocks = EfficientSwin(depths=(2, 2, 2)).stages[0].blocks
    assert [block.attn.shift_size for block in blocks] == [[0, 0], [3, 3]]


@pytest.mark.parametrize("size", [16, 32, 64, 96, 112])
@pytest.mark.parametrize("saliency", [True, False])
@pytest.mark.parametrize("fusion", [True, False])
def test_masks_are_as_large_as_the_image_whatever_is_switched_off(size, saliency, fusion):
    network = build("saliency_fusion", size, saliency=saliency, fusion=fusion).eval()
    output = network(*views_for(network, batch=1, size=size))
    assert output.logits.shape == (1, 3)
    assert output.masks.shape == (1, len(REGIONS), size, size)
    assert (output.saliency is not None) == saliency


@pytest.mark.parametrize("name", JOINT)
@pytest.mark.parametrize("size", [32, 64, 96, 112])
def test_one_image_of_any_size_gives_masks_of_its_size(name, size):
    network = build(name, size).eval()
    output = network(*views_for(network, batch=1, size=size))
    assert output.logits.shape == (1, 3)
    assert output.masks.shape == (1, len(REGIONS), size, size)


@pytest.mark.parametrize(
    ("name", "fraction"), [("saliency_fusion", 4), ("attention_localization", 8)]
)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_saliency_lies_in_0_to_1(name, fraction, scale):
    network = build(name)
    saliency = network(*(scale * view for view in views_for(network))).saliency
    assert saliency.shape == (2, 1, 64 // fraction, 64 // fraction)
    assert 0 <= saliency.min() < saliency.max() <= 1


def test_saliency_multiplies_the_maps():
    network = build("saliency_fusion", fusion=False).eval()
    [image] = views_for(network)
    nn.init.constant_(network.saliency[-2].weight, 0.0)
    nn.init.constant_(network.saliency[-2].bias, -1e3)  # nothing stands out
    other = network.backbone(image)[-1] * 0.0
    assert torch.equal(network(image).logits, network.head(other))


@pytest.mark.parametrize("size", [28, 14, 7, 4])
def test_fusion_is_a_1x1_convolution_of_the_concatenated_maps(size):
    fusion = CrossLayerFusion(channels=(3, 5, 7), filters=4).eval()
    maps = [torch.rand(2, 3, 28, 28), torch.rand(2, 5, 14, 14), torch.rand(2, 7, 7, 7)]
    together = nn.Conv2d(15, 4, kernel_size=1, bias=False)
    together.weight.data = torch.cat([mix.weight.data for mix in fusion.mix], dim=1)
    concatenated = torch.cat([resize(one, (size, size)) for one in maps], dim=1)
    expected = fusion.norm(together(concatenated)).relu()
    assert torch.allclose(fusion(maps, (size, size)), expected, atol=1e-5)


def test_every_stage_of_the_decoder_sees_every_scale_only_with_fusion():
    for fusion in (True, False):
        network = build("saliency_fusion", saliency=False, fusion=fusion).eval()
        inputs = []
        network.decoder.register_forward_pre_hook(
            lambda part, given, to=inputs: to.append(given[0])
        )
        image = views_for(network)[0].requires_grad_()
        deepest = []
        network.backbone.stages[2].register_forward_hook(
            lambda part, given, output, to=deepest: to.append(output)
        )
        network(image)
        finest = inputs[0][1]  # at F1's size
        [gradient] = torch.autograd.grad(finest.sum(), deepest[0], allow_unused=True)
        assert (gradient is not None) == fusion


def test_ablations_take_their_own_weights_away():
    full, no_saliency, no_fusion = (
        build("saliency_fusion", **switch)
        for switch in ({}, {"saliency": False}, {"fusion": False})
    )
    assert parameters_of(full) - parameters_of(no_saliency) == parameters_of(full.saliency)
    assert parameters_of(no_fusion) < parameters_of(full)
    assert not any("fusion" in name for name, _ in no_fusion.named_parameters())


@pytest.mark.parametrize("name", LEARNING)
def test_gradient_reaches_every_weight(name):
    network = build(name)
    loss_of(network(*views_for(network, batch=4))).backward()
    still = [key for key, weight in network.named_parameters() if not weight.grad.any()]
    assert still == []


@pytest.mark.parametrize("name", JOINT)
@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_constant_image_gives_finite_outputs_and_gradients(name, level):
    network = build(name)
    output = network(*(torch.full_like(view, level) for view in views_for(network)))
    assert all(tensor.isfinite().all() for tensor in output if tensor is not None)
    loss_of(output).backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


@pytest.mark.parametrize("name", JOINT)
def test_seed_decides_the_weights_and_saving_keeps_them(name, tmp_path):
    arguments = {"classes": 3, "image_size": 64} | JOINT[name]
    one, other, another = (build_network(name, arguments, seed=seed).eval() for seed in (0, 0, 1))
    views = views_for(one)
    assert torch.equal(one(*views).logits, other(*views).logits)
    assert not torch.equal(one(*views).logits, another(*views).logits)
    save_network(tmp_path, one, {"name": name, "arguments": arguments})
    loaded, _ = load_network(tmp_path)
    assert torch.equal(loaded(*views).masks, one(*views).masks)


@pytest.mark.parametrize("name", JOINT)
def test_half_precision_keeps_masks_finite(name):
    network = build(name, 32)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(*views_for(network, size=32))
    assert output.masks.isfinite().all()


@pytest.mark.parametrize(
    ("name", "size", "multiple"),
    [("saliency_fusion", 40, 16), ("resnext_fusion", 40, 16), ("unet", 36, 8)],
)
def test_image_size_that_cannot_be_halved_is_refused(name, size, multiple):
    with pytest.raises(ValueError, match=f"image_size is {size}, .* multiple of {multiple}"):
        build(name, size)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [({"depths": (1, 2)}, "the same length"), ({"channels": (60, 128, 256)}, "multiples of 32")],
)
def test_stages_that_do_not_fit_are_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        SaliencyFusionNet(classes=3, image_size=64, **arguments)


def test_segmentation_of_the_classical_baseline_passes_through():
    network = build("masked_cnn", 32).eval()
    cell, nucleus = torch.zeros(2, 2, 3, 32, 32)
    cell[:, :, 8:24, 8:24] = 0.6
    nucleus[:, 0, 12:20, 12:20] = 1 / 255  # nearly black, in one channel alone
    masks = network(cell, nucleus).masks > 0
    assert masks[:, 0].sum(dim=(1, 2)).tolist() == [256, 256]
    assert masks[:, 1].sum(dim=(1, 2)).tolist() == [64, 64]


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "mobilenet_v3_large"])
def test_decoder_of_deep_features_takes_a_map_of_each_size(backbone):
    network = build("deep_feature_cnn", 64, backbone=backbone).eval()
    sides = []
    network.decoder.register_forward_pre_hook(
        lambda part, given: sides.extend(one.shape[-1] for one in given[0])
    )
    network(*views_for(network))
    assert sides == [32, 16, 8, 4, 2]


def test_deep_features_start_from_a_file_of_torchvisions_weights(tmp_path):
    from torchvision.models import mobilenet_v3_small

    torch.manual_seed(1)
    torch.save(mobilenet_v3_small().state_dict(), tmp_path / "weights.pth")
    network = build("deep_feature_cnn")
    before = network.backbone.features[0][0].weight.clone()
    network.load_pretrained(tmp_path / "weights.pth")
    assert not torch.equal(network.backbone.features[0][0].weight, before)


def test_a_backbone_without_marked_sizes_is_refused():
    with pytest.raises(UserError, match="mobilenet_v2, mobilenet_v3_small"):
        build("deep_feature_cnn", backbone="vgg16")


def test_forward_and_backward_at_the_papers_size():
    network = build("saliency_fusion", 224)
    output = network(*views_for(network, size=224))
    assert output.masks.shape == (2, 2, 224, 224)
    assert output.saliency.shape == (2, 1, 56, 56)
    loss_of(output).backward()
    assert all(weight.grad.isfinite().all() for weight in network.parameters())


@pytest.mark.slow
def test_the_papers_batch_at_its_size_fits_into_8_gib(record_property):
    network = build("saliency_fusion", 224)
    loss_of(network(*views_for(network, batch=32, size=224))).backward()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB → GiB
    record_property("peak_memory_gib", peak)
    assert 0 < peak < 8
