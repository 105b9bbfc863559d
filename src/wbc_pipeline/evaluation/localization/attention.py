"""How much of what networks look at lies inside the cell, right and wrong answers apart."""

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.intervals import mean_interval, resampling_units

KEYS = ["variant", "protocol", "fold"]
SHARES = ("grad_cam_inside", "saliency_inside")


@described(
    heading="Attention inside the cell",
    caption="Mean share of Grad-CAM, and of the network's own saliency map, that lies inside the "
    "cell's mask, for right and wrong answers, with intervals over sources. Grad-CAM of an image "
    "may be all 0, as no place speaks for the class; explained counts the others.",
)
def summarise_attention(
    images: pd.DataFrame, *, resamples: int = 1000, level: float = 0.95
) -> pd.DataFrame:
    """Average the shares of attention inside cells.

    Parameters
    ----------
    images
        A row per image and run: `KEYS`, ``image_id``, ``source_id``, ``right`` (whether its class
        was found), and of `SHARES` what was measured, 0 to 1, NaN where it is not known.
    resamples, level
        Of the bootstrap over sources.

    Returns
    -------
    DataFrame
        A row per variant, protocol, fold and ``answers`` (``right``, ``wrong``): ``images``,
        ``explained`` (how many have ``grad_cam_inside``), and of each of `SHARES` the mean over
        images where it is known, ``_low`` and ``_high``.
    """
    rows = []
    for (*run, right), some in images.groupby([*KEYS, "right"], sort=False, observed=True):
        row = dict(zip(KEYS, run, strict=True))
        row |= {"answers": "right" if right else "wrong", "images": len(some)}
        row |= {"explained": int(some["grad_cam_inside"].notna().sum())}
        for share in (name for name in SHARES if name in images):
            known = some.dropna(subset=share)
            if len(known):
                units = pd.Series(resampling_units(known)[0])
                ends = mean_interval(known[share], units, resamples=resamples, level=level)
                low, high = np.clip(ends, 0, 1)
                row |= {share: known[share].mean(), f"{share}_low": low, f"{share}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)
