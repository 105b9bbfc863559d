import pytest
import torch
import torchvision

from wbc_pipeline.models import (
    DETECTORS,
    NETWORKS,
    build_network,
    load_network,
    network_class,
    save_network,
)

KINDS = [
    ("mask_rcnn", "vgg16"),
    ("mask_rcnn", "resnet50"),
    ("light_detector", "compact"),
    ("light_detector", "mobilenet_v3_large"),
]
SMALL = [("mask_rcnn", "resnet50"), ("light_detector", "compact")]


def build(name, backbone, **arguments):
    return build_network(name, {"image_size": 64, "backbone": backbone} | arguments, seed=0)


def frames(count=2):
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def targets(*cells):
    """Targets of images with so many cells each."""
    box, mask = torch.tensor([16.0, 12.0, 44.0, 50.0]), torch.zeros(64, 64, dtype=torch.uint8)
    mask[12:50, 16:44] = 1
    return [
        {
            "boxes": box.repeat(count, 1),
            "labels": torch.ones(count, dtype=torch.int64),
            "masks": mask.repeat(count, 1, 1),
        }
        for count in cells
    ]


def test_no_name_is_both_a_classifiers_and_a_detectors():
    assert not set(NETWORKS) & set(DETECTORS)


@pytest.mark.parametrize(("name", "backbone"), KINDS)
def test_every_weight_learns_even_beside_an_image_without_a_cell(name, backbone):
    network = build(name, backbone)
    losses = network(frames(), targets(1, 0))
    loss = sum(losses.values())
    assert torch.isfinite(loss)
    loss.backward()
    still = [key for key, weight in network.named_parameters() if weight.grad is None]
    assert still == []
    assert ("loss_mask" in losses) == network.learns_masks


@pytest.mark.parametrize(("name", "backbone"), SMALL)
def test_a_batch_without_any_cell_has_a_finite_loss(name, backbone):
    losses = build(name, backbone)(frames(), targets(0, 0))
    assert torch.isfinite(sum(losses.values()))


@pytest.mark.parametrize(("name", "backbone"), SMALL)
def test_saved_detector_finds_the_same_inside_the_frame_best_first(name, backbone, tmp_path):
    arguments = {"image_size": 64, "backbone": backbone, "score": 0.0}
    network = build_network(name, arguments, seed=0).eval()
    save_network(tmp_path, network, {"name": name, "arguments": arguments})
    loaded, _ = load_network(tmp_path)
    with torch.inference_mode():
        (one,), (other,) = network(frames(1)), loaded(frames(1))
    assert len(one["boxes"]) > 1
    assert all(torch.equal(one[found], other[found]) for found in one)
    assert one["boxes"].min() >= 0
    assert one["boxes"].max() <= 64
    assert (one["scores"].diff() <= 0).all()
    assert loaded.image_size == 64


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("image_size", [32, 80])
def test_a_size_that_cannot_be_halved_is_refused(name, image_size):
    with pytest.raises(ValueError, match=f"image_size is {image_size}.*multiple of 32"):
        network_class(name)(image_size=image_size)


@pytest.mark.parametrize("name", DETECTORS)
def test_an_unknown_backbone_names_the_known(name):
    with pytest.raises(ValueError, match=r"'resnet_9000'; set backbone to one of \w+, \w+"):
        network_class(name)(image_size=64, backbone="resnet_9000")


@pytest.mark.parametrize(
    ("name", "backbone", "inside"),
    [
        ("mask_rcnn", "resnet50", "detector.backbone.body.layer1.0.conv1.weight"),
        ("light_detector", "mobilenet_v3_large", "detector.backbone.features.1.block.0.0.weight"),
        ("light_detector", "mobilenet_v2", "detector.backbone.features.1.conv.0.0.weight"),
    ],
)
def test_a_backbone_takes_the_weights_of_torchvisions_classifier(name, backbone, inside, tmp_path):
    classifier = getattr(torchvision.models, backbone)(num_classes=10)
    torch.save(classifier.state_dict(), tmp_path / "weights.pth")
    network = build(name, backbone)
    head = {key: value.clone() for key, value in network.state_dict().items() if "head" in key}
    network.load_pretrained(tmp_path / "weights.pth")
    key = inside.split("detector.backbone.")[1].removeprefix("body.")
    assert torch.equal(network.state_dict()[inside], classifier.state_dict()[key])
    assert all(torch.equal(network.state_dict()[key], value) for key, value in head.items())


def test_vgg16_takes_all_the_convolutions_of_torchvisions_classifier(tmp_path):
    network = build("mask_rcnn", "vgg16")
    features = network.detector.backbone.state_dict()
    state = {f"features.{key}": torch.full_like(value, 0.5) for key, value in features.items()}
    torch.save(state | {"classifier.0.weight": torch.ones(1)}, tmp_path / "weights.pth")
    network.load_pretrained(tmp_path / "weights.pth")
    assert len(state) == 2 * 13
    assert all((value == 0.5).all() for value in network.detector.backbone.state_dict().values())


def test_the_compact_backbone_says_that_there_are_no_weights_for_it(tmp_path):
    with pytest.raises(ValueError, match="weights to none"):
        build("light_detector", "compact").load_pretrained(tmp_path / "weights.pth")
