"""Guess labels from numbers that should not tell them, and ask whether it is more than luck.

Whoever guesses a class from the frame of the image has not looked at the cell.
"""

import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wbc_pipeline.errors import UserError
from wbc_pipeline.evaluation.scores.confusion import confusion_intervals, macro_recall
from wbc_pipeline.evaluation.scores.intervals import NO_SPREAD, resampling_units, sum_by_unit
from wbc_pipeline.evaluation.scores.metrics import class_names

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesClassifier

_log = logging.getLogger(__name__)


def guess_from_features(
    features: pd.DataFrame,
    labels: pd.Series,
    groups: pd.Series | None,
    *,
    folds: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Predict the label of each image by a simple model, cross-validated by source.

    The images are dealt into folds, by source and stratified by class; the images of a fold are
    guessed by extremely randomised trees [1]_ that were trained on all others, classes weighted
    alike.

    Parameters
    ----------
    features
        A row per image, numbers of any scale.
    labels
        What to guess, with the index of ``features``.
    groups
        Source of each image, with the index of ``features``; an image whose source is missing, or
        each where ``groups`` is None, is a source of its own. Copies of one cell are then
        recognised rather than guessed.
    folds
        At most; fewer, down to 2, where a class has fewer sources.
    seed
        Of folds and trees.

    Returns
    -------
    DataFrame
        ``label`` and a probability ``p_<class>`` per class (rows sum to 1), with the index of the
        rows kept, in order. Left out are rows without label or with a missing feature, and all
        rows of a class with a single source, as none would be left to learn from.

    Raises
    ------
    ValueError
        If the indexes differ, or fewer than 2 classes are left.

    References
    ----------
    .. [1] Geurts, Ernst and Wehenkel, Extremely randomized trees, Machine Learning 63, 2006.

    Examples
    --------
    >>> features = pd.DataFrame({"brightness": [10.0, 11, 12, 13, 80, 81, 82, 83]})
    >>> labels = pd.Series(["dark"] * 4 + ["light"] * 4)
    >>> guesses = guess_from_features(features, labels, None)
    >>> (guesses["p_dark"] > 0.5).tolist()
    [True, True, True, True, False, False, False, False]
    """
    from sklearn.model_selection import StratifiedGroupKFold

    sources, _ = _source_codes(groups, features.index)
    kept = _guessable(features, labels, sources)
    values, truth, sources = features[kept].to_numpy(), labels[kept].to_numpy(), sources[kept]
    # Codes, as scikit-learn weighs classes called "0" and "1" as numbers and then misses them.
    classes, truth = np.unique(truth, return_inverse=True)
    fewest = pd.Series(sources).groupby(truth).nunique().min()
    splitter = StratifiedGroupKFold(min(folds, fewest), shuffle=True, random_state=seed)
    probability = np.zeros((len(values), len(classes)))  # 0 for a class not trained on
    for train, test in splitter.split(values, truth, sources):
        model = _fit(values[train], truth[train], seed)
        probability[np.ix_(test, model.classes_)] = model.predict_proba(values[test])
    columns = [f"p_{name}" for name in classes]
    guesses = pd.DataFrame(probability, columns=columns, index=features.index[kept])
    guesses.insert(0, "label", labels[kept])
    return guesses


def chance_test(
    predictions: pd.DataFrame,
    groups: pd.Series | None,
    *,
    permutations: int = 1000,
    seed: int = 0,
) -> dict[str, float | int | str]:
    """Test guesses against chance: balanced accuracy, its interval, and a permutation test.

    A source with images of several classes is one unit in each of these.

    Parameters
    ----------
    predictions
        ``label`` and a probability ``p_<class>`` per class, each class with images, as of
        :func:`guess_from_features`.
    groups
        Source of each image; its index holds that of ``predictions``. None or missing: see there.
    permutations
        How often the labels are dealt out anew among the sources.
    seed
        Of the permutations.

    Returns
    -------
    dict
        ``balanced_accuracy`` (mean over classes of the share of images guessed right, 0 to 1);
        ``balanced_accuracy_low`` and ``_high``, its 95 % interval by source within class (see
        ``scores.confusion``); ``chance``, 1 / classes;
        ``p_permutation``, of as good a result by luck [1]_; ``images``, ``sources`` and
        ``interval_unit`` (``source``, or ``image`` where a source is unknown).

    Raises
    ------
    ValueError
        If labels and probability columns are not of the same classes.

    References
    ----------
    .. [1] Phipson and Smyth, Permutation p-values should never be zero, Statistical Applications
       in Genetics and Molecular Biology 9, 2010.

    Examples
    --------
    >>> sure = pd.DataFrame({"label": list("aaaabbbb"), "p_a": [0.9] * 4 + [0.2] * 4})
    >>> result = chance_test(sure.assign(p_b=1 - sure["p_a"]), None)
    >>> result["balanced_accuracy"], result["chance"], result["p_permutation"] < 0.05
    (1.0, 0.5, True)
    """
    classes = class_names(predictions)
    if set(predictions["label"]) != set(classes):
        raise ValueError(
            f"labels are {', '.join(sorted(set(predictions['label'])))}, but the probabilities are "
            f"of {', '.join(classes)}: give one column p_<class> per class that has images."
        )
    truth = pd.Index(classes).get_indexer(predictions["label"])
    guessed = predictions[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
    groups = None if groups is None else groups.loc[predictions.index]
    sources, kind = _source_codes(groups, predictions.index)
    pairs, units = np.unique(sources * len(classes) + truth, return_inverse=True)
    own = pairs % len(classes)  # class of each unit: a source, as far as it is of one class
    answers = sum_by_unit(np.eye(len(classes))[guessed], units)  # [units, classes]

    totals = _right_and_all(answers, own)
    found = confusion_intervals(
        truth, guessed, units, {"balanced_accuracy": macro_recall}, classes=len(classes)
    )
    _, low, high = found["balanced_accuracy"]
    return {
        "balanced_accuracy": float(_balanced_accuracy(totals.sum(axis=0))),
        "balanced_accuracy_low": low,
        "balanced_accuracy_high": high,
        "chance": 1 / len(classes),
        "p_permutation": _p_of_luck(answers, own, permutations, seed),
        "images": len(predictions),
        "sources": len(np.unique(sources)),
        "interval_unit": kind,
    }


def _source_codes(groups: pd.Series | None, images: pd.Index) -> tuple[np.ndarray, str]:
    if groups is not None and not groups.index.equals(images):
        raise ValueError("groups and features have different indexes: give both a row per image.")
    source_id = None if groups is None else groups.to_numpy()
    return resampling_units(
        pd.DataFrame({"image_id": np.arange(len(images)), "source_id": source_id})
    )


def _guessable(features: pd.DataFrame, labels: pd.Series, sources: np.ndarray) -> np.ndarray:
    """Rows with label and features, of classes with two sources or more, [N] bool."""
    if not labels.index.equals(features.index):
        raise ValueError("labels and features have different indexes: give both a row per image.")
    known = (labels.notna() & features.notna().all(axis=1)).to_numpy()
    counts = pd.Series(sources[known]).groupby(labels[known].to_numpy()).nunique()
    single = counts.index[counts == 1]
    if len(single):
        _log.warning("Left out, as none can be guessed from a single source: %s", ", ".join(single))
    if len(counts) - len(single) < 2:
        raise UserError(
            f"{len(counts) - len(single)} class(es) have features of two sources or more, and a "
            "guess needs two classes: add images, or leave this test out."
        )
    return known & ~labels.isin(single).to_numpy()


def _fit(values: np.ndarray, truth: np.ndarray, seed: int) -> "ExtraTreesClassifier":
    from sklearn.ensemble import ExtraTreesClassifier

    # Of logistic regression, boosted and extremely randomised trees the last tell most: balanced
    # accuracies from the background 0.67, 0.73 and 0.73 on `leukemia5`; 0.52, 0.98 and 0.99 on
    # 4,000 copies of `blood_cells` of which each counts as a source, where photographs can be known
    # again. They take a fifth of boosting's time and need no scaling.
    trees = ExtraTreesClassifier(
        200, min_samples_leaf=2, class_weight="balanced", n_jobs=-1, random_state=seed
    ).fit(values, truth)
    return trees.set_params(n_jobs=1)  # threads would add up probabilities in any order


def _right_and_all(answers: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Count right answers and all images, each in the class of its unit: [units, 2, classes]."""
    is_own = np.eye(answers.shape[1])[own]
    return np.stack([answers * is_own, answers.sum(axis=1, keepdims=True) * is_own], axis=1)


def _balanced_accuracy(totals: np.ndarray) -> np.ndarray:
    return (totals[..., 0, :] / totals[..., 1, :]).mean(axis=-1)


def _p_of_luck(answers: np.ndarray, own: np.ndarray, permutations: int, seed: int) -> float:
    def score(labels: np.ndarray) -> float:
        return _balanced_accuracy(_right_and_all(answers, labels).sum(axis=0))

    random, least = np.random.default_rng(seed), score(own) - NO_SPREAD
    as_good = sum(score(random.permutation(own)) >= least for _ in range(permutations))
    return float((1 + as_good) / (1 + permutations))
