"""Figure of a model's answers on images of users."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures.sheets import tile_sheet
from wbc_pipeline.evaluation.figures.style import drawn, empty_figure, shorten

COLUMNS = 12
_NAME = 18  # characters of a class


@drawn(
    heading="Contact sheet",
    caption="Cells of each class that the model answers, drawn at random, the most confident "
    "first; below each its calibrated confidence, with a question mark where something speaks "
    "against the answer.",
)
def contact_sheet(shown: pd.DataFrame, tiles: np.ndarray, *, dataset: str = "") -> Figure:
    """Show cells by the class that was answered.

    Parameters
    ----------
    shown
        ``class``, ``confidence`` and ``flags`` of each tile.
    tiles
        RGB, uint8 ``[N, S, S, 3]``.
    dataset
        For the title.
    """
    title = "Cells by the class that the model answers"
    if shown.empty:
        return empty_figure(title, dataset, "no file could be read")
    lines, rows, scores = [], [], []
    columns = min(COLUMNS, int(shown["class"].value_counts().max()))
    for name, own in shown.groupby("class", sort=True):
        order = own.sort_values("confidence", ascending=False, kind="stable").index
        for start in range(0, len(order), columns):
            line = order[start : start + columns]
            blank = columns - len(line)
            lines.append([*(tiles[row] for row in line), *[np.full_like(tiles[0], 255)] * blank])
            rows.append(shorten(str(name), _NAME) if start == 0 else "")
            scores.append(
                [
                    f"{own.at[row, 'confidence']:.0%}" + (" ?" if own.at[row, "flags"] else "")
                    for row in line
                ]
                + [""] * blank
            )
    return tile_sheet(title, dataset, lines, rows=rows, columns=[""] * columns, scores=scores)
