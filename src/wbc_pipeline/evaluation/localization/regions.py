"""How well boxes around white blood cells were found."""

from collections.abc import Collection, Sequence

import cv2
import numpy as np
import pandas as pd

from wbc_pipeline.imaging.masks import region_mask
from wbc_pipeline.imaging.packing import accepted
from wbc_pipeline.imaging.roi import SIDES, box_areas


def intersection_over_union(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """IoU of boxes, row by row (torchvision has it for all pairs only).

    Parameters
    ----------
    found, true
        ``[N, 4]``: xmin, ymin, xmax, ymax in pixels.

    Returns
    -------
    np.ndarray
        float64 ``[N]``, 0 to 1; 0 where both are empty.

    Examples
    --------
    >>> intersection_over_union(np.array([[0, 0, 10, 10]]), np.array([[5, 0, 15, 10]])).round(3)
    array([0.333])
    """
    found, true = np.asarray(found, float), np.asarray(true, float)
    sides = np.minimum(found[:, 2:], true[:, 2:]) - np.maximum(found[:, :2], true[:, :2])
    shared = sides.clip(0).prod(axis=1)
    covered = box_areas(found) + box_areas(true) - shared
    return np.divide(shared, covered, out=np.zeros(len(found)), where=covered > 0)


def true_boxes(
    manifest: pd.DataFrame,
    boxes: pd.DataFrame,
    masks: np.ndarray | None,
    *,
    names: Collection[str],
) -> pd.DataFrame:
    """List the annotated boxes around white cells, and those around masks of other images.

    Parameters
    ----------
    manifest
        See ``design``.
    boxes
        ``image_id``, ``name`` and the sides in pixels of the file, a row per annotated box.
    masks
        Packed masks, uint8 ``[N, S, S]`` (see ``imaging.masks``), in the order of the manifest's
        ``ok`` rows; None if the set has none.
    names
        Of the boxes that count.

    Returns
    -------
    pd.DataFrame
        ``image_id`` and the sides, in pixels of the file; several rows for an image with several
        white cells, none for one without. Sides from a mask are as coarse as its packed pixels.
    """
    named = boxes.loc[boxes["name"].isin(names), ["image_id", *SIDES]]
    if masks is None:
        return named.reset_index(drop=True)
    images = accepted(manifest)
    unboxed = np.flatnonzero(~images["image_id"].isin(boxes["image_id"]))
    sides = pd.DataFrame([_around(masks[row]) for row in unboxed], columns=SIDES)
    images = images.iloc[unboxed].reset_index(drop=True)
    for side, length in zip(SIDES, ["width", "height"] * 2, strict=True):
        sides[side] *= images[length].to_numpy(float) / masks.shape[1]
    sides.insert(0, "image_id", images["image_id"])
    return pd.concat([named, sides.dropna()], ignore_index=True)


def match_regions(regions: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Compare the region found in each image with the true box that fits it best.

    Parameters
    ----------
    regions
        ``image_id``, the sides and ``found``, a row per image.
    truth
        Of `true_boxes`.

    Returns
    -------
    pd.DataFrame
        ``image_id``, ``found``, ``boxes`` (how many true ones there are) and ``iou`` (0 to 1,
        missing without a true box), a row per image in the order of `regions`.
    """
    pairs = regions.merge(truth, on="image_id", suffixes=("", "_true"))
    true_sides = [f"{side}_true" for side in SIDES]
    pairs["iou"] = intersection_over_union(pairs[SIDES].to_numpy(), pairs[true_sides].to_numpy())
    overlaps = pairs.groupby("image_id")["iou"]
    names = regions["image_id"]
    matched = regions[["image_id", "found"]].assign(
        boxes=names.map(overlaps.size()).fillna(0).astype(int), iou=names.map(overlaps.max())
    )
    return matched.reset_index(drop=True)


def summarise_regions(matched: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Describe the distribution of IoU.

    Parameters
    ----------
    matched
        Of `match_regions`, perhaps of several methods, with the columns of `by`.
    by
        Columns to group by; missing values are a group of their own.

    Returns
    -------
    pd.DataFrame
        `by`, ``images``, ``not_found`` (images), and of the IoU ``mean``, ``min``, ``max``, ``sd``
        (of a sample) and ``median``; missing where there is no true box.
    """
    groups = matched.groupby(list(by), dropna=False, sort=False)
    return groups.agg(
        images=("found", "size"),
        not_found=("found", lambda found: int((~found.astype(bool)).sum())),
        mean=("iou", "mean"),
        min=("iou", "min"),
        max=("iou", "max"),
        sd=("iou", "std"),
        median=("iou", "median"),
    ).reset_index()


def _around(mask: np.ndarray) -> tuple[float, float, float, float]:
    left, top, width, height = cv2.boundingRect(region_mask(np.ascontiguousarray(mask), "cell"))
    return (left, top, left + width, top + height) if width else (np.nan,) * 4
