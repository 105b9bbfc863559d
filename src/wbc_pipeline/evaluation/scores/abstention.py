"""What networks are worth that may abstain: errors among the images that they answer."""

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.metrics import class_names
from wbc_pipeline.models.confidence import abstention_limit, calibrate, fit_temperature

RUN_KEYS = ["variant", "protocol", "seed", "fold"]


@described(
    heading="Answers and abstentions",
    caption="On clean test images: the share that is answered where the least confident are left "
    "to a human, and the share of errors among all and among those answered. Temperature and limit "
    "are those of the validation part. The area under the curve of risk over coverage is the mean "
    "of the risks at all limits: the lower, the better confidence tells right from wrong.",
)
def abstention_scores(predictions: pd.DataFrame, *, answered: float) -> pd.DataFrame:
    """Fit calibration and limit on the validation part, and apply them to the test part.

    Parameters
    ----------
    predictions
        See ``design``: predictions; both parts.
    answered
        Share (0 to 1) of the validation part that is answered.

    Returns
    -------
    DataFrame
        A row per variant, protocol, seed and fold that has both parts: ``temperature``, ``limit``,
        ``images``, ``coverage``, ``risk_all``, ``risk_answered`` (NaN if nothing is answered) and
        ``area_under_risk``.
    """
    found = []
    for keys, run in _clean_runs(predictions):
        validation = run[run["part"] == "validation"]
        if validation.empty:
            continue
        temperature = fit_temperature(*_arrays(validation, predictions))
        sure, _ = _outcomes(validation, predictions, temperature)
        limit = abstention_limit(sure, answered)
        sure, wrong = _outcomes(run[run["part"] == "test"], predictions, temperature)
        is_answered = sure >= limit
        found.append(
            {
                **keys,
                "temperature": temperature,
                "limit": limit,
                "images": len(sure),
                "coverage": is_answered.mean(),
                "risk_all": wrong.mean(),
                "risk_answered": wrong[is_answered].mean() if is_answered.any() else np.nan,
                "area_under_risk": risk_curve(sure, wrong)[1].mean(),
            }
        )
    columns = ["temperature", "limit", "images", "coverage", "risk_all", "risk_answered"]
    return pd.DataFrame(found, columns=[*RUN_KEYS, *columns, "area_under_risk"])


def risk_curve(confidence: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the share of errors among the most confident answers, for each number of these.

    Parameters
    ----------
    confidence
        float [N].
    wrong
        bool [N].

    Returns
    -------
    coverage, risk
        float64 [N] each, 0 to 1; answers of one confidence share the mean risk of them all.

    References
    ----------
    Y. Geifman and R. El-Yaniv, "Selective classification for deep neural networks", NeurIPS 2017.

    Examples
    --------
    >>> coverage, risk = risk_curve(np.array([0.6, 0.9]), np.array([True, False]))
    >>> coverage.tolist(), risk.tolist()
    ([0.5, 1.0], [0.0, 0.5])
    """
    _, group = np.unique(-confidence, return_inverse=True)
    mean = np.bincount(group, wrong) / np.bincount(group)  # equals have no order
    expected = mean[np.sort(group)]
    count = np.arange(1, len(wrong) + 1)
    return count / len(wrong), np.cumsum(expected) / count


def outcomes_by_variant(
    predictions: pd.DataFrame, scores: pd.DataFrame
) -> dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]:
    """Put calibrated confidences and errors on the test part together, over seeds and folds.

    Parameters
    ----------
    predictions
        As for `abstention_scores`.
    scores
        Its result.

    Returns
    -------
    dict
        By variant and protocol: confidence, float [N], and whether the answer is wrong, bool [N].
    """
    temperature = scores.set_index(RUN_KEYS)["temperature"]
    parts: dict[tuple, list] = {}
    for keys, run in _clean_runs(predictions):
        if tuple(keys.values()) in temperature.index:
            test = run[run["part"] == "test"]
            outcome = _outcomes(test, predictions, temperature[tuple(keys.values())])
            parts.setdefault((keys["variant"], keys["protocol"]), []).append(outcome)
    return {
        name: tuple(map(np.concatenate, zip(*outcomes, strict=True)))
        for name, outcomes in parts.items()
    }


def _clean_runs(predictions: pd.DataFrame):
    clean = predictions[(predictions["condition"] == "clean") & predictions["label"].notna()]
    for values, run in clean.groupby(RUN_KEYS, sort=False, observed=True):
        if (run["part"] == "test").any():
            yield dict(zip(RUN_KEYS, values, strict=True)), run


def _arrays(rows: pd.DataFrame, predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    classes = class_names(predictions)
    truth = pd.Index(classes).get_indexer(rows["label"].astype(object))
    return np.maximum(rows[[f"p_{name}" for name in classes]].to_numpy(float), 1e-12), truth


def _outcomes(
    rows: pd.DataFrame, predictions: pd.DataFrame, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    probabilities, truth = _arrays(rows, predictions)
    calibrated = calibrate(probabilities, temperature)
    return calibrated.max(axis=1), probabilities.argmax(axis=1) != truth
