"""A saved network with a detector and a stain reference works after these are gone."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest

from wbc_pipeline.errors import UserError
from wbc_pipeline.keys import digest
from wbc_pipeline.models import build_network, save_network
from wbc_pipeline.models.portable import find_confidence, pack_network, portable_views
from wbc_pipeline.training.classifier import Classifier

SIZE = 32


@pytest.fixture
def trained(tmp_path):
    """A network that looks through a detector and a stain reference, each beside it."""
    home = tmp_path / "home"
    detector, network = home / "detector", home / "network"
    for folder in (detector, network):
        folder.mkdir(parents=True)
    arguments = {"image_size": 64}
    light = build_network("light_detector", arguments, seed=0)
    save_network(detector, light, {"name": "light_detector", "arguments": arguments})
    (detector / "training_images.parquet").write_bytes(b"a table")
    stained = np.random.default_rng(0).integers(60, 250, (40, 40, 3), np.uint8)
    cv2.imwrite(str(home / "stain.png"), stained)
    steps = [
        {"full_resolution": {}},
        {"detector_region": {"model": str(detector), "score": 0.001}},
        {"reinhard": {"reference": str(home / "stain.png")}},
        {"resize": {"size": SIZE}},
    ]
    arguments = {"classes": 2, "image_size": SIZE, "filters": [4, 4, 4], "dense": 8}
    description = {"name": "normal_cnn", "arguments": arguments, "views": {"image": steps}}
    description |= {"classes": ["a", "b"], "packed_size": 48}
    save_network(network, build_network("normal_cnn", arguments, seed=0), description)
    return home, network


def answer(folder, image):
    classifier = Classifier(folder)
    views = [frame.image[None] for frame in classifier.look(image).values()]
    return classifier.answer(views).probabilities


def test_a_carried_network_answers_as_before_where_nothing_else_is(trained, tmp_path):
    home, network = trained
    image = np.random.default_rng(1).integers(0, 255, (100, 140, 3), np.uint8)
    expected = answer(network, image)
    pack_network(network, tmp_path / "first")
    shutil.rmtree(home)
    pack_network(tmp_path / "first", tmp_path / "second")
    shutil.rmtree(tmp_path / "first")
    place = shutil.move(tmp_path / "second", tmp_path / "third")
    np.testing.assert_array_equal(answer(place, image), expected)
    carried = {path.name for path in (tmp_path / "third/files").iterdir()}
    assert carried == {"0-detector_region", "1-reinhard.png"}
    assert (place / "files/0-detector_region/training_images.parquet").is_file()
    assert str(home) not in (place / "network.json").read_text()


def test_a_network_that_reads_nothing_keeps_its_description(trained, tmp_path):
    _, network = trained
    told = json.loads((network / "network.json").read_text())
    told["views"] = {"image": [{"reinhard": {"reference": "drawn"}}, {"resize": {"size": SIZE}}]}
    (network / "network.json").write_text(json.dumps(told))
    pack_network(network, tmp_path / "packed")
    assert json.loads((tmp_path / "packed/network.json").read_text()) == told
    assert portable_views(told, network) == told["views"]


def test_a_detector_that_is_gone_is_told_by_its_place(trained, tmp_path):
    home, network = trained
    shutil.rmtree(home / "detector")
    with pytest.raises(UserError, match=f"detector_region reads {home}/detector, which is not"):
        pack_network(network, tmp_path / "packed")


def test_of_several_limits_those_that_the_last_command_asked_for_are_taken(tmp_path):
    training = tmp_path / "normal/source-0-abc"
    training.mkdir(parents=True)
    key = {"params": {"seed": 0}, "data": {}, "code": {}}
    (training / "key.json").write_text(json.dumps(key))
    folders = [tmp_path / f"confidence/normal/source-0-{name}" for name in ("old", "new", "other")]
    for age, folder in enumerate(folders):
        folder.mkdir(parents=True)
        of = "another training" if folder.name.endswith("other") else digest(key)
        (folder / "key.json").write_text(json.dumps({"data": {"training": of}}))
        os.utime(folder / "key.json", (age, age))
    assert find_confidence(training) == folders[1]
    latest = {"normal/source-0": "normal/source-0-old"}
    (tmp_path / "confidence/latest.json").write_text(json.dumps(latest))
    assert find_confidence(training) == folders[0]


def test_without_anything_fitted_there_is_no_confidence(trained):
    assert find_confidence(trained[1]) is None
