"""How well classical methods find what an expert outlined: Dice and IoU of masks."""

from collections.abc import Sequence

import cv2
import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.tuning import UNTUNED, Candidate, mean_interval, own_parameters
from wbc_pipeline.imaging.arrays import map_threads
from wbc_pipeline.imaging.chain import build_chain

#: What can be outlined, and the lowest grey level of a packed mask that belongs to it.
TARGETS = {"nucleus": 255, "cell": 128}
POOR = 0.5  # below this Dice a mask is of no use

_KEYS = ["target", "method", "tuned_on", "tested_on"]


def targets_in(masks: np.ndarray) -> list[str]:
    """List the targets that the masks of a set tell apart.

    Examples
    --------
    >>> targets_in(np.uint8([[[0, 128, 255]]])), targets_in(np.uint8([[[0, 255]]]))
    (['nucleus', 'cell'], ['nucleus'])
    """
    return [target for target, level in TARGETS.items() if (masks == level).any()]


def dice_score(found: np.ndarray, true: np.ndarray) -> float:
    """Twice the pixels that two masks share, as a share of the pixels of both.

    Parameters
    ----------
    found, true
        uint8 ``[H, W]``, 255 on the object and 0 elsewhere.

    Returns
    -------
    float
        0 to 1; 1 where both are empty.

    Examples
    --------
    >>> dice_score(np.uint8([[255, 255, 0]]), np.uint8([[0, 255, 255]]))
    0.5
    """
    both = cv2.countNonZero(found) + cv2.countNonZero(true)
    return 2 * cv2.countNonZero(cv2.bitwise_and(found, true)) / both if both else 1.0


def target_mask(mask: np.ndarray, target: str) -> np.ndarray:
    """Give 255 on a target and 0 elsewhere, uint8, from a packed mask of several levels."""
    return cv2.inRange(mask, TARGETS[target], 255)


def score_candidates(
    pixels: np.ndarray,
    masks: np.ndarray,
    rows: Sequence[int],
    candidates: Sequence[Candidate],
    *,
    title: str,
) -> pd.DataFrame:
    """Score the mask that each candidate finds in each image against each target.

    Parameters
    ----------
    pixels
        RGB, uint8 ``[N, S, S, 3]``.
    masks
        uint8 ``[N, S, S]``: 255 nucleus, 128 cytoplasm, 0 background.
    rows
        Which of them have a mask.
    candidates
        Of chains that end with a mask as large as the image.
    title
        Beside the progress bar.

    Returns
    -------
    pd.DataFrame
        ``row``, ``candidate`` (its place), ``target``, ``dice`` (float32, 0 to 1); targets are
        those of `targets_in`.
    """
    chains = [build_chain(candidate.steps) for candidate in candidates]
    targets = targets_in(masks)

    def score(row: int) -> list[list[float]]:
        image = np.ascontiguousarray(pixels[row])
        true = [target_mask(np.ascontiguousarray(masks[row]), target) for target in targets]
        found = [chain.run(image).mask for chain in chains]
        return [[dice_score(mask, outline) for outline in true] for mask in found]

    scores = np.array(map_threads(score, rows, title=title), np.float32)
    places = pd.MultiIndex.from_product(
        [rows, range(len(chains)), targets], names=["row", "candidate", "target"]
    )
    return pd.DataFrame({"dice": scores.ravel()}, places).reset_index()


def summarise_masks(tests: pd.DataFrame, *, resamples: int, level: float) -> pd.DataFrame:
    """Describe the scores of each target, method and pair of domains.

    Parameters
    ----------
    tests
        Of `wbc_pipeline.evaluation.tuning.tune_and_test`, with ``dice``.
    resamples, level
        Of the bootstrap over source groups.

    Returns
    -------
    pd.DataFrame
        The keys, ``candidate``, ``images``, ``dice`` (mean, with ``dice_low`` and ``dice_high``),
        ``median``, ``sd``, ``iou`` (mean) and ``poor``: the share of images with a Dice below 0.5.
    """
    if tests.empty:
        return pd.DataFrame(columns=[*_KEYS, "candidate", "images", "dice", "dice_low"])
    rows = []
    for keys, group in tests.groupby(_KEYS, sort=False):
        dice = group["dice"].astype(float)
        groups = group["source_group"].fillna(group["image_id"])
        low, high = mean_interval(dice, groups, resamples=resamples, level=level)
        row = {
            **dict(zip(_KEYS, keys, strict=True)),
            "candidate": group["candidate"].iloc[0],
            "images": len(group),
            "dice": dice.mean(),
            "dice_low": low,
            "dice_high": high,
            "median": dice.median(),
            "sd": dice.std(),
            "iou": (dice / (2 - dice)).mean(),
            "poor": (dice < POOR).mean(),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def compare_tuning(tests: pd.DataFrame) -> pd.DataFrame:
    """Put side by side what tuning gains on the same stain, and what is left on another.

    Parameters
    ----------
    tests
        As for `summarise_masks`.

    Returns
    -------
    pd.DataFrame
        ``target``, ``tested_on``, ``method``, and mean Dice: ``untuned``, ``within`` (tuned on the
        other half of the same domain), ``cross_stain`` (tuned on other domains, their mean) and
        ``cross_stain_difference`` (to ``within``); the best within first.
    """
    keys = ["target", "tested_on", "method"]
    own = own_parameters(tests).groupby(keys)["dice"].mean()
    untuned = tests[tests["tuned_on"] == UNTUNED].groupby(keys)["dice"].mean()
    across = ~tests["tuned_on"].isin([UNTUNED]) & (tests["tuned_on"] != tests["tested_on"])
    pairs = tests[across].groupby([*keys, "tuned_on"])["dice"].mean()
    cross = pairs.groupby(keys).mean()
    table = pd.DataFrame({"untuned": untuned, "within": own, "cross_stain": cross})
    table["cross_stain_difference"] = table["cross_stain"] - table["within"]
    table = table.reset_index().sort_values(
        ["target", "tested_on", "within"], ascending=[False, True, False], ignore_index=True
    )
    return table
