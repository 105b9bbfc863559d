"""Tables of a report: cells as people read them, shares shaded, long tables folded."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import caption_of, heading_of
from wbc_pipeline.evaluation.scores.entries import metric_label

ROWS = 120  # of a table on the page
SHOWN_ROWS = 12  # a longer table is folded
WIDE = 7  # columns; of a wider table those go that say the same in every row
ABSENT = "–"
WORDS = {
    "ece": "ECE",
    "auc": "AUC",
    "f1": "F1",
    "sd": "SD",
    "ms": "(ms)",
    "iou": "IoU",
    "psnr": "PSNR",
}
# Words in the name of a column, or of a row's metric, that is better the nearer it is to 1 …
SHARES = {"accuracy", "auc", "dice", "f1", "iou", "precision", "recall", "sensitivity"}
# … unless one of these is there as well.
NO_SHARES = {"area", "difference", "drop", "gain", "p", "published", "sd"}
COMPARED = ("reproduced", "leak_free")  # columns of a table whose rows name the metric


@dataclass(frozen=True)
class Link:
    """A table's cell, or a fact, that leads to another page or another place of this one."""

    text: str
    address: str  # relative to the page

    def __str__(self) -> str:
        return self.text


def show_table(name: str, frame: pd.DataFrame, most: int = ROWS) -> dict:
    """Format a table for the page.

    Intervals collapse (see `collapse_intervals`), shares carry a shade, a rule goes above each
    change in the first column, and what a wide table repeats in every row is said once.

    Parameters
    ----------
    name
        Of the table and its file.
    frame
        The table.
    most
        Longer tables are cut to this, and their caption says so.

    Returns
    -------
    dict
        ``id``, ``heading``, ``caption``, ``columns`` and ``rows`` for the template; ``constant``,
        what all rows share; ``folded``, whether it is a long one; ``count`` of its rows.
    """
    heading, caption, count = heading_of(frame) or words(name), caption_of(frame), len(frame)
    if count > most:
        cut = f"The first {most:,} of {count:,} rows; all are in {name}.csv."
        frame, caption = frame.head(most), f"{caption} {cut}".strip()
    numeric = {str(column) for column in frame if pd.api.types.is_numeric_dtype(frame[column])}
    shades = _shades(frame)
    shown = collapse_intervals(frame)
    columns = [str(column) for column in shown]
    texts = [
        [_cell(*pair) for pair in zip(values, columns, strict=True)]
        for values in shown.itertuples(index=False)
    ]
    constant = _constant(texts, columns)
    kept = [place for place, column in enumerate(columns) if column not in constant]
    starts = _starts([row[0] for row in texts])
    return {
        "id": f"table-{name}",
        "kind": "table",
        "heading": heading,
        "caption": caption,
        "columns": [
            {"text": words(columns[place]), "numeric": columns[place] in numeric} for place in kept
        ],
        "rows": [
            {
                "cells": [
                    {"text": row[place], "shade": shades.get((number, columns[place]))}
                    for place in kept
                ],
                "first": first,
            }
            for number, (row, first) in enumerate(zip(texts, starts, strict=True))
        ],
        "constant": {words(column): text for column, text in constant.items()},
        "folded": count > SHOWN_ROWS,
        "count": count,
    }


def collapse_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """Write ``x``, ``x_low``, ``x_high`` and ``x_sd`` into one text column ``x``.

    The SD is written only where there is no interval.

    >>> row = pd.DataFrame({"f1": [0.953], "f1_low": [0.941], "f1_high": [0.964]})
    >>> collapse_intervals(row)["f1"].item()
    '0.953 [0.941, 0.964]'
    """
    collapsed, absorbed = {}, set()
    for name in map(str, frame.columns):
        extras = {part: f"{name}_{part}" for part in ("low", "high", "sd")}
        present = {part: column for part, column in extras.items() if column in frame}
        if name not in absorbed:
            collapsed[name] = frame[name]
        if present:
            collapsed[name] = [
                _with_spread(value, **dict(zip(present, spread, strict=True)), name=name)
                for value, *spread in frame[[name, *present.values()]].itertuples(index=False)
            ]
            absorbed |= {*present.values()}
    kept = [name for name in collapsed if name not in absorbed]
    return pd.DataFrame({name: collapsed[name] for name in kept}, columns=kept)


def format_value(value: object, column: str = "") -> str:
    """Write a table's cell: three decimals or more where that says something, no noise.

    ``column`` may ask for more: differences carry their sign, p values below 0.001 say just that.

    >>> [format_value(value) for value in (0.95312, 4.0469, 1523.2, 2000, float("nan"), True)]
    ['0.953', '4.047', '1,523', '2,000', '–', 'yes']
    >>> format_value(0.00002, "p_holm"), format_value(0.0123, "accuracy_difference")
    ('<0.001', '+0.012')
    """
    if isinstance(value, str):
        return value or ABSENT
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return ABSENT
    if pd.api.types.is_bool(value):
        return "yes" if value else "no"
    if isinstance(value, Real):
        return f"{value:,}" if isinstance(value, Integral) else _real(float(value), column)
    return str(value)


def _real(value: float, column: str) -> str:
    if column.startswith("p_"):
        return "<0.001" if value < 0.001 else f"{value:.3f}"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    visible = value == 0 or abs(value) >= 0.0005
    text = f"{value:,.{_decimals(value)}f}" if visible else f"{value:.1e}"
    signed = f"+{text}" if "difference" in column and value > 0 else text
    return signed.replace("-", "−", 1) if value < 0 else signed


def _decimals(value: float) -> int:
    return next((n for n, limit in enumerate((1000, 100, 10)) if abs(value) >= limit), 3)


def _with_spread(
    value: float,
    low: float = float("nan"),
    high: float = float("nan"),
    sd: float = float("nan"),
    *,
    name: str,
) -> str:
    text = format_value(value, name)
    if pd.notna(low):
        return f"{text} [{format_value(low, name)}, {format_value(high, name)}]"
    return f"{text} ± {sd:,.{_decimals(value)}f}" if pd.notna(sd) else text


def words(name: object) -> str:
    """Write a name for readers: underscores become spaces, the first letter a capital.

    >>> words("macro_f1")
    'Macro F1'
    """
    spaced = " ".join(WORDS.get(word, word) for word in str(name).split("_"))
    return spaced[:1].upper() + spaced[1:]


def _cell(value: object, column: str) -> str | Link:
    if isinstance(value, Link):
        return value
    return metric_label(value) if column == "metric" else format_value(value, column)


def _starts(first_cells: list) -> list[bool]:
    """Mark rows in which the first column changes; none where every row is of its own."""
    if len({*map(str, first_cells)}) == len(first_cells):
        return [False] * len(first_cells)
    return [place > 0 and text != first_cells[place - 1] for place, text in enumerate(first_cells)]


def _constant(texts: list[list], columns: list[str]) -> dict[str, str | Link]:
    """Find what all rows of a wide table share, its first column apart."""
    if len(columns) <= WIDE or len(texts) < 2:
        return {}
    return {
        column: texts[0][place]
        for place, column in enumerate(columns)
        if place and len({str(row[place]) for row in texts}) == 1
    }


def _shades(frame: pd.DataFrame) -> dict[tuple[int, str], float]:
    """Choose a shade from 0 to 1 for each share, by row and column.

    Its third power: scores near 1 differ in the hundredths.
    """
    named = frame["metric"] if "metric" in frame else pd.Series("", frame.index)
    rows = named.map(_is_share).astype(bool)
    shades = {}
    for column, values in frame.items():
        if not pd.api.types.is_float_dtype(values):
            continue
        chosen = rows if column in COMPARED else pd.Series(_is_share(str(column)), frame.index)
        places = np.flatnonzero(chosen & values.between(0, 1))  # no NaN either
        shades |= {(int(row), str(column)): float(values.iloc[row]) ** 3 for row in places}
    return shades


def _is_share(name: str) -> bool:
    found = {*name.split("_")}
    return (bool(found & SHARES) and not found & NO_SHARES) or _is_amount(name)


def _is_amount(name: str) -> bool:
    """Whether a column is called after an amount of degradation: its cells are accuracies."""
    return name.replace(".", "", 1).isdigit()
