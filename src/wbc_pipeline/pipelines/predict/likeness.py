"""How well a model tells images unlike its training data from those like it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.imaging.reading import UnreadableImageError, read_image
from wbc_pipeline.imaging.stained_cells import stain_cells
from wbc_pipeline.pipelines.predict.predicting import CHUNK, Asking

RED_CELLS, NOISE = "red cells, no white one", "noise"
_TRIES = 20  # places for a crop without a white cell


@described(
    heading="Unlike the training data",
    caption="Area under the ROC curve with which the distance from the training data tells other "
    "images from known ones (0.5: not at all, 1: always), and the share that is flagged. The first "
    "row is of the known images themselves, whose flags are false alarms.",
)
def compare_likeness(distances: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Compare distances of other images with those of known ones.

    Parameters
    ----------
    distances
        By name, the unlikeness of each image, in limits: above 1 it is flagged. The first are
        images like the training data that the model was not trained on.

    Returns
    -------
    DataFrame
        ``images_of``, ``images``, ``auroc`` (NaN for the known ones), ``flagged`` (share).
    """
    from sklearn.metrics import roc_auc_score

    (known, reference), *others = distances.items()
    rows = [
        {"images_of": known, "images": len(reference), "auroc": np.nan}
        | {"flagged": float((reference > 1).mean())}
    ]
    for name, found in others:
        truth = np.repeat([0, 1], [len(reference), len(found)])
        auroc = roc_auc_score(truth, np.concatenate([reference, found])) if len(found) else np.nan
        flagged = float((found > 1).mean()) if len(found) else np.nan
        rows.append({"images_of": name, "images": len(found), "auroc": auroc, "flagged": flagged})
    return pd.DataFrame(rows)


def unlikeness(asking: Asking, images: Iterable[np.ndarray]) -> np.ndarray:
    """Give the unlikeness of each image: that of its first cell.

    Parameters
    ----------
    asking
        A model with what was fitted beside it.
    images
        RGB, uint8, ``[H, W, 3]`` each, of any size.

    Returns
    -------
    np.ndarray
        float64 [N], in limits.
    """
    found: list[np.ndarray] = []
    images = iter(images)
    while chunk := list(islice(images, CHUNK)):
        shown = [asking.show(image)[0] for image in chunk]
        found.append(asking.judge(shown).unlikeness)
    return np.concatenate(found) if found else np.empty(0)


def read_images(paths: Iterable[str | Path], max_pixels: int) -> Iterator[np.ndarray]:
    """Read what can be read."""
    for path in paths:
        try:
            yield read_image(path, max_pixels=max_pixels).pixels
        except UnreadableImageError:
            continue


def red_cell_crops(images: Iterable[np.ndarray], *, seed: int = 0) -> Iterator[np.ndarray]:
    """Cut a part of the size of its white cell, but without it, out of each photograph.

    Parameters
    ----------
    images
        RGB, uint8, ``[H, W, 3]`` each; those without a white cell, or without room beside it, give
        none.
    seed
        Of the places.
    """
    random = np.random.default_rng(seed)
    for image in images:
        boxes = [cell.region for cell in stain_cells(image)]
        height, width = image.shape[:2]
        side = max((max(box[2] - box[0], box[3] - box[1]) for box in boxes), default=0)
        if not 0 < side < min(height, width):
            continue
        for _ in range(_TRIES):
            left, top = int(random.integers(width - side)), int(random.integers(height - side))
            if all(
                left >= box.xmax
                or top >= box.ymax
                or left + side <= box.xmin
                or top + side <= box.ymin
                for box in boxes
            ):
                yield image[top : top + side, left : left + side]
                break


def noise_images(count: int, *, size: int = 96, seed: int = 0) -> Iterator[np.ndarray]:
    """Draw images of independent uniform noise, RGB, uint8 ``[size, size, 3]``."""
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield random.integers(0, 256, (size, size, 3), np.uint8)
