"""What stands between the networks and a perfect score: wrong labels, or too few cells.

A network's errors are held against the labels that the *other* networks find suspect: its own
suspicions would explain any error. What all networks misread alike looks suspect here, too, so that
the share explained is the most that wrong labels can account for, not the least.
"""

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.audit.suspects import (
    CELL,
    find_suspects,
    name_cells,
    probabilities_by_cell,
)
from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import paired_differences
from wbc_pipeline.evaluation.scores.intervals import wilson_interval
from wbc_pipeline.evaluation.scores.metrics import score_predictions

SCORES = ("accuracy", "macro_f1")
ALL_CLASSES = "all classes"
WHOLE_PERCENT = 100
WHOLE = "source"  # the protocol whose training part is every cell outside the fold


def share_protocol(percent: int) -> str:
    """Name the protocol that trains on a share of the cells outside the fold.

    >>> share_protocol(25), share_protocol(100)
    ('source-25', 'source')
    """
    return WHOLE if percent == WHOLE_PERCENT else f"{WHOLE}-{percent}"


def percent_of(protocol: str) -> int:
    """Give the percentage behind a name of `share_protocol`."""
    return int(protocol.partition("-")[2] or WHOLE_PERCENT)


def judge_by_others(predictions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Give, by network, the cells as the other networks judge them; see `find_suspects`.

    Parameters
    ----------
    predictions
        See ``audit.suspects``, of two networks or more.
    """
    variants = predictions["variant"]
    return {name: find_suspects(predictions[variants != name]) for name in variants.unique()}


@described(
    heading="Scores without suspect labels",
    caption="Scores on all cells, and without those whose label the other networks find suspect. "
    "The second is no better network, only fewer questions.",
)
def score_without_suspects(
    predictions: pd.DataFrame, judged: dict[str, pd.DataFrame], **options: object
) -> pd.DataFrame:
    """Score each network on all cells and without suspect ones, beside each other.

    Parameters
    ----------
    predictions, judged
        See `judge_by_others`.
    options
        Of `score_predictions`.

    Returns
    -------
    DataFrame
        A row per network and seed: ``variant``, ``seed``, ``cells``, ``suspects`` (by the others),
        ``accuracy`` and ``macro_f1`` over images, each with ``_low`` and ``_high``, and the same
        names with ``_without`` before the end.
    """
    rows = []
    for variant, cells in judged.items():
        own = predictions[predictions["variant"] == variant]
        suspect = _of_suspects(own, cells)
        everything = score_predictions(own, **options)
        without = score_predictions(own[~suspect], **options)
        for whole, part in zip(everything.itertuples(), without.itertuples(), strict=True):
            row = {"variant": variant, "seed": whole.seed, "cells": len(cells)}
            row["suspects"] = int(cells["suspect"].sum())
            for name in SCORES:
                for scores, middle in ((whole, ""), (part, "_without")):
                    row |= {
                        f"{name}{middle}{end}": getattr(scores, f"{name}{end}")
                        for end in ("", "_low", "_high")
                    }
            rows.append(row)
    return pd.DataFrame(rows)


@described(
    heading="How many errors suspect labels explain",
    caption="Cells that a network gets wrong, and how many of them carry a label that the other "
    "networks find suspect: the most that wrong labels can account for. By chance it would be the "
    "share of suspect labels in the class.",
)
def explain_errors(
    predictions: pd.DataFrame, judged: dict[str, pd.DataFrame], *, level: float = 0.95
) -> pd.DataFrame:
    """Say which share of each network's errors lies on labels that the others find suspect.

    Parameters
    ----------
    predictions, judged
        See `judge_by_others`.
    level
        Coverage of Wilson's interval over cells.

    Returns
    -------
    DataFrame
        A row per network and class, and one for all classes: ``variant``, ``label``, ``cells``,
        ``wrong`` (its answer for the cell is not the label), ``on_suspects`` (of these),
        ``explained`` (their share of the wrong ones, NaN where there is none) with ``_low`` and
        ``_high``, ``by_chance`` (share of suspects in the class).
    """
    rows = []
    for variant, cells in judged.items():
        own = predictions[predictions["variant"] == variant]
        answers = probabilities_by_cell(own).idxmax(axis=1).rename("answer")
        answered = cells.join(answers.droplevel("variant"), on=CELL)
        for label, members in [*answered.groupby("label"), (ALL_CLASSES, answered)]:
            wrong = members["answer"] != members["label"]
            on_suspects = members.loc[wrong, "suspect"].to_numpy()
            low, high = np.nan, np.nan
            if wrong.any():
                low, high = wilson_interval(on_suspects, np.ones(len(on_suspects)), level)
            rows.append(
                {
                    "variant": variant,
                    "label": label,
                    "cells": len(members),
                    "wrong": int(wrong.sum()),
                    "on_suspects": int(on_suspects.sum()),
                    "explained": on_suspects.mean() if wrong.any() else np.nan,
                    "explained_low": low,
                    "explained_high": high,
                    "by_chance": members["suspect"].mean(),
                }
            )
    return pd.DataFrame(rows)


@described(
    heading="Would more cells help?",
    caption="Scores of the same cells by networks that were trained on a share of the others, and "
    "what the last step of training cells gained on them.",
)
def learning_curve(
    predictions: pd.DataFrame, training_cells: dict[int, float], **options: object
) -> pd.DataFrame:
    """Score the networks by the share of cells that they were trained on.

    Parameters
    ----------
    predictions
        Test rows under the protocols that `share_protocol` names.
    training_cells
        Mean number of training cells over folds and seeds, by percentage.
    options
        Of `score_predictions`.

    Returns
    -------
    DataFrame
        A row per network, percentage and seed: ``variant``, ``percent``, ``training_cells``,
        ``seed``, ``accuracy`` and ``macro_f1`` with ``_low`` and ``_high``; ``gain`` in accuracy
        over the next smaller share, with ``_low`` and ``_high`` over cells (over all seeds, NaN
        for the smallest).
    """
    names = {share_protocol(percent): percent for percent in sorted(training_cells)}
    scores = score_predictions(predictions[predictions["protocol"].isin(names)], **options)
    scores = scores.assign(percent=scores["protocol"].map(names))
    scores["training_cells"] = scores["percent"].map(training_cells)
    steps = zip(names, list(names)[1:], strict=False)
    gains = [
        _gain(predictions, below, above, **options).assign(percent=names[above])
        for below, above in steps
    ]
    keys = ["variant", "percent", "training_cells", "seed"]
    columns = [f"{name}{end}" for name in SCORES for end in ("", "_low", "_high")]
    table = scores.sort_values(["variant", "percent", "seed"], ignore_index=True)[[*keys, *columns]]
    gained = ["gain", "gain_low", "gain_high"]
    if not gains:
        return table.assign(**dict.fromkeys(gained, np.nan))
    return table.merge(pd.concat(gains), on=["variant", "percent"], how="left")


def _gain(
    predictions: pd.DataFrame, below: str, above: str, *, bins: int = 15, **options: object
) -> pd.DataFrame:
    """Difference in accuracy, on the same cells, of each network between two shares."""
    found = []
    for variant, own in predictions.groupby("variant", sort=False):
        pair = own[own["protocol"].isin([below, above])]
        pair = pair.assign(variant=pair["protocol"], protocol=WHOLE)
        row = paired_differences(pair, below, **options).iloc[0]
        ends = {f"gain{end}": row[f"accuracy_difference{end}"] for end in ("", "_low", "_high")}
        found.append({"variant": variant, **ends})
    return pd.DataFrame(found)


def _of_suspects(predictions: pd.DataFrame, cells: pd.DataFrame) -> np.ndarray:
    """Tell which predictions are of cells with a suspect label, bool [N]."""
    suspect = pd.MultiIndex.from_frame(cells.loc[cells["suspect"], CELL])
    return pd.MultiIndex.from_arrays([name_cells(predictions), predictions["label"]]).isin(suspect)
