"""Cells of blood films counted by class."""

from collections.abc import Mapping, Sequence

import pandas as pd

from wbc_pipeline.evaluation.report.described import described

_NO_CELL = "no cell found"


@described(
    heading="Cells by class",
    caption="Every found cell counts once under the class that the model answers, whatever speaks "
    "against its answer; files without a cell are left out. Intervals of 95 % (Wilson) are those "
    "of counting so few cells, not of the model's errors.",
)
def count_cells(
    cells: pd.DataFrame, classes: Sequence[str], flags: Mapping[str, str]
) -> pd.DataFrame:
    """Count cells by the answered class: a differential.

    Parameters
    ----------
    cells
        ``class``, ``confidence`` and ``flags`` of each, the flags with semicolons between.
    classes
        All that the model knows.
    flags
        Names of columns, and the flags that they count.

    Returns
    -------
    DataFrame
        A row per class: ``class``, ``cells``, ``share`` with ``share_low`` and ``share_high``,
        mean ``confidence``, and how many have each flag.
    """
    from statsmodels.stats.proportion import proportion_confint

    found = cells[~has_flag(cells, _NO_CELL)]
    rows = []
    for name in classes:
        own = found[found["class"] == name]
        low, high = proportion_confint(len(own), max(len(found), 1), method="wilson")
        counted = {
            column: int(has_flag(own, flag).sum())
            for column, flag in flags.items()
            if flag != _NO_CELL
        }
        rows.append(
            {
                "class": name,
                "cells": len(own),
                "share": len(own) / max(len(found), 1),
                "share_low": low,
                "share_high": high,
                "confidence": own["confidence"].mean(),
                **counted,
            }
        )
    return pd.DataFrame(rows)


def summarise_cells(differential: pd.DataFrame, *, files: int) -> str:
    """Say in a sentence how many cells there are, and of what.

    Parameters
    ----------
    differential
        Of `count_cells`.
    files
        How many were asked about.

    Examples
    --------
    >>> table = pd.DataFrame({"class": ["basophil", "monocyte"], "cells": [1, 3]})
    >>> summarise_cells(table, files=2)
    '4 cells in 2 files: 3 monocyte, 1 basophil.'
    """
    found = differential[differential["cells"] > 0].sort_values("cells", ascending=False)
    each = ", ".join(
        f"{count:,} {name}" for name, count in zip(found["class"], found["cells"], strict=True)
    )
    said = [_count(differential["cells"].sum(), "cell"), "in", _count(files, "file")]
    return " ".join(said) + (f": {each}." if each else ".")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


@described(
    heading="What speaks against answers", caption="Rows with each flag; one may have several."
)
def count_flags(cells: pd.DataFrame, flags: Mapping[str, str]) -> pd.DataFrame:
    """Count the rows with each flag, and name a file.

    Returns
    -------
    DataFrame
        ``flag``, ``rows``, ``share`` and ``such_as``.
    """
    rows = []
    for flag in flags.values():
        is_flagged = has_flag(cells, flag)
        first = cells.loc[is_flagged, "image_id"]
        share = float(is_flagged.mean()) if len(cells) else 0.0
        rows.append(
            {
                "flag": flag,
                "rows": int(is_flagged.sum()),
                "share": share,
                "such_as": first.iloc[0] if len(first) else "",
            }
        )
    return pd.DataFrame(rows)


def has_flag(cells: pd.DataFrame, flag: str) -> pd.Series:
    """Tell which rows have a flag, bool."""
    return cells["flags"].map(lambda text: flag in text.split("; ")).astype(bool)


def without_probabilities(cells: pd.DataFrame) -> pd.DataFrame:
    """Leave out the probabilities of all classes, and the size of files."""
    dropped = [name for name in cells if name.startswith("p_") or name in ("width", "height")]
    return cells.drop(columns=dropped)
