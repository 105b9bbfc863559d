"""Recovery of sources and the search for overlaps, against the bare finding of local features."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from wbc_pipeline.imaging.overlaps import find_overlaps
from wbc_pipeline.imaging.packing import pack_images
from wbc_pipeline.imaging.recovery import index_originals, recover_sources
from wbc_pipeline.sources import blood_cells
from wbc_pipeline.sources.listing import list_source

WORKERS = min(2, os.cpu_count())
COPIES = 12_444
LIMIT = 360.0  # seconds for all of them


@pytest.fixture(scope="module")
def index(real_data):
    start = time.perf_counter()
    index = index_originals(blood_cells.list_originals(real_data)["path"], workers=WORKERS)
    return index, time.perf_counter() - start


def find_features(path):
    cv2.SIFT_create().detectAndCompute(cv2.imread(path, cv2.IMREAD_GRAYSCALE), None)


def test_all_sources_of_blood_cells_are_recovered_in_six_minutes(benchmark, real_data, index):
    paths = blood_cells.list_images(real_data)["path"].iloc[::30].tolist()
    originals, seconds = index

    def floor():
        start = time.perf_counter()
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(find_features, paths))
        return time.perf_counter() - start

    def ours():
        start = time.perf_counter()
        recover_sources(paths, originals, workers=WORKERS, progress=False)
        return time.perf_counter() - start

    floors, times = zip(*((floor(), ours()) for _ in range(3)), strict=True)
    benchmark.pedantic(ours, rounds=1)
    whole = seconds + min(times) / len(paths) * COPIES
    benchmark.extra_info["times the bare finding of features"] = round(
        float(np.median(np.divide(times, floors))), 1
    )
    benchmark.extra_info["seconds for all 12,444"] = round(whole)
    assert whole < LIMIT


def test_the_search_for_overlaps_takes_milliseconds_an_image(benchmark, real_data, tmp_path):
    listing = list_source("leukemia5", real_data, data=tmp_path)
    pack_images(listing, tmp_path / "images.npy", image_size=128, workers=WORKERS)
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    benchmark.pedantic(find_overlaps, args=(images,), rounds=1)
    benchmark.extra_info["ms an image"] = round(1e3 * benchmark.stats["min"] / len(images), 1)
    assert benchmark.stats["min"] / len(images) < 0.02
