"""One self-contained HTML page from tables and figures."""

import base64
from collections.abc import Mapping, Sequence
from numbers import Integral, Real

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from wbc_pipeline.evaluation import figures as figure_module
from wbc_pipeline.evaluation.scores import METRIC_LABELS

DEMO = "DEMO DATA — rendered images, no clinical meaning"
PIXELS_A_POINT = 1.6  # of a figure's file on the page; the rest is for sharp screens and print
ABSENT = "–"
TABLE_CAPTIONS = {
    "published": "What the paper prints, what we get under the paper's protocol, and what is left "
    "when no cell is on two sides of the split: means over seeds with bootstrap intervals, SDs for "
    "times. Resampling adds to the upward bias of ECE, so its interval may lie above it.",
    "metrics": "Every run on its test images, with bootstrap intervals over sources.",
    "per_class": "Scores of each class and run; support is the number of test images.",
    "paired": "Each variant minus the reference on the same images. The p value is McNemar's exact "
    "test with each source as one vote, corrected after Holm over the variants of a protocol.",
    "calibration": "Mean log loss among right and wrong answers, and what each contributes.",
    "runs": "The trainings behind the scores.",
    "protocols": "What each accuracy rests on: means over seeds with intervals over cells, how "
    "many cells were tested, and the share of test images whose cell was trained on.",
    "recalls": "Share of each class that was recognised, over all seeds, with intervals over "
    "cells.",
    "literature": "What other methods report on the same images, and ours beside.",
    "layers": "The network, layer by layer; batch normalisation counts its moving statistics.",
    "by_source": "Cells by the share of their images that was recognised, the worst first.",
    "localization": "IoU of the box that each method finds in an image with the annotated box that "
    "fits it best, with intervals over photographs, beside what the paper prints. Where nothing is "
    "found the box is the whole image.",
    "matches": "Every annotated box of a white cell is matched or missed, and what is found beside "
    "them is a false alarm; average precision as COCO defines it. Times are of one image after the "
    "other, without reading and scaling the file.",
    "trained_detectors": "The trainings behind the boxes. Where a box holds no violet, the whole "
    "box is the mask.",
    "whole_and_region": "Each network on whole images and on regions: the difference is on the "
    "same images, with McNemar's exact test over sources.",
}
HEADINGS = {
    "published": "Published, reproduced, leak-free",
    "metrics": "Scores of each run",
    "per_class": "Scores of each class",
    "paired": "Variants against the reference",
    "calibration": "What the loss is made of",
    "runs": "Trainings",
    "canny_instability": "Learnable Canny",
    "gallery": "What the network sees",
    "protocols": "What the accuracy rests on",
    "accuracy_by_protocol": "What the accuracy rests on",
    "recalls": "Recall of each class",
    "roc_curves": "Receiver operating characteristic",
    "literature": "Other methods",
    "layers": "The network",
    "by_source": "Cells that fail",
    "hardest_sources": "Cells that fail",
    "preprocessing_stages": "The steps of the preprocessing",
    "localization": "Where the cell is",
    "iou_histograms": "Where the cell is",
    "matches": "Boxes matched, missed, and too many",
    "detection_overlays": "Found boxes",
    "worst_ten": "Photographs that fail",
    "whole_and_region": "Whole image against region",
    "robustness_by_amount": "Accuracy on degraded images",
    "robustness_curves": "Accuracy on degraded images",
    "robustness_area": "Area under the accuracy curve",
    "degraded_sheet": "What the network sees of a degraded image",
    "inference_time": "Cost",
    "defects": "Findings",
    "price": "The price of a leak",
    "leak_price": "The price of a leak",
    "leaks": "What each protocol leaks",
    "leak_shares": "What each protocol leaks",
    "originals": "Sources recovered from the pixels",
    "overlaps": "Originals of one field of view",
    "filename_groups": "What the file names suggest",
    "filename_sources": "What the file names suggest",
    "conflicts": "Conflicting labels",
    "duplicate_images": "Images that show the same spot",
    "shared_files": "Files that other data sets share",
    "confounding": "Classes and laboratories",
    "background": "Guessing without the cell",
    "guesses": "Guessing without the cell",
    "measurements_explained": "What the look of an image depends on",
    "measurements_by_group": "How images look",
    "gap_counts": "Cells in all data sets",
    "gap_heatmap": "Cells in all data sets",
    "gaps": "Classes that lack cells",
}
WORDS = {
    "ece": "ECE",
    "auc": "AUC",
    "f1": "F1",
    "sd": "SD",
    "ms": "(ms)",
    "iou": "IoU",
    "psnr": "PSNR",
}


def render_report(
    *,
    title: str,
    dataset: str,
    is_demo: bool,
    summary: Mapping[str, object],
    tables: Mapping[str, pd.DataFrame],
    figures: Mapping[str, bytes],
    notes: Sequence[str] = (),
    captions: Mapping[str, str] | None = None,
) -> str:
    """Render a report that opens offline: styles and figures are inside, and no script runs.

    Parameters
    ----------
    title, dataset
        Of the page; demo data are called so in the title and in a banner (``is_demo``).
    summary
        Facts for the header, in order (paper, command, date, protocols, hardware, versions, commit,
        …); lists and mappings are written on one line, ``command`` as code.
    tables
        Key to frame. ``x``, ``x_low``, ``x_high`` become one column ``x [low, high]``; without an
        interval, ``x_sd`` makes it ``x ± sd``. A table with a column ``reproduced`` goes first.
    figures
        Key, such as the name of the function that drew it, to the bytes of a PNG of
        `PIXELS_A_POINT` pixels for each on the page.
    notes
        Paragraphs of plain text, printed after the first table.
    captions
        By key of a table or figure, in place of the default ones (``TABLE_CAPTIONS`` and
        ``figures.CAPTIONS``).

    Returns
    -------
    str
        HTML; every text is escaped.
    """
    captions = figure_module.CAPTIONS | TABLE_CAPTIONS | dict(captions or {})
    ordered = sorted(tables.items(), key=lambda item: "reproduced" not in item[1])
    environment = Environment(
        loader=PackageLoader("wbc_pipeline.evaluation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("report.html.j2").render(
        title=f"{DEMO}: {title}" if is_demo else title,
        heading=title,
        dataset=dataset,
        banner=DEMO if is_demo else "",
        summary={_heading(key): (key, _fact(value)) for key, value in summary.items()},
        tables=[_table(key, frame, captions) for key, frame in ordered],
        figures=[_picture(key, figure, captions) for key, figure in figures.items()],
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


def _table(key: str, frame: pd.DataFrame, captions: Mapping[str, str]) -> dict:
    """Format cells and headings; a rule goes above each change in the first column."""
    numeric = {str(name) for name in frame if pd.api.types.is_numeric_dtype(frame[name])}
    frame = collapse_intervals(frame)
    rows, previous = [], None
    for values in frame.itertuples(index=False):
        cells = [_cell(value, name) for value, name in zip(values, frame.columns, strict=True)]
        rows.append({"cells": cells, "first": previous is not None and cells[0] != previous})
        previous = cells[0] if cells else None
    if len({row["cells"][0] for row in rows}) == len(rows):
        rows = [row | {"first": False} for row in rows]
    headings = [{"text": _heading(name), "numeric": name in numeric} for name in frame.columns]
    return {
        "id": f"table-{key}",
        "heading": HEADINGS.get(key) or _heading(key),
        "caption": captions.get(key, ""),
        "headings": headings,
        "rows": rows,
    }


def _cell(value: object, column: str) -> str:
    if column == "metric":
        return METRIC_LABELS.get(value, str(value))
    return format_value(value, column)


def _picture(key: str, png: bytes, captions: Mapping[str, str]) -> dict:
    pixels = int.from_bytes(png[16:20], "big")  # a PNG's width stands there
    return {
        "id": f"figure-{key}",
        "heading": HEADINGS.get(key) or _heading(key),
        "caption": captions.get(key, ""),
        "width": round(pixels / PIXELS_A_POINT),
        "png": base64.b64encode(png).decode(),
    }


def _heading(name: object) -> str:
    """``macro_f1`` to ``Macro F1``: underscores become spaces, the first letter a capital."""
    words = " ".join(WORDS.get(word, word) for word in str(name).split("_"))
    return words[:1].upper() + words[1:]


def _fact(value: object) -> str:
    if isinstance(value, Mapping):
        return " · ".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
