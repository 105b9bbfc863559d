import numpy as np
import pytest
import torch

from wbc_pipeline.models import build_network
from wbc_pipeline.training.predict import (
    SMALLEST_PROBABILITY,
    correct_prior,
    predict_parts,
    predict_probabilities,
)
from wbc_pipeline.training.tasks.classification import ClassificationTask
from wbc_pipeline.training.turns import Turned

CPU = torch.device("cpu")


@pytest.fixture
def network():
    return build_network("normal_cnn", {"classes": 3, "image_size": 16}, seed=0)


def test_probabilities_sum_to_one_and_are_never_zero(toy, network):
    with torch.no_grad():
        network.head[-1].weight.mul_(1e4)  # far too sure
    rows = np.arange(10)
    probabilities, _ = predict_probabilities(network, [toy["views"]["image"]], rows, device=CPU)
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    assert probabilities.min() >= SMALLEST_PROBABILITY * 0.99


def test_batches_do_not_change_the_answer(toy, network):
    rows = np.array([5, 3, 80, 41, 7])
    one, _ = predict_probabilities(network, [toy["views"]["image"]], rows, device=CPU, batch_size=2)
    other, _ = predict_probabilities(
        network, [toy["views"]["image"]], rows, device=CPU, batch_size=5
    )
    assert np.allclose(one, other, atol=1e-6)


def test_every_image_has_its_time(toy, network):
    rows = np.arange(70)
    _, milliseconds = predict_probabilities(network, [toy["views"]["image"]], rows, device=CPU)
    assert milliseconds.shape == (70,)
    assert (milliseconds > 0).all()


def test_a_table_has_the_rows_of_all_parts_in_their_order(toy, network):
    task = ClassificationTask(network, views=toy["views"], classes=toy["classes"])
    table = predict_parts(task, {"validation": [5, 3], "test": [80]}, device=CPU)
    columns = ["p_dark", "p_grey", "p_light"]
    assert table.columns.tolist() == ["row", "part", *columns, "inference_ms"]
    assert table["row"].tolist() == [5, 3, 80]
    assert table["part"].tolist() == ["validation", "validation", "test"]
    alone, _ = predict_probabilities(network, [toy["views"]["image"]], [5, 3, 80], device=CPU)
    np.testing.assert_allclose(table[columns], alone, atol=1e-6)


def test_turned_images_are_answered_alike(toy, network):
    images = toy["views"]["image"][:6].copy()
    images[:, :8] //= 2  # so that an image is not its own mirror image
    turned = np.rot90(images, axes=(1, 2))[:, :, ::-1].copy()
    for model, alike in ((network, False), (Turned(network), True)):
        one, other = (
            predict_probabilities(model, [pixels], np.arange(6), device=CPU)[0]
            for pixels in (images, turned)
        )
        assert np.allclose(one, other, atol=1e-6) == alike
        np.testing.assert_allclose(one.sum(axis=1), 1)


def test_a_turned_network_averages_eight_answers(toy, network):
    images = toy["views"]["image"][:2]
    expected = np.mean(
        [
            predict_probabilities(network, [pixels.copy()], np.arange(2), device=CPU)[0]
            for k in range(4)
            for pixels in (np.rot90(images, k, (1, 2)), np.rot90(images, k, (1, 2))[:, ::-1])
        ],
        axis=0,
    )
    found, _ = predict_probabilities(Turned(network), [images], np.arange(2), device=CPU)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_corrected_prior_raises_the_rare_classes(toy):
    probabilities = np.array([[0.9, 0.1, 0.0], [0.5, 0.3, 0.2]])
    corrected = correct_prior(probabilities, [80, 20, 0], power=1.0)
    np.testing.assert_allclose(corrected.sum(axis=1), 1)
    assert (corrected > 0).all()
    odds = probabilities[0, 1] / probabilities[0, 0]
    assert corrected[0, 1] / corrected[0, 0] == pytest.approx(4 * odds)
    half = correct_prior(probabilities, [80, 20, 0], power=0.5)
    assert half[0, 1] / half[0, 0] == pytest.approx(2 * odds)
    unchanged = correct_prior(probabilities, [80, 20, 0], power=0.0)
    np.testing.assert_allclose(unchanged, probabilities, atol=1e-11)
