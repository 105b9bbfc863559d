import json

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from wbc_pipeline.imaging.chain import build_chain, chain_data, fitted_on
from wbc_pipeline.imaging.roi import Region
from wbc_pipeline.imaging.steps import settle
from wbc_pipeline.models import build_network, detect, save_network
from wbc_pipeline.models.detect import detector_region

IMAGE = np.full((96, 128, 3), 230, np.uint8)


class Fixed(nn.Module):
    """Finds the same in every image."""

    image_size = 64

    def __init__(self, boxes, scores):
        super().__init__()
        self.found = {"boxes": torch.tensor(boxes).reshape(-1, 4), "scores": torch.tensor(scores)}

    def forward(self, images):
        assert images.shape == (1, 3, 64, 64)
        assert images.dtype == torch.float32
        assert 0 <= images.min() <= images.max() <= 1
        return [self.found]


@pytest.fixture
def finds(monkeypatch):
    def fix(boxes, scores):
        look = build_chain([{"full_resolution": {}}, {"resize": {"size": 64}}])
        found = detect.Detector(Fixed(boxes, scores), look)
        monkeypatch.setattr(detect, "_detector", lambda model: found)

    return fix


@pytest.fixture
def trained(tmp_path):
    """Folder of a detector."""

    def save(seed=0, name="light_detector", **arguments):
        arguments = {"image_size": 64} | arguments
        network = build_network(name, arguments, seed=seed)
        save_network(tmp_path, network, {"name": name, "arguments": arguments})
        return str(tmp_path)

    return save


def test_the_surest_box_comes_in_pixels_of_the_image(finds):
    finds([[0.0, 0.0, 8.0, 8.0], [16.0, 32.0, 24.0, 60.0]], [0.6, 0.9])
    assert detector_region(IMAGE, model="x") == Region(32, 48, 48, 90)
    assert detector_region(IMAGE, model="x", padding=0.5) == Region(11, 27, 69, 96)


@pytest.mark.parametrize(("boxes", "scores"), [([], []), ([[0.0, 0.0, 8.0, 8.0]], [0.49])])
def test_nothing_sure_enough_gives_the_whole_image(finds, boxes, scores):
    finds(boxes, scores)
    assert detector_region(IMAGE, model="x") == Region(0, 0, 128, 96, found=False)


def test_a_box_of_no_pixel_still_has_one(finds):
    finds([[64.0, 64.0, 64.0, 64.0]], [0.9])
    assert detector_region(IMAGE, model="x") == Region(127, 95, 128, 96)


def test_a_chain_cuts_out_what_a_saved_detector_finds(trained):
    steps = [{"detector_region": {"model": trained(score=0.0), "score": 0.0}}]
    frame = settle(build_chain(steps).run(IMAGE))
    assert frame.place == detector_region(IMAGE, **steps[0]["detector_region"])
    assert frame.place.found
    assert frame.image.shape[:2] == (
        frame.place.ymax - frame.place.ymin,
        frame.place.xmax - frame.place.xmin,
    )


def test_a_detection_that_overlaps_what_the_look_found_is_drawn_to_it():
    image = cv2.circle(IMAGE.copy(), (60, 48), 16, (90, 40, 150), -1)
    steps = [{"full_resolution": {}}, {"violet_mask_hsv": {}}, {"resize": {"size": 64}}]
    look = build_chain(steps)
    x, y, right, bottom, found = settle(look.run(image)).box
    assert found
    on_it, beside = [23.0, 22.0, 38.0, 43.0], [0.0, 0.0, 10.0, 10.0]
    network = Fixed([on_it, beside], [0.9, 0.6])
    boxes, _ = detect.find_cells(detect.Detector(network, look, trust=0.5), image)
    alone, _ = detect.find_cells(detect.Detector(network, look), image)
    assert boxes[1].tolist() == alone[1].tolist() == [0, 0, 20, 15]
    np.testing.assert_allclose(boxes[0], (alone[0] + [x, y, right, bottom]) / 2)


def test_a_detector_sees_the_part_of_the_image_that_its_look_finds(trained, tmp_path):
    steps = [
        {"full_resolution": {}},
        {"colour_region": {}},
        {"square_region": {}},
        {"resize": {"size": 64}},
    ]
    folder = trained(score=0.0)
    description = json.loads((tmp_path / "network.json").read_text())
    whole = detector_region(IMAGE, model=folder, score=0.0)
    image = cv2.circle(IMAGE.copy(), (100, 70), 12, (90, 40, 150), -1)
    (tmp_path / "network.json").write_text(json.dumps(description | {"views": {"image": steps}}))
    detect._loaded.cache_clear()
    region = detector_region(image, model=folder, score=0.0)
    assert whole.found and region.found
    assert region.xmin >= 80 and region.ymin >= 50  # nothing outside the square is seen


def test_weights_are_read_once_and_again_when_they_were_trained_anew(trained):
    folder = trained()
    first = detect._detector(folder)
    assert detect._detector(folder) is first
    trained(seed=1)
    assert detect._detector(folder) is not first


def test_the_data_of_a_chain_depend_on_the_weights(trained):
    steps = [{"detector_region": {"model": trained()}}]
    before = chain_data(steps)
    assert chain_data(steps) == before
    trained(seed=1)
    assert chain_data(steps) != before


def test_a_missing_detector_says_to_train_one(tmp_path):
    steps = [{"detector_region": {"model": str(tmp_path / "nowhere")}}]
    with pytest.raises(ValueError, match=r"no trained detector in \S+nowhere; train one \(kedro"):
        build_chain(steps)


def test_a_classifier_is_no_detector(trained):
    folder = trained(name="normal_cnn", classes=2)
    with pytest.raises(ValueError, match="normal_cnn, which is no detector"):
        detector_region(IMAGE, model=folder)


@pytest.mark.parametrize("wrong", [{"score": 1.5}, {"padding": -0.1}])
def test_a_parameter_out_of_range_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        detector_region(IMAGE, model="x", **wrong)


def test_a_chain_lists_the_images_that_its_detector_was_trained_on(trained):
    folder = trained()
    rows = [
        {"dataset": "demo", "image_id": "a.png", "source_id": "a", "sha256": "0f"},
        {"dataset": "demo", "image_id": "b.png", "source_id": None, "sha256": "1f"},
    ]
    pd.DataFrame(rows).to_parquet(f"{folder}/training_images.parquet")
    steps = [{"full_resolution": {}}, {"clahe": {}}, {"detector_region": {"model": folder}}]
    assert fitted_on(steps) == [{"step": "detector_region", **row} for row in rows]


def test_a_detector_that_does_not_say_what_it_was_trained_on_must_be_trained_again(trained):
    steps = [{"detector_region": {"model": trained()}}]
    with pytest.raises(ValueError, match=r"training_images\.parquet: .* train it again"):
        fitted_on(steps)
