"""Nodes that flag where no cell was found, and compare boxes with annotated ones."""

from __future__ import annotations

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.pipelines.roi.options import RoiOptions

pd = lazy.load("pandas")

_COUNTS = {0: "none", 1: "one", 2: "several"}


def flag_regions(manifest: pd.DataFrame, views: dict[str, ImageArray]) -> pd.DataFrame:
    """Add to the manifest what each view found.

    Returns
    -------
    pd.DataFrame
        The manifest with, for each view, ``<view>_box`` (xmin, ymin, xmax, ymax in pixels of the
        file) and ``<view>_found``: False where the whole image was kept, as nothing was found.
        Both are missing for refused images.
    """
    from wbc_pipeline.imaging.roi import SIDES

    flagged = manifest.copy()
    for name, view in views.items():
        regions = view.result.table("regions").set_index("image_id")
        boxes = pd.Series(regions[SIDES].to_numpy().tolist(), regions.index)
        flagged[f"{name}_box"] = flagged["image_id"].map(boxes)
        flagged[f"{name}_found"] = flagged["image_id"].map(regions["found"]).astype("boolean")
    return flagged


def compare_regions(
    manifest: pd.DataFrame,
    boxes: pd.DataFrame,
    images: ImageArray,
    views: dict[str, ImageArray],
    options: RoiOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare what each view found with annotated boxes, or with those around masks.

    Returns
    -------
    summary
        For each view and domain, images, how many had nothing to find, and of the intersection
        over union with the best-fitting box of the image mean, min, max, SD and median; missing
        where no box is annotated. ``boxes`` tells images with one annotated cell from those with
        several.
    overlaps
        The same for each image: ``view``, ``image_id``, ``domain``, ``found``, ``boxes``, ``iou``.
    """
    from wbc_pipeline.evaluation.localization import regions

    truth = regions.true_boxes(manifest, boxes, images.masks, names=options.box_names)
    domains = manifest.set_index("image_id")["domain"]
    matched = [
        regions.match_regions(view.result.table("regions"), truth).assign(view=name)
        for name, view in views.items()
    ]
    overlaps = pd.concat(matched, ignore_index=True)
    overlaps["domain"] = overlaps["image_id"].map(domains)
    counted = overlaps.assign(boxes=overlaps["boxes"].clip(upper=2).map(_COUNTS))
    summary = regions.summarise_regions(counted, by=["view", "domain", "boxes"])
    return summary, overlaps[["view", "image_id", "domain", "found", "boxes", "iou"]]
