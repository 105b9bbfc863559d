import base64
import io

import numpy as np
from PIL import Image

from wbc_pipeline.evaluation.report.pictures import LARGE, embed


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_photograph_becomes_a_webp_of_the_same_size_and_far_fewer_bytes():
    noise = np.random.default_rng(0).integers(100, 140, (400, 400, 3), dtype=np.uint8)
    file = png(noise)
    assert len(file) > LARGE
    shown = embed(file)
    kind, _, content = shown["address"].partition(";base64,")
    assert kind == "data:image/webp"
    webp = base64.b64decode(content)
    assert len(webp) < len(file) / 2
    assert Image.open(io.BytesIO(webp)).size == (400, 400)
    assert (shown["width"], shown["height"]) == (250, 250)


def test_a_small_chart_stays_as_it_is():
    file = png(np.zeros((80, 160, 3), np.uint8))
    shown = embed(file)
    assert base64.b64decode(shown["address"].partition(",")[2]) == file
    assert (shown["width"], shown["height"]) == (100, 50)
