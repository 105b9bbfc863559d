import json
from typing import get_type_hints

import numpy as np
import pytest
import torch

from wbc_pipeline.models import (
    NETWORKS,
    DamagedNetworkError,
    build_network,
    load_network,
    network_class,
    save_network,
)
from wbc_pipeline.models.joint import JointOutput, is_joint
from wbc_pipeline.models.learnable_canny_cnn import LearnableCannyCNN

ARGUMENTS = {"classes": 4, "image_size": 32}
CANNY = {"canny": {"low": 30, "high": 90, "sigma": 1.0}}


def arguments_of(name):
    return ARGUMENTS | (CANNY if name == "learnable_canny_cnn" else {})


def views_for(network, batch=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(batch, 3, 32, 32, generator=generator) for _ in network.views]


def tensors_of(output):
    """The tensors of a network's output; those that also segment give several."""
    return [output] if isinstance(output, torch.Tensor) else [t for t in output if t is not None]


@pytest.mark.parametrize("name", NETWORKS)
def test_gives_a_logit_for_each_class(name):
    network = build_network(name, arguments_of(name), seed=0).eval()
    assert tensors_of(network(*views_for(network)))[0].shape == (2, 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_network_predicts_the_same(name, tmp_path):
    network = build_network(name, arguments_of(name), seed=0).eval()
    save_network(tmp_path, network, {"name": name, "arguments": arguments_of(name)})
    loaded, description = load_network(tmp_path)
    views = views_for(network)
    outputs = (tensors_of(each(*views)) for each in (loaded, network))
    assert all(torch.equal(one, other) for one, other in zip(*outputs, strict=True))
    assert description["name"] == name


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_learns(name):
    network = build_network(name, arguments_of(name), seed=0)
    sum(tensor.sum() for tensor in tensors_of(network(*views_for(network, batch=4)))).backward()
    still = [key for key, weight in network.named_parameters() if weight.grad is None]
    assert still == []


def test_same_seed_builds_the_same_weights():
    one, other, another = (
        build_network("normal_cnn", ARGUMENTS, seed=seed).state_dict() for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not all(torch.equal(one[name], another[name]) for name in one)


def test_normal_cnn_is_the_papers():
    network = network_class("normal_cnn")(classes=5, image_size=64)
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [m.out_channels for m in convolutions] == [32, 32, 64, 64, 128, 128]
    assert [m.p for m in network.modules() if isinstance(m, torch.nn.Dropout)] == [0.25] * 3 + [0.5]
    dense = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
    assert [m.out_features for m in dense] == [512, 5]


BLEND_NETWORKS = [name for name in NETWORKS if hasattr(network_class(name), "blend")]


@pytest.mark.parametrize("name", ["normal_cnn", *BLEND_NETWORKS])
def test_the_blend_papers_head_normalises_and_drops_before_it_flattens(name):
    network = build_network(name, arguments_of(name), seed=0)
    head = getattr(network, "cnn", network).head
    assert [type(layer).__name__ for layer in head] == [
        "BatchNorm2d",
        "Dropout",
        "Flatten",
        "Linear",
        "ReLU",
        "Linear",
    ]
    assert (head[0].num_features, head[1].p, head[3].out_features) == (128, 0.5, 512)


def test_image_size_that_pooling_cannot_halve_is_refused():
    with pytest.raises(ValueError, match="multiple of 8"):
        network_class("normal_cnn")(classes=5, image_size=60)


@pytest.mark.parametrize(("alpha", "expected"), [(0.0, 0), (1.0, 1), (0.25, 0.25)])
def test_alpha_is_the_share_of_the_foreground(alpha, expected):
    network = network_class("blend_cnn")(**ARGUMENTS, alpha=alpha)
    image, foreground = torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)
    assert torch.allclose(network.blend(image, foreground), torch.tensor(float(expected)))


def test_adaptive_blend_gives_each_image_its_own_share():
    network = build_network("adaptive_blend_cnn", ARGUMENTS, seed=0)
    image = torch.zeros(2, 3, 32, 32)
    foreground = torch.stack([torch.full((3, 32, 32), 0.2), torch.ones(3, 32, 32)])
    shares = network.blend(image, foreground)[:, 0, 0, 0] / foreground[:, 0, 0, 0]
    assert shares[0] != shares[1]
    assert (shares > 0).all()
    assert (shares < 1).all()


def blob():
    image = np.full((1, 32, 32, 3), 220, np.uint8)
    rows, columns = np.mgrid[:32, :32]
    image[0, (rows - 16) ** 2 + (columns - 16) ** 2 < 64] = (90, 40, 120)
    return torch.from_numpy(image).permute(0, 3, 1, 2) / 255


def test_learnable_canny_starts_from_the_fixed_foreground():
    from wbc_pipeline.imaging.edges import canny_foreground

    network = LearnableCannyCNN(**ARGUMENTS, **CANNY)
    image = blob()
    pixels = (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
    fixed = torch.from_numpy(canny_foreground(pixels, **CANNY["canny"])).permute(2, 0, 1) / 255
    fixed = fixed[None]
    assert torch.allclose(network.foreground(image), fixed)


def test_canny_gradient_is_the_central_difference():
    network = LearnableCannyCNN(**ARGUMENTS, **CANNY, step=0.5)
    image = blob()
    network.foreground(image).sum().backward()
    shift = torch.tensor([0.0, 0.0, 0.5])
    change = [
        (image * network._segment(image, network.numbers.detach() + sign * shift)).sum()
        for sign in (1, -1)
    ]
    assert network.numbers.grad[2].item() == pytest.approx((change[0] - change[1]).item(), abs=1e-3)


def test_unknown_network_names_the_known():
    with pytest.raises(ValueError, match="normal_cnn"):
        network_class("resnet_9000")


def test_missing_network_says_where_it_looked(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        load_network(tmp_path)


def test_description_is_json_a_person_can_read(tmp_path):
    network = build_network("blend_cnn", ARGUMENTS, seed=0)
    save_network(tmp_path, network, {"name": "blend_cnn", "arguments": ARGUMENTS})
    assert json.loads((tmp_path / "network.json").read_text())["arguments"]["classes"] == 4


def damage_weights(folder):
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    return file.name


def describe(content):
    def damage(folder):
        (folder / "network.json").write_text(content)
        return "network.json"

    return damage


def exchange_weights(folder):
    other = folder / "other"
    other.mkdir()
    save_network(other, build_network("le_net", ARGUMENTS, seed=0), {})
    (other / "weights.safetensors").replace(folder / "weights.safetensors")
    return "weights.safetensors"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damage_weights, "incomplete|Incomplete|invalid|Invalid"),
        (describe(""), "Expecting value"),
        (describe("{}"), "it has no 'name'"),
        (describe('{"name": "normal_cnn"}'), "it has no 'arguments'"),
        (describe('{"name": "normal_cnn", "arguments": {}}'), "missing"),
        (describe('{"name": "resnet_9000", "arguments": {}}'), "known are normal_cnn"),
        (exchange_weights, "tensors are not those of normal_cnn, such as"),
        (lambda folder: (folder / "weights.safetensors").unlink() or "weights.safetensors", "No"),
    ],
)
def test_damaged_network_names_folder_file_reason_and_remedy(tmp_path, damage, reason):
    network = build_network("normal_cnn", ARGUMENTS, seed=0)
    save_network(tmp_path, network, {"name": "normal_cnn", "arguments": ARGUMENTS})
    file = damage(tmp_path)
    with pytest.raises(DamagedNetworkError, match=reason) as raised:
        load_network(tmp_path)
    said = str(raised.value)
    assert said.startswith(f"The network in {tmp_path} cannot be loaded: {file} is damaged")
    assert "Copy both files of the folder anew" in said


def test_a_network_that_its_weights_do_not_fit_is_never_allocated(tmp_path):
    save_network(tmp_path, build_network("normal_cnn", ARGUMENTS, seed=0), {})
    huge = {"name": "normal_cnn", "arguments": {**ARGUMENTS, "classes": 10**9}}  # 500 GB
    (tmp_path / "network.json").write_text(json.dumps(huge))
    with pytest.raises(DamagedNetworkError, match=r"should be \[1000000000"):
        load_network(tmp_path)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_says_that_it_segments_too(name):
    network = network_class(name)
    returned = get_type_hints(network.forward).get("return")
    assert is_joint(network) == (returned is JointOutput), 'say task = "joint" in its class'
