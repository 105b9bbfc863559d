"""A thousand images through the separable model, against the bare reading and answering of them."""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.models import build_network, save_network
from wbc_pipeline.models.confidence import Confidence, fit_likeness, save_confidence
from wbc_pipeline.pipelines.predict.options import PredictOptions
from wbc_pipeline.pipelines.predict.predicting import predict_files
from wbc_pipeline.sources.listing import list_source

PROJECT = Path(__file__).parents[2]
WORKERS = min(2, os.cpu_count())
IMAGES, CHUNK, SIZE = 1000, 16, 64
CLASSES = ["eosinophil", "lymphocyte", "monocyte", "neutrophil"]


@pytest.fixture(scope="module")
def files(real_data, tmp_path_factory):
    listing = list_source("blood_cells", real_data, data=tmp_path_factory.mktemp("data"))
    chosen = listing.iloc[np.linspace(0, len(listing) - 1, IMAGES).astype(int)]
    return chosen[["image_id", "path"]].reset_index(drop=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The paper's network on the paper's view; its weights do not matter to the time."""
    folder = tmp_path_factory.mktemp("model")
    arguments = {"classes": len(CLASSES), "image_size": SIZE}
    network = build_network("mixed_separable_cnn", arguments, seed=0)
    text = (PROJECT / "conf/base/parameters_separable.yml").read_text()
    steps = yaml.safe_load(text)["separable"]["views"]["image"]
    views = {"image": [*steps[:-1], {"resize": {"size": SIZE}}]}
    description = {"name": "mixed_separable_cnn", "arguments": arguments, "views": views}
    save_network(folder, network, description | {"classes": CLASSES, "packed_size": 128})
    features = np.random.default_rng(0).normal(size=(200, 256))
    likeness = fit_likeness(features, np.arange(200) % 4, 4)
    save_confidence(folder, Confidence(1.5, 0.3, 20.0, 0.35, 4 / 3, {"train": 200}), likeness)
    return folder


def ours(files, model, folder):
    folder.mkdir(exist_ok=True)
    text = (PROJECT / "conf/base/parameters_predict.yml").read_text()
    options = PredictOptions(**yaml.safe_load(text)["predict"] | {"workers": WORKERS})
    how = {"options": options, "max_pixels": 10**7, "device": torch.device("cpu")}
    predict_files(folder, files=files, model=model, confidence=model, **how)


def bare(files, model):
    """Read, make the view, answer; find no cell, draw nothing."""
    described = json.loads((model / "network.json").read_text())
    chain = build_chain(described["views"]["image"])
    network = build_network(described["name"], described["arguments"], seed=0).eval()
    paths = files["path"].tolist()

    @torch.inference_mode()
    def work(start):
        torch.set_num_threads(1)
        chosen = paths[start : start + CHUNK]
        views = np.stack([chain(cv2.imread(path, cv2.IMREAD_COLOR_RGB)) for path in chosen])
        return network(torch.from_numpy(views).permute(0, 3, 1, 2).float() / 255)

    threads = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(0, len(paths), CHUNK)))
    cv2.setNumThreads(threads[0])
    torch.set_num_threads(threads[1])


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def test_a_thousand_images_take_under_a_minute_and_at_most_six_times_bare_answers(
    benchmark, files, model, tmp_path
):
    floor = seconds(bare, files, model)
    benchmark.pedantic(ours, args=(files, model, tmp_path / "answers"), rounds=1)
    taken = benchmark.stats["min"]
    assert len(pd.read_parquet(tmp_path / "answers/cells.parquet")) >= IMAGES
    benchmark.extra_info["seconds for 1,000 images, and for bare answers"] = (
        round(taken, 1),
        round(floor, 1),
    )
    assert taken < 60
    assert taken < 6 * floor


ALONE = """
import sys
from pathlib import Path
import pandas as pd
from test_predict import ours
files = pd.read_parquet("files.parquet").head(int(sys.argv[1]))
ours(files, Path(sys.argv[2]), Path("answers" + sys.argv[1]))
"""


def test_memory_does_not_grow_with_the_number_of_images(
    benchmark, files, model, tmp_path, peak_memory
):
    files.to_parquet(tmp_path / "files.parquet")
    alone = f"import sys; sys.path[:0] = {[os.path.dirname(__file__), *sys.path]}\n{ALONE}"

    def peak(images):
        return peak_memory([sys.executable, "-c", alone, str(images), str(model)], folder=tmp_path)

    few = peak(IMAGES // 5)
    many = benchmark.pedantic(peak, args=(IMAGES,), rounds=1)
    benchmark.extra_info["peak MB of 200 and of 1,000 images"] = (round(few), round(many))
    assert many < few + 150  # all of the images would be 180 more
