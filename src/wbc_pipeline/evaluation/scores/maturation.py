"""Mistakes along a chain of maturation: how many are of neighbours, and who finds the precursors.

``predictions`` are those of the design, test rows alone; only the condition ``clean`` counts. A
``chain`` lists classes of the predictions from the youngest to the oldest.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.confusion import confusion_intervals, mean_recall
from wbc_pipeline.evaluation.scores.intervals import (
    resampling_units,
    sum_by_unit,
    wilson_interval,
)
from wbc_pipeline.evaluation.scores.metrics import each_run

KEYS = ["variant", "protocol"]
OTHER = "other"  # an answer outside the chain
KINDS = ("neighbour", "further", OTHER)


@described(
    heading="Mistakes along the maturation chain",
    caption="Cells of the chain that were mistaken, over all seeds: for a neighbour in the chain, "
    "for another of its classes, for a class outside it (shares of the mistakes, that of "
    "neighbours with Wilson's interval over cells). taken_for_younger: share of the "
    "mistakes within the chain that go towards the younger class. precursor_recall: mean recall of "
    "the precursors, with an interval over cells and seeds.",
)
def chain_errors(
    predictions: pd.DataFrame,
    chain: Sequence[str],
    precursors: Sequence[str],
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Count by kind the mistakes on cells of a chain.

    Parameters
    ----------
    predictions
        See the module.
    chain
        Classes of the predictions in the order of maturation.
    precursors
        Those of which the mean recall is given.
    level
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        A row per variant and protocol: ``images`` of the chain, ``errors``, the shares
        ``neighbour`` (with ``_low`` and ``_high``), ``further`` and ``other``,
        ``taken_for_younger``, ``precursor_recall`` (with ``_low`` and ``_high``) and ``sources``.
        NaN where there is no error, or no precursor. No row where no class of the chain is tested.
    """
    rows = []
    for keys, run, outcomes in each_run(_clean(predictions), KEYS):
        place = {name: position for position, name in enumerate(chain)}
        position = np.array([place.get(name, -1) for name in outcomes.classes])
        truth, answer = position[outcomes.truth], position[outcomes.predicted]
        on_chain = truth >= 0
        if not on_chain.any():
            continue
        wrong = on_chain & ~outcomes.correct
        kinds = _kinds(truth, answer)
        units, _ = resampling_units(run)
        within = wrong & (answer >= 0)
        row = keys | {"images": int(on_chain.sum()), "errors": int(wrong.sum())}
        for kind in KINDS:
            row[kind] = (kinds[wrong] == kind).mean() if wrong.any() else np.nan
            if kind == "neighbour":
                row |= dict(
                    zip(
                        ("neighbour_low", "neighbour_high"),
                        _share_interval(wrong & (kinds == kind), wrong, units, level),
                        strict=True,
                    )
                )
        younger = answer[within] < truth[within]
        row["taken_for_younger"] = younger.mean() if within.any() else np.nan
        asked = [number for number, name in enumerate(outcomes.classes) if name in precursors]
        row |= _precursor_recall(run, outcomes, asked, units, level)
        rows.append(row | {"sources": len(np.unique(units[on_chain]))})
    return pd.DataFrame(rows, columns=[*rows[0]] if rows else [*KEYS, "images", "errors"])


def chain_confusion(predictions: pd.DataFrame, chain: Sequence[str]) -> pd.DataFrame:
    """Count the answers on cells of a chain.

    Returns
    -------
    DataFrame
        A row per variant, protocol, ``label`` of the chain and ``answer`` (of the chain, or
        `OTHER`): ``images``, zeros included. Classes that are not tested are left out.
    """
    rows = []
    for keys, _, outcomes in each_run(_clean(predictions), KEYS):
        classes = np.array(outcomes.classes, object)
        truth, answer = classes[outcomes.truth], classes[outcomes.predicted]
        answer = np.where(np.isin(answer, chain), answer, OTHER)
        for label in (name for name in chain if (truth == name).any()):
            for given in (*chain, OTHER):
                count = int(((truth == label) & (answer == given)).sum())
                rows.append(keys | {"label": label, "answer": given, "images": count})
    return pd.DataFrame(rows, columns=[*KEYS, "label", "answer", "images"])


def _clean(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[predictions["condition"] == "clean"].reset_index(drop=True)


def _kinds(truth: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Name the kind of each mistake, [N]; what stands at right answers means nothing."""
    near = np.where(np.abs(truth - answer) == 1, "neighbour", "further")
    return np.where(answer < 0, OTHER, near)


def _share_interval(
    hits: np.ndarray, asked: np.ndarray, units: np.ndarray, level: float
) -> tuple[float, float]:
    """Wilson's interval of the share of hits among what was asked, over units."""
    totals = sum_by_unit(np.column_stack([hits, asked]).astype(float), units)
    totals = totals[totals[:, 1] > 0]
    return wilson_interval(*totals.T, level) if len(totals) else (np.nan, np.nan)


def _precursor_recall(run, outcomes, asked: list[int], units: np.ndarray, level: float) -> dict:
    """Mean recall of some classes over seeds, with its interval."""
    name = "precursor_recall"
    if not np.isin(outcomes.truth, asked).any():
        return {f"{name}{end}": np.nan for end in ("", "_low", "_high")}
    seeds, _ = pd.factorize(run["seed"])
    found = confusion_intervals(
        outcomes.truth,
        outcomes.predicted,
        units,
        {name: partial(mean_recall, classes=asked)},
        classes=len(outcomes.classes),
        runs=seeds,
        level=level,
    )[name]
    return {name: found.values.mean(), f"{name}_low": found.low, f"{name}_high": found.high}
