import hashlib
import logging
import socket
from pathlib import Path
from types import SimpleNamespace
from urllib.error import HTTPError

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torchvision.ops import FrozenBatchNorm2d
from torchvision.transforms.v2 import functional

from wbc_pipeline.models import build_network, pretrained
from wbc_pipeline.models.imagenet_cnn import ImageNetCNN
from wbc_pipeline.models.pretrained import (
    BACKBONES,
    MissingWeightsError,
    find_weights,
    load_weights,
    published_digest,
    weights_digest,
)

SMALL = "mobilenet_v3_small"
SMALL_FILE = "mobilenet_v3_small-047dcff4.pth"


@pytest.fixture(autouse=True)
def checkpoints(tmp_path, monkeypatch):
    """Give torch.hub an empty home of its own, and forget which hosts were out of reach."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(pretrained, "_unreachable", {})
    return tmp_path / "home" / "hub" / "checkpoints"


@pytest.fixture
def name_look_ups(monkeypatch):
    """Cut the network off, and count who asks for a host."""
    asked = []

    def no_such_host(host, *rest, **more):
        asked.append(host)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_host)
    return asked


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Publish weights under a name that promises their hash, as torchvision does."""
    content = b"weights"
    start_of_hash = hashlib.sha256(content).hexdigest()[:8]
    file = tmp_path / f"small-{start_of_hash}.pth"
    file.write_bytes(content)
    weights = {"IMAGENET1K_V1": SimpleNamespace(url=file.as_uri())}
    monkeypatch.setattr(torchvision.models, "get_model_weights", lambda name: weights)
    return file


def torchvision_network(backbone):
    """Build torchvision's own with moved statistics, which a wrong loading would not copy."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        more = {"transform_input": True, "init_weights": False} if "inception" in backbone else {}
        network = getattr(torchvision.models, backbone)(**more)
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.running_mean, std=0.1)
    return network.eval()


def state_of(network):
    """Give its state dict with little of VGG16's head of half a gigabyte."""
    return {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.startswith("classifier") or name.endswith("bias")
    }


def pooled_features(network, image):
    if hasattr(network, "fc"):
        network.fc = nn.Identity()
    else:
        network.classifier = nn.Identity()
    network.avgpool = nn.AdaptiveAvgPool2d(1)  # VGG16's makes 7×7 of any size
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    with torch.no_grad():
        return network(functional.normalize(image, mean, deviation))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_loaded_backbone_sees_what_torchvisions_sees(backbone, checkpoints):
    theirs = torchvision_network(backbone)
    url = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"].url
    checkpoints.mkdir(parents=True)
    torch.save(state_of(theirs), checkpoints / url.rpartition("/")[2])

    ours = build_network(
        "imagenet_cnn", {"classes": 3, "image_size": 80, "backbone": backbone}, seed=0
    ).eval()
    head = ours.classes.weight.clone()
    file = find_weights(backbone, "imagenet")
    ours.load_pretrained(file)
    file.unlink()  # pytest would keep a hundred megabytes of it

    seen = []
    ours.flatten.register_forward_hook(lambda part, inputs, output: seen.append(output))
    image = torch.rand(2, 3, 80, 80)
    with torch.no_grad():
        ours(image)
    expected = pooled_features(theirs, image)
    assert expected.std() > 0
    assert torch.allclose(seen[0], expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())
    assert torch.equal(ours.classes.weight, head)


def test_none_trains_from_scratch():
    assert find_weights("vgg16", "none") is None


def test_unknown_backbone_names_the_known():
    with pytest.raises(ValueError, match="mobilenet_v3_large"):
        find_weights("resnet_9000", "none")


def test_offline_error_says_where_it_looked_and_what_to_do(checkpoints, name_look_ups):
    with pytest.raises(MissingWeightsError) as caught:
        find_weights(SMALL, "imagenet")
    message = str(caught.value)
    assert str(checkpoints / SMALL_FILE) in message
    assert f"https://download.pytorch.org/models/{SMALL_FILE}" in message
    assert "Name or service not known" in message
    assert "weights: none" in message


def test_host_out_of_reach_is_asked_once_for_all_backbones(name_look_ups):
    for backbone in BACKBONES:
        with pytest.raises(MissingWeightsError, match="Name or service not known"):
            find_weights(backbone, "imagenet")
    assert len(name_look_ups) == 1


def test_host_that_answers_is_asked_again(monkeypatch):
    asked = []

    def not_found(url, *rest, **more):
        asked.append(url)
        raise HTTPError(url, 404, "Not Found", None, None)

    monkeypatch.setattr(torch.hub, "download_url_to_file", not_found)
    for _ in range(2):
        with pytest.raises(MissingWeightsError, match="Not Found"):
            find_weights(SMALL, "imagenet")
    assert len(asked) == 2


def test_waiting_for_a_host_ends(monkeypatch):
    before, timeouts = socket.getdefaulttimeout(), []
    monkeypatch.setattr(
        torch.hub,
        "download_url_to_file",
        lambda *rest, **more: timeouts.append(socket.getdefaulttimeout()),
    )
    find_weights(SMALL, "imagenet")
    assert timeouts[0] is not None
    assert socket.getdefaulttimeout() == before


def test_auto_warns_that_the_network_is_trained_from_scratch(name_look_ups, caplog):
    with caplog.at_level(logging.WARNING):
        assert find_weights(SMALL, "auto") is None
    assert f"{SMALL} is trained from scratch" in caplog.text


def test_auto_takes_the_file_where_there_is_one(checkpoints, name_look_ups):
    checkpoints.mkdir(parents=True)
    (checkpoints / SMALL_FILE).write_bytes(b"weights")
    assert find_weights(SMALL, "auto") == checkpoints / SMALL_FILE
    assert name_look_ups == []


def test_fetched_file_is_kept(checkpoints, published):
    file = find_weights(SMALL, "imagenet")
    assert file == checkpoints / published.name
    published.unlink()
    assert find_weights(SMALL, "imagenet").read_bytes() == b"weights"


def test_download_with_the_wrong_hash_leaves_nothing(checkpoints, published):
    published.write_bytes(b"not the weights")
    with pytest.raises(MissingWeightsError, match="invalid hash"):
        find_weights(SMALL, "imagenet")
    assert list(checkpoints.iterdir()) == []


def test_missing_local_file_is_named(tmp_path):
    with pytest.raises(MissingWeightsError, match=r"mine\.pth.*imagenet, auto or none"):
        find_weights(SMALL, str(tmp_path / "mine.pth"))


@pytest.mark.parametrize(("name", "write"), [("w.safetensors", save_file), ("w.pt", torch.save)])
def test_local_file_is_loaded(name, write, tmp_path):
    state = torchvision_network(SMALL).state_dict()
    write(state, tmp_path / name)
    network = ImageNetCNN(classes=3, image_size=32, backbone=SMALL)
    network.load_pretrained(find_weights(SMALL, str(tmp_path / name)))
    assert all(
        torch.equal(tensor, state[key]) for key, tensor in network.backbone.state_dict().items()
    )


def test_misfit_names_file_and_keys_and_changes_nothing(tmp_path):
    state = torchvision_network(SMALL).state_dict()
    del state["features.0.0.weight"]
    state["features.99.weight"] = torch.zeros(1)
    state["features.0.1.bias"] = torch.zeros(3)
    torch.save(state, tmp_path / "w.pth")
    network = ImageNetCNN(classes=3, image_size=32, backbone=SMALL)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(ValueError, match=r"w\.pth do not fit") as caught:
        network.load_pretrained(tmp_path / "w.pth")
    assert "missing features.0.0.weight; unexpected features.99.weight" in str(caught.value)
    assert "of another shape features.0.1.bias" in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_many_misfits_are_counted_not_listed(tmp_path):
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"and \d+ more; unexpected conv.weight"):
        ImageNetCNN(classes=3, image_size=32, backbone=SMALL).load_pretrained(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_damaged_file_is_named(name, tmp_path):
    (tmp_path / name).write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ValueError, match=f"{name} cannot be read as weights"):
        load_weights({"": nn.Linear(1, 1)}, tmp_path / name)


def test_file_without_a_state_dict_is_refused(tmp_path):
    torch.save({"epoch": 3, "state_dict": {}}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth holds no state dict"):
        load_weights({"": nn.Linear(1, 1)}, tmp_path / "w.pth")


def test_code_in_a_file_is_not_run(tmp_path):
    torch.save(nn.Linear(1, 1), tmp_path / "w.pth")
    with pytest.raises(ValueError, match="cannot be read"):
        load_weights({"": nn.Linear(1, 1)}, tmp_path / "w.pth")


def test_detector_that_cuts_a_backbone_into_pieces_gets_each_its_weights(tmp_path):
    theirs = torchvision_network(SMALL)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    features = torchvision.models.mobilenet_v3_small(norm_layer=FrozenBatchNorm2d).features
    block = features[9].block
    pieces = {f"features.{i}.": features[i] for i in range(len(features)) if i != 9}
    pieces |= {"features.9.block.0.": block[0]}
    pieces |= {f"features.9.block.{i}.": block[i] for i in range(1, len(block))}
    load_weights(pieces, tmp_path / "w.pth")
    expected = theirs.features.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in features.state_dict().items())


def test_layers_that_a_detector_leaves_out_must_be_named(tmp_path):
    torch.save(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"unexpected 1\.weight, 1\.bias"):
        load_weights({"0.": nn.Linear(2, 2)}, tmp_path / "w.pth")
    load_weights({"0.": nn.Linear(2, 2)}, tmp_path / "w.pth", ignored=("1.",))


def test_digest_is_that_of_the_files_bytes(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"weights")
    assert weights_digest(tmp_path / "w.pth") == hashlib.sha256(b"weights").hexdigest()[:8]


def test_the_digest_of_imagenets_weights_is_known_without_them():
    assert published_digest("vgg16") == "397923af"  # of vgg16-397923af.pth
    assert weights_digest(None) == "none"


def test_a_file_of_weights_is_digested_once_until_it_changes(tmp_path, monkeypatch):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"one")
    first = weights_digest(file)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda *_: pytest.fail("read again"))
        assert weights_digest(file) == first
    file.write_bytes(b"other")
    assert weights_digest(file) != first
