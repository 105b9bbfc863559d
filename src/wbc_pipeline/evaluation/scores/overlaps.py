"""How well predicted masks overlap with the annotated ones: IoU, Dice and pixel accuracy.

All follow from what predictions count in pixels of each image: ``intersection_<region>``,
``union_<region>`` and ``mask_pixels``. Scores are means over the images whose mask is known.
"""

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.scores.outcomes import Outcomes

REGIONS = ("cell", "nucleus")


def image_iou(intersection: np.ndarray, union: np.ndarray) -> np.ndarray:
    """Intersection over union of each image, [N]; 1 where both masks are empty, NaN is kept."""
    return np.where(union == 0, 1.0, intersection / np.where(union == 0, 1, union))


def image_dice(intersection: np.ndarray, union: np.ndarray) -> np.ndarray:
    """Dice of each image, [N], likewise."""
    return image_iou(2 * intersection, intersection + union)


def with_overlaps(predictions: pd.DataFrame) -> pd.DataFrame:
    """Add ``iou_<region>`` and ``dice_<region>`` of each image; NaN where a mask is not known.

    Regions that no image has columns of are left out.
    """
    found = {}
    for region in REGIONS:
        names = [f"intersection_{region}", f"union_{region}"]
        if set(names) <= set(predictions):
            both, either = (predictions[name].to_numpy(float, na_value=np.nan) for name in names)
            found[f"iou_{region}"] = image_iou(both, either)
            found[f"dice_{region}"] = image_dice(both, either)
    return predictions.assign(**found)


def region_iou(outcomes: Outcomes, region: str) -> np.ndarray:
    """IoU of each image and whether it is known, [N, 2]."""
    return known_values(image_iou(*_counts(outcomes, region)))


def region_dice(outcomes: Outcomes, region: str) -> np.ndarray:
    """Dice of each image and whether it is known, [N, 2]."""
    return known_values(image_dice(*_counts(outcomes, region)))


def pixel_accuracy(outcomes: Outcomes) -> np.ndarray:
    """Share of an image's pixels that are rightly cell or background, and if known, [N, 2]."""
    both, either = _counts(outcomes, "cell")
    return known_values(1 - (either - both) / outcomes.measured["mask_pixels"])


def known_values(values: np.ndarray) -> np.ndarray:
    """Put 0 for NaN, and beside each value whether it is known, [N, 2]."""
    known = np.isfinite(values)
    return np.stack([np.where(known, values, 0), known], axis=1)


def mean_over_known(sums: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Mean from sums of `known_values`, [..., 2]; NaN where none is known."""
    return sums[..., 0] / sums[..., 1]


def _counts(outcomes: Outcomes, region: str) -> tuple[np.ndarray, np.ndarray]:
    return outcomes.measured[f"intersection_{region}"], outcomes.measured[f"union_{region}"]
