import base64

import cv2
import numpy as np
import pytest

from wbc_pipeline.datasets.images import ImagesDataset, image_files
from wbc_pipeline.datasets.results import Task
from wbc_pipeline.keys import Key


def save(folder, pixels):
    dataset = ImagesDataset(filepath=str(folder))
    dataset.save(Task(Key({}), lambda made: np.save(image_files(made)[0], pixels)))
    return dataset


def test_images_are_mapped_and_cannot_be_changed_on_disk(tmp_path):
    pixels = np.full((3, 4, 4, 3), 7, np.uint8)
    dataset = save(tmp_path / "images", pixels)
    loaded = dataset.load()
    assert isinstance(loaded.pixels, np.memmap)
    assert loaded.masks is None
    with pytest.raises(ValueError, match="read-only"):
        loaded.pixels[:] = 0


def test_preview_is_a_mosaic_in_the_right_colours(tmp_path):
    pixels = np.zeros((80, 8, 8, 3), np.uint8)
    pixels[..., 0] = 255  # red
    preview = save(tmp_path / "images", pixels).preview(columns=4, rows=2)
    mosaic = cv2.imdecode(np.frombuffer(base64.b64decode(preview), np.uint8), cv2.IMREAD_COLOR)
    assert mosaic.shape == (16, 32, 3)
    assert (mosaic == (0, 0, 255)).all()  # OpenCV reads blue first
