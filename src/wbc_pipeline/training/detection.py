"""Detectors: annotated boxes to training targets, and trained detectors to boxes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.cell_mask import cell_mask_in_box
from wbc_pipeline.imaging.roi import SIDES, box_areas
from wbc_pipeline.imaging.scenes import LEAST_SHOWN
from wbc_pipeline.training.views import as_tensor, take_views


@dataclass(frozen=True)
class Targets:
    """What detectors learn to find, computed once per training.

    Attributes
    ----------
    rows
        Row numbers of the images, int64 [M].
    counts
        White cells of each of these images, int64 [M], some 0.
    boxes
        Their boxes in that order, float32 [K, 4]: xmin, ymin, xmax, ymax in pixels of the frame.
    masks
        uint8 [K, S, S], 1 on the cell; None for detectors that learn none.
    boxes_without_violet
        Number of boxes in which no violet was found, so that the whole box became the mask.
    """

    rows: Tensor
    counts: Tensor
    boxes: Tensor
    masks: Tensor | None
    boxes_without_violet: int


def make_targets(
    pixels: np.ndarray,
    images: pd.DataFrame,
    truth: pd.DataFrame,
    rows: Sequence[int],
    *,
    crops: np.ndarray | None = None,
    masks: bool = True,
) -> Targets:
    """Scale annotated boxes to pixels of the frame and, by colour, segment the cells in them.

    Parameters
    ----------
    pixels
        Frames, uint8 [N, S, S, 3], RGB: images, or parts of them, squeezed to squares.
    images
        ``image_id``, ``width`` and ``height`` of the files, in the order of `pixels`.
    truth
        ``image_id`` and the sides in pixels of the file, a row per white cell; see
        ``wbc_pipeline.evaluation.localization.regions.true_boxes``.
    rows
        Row numbers of the images to learn from; those without a box show no cell.
    crops
        The part of its file that each frame shows, [N, 4]: xmin, ymin, xmax, ymax; None for all of
        it. A box of which the frame shows less than half is no target.
    masks
        Whether the detector learns masks (see ``imaging.cell_mask``).

    Raises
    ------
    UserError
        If a box has no area inside its image; the message names the image.
    """
    size, rows = pixels.shape[1], np.asarray(rows, dtype=np.int64)
    files = images.iloc[rows]
    places = truth["image_id"].map(pd.Series(range(len(rows)), index=files["image_id"]))
    boxes = truth.assign(place=places).dropna(subset="place").sort_values("place", kind="stable")
    place = boxes["place"].to_numpy(int)
    whole = np.pad(files[["width", "height"]].to_numpy(float), ((0, 0), (2, 0)))
    _refuse_outside(boxes, whole[place])
    shown = (whole if crops is None else np.asarray(crops, float)[rows])[place]
    scale = size / np.tile(shown[:, 2:] - shown[:, :2], 2)
    sides = (boxes[SIDES].to_numpy(float) - np.tile(shown[:, :2], 2)) * scale
    inside = np.clip(sides, 0, size)
    if crops is not None:
        is_shown = box_areas(inside) >= LEAST_SHOWN * box_areas(sides)
        inside, place = inside[is_shown], place[is_shown]
    return _targets(pixels, rows, place, inside, masks=masks)


def add_scenes(
    targets: Targets, scenes: pd.DataFrame, rows: Sequence[int], *, pixels: np.ndarray
) -> Targets:
    """Put drawn scenes behind the images to learn from.

    Parameters
    ----------
    targets
        Of `make_targets`; where these have masks, scenes get them in the same way.
    scenes
        ``row`` and the sides in pixels of the frame, a row per box.
    rows
        Row numbers of the scenes, each with a box at least.
    pixels
        uint8 [N, S, S, 3], RGB; these rows of it are the scenes.
    """
    rows = np.asarray(rows, dtype=np.int64)
    places = scenes["row"].map(pd.Series(range(len(rows)), index=rows))
    boxes = scenes.assign(place=places).dropna(subset="place").sort_values("place", kind="stable")
    has_masks = targets.masks is not None
    sides, place = boxes[SIDES].to_numpy(), boxes["place"].to_numpy(int)
    drawn = _targets(pixels, rows, place, sides, masks=has_masks)
    return Targets(
        rows=torch.cat([targets.rows, drawn.rows]),
        counts=torch.cat([targets.counts, drawn.counts]),
        boxes=torch.cat([targets.boxes, drawn.boxes]),
        masks=torch.cat([targets.masks, drawn.masks]) if has_masks else None,
        boxes_without_violet=targets.boxes_without_violet + drawn.boxes_without_violet,
    )


def _targets(
    pixels: np.ndarray, rows: np.ndarray, place: np.ndarray, sides: np.ndarray, *, masks: bool
) -> Targets:
    """Make targets of boxes ``sides`` [K, 4], each on the row at its ``place`` among ``rows``."""
    size = pixels.shape[1]
    cells = np.zeros((len(sides) if masks else 0, size, size), np.uint8)
    without_violet = 0
    for cell, row, box in zip(cells, rows[place], sides, strict=False):  # no cells: no masks
        mask, found = cell_mask_in_box(pixels[row], box)
        np.minimum(mask, 1, out=cell)
        without_violet += not found
    return Targets(
        rows=torch.from_numpy(rows),
        counts=torch.from_numpy(np.bincount(place, minlength=len(rows))),
        boxes=torch.from_numpy(sides.astype(np.float32)),
        masks=torch.from_numpy(cells) if masks else None,
        boxes_without_violet=without_violet,
    )


def _refuse_outside(boxes: pd.DataFrame, whole: np.ndarray) -> None:
    """Refuse boxes without area inside their image; ``whole`` [K, 4] are the images' sides."""
    sides = boxes[SIDES].to_numpy(float)
    low, high = np.maximum(sides[:, :2], whole[:, :2]), np.minimum(sides[:, 2:], whole[:, 2:])
    empty = (high <= low).any(axis=1)
    if empty.any():
        names = ", ".join(boxes["image_id"][empty].unique()[:3])
        raise UserError(
            f"{int(empty.sum())} annotated boxes have no area inside their image, such as in "
            f"{names}; correct these annotations or leave the images out."
        )


@torch.inference_mode()
def detect(
    network: nn.Module,
    pixels: np.ndarray,
    rows: Sequence[int],
    *,
    device: torch.device,
    batch_size: int = 1,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Detect white cells in float32, whatever the precision of training, and time it.

    Parameters
    ----------
    network
        A trained detector.
    pixels
        Frames, uint8 [N, S, S, 3], RGB.
    rows
        Row numbers of the images, int [M].
    device
        Where to run.
    batch_size
        Images at a time; 1 measures the latency of a single image.

    Returns
    -------
    detections : pd.DataFrame
        ``row``, the sides in pixels of the frame (0 to S) and ``score`` (0 to 1); the highest
        score first in each image, no row for an image without a detection.
    milliseconds : np.ndarray
        float64 [M], time of the image's batch divided by its size, from uint8 pixels to boxes.
    """
    network = network.to(device).eval()
    rows = np.asarray(rows, dtype=np.int64)
    frames = as_tensor(pixels)
    tables = [pd.DataFrame(columns=["row", *SIDES, "score"], dtype=float).astype({"row": int})]
    batches = np.array_split(rows, range(batch_size, len(rows), batch_size)) if len(rows) else []
    milliseconds = []
    for number, batch in enumerate(batches):
        if number == 0:
            _detect_batch(network, frames, batch, device)  # the first call sets up kernels
        start = time.perf_counter()
        found = _detect_batch(network, frames, batch, device)
        elapsed = 1000 * (time.perf_counter() - start)
        milliseconds.append(np.full(len(batch), elapsed / len(batch)))
        for row, (boxes, scores) in zip(batch, found, strict=True):
            table = pd.DataFrame(boxes.numpy().astype(float), columns=SIDES)
            table.insert(0, "row", row)
            tables.append(table.assign(score=scores.numpy().astype(float)))
    detections = pd.concat(tables[1:] or tables, ignore_index=True)
    return detections, np.concatenate([*milliseconds, np.empty(0)])


def _detect_batch(
    network: nn.Module, frames: Tensor, rows: np.ndarray, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    batch = frames[torch.from_numpy(rows)].to(device)
    (images,) = take_views([batch], torch.arange(len(rows), device=device), channels_last=False)
    return [(found["boxes"].cpu(), found["scores"].cpu()) for found in network(images)]
