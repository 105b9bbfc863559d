"""Ingestion against the bare ``cv2.imread`` and ``cv2.resize`` of the same files."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from wbc_pipeline.imaging.duplicates import group_duplicates
from wbc_pipeline.imaging.packing import pack_images
from wbc_pipeline.sources.listing import list_source

PROJECT = Path(__file__).parents[2]
WORKERS = min(2, os.cpu_count())
CHUNK = 64
SIZE = 128


@pytest.fixture(scope="module")
def listing(real_data, tmp_path_factory):
    return list_source("blood_cells", real_data, data=tmp_path_factory.mktemp("data"))


def read_bare(paths, target):
    """Read and scale in threads into a memory-mapped array, and check nothing."""
    shape = (len(paths), SIZE, SIZE, 3)
    array = np.lib.format.open_memmap(target, "w+", np.uint8, shape)

    def read(start):
        for row, path in enumerate(paths[start : start + CHUNK], start):
            image = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
            cv2.resize(image, (SIZE, SIZE), dst=array[row], interpolation=cv2.INTER_AREA)

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(read, range(0, len(paths), CHUNK)))
    cv2.setNumThreads(threads)
    array.flush()


def test_ingestion_reaches_four_fifths_of_bare_opencv(benchmark, listing, tmp_path):
    def floor():
        start = time.perf_counter()
        read_bare(listing["path"].tolist(), tmp_path / "bare.npy")
        return time.perf_counter() - start

    def ours():
        start = time.perf_counter()
        pack_images(listing, tmp_path / "ours.npy", image_size=SIZE, workers=WORKERS)
        return time.perf_counter() - start

    floor()  # the files are in the page cache from here on
    pairs = [(floor(), ours()) for _ in range(3)]
    benchmark.pedantic(ours, rounds=1)
    ratio = float(np.median([bare / packed for bare, packed in pairs]))
    benchmark.extra_info["share of bare OpenCV's speed"] = round(ratio, 2)
    benchmark.extra_info["images per second"] = round(len(listing) / min(p for _, p in pairs))
    assert ratio >= 0.8


def test_duplicate_search_takes_less_than_a_millisecond_an_image(benchmark, listing, tmp_path):
    pack_images(listing, tmp_path / "ours.npy", image_size=SIZE, workers=WORKERS)
    images = np.load(tmp_path / "ours.npy", mmap_mode="r")
    benchmark.pedantic(group_duplicates, args=(images,), rounds=1)
    assert benchmark.stats["min"] / len(images) < 1e-3


def test_memory_stays_under_a_gigabyte(benchmark, real_data, tmp_path, peak_memory):
    """The whole command on the 12,444 files, against the same on the few of the test set."""
    command = [sys.executable, "-m", "kedro", "run", "--pipelines=ingestion"]
    few = peak_memory([*command, "--env=test", f"--params=data={tmp_path}"])
    parameters = f"dataset=blood_cells,raw={real_data},data={tmp_path},ingestion.recover=true"
    many = benchmark.pedantic(peak_memory, args=([*command, "--params", parameters],), rounds=1)
    benchmark.extra_info["peak resident memory of few and of all, MB"] = (round(few), round(many))
    assert many < 1024


def test_memory_hardly_grows_with_the_number_of_images(
    benchmark, listing, real_data, tmp_path, peak_memory
):
    for path in listing["path"].sample(2000, random_state=0):
        link = tmp_path / "few" / Path(path).relative_to(real_data)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)

    def ingest(raw):
        parameters = f"dataset=blood_cells,raw={raw},data={tmp_path / 'of'}{raw}"
        command = [sys.executable, "-m", "kedro", "run", "--pipelines=ingestion"]
        return peak_memory([*command, "--params", parameters])

    few = ingest(tmp_path / "few")
    all_of_them = benchmark.pedantic(ingest, args=(real_data,), rounds=1)
    benchmark.extra_info["peak memory of 2,000 and of 12,444, MB"] = (
        round(few),
        round(all_of_them),
    )
    assert all_of_them <= 1.2 * few


def test_ingestion_with_pinned_sources_takes_under_twenty_seconds(benchmark, real_data, tmp_path):
    """The whole command on the 12,444 files, on a new data folder, on two quiet cores."""
    words = f"--params=dataset=blood_cells,raw={real_data},data={tmp_path}"
    command = [sys.executable, "-m", "kedro", "run", "--pipelines=ingestion", words]
    benchmark.pedantic(subprocess.run, args=(command,), kwargs={"check": True}, rounds=1)
    assert benchmark.stats["max"] < 20
