"""What somebody waits for who has one photograph: the light detector on one CPU core."""

from time import process_time

import cv2
import numpy as np
import pytest
import torch

from wbc_pipeline.models import build_network, save_network
from wbc_pipeline.models.detect import detector_region

FRAMES = (192, 256)  # pixels: as in base, and as in the README
MOST_SECONDS = 0.150
MOST_SECONDS_OF_A_FIELD = 0.060  # 1440 x 900, as a microscope's camera takes it
STAIN = [  # the look of light_stain
    {"full_resolution": {}},
    {"stain_region": {}},
    {"pad_region": {"padding": 0.5}},
    {"square_region": {}},
    {"resize": {"size": 96}},
]


@pytest.fixture
def one_core():
    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    yield
    torch.set_num_threads(threads[0])
    cv2.setNumThreads(threads[1])


@pytest.mark.parametrize("frame", FRAMES)
def test_the_light_detector_finds_a_cell_in_a_photograph_in_under_150_ms(
    frame, benchmark, one_core, tmp_path
):
    arguments = {"image_size": frame, "score": 0.0}  # every place stays in: the slowest case
    network = build_network("light_detector", arguments, seed=0)
    save_network(tmp_path, network, {"name": "light_detector", "arguments": arguments})
    photograph = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    region = benchmark(detector_region, photograph, model=str(tmp_path), score=0.0)
    assert region.found
    assert benchmark.stats["median"] < MOST_SECONDS


@pytest.mark.benchmark(timer=process_time)  # of one core that other work may share
def test_the_light_detector_finds_a_cell_in_a_field_in_under_60_ms(benchmark, one_core, tmp_path):
    arguments = {"image_size": 96, "score": 0.0}
    network = build_network("light_detector", arguments, seed=0)
    description = {"name": "light_detector", "arguments": arguments, "views": {"image": STAIN}}
    save_network(tmp_path, network, description)
    rng = np.random.default_rng(0)
    field = rng.normal(225, 2, (900, 1440, 3)).clip(0, 255).astype(np.uint8)
    for place in rng.integers(0, (1440, 900), (150, 2)).tolist():  # red cells
        cv2.circle(field, place, 26, (215, 170, 180), -1)
    cv2.circle(field, (700, 400), 60, (170, 150, 210), -1)
    cv2.circle(field, (705, 405), 40, (90, 40, 150), -1)
    region = benchmark(detector_region, field, model=str(tmp_path), score=0.0)
    assert region.found
    assert benchmark.stats["median"] < MOST_SECONDS_OF_A_FIELD
