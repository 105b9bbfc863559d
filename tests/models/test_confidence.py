"""Calibration, limits, and likeness to the training data."""

import numpy as np
import pytest
from scipy.special import softmax

from wbc_pipeline.models import confidence as fitting
from wbc_pipeline.models.confidence import Confidence, Likeness

CLASSES, FEATURES = 3, 40


@pytest.fixture
def features():
    """Training features of three classes in a few directions of many, and their classes."""
    random = np.random.default_rng(0)
    labels = np.arange(300) % CLASSES
    means = random.normal(0, 5, (CLASSES, FEATURES))
    spread = random.normal(0, 1, (300, 4)) @ random.normal(0, 1, (4, FEATURES))
    return means[labels] + spread + random.normal(0, 0.1, (300, FEATURES)), labels


def test_distance_tells_other_data_from_the_training_data(features):
    known, labels = features
    likeness = fitting.fit_likeness(known[:200], labels[:200], CLASSES)
    other = np.random.default_rng(1).normal(0, 5, (100, FEATURES))
    limit = fitting.likeness_limit(likeness.distance(known[200:]), 0.95)
    assert (likeness.distance(known[200:]) > limit).mean() <= 0.06
    assert (likeness.distance(other) > limit).all()


def test_distance_in_full_directions_is_that_of_mahalanobis():
    random = np.random.default_rng(2)
    mean = np.zeros((1, 3), np.float32)
    directions = np.linalg.qr(random.normal(size=(3, 3)))[0].T.astype(np.float32)
    variances = np.float32([4, 2, 1])
    likeness = Likeness(mean, directions, variances, np.float32([1]))
    inverse = directions.T @ np.diag(1 / variances) @ directions
    points = random.normal(size=(5, 3))
    expected = np.sqrt(np.einsum("ni,ij,nj->n", points, inverse, points))
    np.testing.assert_allclose(likeness.distance(points), expected, rtol=1e-4)


def test_more_features_than_images_and_a_class_without_any_are_fitted():
    known = np.random.default_rng(0).normal(size=(6, FEATURES))
    likeness = fitting.fit_likeness(known, np.array([0, 0, 0, 2, 2, 2]), CLASSES)
    assert np.isfinite(likeness.distance(known)).all()


def test_features_that_never_vary_are_fitted():
    likeness = fitting.fit_likeness(np.ones((4, 2)), np.array([0, 0, 1, 1]), 2)
    assert likeness.distance(np.ones((1, 2))).item() == 0


def test_the_temperature_of_overconfident_answers_is_found_again():
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (4000, CLASSES))
    truth = np.array([random.choice(CLASSES, p=each) for each in softmax(logits, axis=1)])
    found = fitting.fit_temperature(softmax(2 * logits, axis=1), truth)
    assert found == pytest.approx(2, rel=0.1)


def test_so_large_a_share_of_the_validation_part_is_answered():
    sure = np.linspace(0.4, 1, 100)
    assert (sure >= fitting.abstention_limit(sure, 0.9)).mean() >= 0.9


def test_what_is_saved_is_loaded(features, tmp_path):
    likeness = fitting.fit_likeness(*features, CLASSES)
    told = Confidence(1.5, 0.6, 12.0, None, 1.25, {"train": 300})
    assert fitting.load_confidence(tmp_path) is None
    fitting.save_confidence(tmp_path, told, likeness)
    confidence, loaded = fitting.load_confidence(tmp_path)
    assert confidence == told
    points = np.random.default_rng(3).normal(size=(5, FEATURES))
    np.testing.assert_array_equal(loaded.distance(points), likeness.distance(points))
