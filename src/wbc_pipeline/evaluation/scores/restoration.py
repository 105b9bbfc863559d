"""How well filters restore degraded images: PSNR, SSIM, and Dice of the nucleus' mask."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from wbc_pipeline.evaluation.localization.mask_quality import dice_score
from wbc_pipeline.imaging.arrays import map_threads
from wbc_pipeline.imaging.chain import Chain
from wbc_pipeline.imaging.degrade import DEGRADATIONS, degrade

CLEAN = "clean"  # the kind of degradation of an image that has none
NONE = "none"  # the method that leaves images as they are
MOST_PSNR = 60.0  # dB; equal images would have infinite PSNR, and beyond 60 dB is rounding


def sample_evenly(domains: pd.Series, count: int) -> list[int]:
    """Pick rows evenly spaced within each domain, up to an equal number of each.

    Parameters
    ----------
    domains
        Of each image, in order.
    count
        At most how many rows in all, but at least one of each domain.

    Examples
    --------
    >>> sample_evenly(pd.Series(["a"] * 10 + ["b"] * 3), 4)
    [0, 9, 10, 12]
    """
    rows = pd.Series(range(len(domains)))
    groups = [group.to_numpy() for _, group in rows.groupby(domains.to_numpy(), dropna=False)]
    each = max(1, count // len(groups))
    picked = [
        group[np.linspace(0, len(group) - 1, min(each, len(group))).astype(int)] for group in groups
    ]
    return sorted(int(row) for row in np.concatenate(picked))


def degrade_images(images: np.ndarray, kind: str, severity: int, rows: Sequence[int]) -> np.ndarray:
    """Degrade a batch, RGB uint8 ``[N, H, W, 3]``; `CLEAN` returns it unchanged."""
    if kind == CLEAN:
        return images
    batch = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    degraded = degrade(batch, kind, severity=severity, seed=0, rows=rows)
    return degraded.permute(0, 2, 3, 1).contiguous().numpy()


def score_restoration(
    method: Chain,
    images: np.ndarray,
    rows: Sequence[int],
    nucleus: Chain,
    truth: np.ndarray | None,
    *,
    severities: Sequence[int],
    title: str,
) -> pd.DataFrame:
    """Score how well a method restores images under every degradation and severity.

    Parameters
    ----------
    method
        RGB uint8 to RGB uint8 of the same shape.
    images
        Clean ones, RGB, uint8 ``[N, H, W, 3]``.
    rows
        Their row numbers in the data set, which seed the random degradations.
    nucleus
        Ends with a mask.
    truth
        Masks of the nucleus, uint8 ``[N, H, W]``, 255 and 0; None to take those that `nucleus`
        finds in the clean images.
    severities
        1 to 5.
    title
        Beside the progress bar.

    Returns
    -------
    pd.DataFrame
        ``row``, ``kind`` (a degradation; first `CLEAN`, with severity 0), ``severity``, ``psnr``
        (dB) and ``ssim`` to the clean image, and ``dice`` of the mask that `nucleus` finds.
    """
    if truth is None:
        truth = np.stack([nucleus.run(image).mask for image in images])
    conditions = [(CLEAN, 0), *((kind, level) for kind in DEGRADATIONS for level in severities)]

    def score(place: int, kind: str, severity: int, degraded: np.ndarray) -> dict:
        restored, clean = method(degraded), images[place]
        with np.errstate(divide="ignore"):  # equal images: infinite
            psnr = peak_signal_noise_ratio(clean, restored, data_range=255)
        return {
            "row": rows[place],
            "kind": kind,
            "severity": severity,
            "psnr": min(float(psnr), MOST_PSNR),
            "ssim": float(structural_similarity(restored, clean, channel_axis=-1)),
            "dice": dice_score(nucleus.run(restored).mask, truth[place]),
        }

    def score_condition(condition: tuple[str, int]) -> list[dict]:
        batch = degrade_images(images, *condition, rows)
        return [score(place, *condition, image) for place, image in enumerate(batch)]

    scores = map_threads(score_condition, conditions, title=title)
    return pd.DataFrame([row for condition in scores for row in condition])


def summarise_restoration(scores: pd.DataFrame) -> pd.DataFrame:
    """Average over images, and compare with doing nothing.

    Parameters
    ----------
    scores
        Of `score_restoration`, with ``method``.

    Returns
    -------
    pd.DataFrame
        ``method``, ``kind``, ``severity``, ``images``, ``psnr``, ``ssim``, ``dice``, and
        ``psnr_difference`` and ``dice_difference`` to the method `NONE` on the same images, missing
        if that is not among them.
    """
    keys = ["kind", "severity"]
    means = scores.groupby(["method", *keys], sort=False).agg(
        images=("row", "size"), psnr=("psnr", "mean"), ssim=("ssim", "mean"), dice=("dice", "mean")
    )
    means = means.reset_index()
    untouched = means[means["method"] == NONE].set_index(keys)
    places = pd.MultiIndex.from_frame(means[keys])
    for name in ("psnr", "dice"):
        baseline = untouched[name].reindex(places).to_numpy()
        means[f"{name}_difference"] = means[name] - baseline
    return means


def find_best_methods(summary: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Name the method with the best mean over severities for each degradation.

    Parameters
    ----------
    summary
        Of `summarise_restoration`.
    labels
        Label of each score: a row for each of them.

    Returns
    -------
    pd.DataFrame
        ``kind``, ``score``, ``none``, ``best`` (its value), ``method`` and ``difference``.
    """
    means = summary.groupby(["kind", "method"], sort=False)[list(labels)].mean()
    rows = []
    for kind, group in means.groupby("kind", sort=False):
        by_method = group.droplevel("kind")
        for score, label in labels.items():
            best, none = by_method[score].idxmax(), by_method[score].get(NONE, np.nan)
            value = by_method[score][best]
            rows.append(
                {
                    "kind": kind,
                    "score": label,
                    "none": none,
                    "best": value,
                    "method": best,
                    "difference": value - none,
                }
            )
    return pd.DataFrame(rows)
