"""The best leak-free network of a data set, and what is known of it."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.confusion import ConfusionScore, confusion_intervals
from wbc_pipeline.evaluation.scores.intervals import resampling_units
from wbc_pipeline.evaluation.scores.leaderboard import MODEL
from wbc_pipeline.evaluation.scores.metrics import read_outcomes
from wbc_pipeline.evaluation.scores.protocols import LEAK_FREE, leak_free_protocol


def choose_champion(
    board: pd.DataFrame, networks: Collection[tuple[str, str, str]]
) -> dict[str, object] | None:
    """Choose the network of the highest macro-F1 without a leak.

    Numbers of two protocols, or of different classes, cannot be compared: the choice is among
    models of the first leak-free protocol that was run, and among those that tell the most classes
    apart.

    Parameters
    ----------
    board
        Of ``leaderboard.leaderboard``.
    networks
        Paper, variant and protocol of the models that are single networks and can be served.

    Returns
    -------
    dict or None
        A row of the leaderboard; None where no such network was run.
    """
    are_known = [name in networks for name in board[MODEL].itertuples(index=False, name=None)]
    known = board[board["protocol"].isin(LEAK_FREE) & np.array(are_known, bool)]
    if known.empty:
        return None
    peers = known[known["protocol"] == leak_free_protocol(known["protocol"])]
    peers = peers[peers["classes"] == peers["classes"].max()]
    return peers.loc[peers["macro_f1"].idxmax()].to_dict()


@described(
    heading="Scores of each class",
    caption="On the test part, means over seeds with intervals over cells; images: how many were "
    "tested.",
)
def class_scores(answers: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Score each class of one model under one protocol.

    Parameters
    ----------
    answers
        Test rows of one variant and protocol, of all its seeds and folds.
    level
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        A row per class: ``label``, ``images`` and ``precision``, ``recall``, ``f1``, each with
        ``_low`` and ``_high``; NaN for a class without test images.
    """
    outcomes = read_outcomes(answers)
    units, _ = resampling_units(answers.reset_index(drop=True))
    runs, _ = pd.factorize(answers["seed"])
    kinds = {"precision": _precision, "recall": _recall, "f1": _f1}
    places = {
        (place, name): _of_class(score, place)
        for place in range(len(outcomes.classes))
        for name, score in kinds.items()
    }
    found = confusion_intervals(
        outcomes.truth,
        outcomes.predicted,
        units,
        places,
        classes=len(outcomes.classes),
        runs=runs,
        level=level,
    )
    tested = answers.groupby("label", observed=True)["image_id"].nunique()
    rows = []
    for place, label in enumerate(outcomes.classes):
        row = {"label": label, "images": int(tested.get(label, 0))}
        for name in kinds:
            values, low, high = found[place, name]
            row |= {name: values.mean(), f"{name}_low": low, f"{name}_high": high}
        rows.append(row if row["images"] else {key: row[key] for key in ("label", "images")})
    return pd.DataFrame(rows)


def sure_mistakes(answers: pd.DataFrame, images: int) -> pd.DataFrame:
    """Pick the mistakes of which a model is surest, from each class in turn.

    Parameters
    ----------
    answers
        Test rows of one model, perhaps of several seeds; an image counts once, where it was surest.
    images
        How many at most.

    Returns
    -------
    DataFrame
        Rows of `answers`, with ``predicted`` and its probability, ``confidence``.
    """
    outcomes = read_outcomes(answers)
    found = answers.assign(
        predicted=np.array(outcomes.classes, object)[outcomes.predicted],
        confidence=outcomes.probability.max(axis=1),
    )
    wrong = found[found["predicted"] != found["label"].astype(object)]
    wrong = wrong.sort_values("confidence", ascending=False, kind="stable")
    wrong = wrong.drop_duplicates("image_id")
    turn = wrong.groupby("label", observed=True).cumcount()
    return wrong.loc[turn.sort_values(kind="stable").index].head(images)


def count_mistakes(answers: pd.DataFrame) -> pd.DataFrame:
    """Count which classes are taken for which, the most frequent first.

    Parameters
    ----------
    answers
        Test rows of one model, perhaps of several seeds.

    Returns
    -------
    DataFrame
        ``label``, ``answered``, ``times`` (over all seeds) and ``share`` of the answers to images
        of the label.
    """
    outcomes = read_outcomes(answers)
    classes = np.array(outcomes.classes, object)
    confusion = outcomes.confusion
    pairs = pd.DataFrame(
        {
            "label": classes.repeat(len(classes)),
            "answered": np.tile(classes, len(classes)),
            "times": confusion.ravel(),
            "share": (confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)).ravel(),
        }
    )
    wrong = pairs[(pairs["label"] != pairs["answered"]) & (pairs["times"] > 0)]
    return wrong.sort_values("times", ascending=False, kind="stable", ignore_index=True)


def _of_class(score: ConfusionScore, place: int) -> ConfusionScore:
    return lambda confusion: score(confusion, place)


def _precision(confusion: np.ndarray, place: int) -> np.ndarray:
    return _ratio(confusion[..., place, place], confusion[..., place].sum(axis=-1))


def _recall(confusion: np.ndarray, place: int) -> np.ndarray:
    return _ratio(confusion[..., place, place], confusion[..., place, :].sum(axis=-1))


def _f1(confusion: np.ndarray, place: int) -> np.ndarray:
    answers = confusion[..., place].sum(axis=-1) + confusion[..., place, :].sum(axis=-1)
    return _ratio(2 * confusion[..., place, place], answers)


def _ratio(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    return np.divide(parts, wholes, out=np.zeros(parts.shape), where=wholes > 0)
