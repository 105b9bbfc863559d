import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from wbc_pipeline.evaluation.report.explorer import MOST_IMAGES, SIDE, explore_confusion


@pytest.fixture(scope="module")
def explored(predictions):
    names = predictions["image_id"].unique()
    pixels = np.random.default_rng(0).integers(0, 255, (len(names), 128, 128, 3), dtype=np.uint8)
    rows = {name: row for row, name in enumerate(names)}
    return explore_confusion(predictions, pixels, rows).content


def test_every_run_has_its_matrix_of_all_seeds(explored, predictions):
    runs = predictions.groupby(["variant", "protocol"]).size()
    assert {(run["variant"], run["protocol"]) for run in explored["runs"]} == {*runs.index}
    for run in explored["runs"]:
        assert np.sum(run["counts"]) == runs[run["variant"], run["protocol"]]


def test_an_image_stands_behind_the_cell_that_it_was_counted_in(explored, predictions):
    test = predictions.set_index(["variant", "protocol", "image_id"]).sort_index()
    columns = [name for name in predictions if name.startswith("p_")]
    for run in explored["runs"][:2]:
        for row, column, place, confidence in run["examples"]:
            name = explored["images"][place]["name"]
            answers = test.loc[(run["variant"], run["protocol"], name), [*columns, "label"]]
            assert set(answers["label"]) == {explored["classes"][row]}
            surest = answers[columns].to_numpy(float).max(axis=1)
            predicted = answers[columns].astype(float).idxmax(axis=1)
            own = predicted == f"p_{explored['classes'][column]}"
            assert confidence == pytest.approx(surest[own.to_numpy()].max(), abs=1e-3)


def test_there_are_some_dozens_of_small_pictures_and_of_every_class_one(explored):
    assert len(explored["images"]) <= MOST_IMAGES
    assert {image["label"] for image in explored["images"]} == {*explored["classes"]}
    for image in explored["images"][:3]:
        picture = Image.open(io.BytesIO(base64.b64decode(image["webp"])))
        assert picture.format == "WEBP" and max(picture.size) == SIDE


def test_most_mistaken_cells_of_every_run_have_a_picture(explored):
    for run in explored["runs"]:
        shown = {(row, column) for row, column, _, _ in run["examples"]}
        counts = np.array(run["counts"])
        np.fill_diagonal(counts, 0)
        assert np.unravel_index(counts.argmax(), counts.shape) in shown


def test_it_can_be_said_in_json(explored):
    assert json.loads(json.dumps(explored)) == explored


def test_images_that_are_not_packed_are_counted_and_not_shown(predictions):
    one = predictions[predictions["variant"] == "normal"]
    content = explore_confusion(one, np.zeros((0, 8, 8, 3), np.uint8), {}).content
    assert content["images"] == [] and len(content["runs"]) == 2
