"""Figure of a model's answers on images of users."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures.sheets import show_images, tile_sheet
from wbc_pipeline.evaluation.figures.style import WIDTH, drawn, empty_figure, new_figure, shorten

COLUMNS = 12
_NAME, _FILE = 18, 48  # characters of a class, and of a file


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


@drawn(
    heading="Photographs",
    caption="Some of the photographs, evenly chosen: box, outline and answer of every cell, green "
    "where nothing speaks against the answer, and beside it Grad-CAM, where the network looks. All "
    "of them are in the folder overlays.",
)
def overlay_sheet(pictures: Mapping[str, np.ndarray], *, dataset: str = "") -> Figure:
    """Show overlays in two columns.

    Parameters
    ----------
    pictures
        RGB, uint8 ``[H, W, 3]``, by the name of the file.
    dataset
        For the title.
    """
    title = "What the model found and where it looked"
    if not pictures:
        return empty_figure(title, dataset, "no overlay was drawn")
    rows = -(-len(pictures) // 2)
    tallest = max(picture.shape[0] / picture.shape[1] for picture in pictures.values())
    figure = new_figure(title, dataset, height=0.6 + rows * (0.3 + WIDTH / 2 * min(tallest, 0.5)))
    panels = figure.subplots(rows, 2, squeeze=False).ravel()
    names = [shorten(name, _FILE) for name in pictures]
    show_images(panels, pictures.values(), names, size=8)
    return figure
