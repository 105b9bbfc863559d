"""A hundred real photographs through torch and through ONNX Runtime: one answer, and the times."""

import os
import time
from types import SimpleNamespace

import cv2
import numpy as np
import onnxruntime
import pytest
from spread_answers import spread_answers

from wbc_pipeline.imaging.reading import read_image
from wbc_pipeline.imaging.steps import resize
from wbc_pipeline.models import build_network, save_network
from wbc_pipeline.sources.listing import list_source
from wbc_pipeline.tracking.served_model import ImageClassifier
from wbc_pipeline.training.classifier import Classifier
from wbc_pipeline.training.export import export_onnx

IMAGES, PACKED, SIZE = 100, 128, 64
CLASSES = ["eosinophil", "lymphocyte", "monocyte", "neutrophil"]


@pytest.fixture(scope="module")
def photographs(real_data, tmp_path_factory):
    listing = list_source("blood_cells", real_data, data=tmp_path_factory.mktemp("data"))
    chosen = listing["path"].iloc[np.linspace(0, len(listing) - 1, IMAGES).astype(int)]
    images = [read_image(path).pixels for path in chosen]
    return [cv2.resize(image, (100, 140), interpolation=cv2.INTER_AREA) for image in images]


def seconds(function, *arguments):
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


@pytest.mark.parametrize("turns", [False, True])
def test_torch_and_onnx_runtime_differ_by_less_than_a_ten_thousandth(
    benchmark, photographs, tmp_path, turns
):
    arguments = {"classes": len(CLASSES), "image_size": SIZE}
    answers = {"turns": turns, "prior_correction": 0.5, "class_counts": [100, 50, 20, 300]}
    described = {"classes": CLASSES, "packed_size": PACKED, **answers}
    views = {"image": [{"resize": {"size": SIZE}}]}
    network = build_network("normal_cnn", arguments, seed=0)
    small = np.stack([resize(image, size=SIZE) for image in photographs])
    description = {"name": "normal_cnn", "arguments": arguments, "views": views}
    save_network(tmp_path, spread_answers(network, small, size=SIZE), description | described)
    export_onnx(tmp_path, tmp_path / "model.onnx")

    classifier, served = Classifier(tmp_path), ImageClassifier()
    served.load_context(SimpleNamespace(artifacts={"network": tmp_path}))
    session_options = onnxruntime.SessionOptions()
    session_options.intra_op_num_threads = min(2, os.cpu_count())
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", session_options)
    looks = np.stack([classifier.look(image)["image"].image for image in photographs])
    asked = classifier.answer([looks]).probabilities
    (found,) = session.run(None, {"image": looks})
    served_answers = served.predict(photographs).to_numpy()
    largest = max(np.abs(each - asked).max() for each in (found, served_answers))

    def one_by_one(answer):
        for look in looks:
            answer(look[np.newaxis])

    torch_time = seconds(one_by_one, lambda look: classifier.answer([look]))
    benchmark.pedantic(one_by_one, args=(lambda look: session.run(None, {"image": look}),))
    onnx_time = benchmark.stats["min"]
    benchmark.extra_info["largest difference; ms per image by torch, by ONNX Runtime"] = (
        f"{largest:.1e}",
        round(1000 * torch_time / IMAGES, 2),
        round(1000 * onnx_time / IMAGES, 2),
    )
    assert asked.std(axis=0).max() > 0.05  # the answers depend on the image
    assert largest < 1e-4
