"""Ingestion of as many images as the largest public set of white blood cells has.

The images are real crops, each bent in its own way, so that no two show one cell: the detail of two
bent copies of one crop no longer fits. Among them are planted pairs, of one percent of the images.

12,444 and 50,000 images take minutes; leave one out with ``-k``, such as ``-k 12444``.
"""

import math
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.imaging.packing import pack_images
from wbc_pipeline.sources.listing import list_source

NUMBERS = (12_444, 50_000, 171_375)
SIZE, CANVAS = 128, 192  # what is shown, and what lies around it
PLANTED = 0.005  # copies, of all images: one percent of them has a twin
KINDS = ("turned", "mirrored", "shifted", "zoomed", "recompressed")
SECONDS, MEGABYTES, EXPONENT, RECALL = 900, 1536, 1.1, 0.99
MEASURED = {}


@pytest.fixture(scope="module")
def crops(real_data, tmp_path_factory):
    folder, packed = tmp_path_factory.mktemp("crops"), []
    for name, options in (("pbc", {"labels": "coarse"}), ("leukemia5", {})):
        listing = list_source(name, real_data, data=folder, options=options)
        pack_images(listing, folder / f"{name}.npy", image_size=SIZE)
        packed.append(np.load(folder / f"{name}.npy"))
    return np.concatenate(packed)


def bend(crop, random):
    """Show a crop bent by up to a dozen pixels in its own way, with what lies around it."""
    margin = (CANVAS - SIZE) // 2
    wide = cv2.copyMakeBorder(crop, *[margin] * 4, cv2.BORDER_REFLECT_101)
    field = random.normal(0, 6, (12, 12, 2)).astype(np.float32)
    field = cv2.resize(field, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC)
    field += np.stack(np.meshgrid(*[np.arange(CANVAS)] * 2), axis=2)
    bent = cv2.remap(wide, field.astype(np.float32), None, cv2.INTER_LINEAR, None, 2)
    tint = random.normal(1, 0.04, 3) * bent
    return np.clip(np.rot90(tint, random.integers(4)), 0, 255).astype(np.uint8)


def centre(canvas, transform):
    """Cut the middle out of a canvas that is turned, shifted or zoomed about its centre."""
    to_middle = np.array([[1, 0, -CANVAS / 2], [0, 1, -CANVAS / 2], [0, 0, 1]])
    to_corner = np.array([[1, 0, SIZE / 2], [0, 1, SIZE / 2]])
    return cv2.warpAffine(canvas, to_corner @ transform @ to_middle, (SIZE, SIZE))


def copy(canvas, kind, random):
    angle = math.radians(random.uniform(10, 350)) if kind == "turned" else 0.0
    zoom = random.choice((0.75, 0.85, 1.2, 1.4)) if kind == "zoomed" else 1.0
    move = random.uniform(-30, 30, 2) if kind == "shifted" else (0.0, 0.0)
    sine, cosine = zoom * math.sin(angle), zoom * math.cos(angle)
    image = centre(canvas, np.array([[cosine, -sine, move[0]], [sine, cosine, move[1]], [0, 0, 1]]))
    return np.rot90(image[:, ::-1], random.integers(4)) if kind == "mirrored" else image


def write_images(crops, number, folder):
    """Write the files, and give the pairs that were planted as a table of names and kinds."""
    copies = round(PLANTED * number)

    def write(place):
        random = np.random.default_rng(place)
        canvas = bend(crops[place % len(crops)], random)
        save(folder, f"{place:06}", centre(canvas, np.eye(3)), 95)
        if place >= copies:
            return None
        kind = KINDS[place % len(KINDS)]
        quality = int(random.integers(40, 80)) if kind == "recompressed" else 90
        save(folder, f"{place:06}_{kind}", copy(canvas, kind, random), quality)
        return f"{place:06}", f"{place:06}_{kind}", kind

    for label in range(2):
        (folder / str(label)).mkdir(parents=True)
    with ThreadPoolExecutor(min(2, os.cpu_count())) as pool:
        planted = [pair for pair in pool.map(write, range(number - copies)) if pair]
    return pd.DataFrame(planted, columns=["first", "second", "kind"])


def save(folder, name, image, quality):
    path = folder / str(int(name[:6]) % 2) / f"{name}.jpg"
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])


@pytest.mark.parametrize("number", NUMBERS)
def test_ingestion_grows_with_the_number_of_images(benchmark, crops, number, tmp_path, peak_memory):
    planted = write_images(crops, number, tmp_path / "images")
    words = f"dataset=image_folder,sources.image_folder.folder={tmp_path / 'images'}"
    command = [sys.executable, "-m", "kedro", "run", "--pipelines=ingestion"]
    command += ["--params", f"{words},data={tmp_path / 'data'},ingestion.max_rejected=0"]
    used, start = os.times(), time.perf_counter()
    memory = benchmark.pedantic(peak_memory, args=(command,), rounds=1)
    seconds, done = time.perf_counter() - start, os.times()
    cpu = done.children_user + done.children_system - used.children_user - used.children_system
    MEASURED[number] = cpu

    home = tmp_path / "data/02_intermediate/image_folder"
    manifest = pd.read_parquet(home / "manifest.parquet")
    groups = dict(zip(manifest["image_id"].str[2:-4], manifest["source_group"], strict=True))
    found = planted["first"].map(groups) == planted["second"].map(groups)
    true = {tuple(sorted(pair)) for pair in planted[["first", "second"]].to_numpy()}
    several = Counter(groups.values())
    pairs = sum(size * (size - 1) // 2 for size in several.values())
    info = benchmark.extra_info
    info["images"] = len(manifest)
    info["seconds, of all cores, CPU seconds"] = (round(seconds), round(cpu))
    info["peak resident memory, MB"] = round(memory)
    info["recall of planted pairs"] = round(found.mean(), 4)
    info["recall by kind"] = found.groupby(planted["kind"]).mean().round(3).to_dict()
    info["precision of joined pairs"] = round(found.sum() / max(pairs, 1), 4)
    info["joined and not planted"] = unplanted(groups, true)[:5]
    if len(MEASURED) > 1:
        smallest = min(MEASURED)
        info["exponent of CPU time"] = round(
            math.log(cpu / MEASURED[smallest]) / math.log(number / smallest), 3
        )
        assert info["exponent of CPU time"] <= EXPONENT
    assert found.mean() >= RECALL
    assert memory < MEGABYTES
    if number == max(NUMBERS) and os.cpu_count() >= 2:
        assert seconds < SECONDS


def unplanted(groups, true):
    """List the groups that hold others than one planted pair, to be looked at."""
    members = pd.Series(groups).groupby(pd.Series(groups)).groups
    return [
        sorted(names)
        for names in members.values()
        if len(names) > 1 and tuple(sorted(names)) not in true
    ]
