"""How often a view's step found no cell, so that the view shows the whole image."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.intervals import sum_by_unit, wilson_interval
from wbc_pipeline.imaging.packing import independent_sources

ALL = "all"
COLUMNS = ["view", "label", "images", "missed", "share", "share_low", "share_high"]


@described(
    heading="Where no cell was found",
    caption="Images in which a view's step found no cell, of all classes and of each; the view "
    "shows them whole. A view@part is counted over the images that play this part in some split, "
    "degraded as they are there. Intervals are Wilson's, over cells.",
)
def count_misses(
    regions: Mapping[str, pd.DataFrame], images: pd.DataFrame, *, level: float = 0.95
) -> pd.DataFrame:
    """Count the images without a region, by view and class.

    Parameters
    ----------
    regions
        By view, a row per image with ``image_id`` and ``found`` (bool).
    images
        The manifest's ``ok`` rows.
    level
        Coverage of the intervals.

    Returns
    -------
    DataFrame
        `COLUMNS`: a row per view and class, and one for ``all``, those without a label among them.
    """
    known = images.assign(unit=independent_sources(images)).set_index("image_id")
    rows = []
    for view, table in regions.items():
        tested = known[["label", "unit"]].join(table.set_index("image_id")["found"], how="inner")
        for label, members in {ALL: tested, **dict([*tested.groupby("label")])}.items():
            missed = ~members["found"].to_numpy(bool)
            counted = np.column_stack([missed, np.ones(len(missed))])
            totals = sum_by_unit(counted, pd.factorize(members["unit"])[0])
            ends = wilson_interval(*totals.T, level)
            rows.append((view, label, len(missed), int(missed.sum()), missed.mean(), *ends))
    return pd.DataFrame(rows, columns=COLUMNS)
