import pytest
import torch
import torchvision

from wbc_pipeline.errors import UserError
from wbc_pipeline.models import build_network, load_network, save_network

ARGUMENTS = {"classes": 3, "image_size": 64}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(1)
    file = tmp_path_factory.mktemp("weights") / "mobilenet.pth"
    torch.save(torchvision.models.mobilenet_v2().state_dict(), file)
    return file


def test_the_encoder_begins_with_torchvisions_weights_and_gives_its_features(weights):
    network = build_network("mobile_u_net", ARGUMENTS, seed=0).eval()
    network.load_pretrained(weights)
    whole = torchvision.models.mobilenet_v2()
    whole.load_state_dict(torch.load(weights, weights_only=True))
    image, seen = torch.rand(1, 3, 64, 64), []
    network.get_submodule(network.cam_layer).register_forward_hook(
        lambda part, given, output: seen.append(output)
    )
    with torch.no_grad():
        network(image)
        expected = whole.eval().features[:14]((image - network.mean) / network.deviation)
    torch.testing.assert_close(seen[0], expected)


def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path):
    torch.save(torchvision.models.mobilenet_v3_small().state_dict(), tmp_path / "other.pth")
    network = build_network("mobile_u_net", ARGUMENTS, seed=0)
    before = network.backbone.features[0][0].weight.clone()
    with pytest.raises(UserError, match="do not fit"):
        network.load_pretrained(tmp_path / "other.pth")
    assert torch.equal(network.backbone.features[0][0].weight, before)


def test_a_saved_network_is_the_same_again(tmp_path):
    network = build_network("mobile_u_net", ARGUMENTS, seed=0).eval()
    save_network(tmp_path, network, {"name": "mobile_u_net", "arguments": ARGUMENTS})
    loaded, _ = load_network(tmp_path)
    image = torch.rand(1, 3, 64, 64)
    for one, other in zip(network(image)[:2], loaded(image)[:2], strict=True):
        torch.testing.assert_close(one, other)


def test_the_decoder_sees_the_skips_from_coarse_to_fine():
    network = build_network("mobile_u_net", ARGUMENTS, seed=0).eval()
    sides = []
    for convolution in network.up:
        convolution.register_forward_pre_hook(lambda part, given: sides.append(given[0].shape[-1]))
    network(torch.rand(1, 3, 64, 64))
    assert sides == [8, 16, 32]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"backbone": "vgg16"}, "set backbone to mobilenet_v2"),
        ({"image_size": 40}, "multiple of 16"),
    ],
)
def test_another_backbone_or_size_is_refused(arguments, reason):
    with pytest.raises(ValueError, match=reason):
        build_network("mobile_u_net", ARGUMENTS | arguments, seed=0)
