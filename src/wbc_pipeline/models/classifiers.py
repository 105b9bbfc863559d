"""Classifiers of tables of features, from scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

#: Name in YAML -> the steps after scaling: class of scikit-learn, and its arguments.
CLASSIFIERS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "kernel_logistic": [  # logistic regression in the space of radial basis functions
        ("sklearn.kernel_approximation:Nystroem", {"n_components": 500}),
        ("sklearn.linear_model:LogisticRegression", {"C": 30.0, "max_iter": 5000}),
    ],
    "extra_trees": [
        (
            "sklearn.ensemble:ExtraTreesClassifier",
            {"n_estimators": 200, "min_samples_leaf": 2, "class_weight": "balanced"},
        )
    ],
    "linear_discriminant": [
        (
            "sklearn.discriminant_analysis:LinearDiscriminantAnalysis",
            {"solver": "lsqr", "shrinkage": "auto"},
        )
    ],
    "perceptron": [
        (
            "sklearn.neural_network:MLPClassifier",
            {"hidden_layer_sizes": (64,), "alpha": 1.0, "max_iter": 500, "tol": 1e-3},
        )
    ],
}


def build_classifier(name: str, arguments: dict[str, Any], *, seed: int) -> Pipeline:
    """Build an untrained classifier that scales each feature to mean 0 and variance 1 first.

    Parameters
    ----------
    name
        Key of `CLASSIFIERS`.
    arguments
        Of its last step, over those of `CLASSIFIERS`.
    seed
        Where it draws at random.
    """
    from importlib import import_module

    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps = []
    for path, given in CLASSIFIERS[name]:
        module, class_name = path.split(":")
        step = getattr(import_module(module), class_name)(**given)
        if "random_state" in step.get_params():
            step.set_params(random_state=seed)
        steps.append(step)
    steps[-1].set_params(**arguments)
    return make_pipeline(StandardScaler(), *steps)
