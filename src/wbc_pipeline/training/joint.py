"""What joint networks learn from masks: regions, losses over known pixels, overlaps."""

from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from wbc_pipeline.imaging.masks import BACKGROUND, CELL, NUCLEUS, UNKNOWN
from wbc_pipeline.models.joint import REGIONS, JointOutput

SMOOTHING = 1.0  # pixels, of the soft Dice: an empty region has one too
SMALLEST_AREA = 1e-6  # share of a pixel
RIM = 5  # pixels, width of the band along the rim of a region


class Regions(NamedTuple):
    """The regions of B masks, each a channel in the order of ``REGIONS``, float [B, 2, H, W].

    Attributes
    ----------
    inside
        1 in the region, else 0; 0 where it is not known.
    known
        1 where it is known whether a pixel is in the region, else 0.
    """

    inside: Tensor
    known: Tensor


def regions_of(masks: Tensor) -> Regions:
    """Split masks into nested regions: the cell, and the nucleus in it.

    Parameters
    ----------
    masks
        uint8 [B, H, W], see ``design``: images. A mask that has a cell whose parts are not known
        says nothing of the nucleus.
    """
    seen = masks != UNKNOWN
    is_divided = ~(masks == CELL).flatten(1).any(dim=1)
    inside = torch.stack([seen & (masks != BACKGROUND), masks == NUCLEUS], dim=1)
    known = torch.stack([seen, seen & is_divided[:, None, None]], dim=1)
    return Regions((inside & known).float(), known.float())


def bce_loss(logits: Tensor, regions: Regions, *, rim: float = 0.0) -> Tensor:
    """Average the binary cross-entropy of ``logits`` [B, 2, H, W] over known pixels; 0 of none.

    Parameters
    ----------
    logits, regions
        Found, and true.
    rim
        Added to the weight 1 of a pixel in the band of 5 pixels along a region's rim.
    """
    losses = functional.binary_cross_entropy_with_logits(logits, regions.inside, reduction="none")
    if rim:
        losses = losses * (1 + rim * _rims(regions))
    return _mean(losses, regions.known)


def dice_loss(logits: Tensor, regions: Regions) -> Tensor:
    """Average one minus the soft Dice over images and regions with a known pixel; 0 of none.

    References
    ----------
    F. Milletari, N. Navab and S.-A. Ahmadi, "V-Net: fully convolutional neural networks for
    volumetric medical image segmentation", 3DV, 2016.
    """
    found = logits.sigmoid() * regions.known
    both = (found * regions.inside).sum(dim=(2, 3))  # [B, 2]
    sizes = (found + regions.inside).sum(dim=(2, 3))
    dice = (2 * both + SMOOTHING) / (sizes + SMOOTHING)
    return _mean(1 - dice, _is_known(regions))


def alignment_loss(saliency: Tensor, regions: Regions, prior: Tensor | None) -> Tensor:
    """Average ``|S - A|`` over the map.

    The paper leaves open what its prior A is. Here it is the mask where one is known, 1 in the cell
    and 0 elsewhere, and `prior` where none is; both shrunk to the map by area averages. Where
    neither is known, a pixel does not count.

    Parameters
    ----------
    saliency
        S, float [B, 1, h, w] in 0…1.
    regions
        Of the masks.
    prior
        Float [B, H, W] in 0…1; None if there is none.
    """
    inside, known = regions.inside[:, :1], regions.known[:, :1]
    if prior is not None:
        inside, known = torch.where(known > 0, inside, prior[:, None]), torch.ones_like(known)
    inside, known = _shrunk(inside, saliency), _shrunk(known, saliency)
    return _mean((saliency - inside / known.clamp(min=SMALLEST_AREA)).abs(), known)


def overlaps(logits: Tensor, regions: Regions) -> tuple[Tensor, Tensor]:
    """Count the known pixels of intersection and union, int64 [B, 2] each."""
    found, inside = (logits > 0) & (regions.known > 0), regions.inside > 0
    return (found & inside).sum(dim=(2, 3)), (found | inside).sum(dim=(2, 3))


def known_ious(logits: Tensor, regions: Regions) -> Tensor:
    """List the IoU of each region of each image with a known pixel, [K]; 1 if both are empty."""
    both, either = overlaps(logits, regions)
    ratios = torch.where(either > 0, both / either.clamp(min=1), 1.0)
    return ratios[_is_known(regions) > 0]


def saliency_inside(saliency: Tensor, regions: Regions) -> Tensor:
    """Give the share of a map's mass [B, 1, h, w] inside the cell, [B].

    NaN where the map has no mass, or the mask no cell.
    """
    inside, known = (_shrunk(each[:, :1], saliency) for each in regions)
    shares = (saliency * inside).sum(dim=(1, 2, 3)) / (saliency * known).sum(dim=(1, 2, 3))
    return torch.where(inside.amax(dim=(1, 2, 3)) > 0, shares, torch.nan)


def measure(output: JointOutput, regions: Regions) -> pd.DataFrame:
    """Measure what a network found in B images against their masks.

    Returns
    -------
    DataFrame
        A row per image, missing where the mask is not known. If the network predicts masks,
        ``intersection_<region>`` and ``union_<region>`` in pixels for each region, and
        ``mask_pixels``, how many are known; if it has a saliency map, ``saliency_inside``.
    """
    columns, is_known = {}, _is_known(regions) > 0
    if output.masks is not None:
        both, either = overlaps(output.masks, regions)
        for place, region in enumerate(REGIONS):
            missing = ~is_known[:, place]
            columns[f"intersection_{region}"] = _as_integers(both[:, place], missing)
            columns[f"union_{region}"] = _as_integers(either[:, place], missing)
        pixels = (regions.known[:, 0] > 0).sum(dim=(1, 2))
        columns["mask_pixels"] = _as_integers(pixels, ~is_known[:, 0])
    if output.saliency is not None:
        columns["saliency_inside"] = saliency_inside(output.saliency.float(), regions).cpu().numpy()
    return pd.DataFrame(columns)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1)


def _is_known(regions: Regions) -> Tensor:  # [B, 2]
    return regions.known.amax(dim=(2, 3))


def _rims(regions: Regions) -> Tensor:
    """Give 1 in the band along each region's rim, else 0; [B, 2, H, W].

    Where a region borders on what is not known it has no rim.
    """
    outside = regions.known - regions.inside
    near_inside, near_outside = (
        functional.max_pool2d(each, RIM, stride=1, padding=RIM // 2)
        for each in (regions.inside, outside)
    )
    return near_inside * near_outside


def _shrunk(maps: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(maps, like.shape[2:], mode="area")


def _as_integers(counts: Tensor, missing: Tensor) -> pd.arrays.IntegerArray:
    return pd.arrays.IntegerArray(counts.cpu().numpy(), missing.cpu().numpy())
