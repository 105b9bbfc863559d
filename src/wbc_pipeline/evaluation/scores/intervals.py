"""Bootstrap intervals that resample sources, so that ten views of a cell do not count as ten."""

import numpy as np
import pandas as pd

NO_SPREAD = 1e-12  # sums in another order differ by this much
CHUNK = 2_000_000  # weights drawn of one stratum before the next: decides who gets which draws
BLOCK = 60_000  # weights drawn at a time: they fit a processor's cache, twice as fast as more


def resampling_units(predictions: pd.DataFrame) -> tuple[np.ndarray, str]:
    """Assign each row its unit of the bootstrap: its source, or its image where that is unknown.

    Parameters
    ----------
    predictions
        With ``image_id`` and ``source_id``; a null ``source_id`` makes its image a unit of its own.

    Returns
    -------
    units : array of int, shape [N]
        Codes ``0 … U-1``, one per row; rows of one unit share a code.
    kind : str
        ``"source"``, or ``"image"`` as soon as one source is unknown.
    """
    units, sources = pd.factorize(predictions["source_id"])
    unknown = units < 0
    if unknown.any():
        units[unknown] = len(sources) + pd.factorize(predictions["image_id"][unknown])[0]
    return units, "image" if unknown.any() else "source"


def sum_by_unit(values: np.ndarray, units: np.ndarray, count: int | None = None) -> np.ndarray:
    """Add up the rows of ``values`` [N, k] that belong to each unit, giving [U, k].

    ``count`` (U) is the number of units, where it is more than occur in ``units``.
    """
    count = int(units.max()) + 1 if count is None else count
    totals = np.zeros((count, *values.shape[1:]))
    np.add.at(totals, units, values)
    return totals


def unit_labels(labels: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Label of each unit's first row, [U]: the strata of the bootstrap."""
    _, first = np.unique(units, return_index=True)
    return np.asarray(labels)[first]


def resample_weights(units: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Count how often each unit is drawn in each resample, [resamples, units]."""
    drawn = rng.integers(units, size=(resamples, units))
    drawn += np.arange(resamples)[:, None] * units
    weights = np.bincount(drawn.ravel(), minlength=resamples * units)
    return weights.reshape(resamples, units).astype(float)


def bootstrap_totals(
    totals: np.ndarray,
    *,
    strata: np.ndarray | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """Resample units with replacement within each stratum, and add up their totals.

    Any statistic that is a function of sums (accuracy, F1, mean loss, ECE) follows from the result
    without going back to the images.

    Parameters
    ----------
    totals
        Sums per unit, shape [U, ...].
    strata
        Of each unit, shape [U], such as its class: every class that is tested is then in each
        resample. None for one stratum.
    resamples, seed
        How many resamples R to draw; the same seed and U give the same draws, so that statistics
        bootstrapped separately are still paired.

    Returns
    -------
    array of float, shape [R, ...]

    References
    ----------
    Efron and Tibshirani, *An Introduction to the Bootstrap*, 1993.
    """
    units, rng = len(totals), np.random.default_rng(seed)
    flat = totals.reshape(units, -1)
    step = max(1, CHUNK // units)
    strata = np.zeros(units, int) if strata is None else np.asarray(strata)
    members = [np.flatnonzero(strata == stratum) for stratum in np.unique(strata)]
    chunks = [
        sum(_draw_totals(flat[rows], min(step, resamples - start), rng) for rows in members)
        for start in range(0, resamples, step)
    ]
    return np.concatenate(chunks).reshape(resamples, *totals.shape[1:])


def _draw_totals(totals: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Totals [R, k] of resamples of units with totals [U, k]."""
    step = max(1, BLOCK // len(totals))
    blocks = [
        resample_weights(len(totals), min(step, resamples - start), rng) @ totals
        for start in range(0, resamples, step)
    ]
    return np.concatenate(blocks)


def percentile_interval(
    samples: np.ndarray, units: int, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Cut (1 - level) / 2 from both ends of bootstrap samples [R, ...].

    A single unit says nothing about the spread between units, nor do identical resamples (every
    class all right or all wrong): both ends are then NaN rather than an interval of zero width.
    Resamples in which the statistic is undefined (NaN) are left out.

    Raises
    ------
    ValueError
        If ``level`` does not lie strictly between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1, such as 0.95")
    if units < 2:
        return np.full(samples.shape[1:], np.nan), np.full(samples.shape[1:], np.nan)
    low, high = np.nanquantile(samples, [(1 - level) / 2, (1 + level) / 2], axis=0)
    is_spread = np.nanmax(samples, axis=0) - np.nanmin(samples, axis=0) > NO_SPREAD
    return np.where(is_spread, low, np.nan), np.where(is_spread, high, np.nan)


def mean_interval(
    values: pd.Series, groups: pd.Series, *, resamples: int, level: float
) -> tuple[float, float]:
    """Bootstrap the mean over images, drawing whole groups such as sources.

    Parameters
    ----------
    values
        Of each image, [N].
    groups
        What each image belongs to, [N].
    resamples, level
        Of the bootstrap.

    Returns
    -------
    tuple of float
        Both ends; NaN if there is only one group or no spread.
    """
    units, _ = pd.factorize(groups)
    totals = sum_by_unit(np.column_stack([values, np.ones(len(values))]), units)
    drawn = bootstrap_totals(totals, resamples=resamples)
    low, high = percentile_interval(drawn[:, 0] / drawn[:, 1], len(totals), level)
    return float(low), float(high)
