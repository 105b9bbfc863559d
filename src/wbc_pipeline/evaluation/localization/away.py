"""Boxes and masks of white cells at home and in a laboratory that no training has seen."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.intervals import mean_interval
from wbc_pipeline.imaging.packing import independent_sources

HOME = "source"  # the protocol under which every set trains and tests
AWAY = ("dataset", "domain")  # protocols that leave a column's value out, each under its own name
MISSED = 0.1  # IoU below which a box is on something else

_KEYS = ["method", "left_out", "set", "shown"]
_OF_ONE = ["images", "missed", "iou", "iou_low", "iou_high", "dice", "dice_low", "dice_high"]


@described(
    heading="At home and away",
    caption="IoU of the found box, and Dice of the found mask where both masks are known, with "
    "intervals over sources. Home: other images of the set were trained on. Away: the whole set "
    "(or stain) was left out of training. A cell is missed where nothing is found, or a box that "
    "overlaps no true one by 0.1. Fields are test images of the set, put into the field of another "
    "microscope. What is fitted on nothing is the same at home and away, on other images.",
)
def compare_home_with_away(
    scored: pd.DataFrame, images: pd.DataFrame, *, resamples: int, level: float
) -> pd.DataFrame:
    """Put the scores of each method at home and away side by side.

    Parameters
    ----------
    scored
        A row per method, run and image: ``method``, ``protocol``, ``part``, ``shown`` (``image`` or
        ``field``), ``image_id``, ``found``, ``iou`` (missing without a true box) and ``dice``
        (missing where a mask is not known).
    images
        ``image_id``, ``source_group``, ``dataset`` and ``domain`` of all of these.
    resamples, level
        Of the bootstrap over source groups.

    Returns
    -------
    pd.DataFrame
        A row per method, protocol of `AWAY` (``left_out``), set that it leaves out, and what was
        shown: ``images``, ``missed`` (a share), ``iou`` and ``dice`` with ``_low`` and ``_high``,
        each for ``home`` and ``away``. No row where no set was left out.
    """
    tested = scored[(scored["part"] == "test") & scored["iou"].notna()]
    known = images[["image_id", "source_group", *AWAY]]
    tested = tested.drop(columns="source_group", errors="ignore").merge(known, on="image_id")
    rows = []
    for column in AWAY:
        away = tested[tested["protocol"] == column]
        home = tested[tested["protocol"] == HOME]
        for (method, name, shown), some in away.groupby(["method", column, "shown"], sort=False):
            same = home[
                (home["method"] == method) & (home[column] == name) & (home["shown"] == shown)
            ]
            row = dict(zip(_KEYS, (method, column, name, shown), strict=True))
            for where, table in (("home", same), ("away", some)):
                of_one = _describe(table, resamples=resamples, level=level)
                row |= {f"{where}_{key}": value for key, value in of_one.items()}
            rows.append(row)
    names = [f"{where}_{name}" for where in ("home", "away") for name in _OF_ONE]
    table = pd.DataFrame(rows, columns=[*_KEYS, *names])
    return table.dropna(axis="columns", how="all") if len(table) else table


def worst_away(scored: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of sets that were left out, of the first seed, under `AWAY`'s first protocol.

    Parameters
    ----------
    scored
        As for `compare_home_with_away`.
    """
    rows = scored[(scored["part"] == "test") & (scored["seed"] == 0)]
    for protocol in AWAY:
        away = rows[rows["protocol"] == protocol]
        if len(away):
            return away
    return rows[:0]


def _describe(table: pd.DataFrame, *, resamples: int, level: float) -> dict[str, float]:
    if table.empty:
        return {"images": 0}
    missed = ~table["found"].astype(bool) | (table["iou"] < MISSED)
    row = {"images": table["image_id"].nunique(), "missed": missed.mean()}
    for score in ("iou", "dice"):
        known = table.dropna(subset=score)
        if len(known):
            row[score] = known[score].mean()
            row |= _ends(known, score, resamples=resamples, level=level)
    return row


def _ends(known: pd.DataFrame, score: str, *, resamples: int, level: float) -> dict[str, float]:
    groups = independent_sources(known)
    ends = mean_interval(known[score], groups, resamples=resamples, level=level)
    names: Sequence[str] = (f"{score}_low", f"{score}_high")
    return dict(zip(names, np.clip(ends, 0, 1), strict=True))
