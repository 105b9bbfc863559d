"""Overlap of a mask with a reference mask."""

import numpy as np


def dice(mask: np.ndarray, reference: np.ndarray) -> np.ndarray | float:
    """Dice coefficient, ``2 |A and B| / (|A| + |B|)``.

    Parameters
    ----------
    mask, reference
        bool (or anything whose non-zero values mean "inside"), ``[..., H, W]``; leading axes
        broadcast.

    Returns
    -------
    np.ndarray or float
        float64 in 0 to 1, ``[...]``; a scalar for two single masks. Two empty masks agree: 1.

    References
    ----------
    L. R. Dice, "Measures of the amount of ecologic association between species", Ecology 26, 1945.

    Examples
    --------
    >>> float(dice(np.array([[1, 1, 0]]), np.array([[0, 1, 1]])))
    0.5
    """
    both, either = _both_and_either(mask, reference)
    return _ratio(2 * both, both + either)


def iou(mask: np.ndarray, reference: np.ndarray) -> np.ndarray | float:
    """Intersection over union (Jaccard index), ``|A and B| / |A or B|``.

    Parameters
    ----------
    mask, reference
        bool (or anything whose non-zero values mean "inside"), ``[..., H, W]``; leading axes
        broadcast.

    Returns
    -------
    np.ndarray or float
        float64 in 0 to 1, ``[...]``; a scalar for two single masks. Two empty masks agree: 1.

    References
    ----------
    P. Jaccard, "The distribution of the flora in the alpine zone", New Phytologist 11, 1912.

    Examples
    --------
    >>> round(float(iou(np.array([[1, 1, 0]]), np.array([[0, 1, 1]]))), 3)
    0.333
    """
    return _ratio(*_both_and_either(mask, reference))


def _both_and_either(mask: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mask, reference = np.asarray(mask, bool), np.asarray(reference, bool)
    if mask.shape[-2:] != reference.shape[-2:]:
        raise ValueError(
            f"masks of different size: {mask.shape[-2:]} and {reference.shape[-2:]} (H, W); "
            "resize one of them first"
        )
    return (mask & reference).sum(axis=(-2, -1)), (mask | reference).sum(axis=(-2, -1))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray | float:
    return np.where(whole == 0, 1.0, part / np.maximum(whole, 1))[()]
