"""Which single predictions to show."""

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.scores.metrics import class_names


def first_runs(predictions: pd.DataFrame) -> pd.DataFrame:
    """Keep the first seed and fold of each variant and protocol: what one network predicted."""
    runs = predictions.groupby(["variant", "protocol"], observed=True)
    seeds = predictions[predictions["seed"] == runs["seed"].transform("min")]
    folds = seeds.groupby(["variant", "protocol"], observed=True)["fold"].transform("min")
    return seeds[seeds["fold"] == folds]


def pick_answers(predictions: pd.DataFrame, images: int) -> pd.DataFrame:
    """Pick wrong and right answers, half of each as far as there are, the wrong ones first.

    The surest ones are picked: the wrong ones from each protocol in turn, the right ones from each
    class in turn.

    Parameters
    ----------
    predictions
        Test rows of one variant; those without a label are left out.
    images
        How many to pick at most.

    Returns
    -------
    DataFrame
        Rows of `predictions`, with ``predicted`` and its probability, ``confidence``.
    """
    labelled = predictions[predictions["label"].notna()]
    classes = class_names(labelled)
    probability = labelled[[f"p_{name}" for name in classes]].to_numpy(float)
    answers = labelled.assign(
        predicted=np.array(classes, object)[probability.argmax(axis=1)],
        confidence=probability.max(axis=1),
    ).sort_values("confidence", ascending=False, kind="stable")
    is_right = answers["predicted"] == answers["label"]
    wrong, right = (
        _take_turns(answers[~is_right], "protocol"),
        _take_turns(answers[is_right], "label"),
    )
    failures = max(images - images // 2, images - len(right))
    wrong = wrong.head(failures)
    return pd.concat([wrong, right.head(images - len(wrong))])


def _take_turns(answers: pd.DataFrame, column: str) -> pd.DataFrame:
    """Order rows so that the first of each value of a column come first, then the second, …."""
    turn = answers.groupby(column, observed=True).cumcount()
    return answers.loc[turn.sort_values(kind="stable").index]
