"""Intervals over sources, so that ten views of a cell do not count as ten."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtrit

NO_SPREAD = 1e-12  # sums in another order differ by this much
PRIOR_UNITS = 4  # how many units the variance pooled over strata counts for
EXTREME_UNITS = 10  # how many units that are all right or all wrong count for, in Wilson's interval
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


def normal_quantile(level: float) -> float:
    """Half-width, in standard errors, of a normal interval with this coverage.

    Raises
    ------
    ValueError
        If ``level`` does not lie strictly between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; it must lie between 0 and 1, such as 0.95")
    return float(ndtri((1 + level) / 2))


def wilson_interval(
    hits: np.ndarray, images: np.ndarray, level: float = 0.95
) -> tuple[float, float]:
    """Wilson's interval of a share of images, from an effective number of units.

    Images of one cell are alike, so that the share p rests on n units, not on all images:
    ``n = p (1 - p) / v``, where v is the variance of p that follows from the spread between units.
    A few units show too little of that spread, hence it is shrunk towards ``p (1 - p)``, that of
    units which are all right or all wrong, as if ten more such units had been seen; and n is
    never fewer than the units themselves.

    Parameters
    ----------
    hits, images
        Images that count and all images of each unit, [U]; weights are allowed.
    level
        Coverage, strictly between 0 and 1.

    Returns
    -------
    tuple of float
        Both ends, 0 to 1; 0 and 1 if there is only one unit.

    References
    ----------
    Wilson, *Probable inference, the law of succession, and statistical inference*, Journal of the
    American Statistical Association 22, 1927.
    """
    z, count, total = normal_quantile(level), len(images), images.sum()
    if count < 2:
        return 0.0, 1.0
    share = float(np.clip(hits.sum() / total, 0, 1))
    units = total**2 / (images**2).sum()  # Kish: fewer where they differ in size
    widest = share * (1 - share)
    if widest > NO_SPREAD:
        between = units * count * ((hits - share * images) ** 2).sum() / total**2  # × (count - 1)
        shrunk = (EXTREME_UNITS * widest + between) / (EXTREME_UNITS + count - 1)
        units *= max(1.0, widest / shrunk)
    middle = share + z**2 / (2 * units)
    half = z * np.sqrt(widest / units + (z / (2 * units)) ** 2)
    low, high = ((middle + sign * half) / (1 + z**2 / units) for sign in (-1, 1))
    return max(0.0, float(low)), min(1.0, float(high))


def bootstrap_interval(
    totals: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    *,
    strata: np.ndarray | None = None,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """BCa intervals of scores that are functions of sums, widened for few units.

    The ends of the bias-corrected and accelerated bootstrap are moved away from its median, by
    two factors: Student's t over the normal quantile, with Satterthwaite's degrees of freedom; and
    the standard error of the jackknife, over that of resampling, which is too small by k / (k - 1)
    in a stratum of k units. In it the variance within each stratum is shrunk towards the one that
    is pooled over strata, as if four more units had shown the latter, because a few units may by
    chance be all alike.

    Parameters
    ----------
    totals
        Sums per unit, [U, ...].
    score
        Scores [..., m] from sums [..., ...]; one that is undefined is NaN.
    images
        Of each unit, [U], or another measure of its share in the score.
    strata, resamples, seed
        See `bootstrap_totals`.
    level
        Coverage, strictly between 0 and 1.

    Returns
    -------
    low, high : array of float, shape [m]
        NaN where a single unit, or resamples that are all alike, say nothing of the spread.

    References
    ----------
    Efron, *Better bootstrap confidence intervals*, Journal of the American Statistical Association
    82, 1987. Hesterberg, *What teachers should know about the bootstrap*, The American Statistician
    69, 2015 (why few units make it too narrow).
    """
    z = normal_quantile(level)
    strata = np.zeros(len(totals), int) if strata is None else np.asarray(strata)
    estimate = np.asarray(score(totals.sum(axis=0)))
    if len(totals) < 2:
        return np.full(estimate.shape, np.nan), np.full(estimate.shape, np.nan)
    if len(np.unique(strata)) == len(totals):
        strata = np.zeros(len(totals), int)  # one unit each says nothing of the spread within
    samples = score(bootstrap_totals(totals, strata=strata, resamples=resamples, seed=seed))
    samples = np.where(np.isfinite(estimate), samples, 0)  # what is undefined has no interval
    influence, factor = _jackknife(totals, score, images, strata, level)
    with np.errstate(invalid="ignore", divide="ignore"):
        skew = (influence**3).sum(axis=0) / (6 * (influence**2).sum(axis=0) ** 1.5)
        below = (samples < estimate).mean(axis=0) + (samples == estimate).mean(axis=0) / 2
        bias = ndtri(np.clip(below, 1 / resamples, 1 - 1 / resamples))
        shares = [
            ndtr(bias + (bias + end) / (1 - skew * (bias + end))) for end in (-z, 0, z)
        ]  # [3][m]
        low, median, high = (
            np.array([np.nanquantile(*pair) for pair in zip(samples.T, share, strict=True)])
            for share in np.nan_to_num(shares, nan=0.5)
        )
        low, high = (median + (end - median) * factor for end in (low, high))
    is_spread = np.nanmax(samples, axis=0) - np.nanmin(samples, axis=0) > NO_SPREAD
    return np.where(is_spread, low, np.nan), np.where(is_spread, high, np.nan)


def _jackknife(
    totals: np.ndarray, score: Callable, images: np.ndarray, strata: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Influence of each unit on the scores, [U, m], and by how much to widen the interval, [m]."""
    estimate, everything = np.asarray(score(totals.sum(axis=0))), totals.sum(axis=0)
    influence = np.zeros((len(totals), *estimate.shape))
    names, sizes = np.unique(strata, return_counts=True)
    shares, squares = np.zeros(len(names)), np.zeros((len(names), *estimate.shape))
    for i, (name, size) in enumerate(zip(names, sizes, strict=True)):
        rows = strata == name
        shares[i] = images[rows].sum() / images.sum()
        if size < 2:
            continue
        own, stratum = totals[rows], totals[rows].sum(axis=0)
        without = score(everything - stratum + (stratum - own) * size / (size - 1))
        change = np.nan_to_num((size - 1) * (estimate - without))  # NaN: the score needs this unit
        change -= change.mean(axis=0)
        influence[rows] = change / size
        squares[i] = (change**2).sum(axis=0) / shares[i] ** 2
    freedom, weight = (sizes - 1)[:, None], (shares**2 / sizes)[:, None]
    pooled = squares.sum(axis=0) / freedom.sum()
    variance = weight * (PRIOR_UNITS * pooled + squares) / (PRIOR_UNITS + freedom)  # [strata, m]
    drawn = (weight * squares / sizes[:, None]).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        degrees = variance.sum(axis=0) ** 2 / (variance**2 / np.maximum(freedom, 1)).sum(axis=0)
        student = stdtrit(degrees, (1 + level) / 2) / normal_quantile(level)
        return influence, student * np.sqrt(variance.sum(axis=0) / drawn)


def widen_for_runs(
    low: np.ndarray, high: np.ndarray, values: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """Add the variance of the mean over runs to intervals [m] of it; ``values`` is [runs, m]."""
    if len(values) < 2:
        return low, high
    half = (high - low) / 2
    of_runs = normal_quantile(level) * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    wider = np.hypot(half, of_runs) - half
    return low - wider, high + wider


def mean_of_sums(sums: np.ndarray) -> np.ndarray:
    """Means [..., m] from sums of m values and, last, of images, [..., m + 1]."""
    return sums[..., :-1] / sums[..., -1:]


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
    low, high = bootstrap_interval(
        totals, mean_of_sums, totals[:, -1], resamples=resamples, level=level
    )
    return float(low[0]), float(high[0])
