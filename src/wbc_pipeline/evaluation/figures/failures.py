"""Figure of what a model gets wrong."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures.sheets import BLANK, scale_tile, tile_sheet
from wbc_pipeline.evaluation.figures.style import drawn, shorten

COLUMNS = 6
_NAME = 16  # characters of a class


@drawn(
    heading="Known failures",
    caption="Test images that the model gets wrong, those of which it is surest, from each class "
    "in turn: what is labelled, what is answered, and with which probability.",
)
def failures_sheet(
    mistakes: pd.DataFrame, images: Sequence[np.ndarray], *, dataset: str = ""
) -> Figure:
    """Show mistakes with label and answer.

    Parameters
    ----------
    mistakes
        At least one row of ``champion.sure_mistakes``.
    images
        Of each row: RGB, uint8 ``[H, W, 3]``.
    dataset
        For the title.
    """
    texts = [
        f"{shorten(row.label, _NAME)}\n→ {shorten(row.predicted, _NAME)} {row.confidence:.0%}"
        for row in mistakes.itertuples(index=False)
    ]
    columns = min(COLUMNS, len(texts))
    blank = -len(texts) % columns
    tiles = [*map(scale_tile, images), *[BLANK] * blank]
    texts += [""] * blank
    starts = range(0, len(tiles), columns)
    return tile_sheet(
        "Mistakes of which the model is surest",
        dataset,
        [tiles[start : start + columns] for start in starts],
        rows=[""] * len(starts),
        columns=[""] * columns,
        scores=[texts[start : start + columns] for start in starts],
    )
