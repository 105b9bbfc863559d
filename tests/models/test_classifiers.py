import numpy as np
import pytest

from wbc_pipeline.models.classifiers import CLASSIFIERS, build_classifier


def draw_cells(cells, seed):
    """Two classes that differ in the first of six features, on scales far apart."""
    rng = np.random.default_rng(seed)
    labels = np.array(["monocyte", "neutrophil"])[np.arange(cells) % 2]
    features = rng.normal(size=(cells, 6))
    features[:, 0] += 4 * (labels == "monocyte")
    return features * 10.0 ** np.arange(6), labels


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_tells_classes_apart_whatever_the_scale_of_features(name):
    classifier = build_classifier(name, {}, seed=0).fit(*draw_cells(80, seed=0))
    features, labels = draw_cells(80, seed=1)
    assert (classifier.predict(features) == labels).mean() > 0.9
    assert np.allclose(classifier.predict_proba(features).sum(axis=1), 1)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_same_seed_gives_the_same_classifier(name):
    features, labels = draw_cells(40, seed=0)
    first, second = (build_classifier(name, {}, seed=3).fit(features, labels) for _ in range(2))
    assert np.array_equal(first.predict_proba(features), second.predict_proba(features))


def test_arguments_of_yaml_take_precedence():
    classifier = build_classifier("extra_trees", {"n_estimators": 7}, seed=0)
    assert classifier[-1].n_estimators == 7
    assert classifier[-1].min_samples_leaf == 2
