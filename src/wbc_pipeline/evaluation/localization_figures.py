"""Figures of how well white cells are found, in the style of ``quality_figures``.

Every function returns a ``matplotlib.figure.Figure``; ``dataset`` goes into the title. The table is
that of ``detections.score_localization``, with a column ``method``; without an image that has a
true box it gives a figure that says why there is nothing to see.
"""

from collections.abc import Callable, Mapping

import pandas as pd
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures import _nothing, _styled
from wbc_pipeline.evaluation.quality_figures import (
    BLANK,
    QUANTILES,
    Boxes,
    _at_quantiles,
    _boxed,
    _iou_panels,
    _sheet,
    _words,
)

WORST, COLUMNS = 10, 5  # images of each method, and how many stand in a line
NO_BOXES = "no annotated boxes in this data set"

CAPTIONS = {
    "iou_histograms": "IoU of the box that a method finds in an image, the surest of several, with "
    "the annotated box that fits it best; the whole image where nothing is found. Detectors are "
    "tested on images that they were not trained on; of several seeds the first is shown.",
    "detection_overlays": "Images from the worst to the best IoU of each method: the annotated "
    "boxes of white cells, and the found one.",
    "worst_ten": "The ten images of lowest IoU of each method. A found box as large as the image "
    "means that nothing was found.",
}


@_styled
def iou_histograms(
    scored: pd.DataFrame, *, published: Mapping[str, float] | None = None, dataset: str = ""
) -> Figure:
    """Histograms of IoU, a panel per method.

    Parameters
    ----------
    scored
        Of ``detections.score_localization``.
    published
        Printed means by method, marked by lines; None if there are none of these images.
    """
    title = "IoU of found boxes with those of white cells"
    methods = _methods(scored)
    if not methods:
        return _nothing(title, dataset, NO_BOXES)
    printed = {_words(name, " "): mean for name, mean in (published or {}).items()}
    named = {_words(name, " "): group for name, group in methods.items()}
    shown = {name: mean for name, mean in printed.items() if name in named}
    return _iou_panels(title, dataset, named, shown)


@_styled
def detection_overlays(
    scored: pd.DataFrame, look: Callable[[pd.Series], Boxes], *, dataset: str = ""
) -> Figure:
    """Draw true and found boxes of each method, on images from the worst to the best IoU.

    Parameters
    ----------
    scored
        Of ``detections.score_localization``.
    look
        Gives what a row of `scored` shows.
    """
    title = "Found boxes, from the worst to the best"
    methods = _methods(scored)
    if not methods:
        return _nothing(title, dataset, NO_BOXES)
    picked = [_at_quantiles(group, QUANTILES) for group in methods.values()]
    return _sheet(
        title,
        dataset,
        [[_boxed(look(row)) for row in line] for line in picked],
        rows=[_words(name) for name in methods],
        columns=list(QUANTILES),
        scores=[[f"{row['iou']:.2f}" for row in line] for line in picked],
        legend="annotated",
    )


@_styled
def worst_ten(
    scored: pd.DataFrame, look: Callable[[pd.Series], Boxes], *, dataset: str = ""
) -> Figure:
    """Draw true and found boxes on the ten images of lowest IoU of each method.

    Parameters
    ----------
    scored
        Of ``detections.score_localization``.
    look
        Gives what a row of `scored` shows.
    """
    title = "The ten worst images of each method"
    methods = _methods(scored)
    if not methods:
        return _nothing(title, dataset, NO_BOXES)
    tiles, texts, rows = [], [], []
    for name, group in methods.items():
        worst = [row for _, row in group.sort_values("iou", kind="stable").head(WORST).iterrows()]
        for start in range(0, len(worst), COLUMNS):
            line = worst[start : start + COLUMNS]
            missing = COLUMNS - len(line)
            tiles.append([*(_boxed(look(row)) for row in line), *[BLANK] * missing])
            texts.append([*(f"{row['iou']:.2f}" for row in line), *[""] * missing])
            rows.append(_words(name) if start == 0 else "")
    return _sheet(
        title, dataset, tiles, rows=rows, columns=[""] * COLUMNS, scores=texts, legend="annotated"
    )


def _methods(scored: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Part what was scored by method; images without a true box have no IoU to show."""
    boxed = scored[scored["iou"].notna().to_numpy(bool)]
    return dict(list(boxed.groupby("method", sort=False)))
