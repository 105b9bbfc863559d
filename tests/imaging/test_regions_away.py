"""Boxes and masks of classical methods, at home and in fields of another laboratory.

``pytest -m slow -s tests/imaging/test_regions_away.py`` prints the table of the docs.
"""

import sys

import cv2
import numpy as np
import pandas as pd
import pytest
from overlaps_of_masks import dice

from wbc_pipeline.evaluation.localization.regions import intersection_over_union
from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.imaging.masks import read_labelled_mask, region_mask
from wbc_pipeline.imaging.scenes import draw_field
from wbc_pipeline.imaging.steps import settle
from wbc_pipeline.sources import all_idb2, blood_cells_originals, segmentation_wbc

EACH, FIELDS = 40, 20  # images of a set at home, and in fields
NUCLEUS = {
    "nucleus": ((115, 60, 0), (160, 255, 255)),
    "cytoplasm": None,
    "padding": 0,
    "smallest": 0,
}
ONE_OBJECT = [{"largest_component": {}}, {"fill_holes": {}}]
METHODS = {
    "colour of the nucleus": [{"colour_region": NUCLEUS}],
    "colour_region": [{"colour_region": {}}],
    "enhanced_colour_region": [{"enhanced_colour_region": {}}],
    "canny_mask": [{"canny_mask": {}}],
    "violet_mask_hsv": [{"violet_mask_hsv": {}}, *ONE_OBJECT],
    "saliency_mask": [{"saliency_mask": {}}, *ONE_OBJECT],
    "watershed_mask": [{"watershed_mask": {}}, *ONE_OBJECT],
    "stain_region": [{"stain_region": {}}],
    "stain_mask": [{"stain_mask": {}}],
}


def spread(rows):
    return rows.iloc[np.linspace(0, len(rows) - 1, EACH).astype(int)]


@pytest.fixture(scope="module")
def sets(real_data):
    """By name: image, boxes of white cells and mask of the cell (None if there is none)."""
    boxes = blood_cells_originals.list_boxes(real_data)
    boxes = boxes[boxes["name"] == "wbc"].drop(columns="name").set_index("image_id")
    photographs = blood_cells_originals.list_images(real_data)
    photographs = photographs[photographs["image_id"].isin(boxes.index)]
    found = {
        "blood_cells_originals": [
            (read(row.path), boxes.loc[[row.image_id]].to_numpy(), None)
            for row in spread(photographs).itertuples()
        ]
    }
    stained = segmentation_wbc.list_images(real_data)
    masked = dict(list(stained.groupby("domain"))) | {"all_idb2": all_idb2.list_images(real_data)}
    for name, rows in masked.items():
        masked_rows = spread(rows[rows["mask_path"].notna()])
        found[name] = [with_mask(row) for row in masked_rows.itertuples()]
    return found


def read(path):
    return cv2.imread(path, cv2.IMREAD_COLOR_RGB)


def with_mask(row):
    image = read(row.path)
    parts = read_labelled_mask(
        row.mask_path, image.shape[:2], levels=row.mask_levels, max_pixels=10**7
    ).parts
    mask = region_mask(parts, "cell")
    x, y, width, height = cv2.boundingRect(mask)
    return image, np.array([[x, y, x + width, y + height]], float), mask


def in_field(image, boxes, mask, rng):
    """Put an image into a field of 1440 x 900, in the order of what `sets` gives."""
    field, boxes, mask = draw_field(image, mask, boxes, rng, size=(1440, 900), cell=(0.08, 0.2))
    return field, boxes, mask


def measure(steps, cells):
    chain = build_chain(steps)
    frames = [chain.run(image) for image, _, _ in cells]
    regions = [settle(frame).box for frame in frames]
    ious = [
        intersection_over_union(np.tile(region[:4], (len(boxes), 1)), boxes).max()
        for region, (_, boxes, _) in zip(regions, cells, strict=True)
    ]
    dices = [
        dice(frame.mask, mask)
        for frame, (_, _, mask) in zip(frames, cells, strict=True)
        if frame.mask is not None and mask is not None
    ]
    missed = sum(iou < 0.1 or not region.found for iou, region in zip(ious, regions, strict=True))
    return {
        "IoU": np.mean(ious),
        "missed": missed / len(cells),
        "Dice": np.mean(dices) if dices else np.nan,
    }


@pytest.mark.slow
def test_only_stain_holds_in_every_set_at_home_and_in_fields_of_another_laboratory(sets):
    rng = np.random.default_rng(0)
    fields = {
        name: [in_field(*cell, rng) for cell in cells[:: EACH // FIELDS]]
        for name, cells in sets.items()
    }
    rows = [
        {"condition": condition, "method": method, "set": name} | measure(steps, cells)
        for condition, conditioned in (("home", sets), ("field", fields))
        for name, cells in conditioned.items()
        for method, steps in METHODS.items()
    ]
    table = pd.DataFrame(rows)
    wide = table.pivot(index=["condition", "method"], columns="set")
    sys.stdout.write(f"\n{wide.round(2).to_string()}\n")
    worst = table.groupby("method")["IoU"].min()
    assert worst["stain_region"] > 0.75
    assert worst.drop(["stain_region", "stain_mask"]).max() < 0.7
    stained = table[table["method"].isin(["stain_region", "stain_mask"])]
    assert stained["missed"].max() <= 0.1
    assert stained["Dice"].min() > 0.85
