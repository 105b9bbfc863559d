"""Classifiers of tables of features, from scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

#: Name in YAML -> class of scikit-learn, and arguments that YAML may change.
CLASSIFIERS: dict[str, tuple[str, dict[str, Any]]] = {
    "support_vectors": ("sklearn.svm:SVC", {"C": 2.0, "probability": True}),
    "extra_trees": (
        "sklearn.ensemble:ExtraTreesClassifier",
        {"n_estimators": 300, "min_samples_leaf": 2, "class_weight": "balanced"},
    ),
    "linear_discriminant": (
        "sklearn.discriminant_analysis:LinearDiscriminantAnalysis",
        {"solver": "lsqr", "shrinkage": "auto"},
    ),
    "perceptron": (
        "sklearn.neural_network:MLPClassifier",
        {"hidden_layer_sizes": (64,), "alpha": 1.0, "max_iter": 200},
    ),
}


def build_classifier(name: str, arguments: dict[str, Any], *, seed: int) -> ClassifierMixin:
    """Build an untrained classifier that scales each feature to mean 0 and variance 1 first.

    Parameters
    ----------
    name
        Key of `CLASSIFIERS`.
    arguments
        Of its class, over those of `CLASSIFIERS`.
    seed
        Where it draws at random.
    """
    from importlib import import_module

    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    path, defaults = CLASSIFIERS[name]
    module, class_name = path.split(":")
    kind = getattr(import_module(module), class_name)
    drawn = {"random_state": seed} if "random_state" in kind().get_params() else {}
    return make_pipeline(StandardScaler(), kind(**defaults, **drawn).set_params(**arguments))
