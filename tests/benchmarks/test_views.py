"""A whole view of the whole set against the bare OpenCV calls that it is made of."""

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pytest

from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.imaging.views import FileImages, write_view
from wbc_pipeline.sources.listing import list_source

WORKERS = min(2, os.cpu_count())
SIZE, CHUNK = 64, 32
CLIP, TILES = 2.0, (8, 8)
LOWER, UPPER = (115, 50, 0), (160, 255, 255)
CROP = [
    {"full_resolution": {}},
    {"clahe": {"clip_limit": CLIP, "tiles": TILES[0]}},
    {"colour_region": {"nucleus": [LOWER, UPPER], "cytoplasm": None, "padding": 0}},
    {"resize": {"size": SIZE}},
]


@pytest.fixture(scope="module")
def paths(real_data, tmp_path_factory):
    listing = list_source("blood_cells", real_data, data=tmp_path_factory.mktemp("data"))
    return listing["path"].tolist()


def crop_bare(path):
    """Do what the chain does, and check nothing."""
    image = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = cv2.createCLAHE(CLIP, TILES).apply(lab[..., 0])
    image = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    hsv = cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_RGB2HSV)
    mask = cv2.inRange(hsv, LOWER, UPPER)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if contours:
        x, y, width, height = cv2.boundingRect(max(contours, key=cv2.contourArea))
        image = image[y : y + height, x : x + width]
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def bare(paths, target):
    array = np.lib.format.open_memmap(target, "w+", np.uint8, (len(paths), SIZE, SIZE, 3))

    def work(start):
        for row, path in enumerate(paths[start : start + CHUNK], start):
            array[row] = crop_bare(path)

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(0, len(paths), CHUNK)))
    cv2.setNumThreads(threads)
    array.flush()


def ours(paths, target):
    images = FileImages(paths, max_pixels=10**7)
    write_view(build_chain(CROP), images, target, workers=WORKERS, progress=False)


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def test_clahe_hsv_contour_and_crop_reach_seventeen_twentieths_of_bare_opencv(
    benchmark, paths, tmp_path
):
    floor = partial(bare, paths, tmp_path / "bare.npy")
    view = partial(ours, paths, tmp_path / "ours.npy")
    floor()  # the files are in the page cache from here on
    pairs = [(seconds(floor), seconds(view)) for _ in range(3)]
    benchmark.pedantic(view, rounds=1)
    ratio = float(np.median([floor / made for floor, made in pairs]))
    benchmark.extra_info["share of bare OpenCV's speed"] = round(ratio, 2)
    benchmark.extra_info["images per second"] = round(len(paths) / min(made for _, made in pairs))
    assert ratio >= 0.85


ALONE = """
import sys
from pathlib import Path
from test_views import ours
ours(Path("paths.txt").read_text().splitlines()[: int(sys.argv[1])], Path("view.npy"))
"""


def test_memory_does_not_grow_with_the_number_of_images(
    benchmark, paths, tmp_path, peak_memory, monkeypatch
):
    (tmp_path / "paths.txt").write_text("\n".join(paths))
    monkeypatch.setenv("PYTHONPATH", os.path.dirname(__file__))

    def peak(images):
        return peak_memory([sys.executable, "-c", ALONE, str(images)], folder=tmp_path)

    few = peak(2_000)
    many = benchmark.pedantic(peak, args=(len(paths),), rounds=1)
    benchmark.extra_info["peak MB of 2,000 and of all images"] = (round(few), round(many))
    assert many < few + 50
