"""How well detectors find white blood cells, from tables of boxes alone.

Boxes have an ``image_id``, the sides of ``imaging.roi.SIDES`` in pixels of the file and, if they
were found, a ``score`` from 0 to 1; a method without scores has 1 in all rows.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.localization.regions import (
    intersection_over_union,
    match_regions,
    summarise_regions,
)
from wbc_pipeline.evaluation.scores.intervals import mean_interval
from wbc_pipeline.imaging.packing import independent_sources
from wbc_pipeline.imaging.roi import SIDES

COUNTS = ["boxes", "matched", "missed", "false_alarms"]

_OVERLAPS = ["images", "not_found", "mean", "mean_low", "mean_high", "min", "max", "sd", "median"]


def best_regions(detections: pd.DataFrame, images: pd.DataFrame, *, score: float) -> pd.DataFrame:
    """Keep the highest-scoring detection of each image.

    Parameters
    ----------
    detections
        ``image_id``, the sides and ``score``.
    images
        ``image_id``, ``width`` and ``height``, a row per image.
    score
        Detections below this score are none.

    Returns
    -------
    pd.DataFrame
        ``image_id``, the sides and ``found``, a row per image in the order of `images`, for
        `regions.match_regions`; the whole image, ``found`` False, where there is no detection.

    Examples
    --------
    >>> found = pd.DataFrame([["a", 1, 2, 3, 4, 0.6], ["a", 5, 6, 7, 8, 0.9]])
    >>> found.columns = ["image_id", *SIDES, "score"]
    >>> images = pd.DataFrame({"image_id": ["a", "b"], "width": 64, "height": 48})
    >>> best_regions(found, images, score=0.5).to_numpy().tolist()
    [['a', 5.0, 6.0, 7.0, 8.0, True], ['b', 0.0, 0.0, 64.0, 48.0, False]]
    """
    best = _by_score(detections, score).drop_duplicates("image_id").set_index("image_id")
    whole = pd.DataFrame({"xmin": 0.0, "ymin": 0.0, "xmax": images["width"]}, index=images.index)
    whole["ymax"] = images["height"]
    found = images["image_id"].isin(best.index)
    regions = whole.astype(float).set_axis(images["image_id"])
    sides = best[SIDES].astype(float).reindex(regions.index).fillna(regions)
    return sides.reset_index().assign(found=found.to_numpy())


def match_detections(
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    images: pd.DataFrame,
    *,
    iou: float = 0.5,
    score: float = 0.5,
) -> pd.DataFrame:
    """Match detections to true boxes, one to one.

    Greedy as in COCO (Lin et al., ECCV 2014): in the order of their scores, each detection takes
    the true box that it overlaps most of those that are left.

    Parameters
    ----------
    detections
        ``image_id``, the sides and ``score``.
    truth
        ``image_id`` and the sides; see `regions.true_boxes`.
    images
        ``image_id``, a row per image.
    iou
        Least overlap of a match.
    score
        Detections below this score are none.

    Returns
    -------
    pd.DataFrame
        ``image_id``, ``boxes`` (true ones), ``matched``, ``missed`` (true ones without a
        detection) and ``false_alarms`` (detections without a true one), a row per image in the
        order of `images`.
    """
    found = dict(list(_by_score(detections, score).groupby("image_id")[SIDES]))
    true = dict(list(truth.groupby("image_id")[SIDES]))
    none = pd.DataFrame(columns=SIDES, dtype=float)
    rows = []
    for image in images["image_id"]:
        seen, boxes = found.get(image, none).to_numpy(float), true.get(image, none).to_numpy(float)
        matched = _count_matches(seen, boxes, iou)
        rows.append((image, len(boxes), matched, len(boxes) - matched, len(seen) - matched))
    return pd.DataFrame(rows, columns=["image_id", *COUNTS])


def average_precision(
    detections: pd.DataFrame, truth: pd.DataFrame, images: pd.DataFrame
) -> dict[str, float]:
    """Average precision as COCO defines it, over all scores.

    Parameters
    ----------
    detections
        ``image_id``, the sides and ``score``; all of them, however low their score.
    truth
        ``image_id`` and the sides.
    images
        ``image_id``, a row per image; images without a true box count by their false alarms.

    Returns
    -------
    dict
        ``ap_50`` (matches overlap by an IoU of 0.5 or more) and ``ap_50_95`` (mean over 0.5,
        0.55, … 0.95), 0 to 1; NaN without a true box.

    References
    ----------
    T.-Y. Lin et al., "Microsoft COCO: Common objects in context", ECCV, 2014.
    """
    import torch
    from torchmetrics.detection import MeanAveragePrecision

    found = dict(list(detections.groupby("image_id")))
    true = dict(list(truth.groupby("image_id")))

    def boxes(table: pd.DataFrame | None, *, scored: bool) -> dict:
        table = pd.DataFrame(columns=[*SIDES, "score"]) if table is None else table
        entry = {
            "boxes": torch.tensor(table[SIDES].to_numpy(np.float32)),
            "labels": torch.zeros(len(table), dtype=torch.int64),
        }
        scores = {"scores": torch.tensor(table["score"].to_numpy(np.float32))} if scored else {}
        return entry | scores

    metric = MeanAveragePrecision(box_format="xyxy", iou_type="bbox", backend="pycocotools")
    names = images["image_id"]
    metric.update(
        [boxes(found.get(name), scored=True) for name in names],
        [boxes(true.get(name), scored=False) for name in names],
    )
    scores = metric.compute()
    # torchmetrics says -1 where there is nothing to be found.
    precision = {"ap_50": float(scores["map_50"]), "ap_50_95": float(scores["map"])}
    return {name: np.nan if value < 0 else value for name, value in precision.items()}


def score_localization(
    detections: pd.DataFrame,
    looked: pd.DataFrame,
    truth: pd.DataFrame,
    images: pd.DataFrame,
    *,
    by: Sequence[str] = ("method",),
    iou: float = 0.5,
    score: float = 0.5,
) -> pd.DataFrame:
    """Score every method on every image that it looked at.

    Parameters
    ----------
    detections
        `by`, ``image_id``, the sides and ``score``.
    looked
        `by`, ``image_id`` and ``inference_ms`` (milliseconds, missing where nobody took the time),
        a row per image that a method looked at: also where it found nothing.
    truth
        ``image_id`` and the sides.
    images
        ``image_id``, ``width``, ``height`` and ``source_group`` (missing: a group of its own).
    by
        What tells methods apart, such as their name and seed.
    iou, score
        See `match_detections`.

    Returns
    -------
    pd.DataFrame
        A row for each of `looked`: `by`, ``image_id``, ``source_group``, the sides and ``found``
        of the best region, ``iou`` (missing without a true box) of it with the true box that fits
        it best, ``boxes``, ``matched``, ``missed``, ``false_alarms`` and ``inference_ms``.
    """
    by = list(by)
    found = dict(list(detections.groupby(by)))
    tables = []
    for method, times in looked.groupby(by, sort=False):
        seen = found.get(method, detections[:0])
        shown = times[["image_id"]].merge(images, on="image_id", how="left", validate="1:1")
        regions = best_regions(seen, shown, score=score)
        overlaps = match_regions(regions, truth)[["image_id", "iou"]]
        counts = match_detections(seen, truth, shown, iou=iou, score=score)
        table = times.merge(shown[["image_id", "source_group"]], on="image_id")
        for other in (regions, overlaps, counts):
            table = table.merge(other, on="image_id", validate="1:1")
        tables.append(table)
    columns = [*by, "image_id", "source_group", *SIDES, "found", "iou", *COUNTS, "inference_ms"]
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns].astype({"inference_ms": float})


def summarise_localization(
    scored: pd.DataFrame,
    detections: pd.DataFrame,
    truth: pd.DataFrame,
    *,
    by: Sequence[str] = ("method",),
    resamples: int,
    level: float,
) -> pd.DataFrame:
    """Describe how well each method finds white cells.

    Parameters
    ----------
    scored
        Of `score_localization`.
    detections, truth, by
        As there.
    resamples, level
        Of the bootstrap over source groups.

    Returns
    -------
    pd.DataFrame
        `by`, ``images`` (with a true box), ``not_found`` (of these), of the IoU ``mean`` (with
        ``mean_low`` and ``mean_high``), ``min``, ``max``, ``sd`` and ``median``; over all images
        the sums of ``boxes``, ``matched``, ``missed`` and ``false_alarms``, ``ap_50`` and
        ``ap_50_95`` (see `average_precision`), and the median ``inference_ms``.
    """
    by = list(by)
    found = dict(list(detections.groupby(by)))
    rows = []
    for method, table in scored.groupby(by, sort=False):
        boxed = table.dropna(subset="iou")
        row = dict(zip(by, method, strict=True))
        if len(boxed):
            groups = independent_sources(boxed)
            ends = mean_interval(boxed["iou"], groups, resamples=resamples, level=level)
            row |= dict(zip(("mean_low", "mean_high"), ends, strict=True))
        row |= table[COUNTS].sum().to_dict()
        row |= average_precision(found.get(method, detections[:0]), truth, table)
        rows.append(row | {"inference_ms": table["inference_ms"].median()})
    overlaps = summarise_regions(scored.dropna(subset="iou"), by)
    columns = [*by, *_OVERLAPS, *COUNTS, "ap_50", "ap_50_95", "inference_ms"]
    if not rows:
        return pd.DataFrame(columns=columns)
    summary = pd.DataFrame(rows).merge(overlaps, on=by, how="left").reindex(columns=columns)
    return summary.fillna({"images": 0, "not_found": 0}).astype({"images": int, "not_found": int})


def _by_score(detections: pd.DataFrame, score: float) -> pd.DataFrame:
    sure = detections[detections["score"] >= score]
    return sure.sort_values("score", ascending=False, kind="stable")


def _count_matches(found: np.ndarray, true: np.ndarray, iou: float) -> int:
    left, matched = true, 0
    for box in found:
        if not len(left):
            break
        overlaps = intersection_over_union(np.broadcast_to(box, left.shape), left)
        best = int(overlaps.argmax())
        if overlaps[best] >= iou:
            left, matched = np.delete(left, best, axis=0), matched + 1
    return matched
