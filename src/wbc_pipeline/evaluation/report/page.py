"""One self-contained HTML page from tables and figures."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from numbers import Integral, Real

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from wbc_pipeline.evaluation.report.described import caption_of, heading_of
from wbc_pipeline.evaluation.scores.entries import metric_label

DEMO = "DEMO DATA — rendered images, no clinical meaning"
ROWS = 120  # of a table on the page
PIXELS_A_POINT = 1.6  # of a figure's file on the page; the rest is for sharp screens and print
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


@dataclass(frozen=True)
class Picture:
    """A drawn figure: the bytes of its PNG, with `PIXELS_A_POINT` pixels for each on the page."""

    png: bytes
    heading: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Link:
    """A table's cell, or a fact of the header, that leads to another page."""

    text: str
    address: str  # relative to the page

    def __str__(self) -> str:
        return self.text


def render_report(
    *,
    title: str,
    dataset: str,
    is_demo: bool,
    summary: Mapping[str, object],
    items: Mapping[str, pd.DataFrame | Picture],
    notes: Sequence[str] = (),
    rows: int = ROWS,
) -> str:
    """Render a report that opens offline: styles and figures are inside, and no script runs.

    Parameters
    ----------
    title, dataset
        Of the page; demo data are called so in the title and in a banner (``is_demo``).
    summary
        Facts for the header, in order (paper, command, date, protocols, hardware, versions, commit,
        …); lists and mappings are written on one line, ``command`` as code, a `Link` as a link.
    items
        Tables and figures by name, in the order shown. Those that follow each other under the same
        heading stand under it together; what carries none is headed by its name. In a table ``x``,
        ``x_low``, ``x_high`` become one column ``x [low, high]``; without an interval, ``x_sd``
        makes it ``x ± sd``.
    notes
        Paragraphs of plain text, printed after what stands under the first heading.
    rows
        Longer tables are cut to this, and their caption says so.

    Returns
    -------
    str
        HTML; every text is escaped.
    """
    environment = Environment(
        loader=PackageLoader("wbc_pipeline.evaluation.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    shown = [
        _picture(name, item) if isinstance(item, Picture) else _table(name, item, rows)
        for name, item in items.items()
    ]
    return environment.get_template("report.html.j2").render(
        title=f"{DEMO}: {title}" if is_demo else title,
        heading=title,
        dataset=dataset,
        banner=DEMO if is_demo else "",
        summary={_words(key): (key, _fact(value)) for key, value in summary.items()},
        sections=[
            (heading, [*group]) for heading, group in groupby(shown, lambda item: item["heading"])
        ],
        notes=notes,
    )


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


def _table(name: str, frame: pd.DataFrame, most: int) -> dict:
    """Format cells and headings; a rule goes above each change in the first column."""
    heading, caption = heading_of(frame) or _words(name), caption_of(frame)
    if len(frame) > most:
        cut = f"The first {most:,} of {len(frame):,} rows; all are in {name}.csv."
        frame, caption = frame.head(most), f"{caption} {cut}".strip()
    numeric = {str(column) for column in frame if pd.api.types.is_numeric_dtype(frame[column])}
    frame = collapse_intervals(frame)
    rows, previous = [], None
    for values in frame.itertuples(index=False):
        cells = [_cell(*pair) for pair in zip(values, frame.columns, strict=True)]
        rows.append({"cells": cells, "first": previous is not None and cells[0] != previous})
        previous = cells[0] if cells else None
    if len({row["cells"][0] for row in rows}) == len(rows):
        rows = [row | {"first": False} for row in rows]
    return {
        "id": f"table-{name}",
        "heading": heading,
        "caption": caption,
        "columns": [{"text": _words(column), "numeric": column in numeric} for column in frame],
        "rows": rows,
    }


def _cell(value: object, column: str) -> str | Link:
    if isinstance(value, Link):
        return value
    return metric_label(value) if column == "metric" else format_value(value, column)


def _picture(name: str, picture: Picture) -> dict:
    pixels = int.from_bytes(picture.png[16:20], "big")  # a PNG's width stands there
    return {
        "id": f"figure-{name}",
        "heading": picture.heading or _words(name),
        "caption": picture.caption,
        "width": round(pixels / PIXELS_A_POINT),
        "png": base64.b64encode(picture.png).decode(),
    }


def _words(name: object) -> str:
    """``macro_f1`` to ``Macro F1``: underscores become spaces, the first letter a capital."""
    words = " ".join(WORDS.get(word, word) for word in str(name).split("_"))
    return words[:1].upper() + words[1:]


def _fact(value: object) -> str | Link:
    if isinstance(value, Link):
        return value
    if isinstance(value, Mapping):
        return " · ".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
