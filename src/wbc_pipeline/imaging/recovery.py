"""Which original photograph each of many turned, shifted, sheared, zoomed or mirrored copies shows.

Local features of a copy vote for the originals, as they are and mirrored, that their nearest
neighbours belong to. For the originals with most votes an affine map is fitted to the matched
features, the original is warped by it onto the copy, and the two are compared pixel by pixel. The
comparison, not the vote, is the score.

Originals may overlap: a microscopist who moves the slide a little photographs the same cell again.
Overlaps are found in the same way, and a copy is in doubt only between originals that do not.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from wbc_pipeline.imaging import registration
from wbc_pipeline.imaging.arrays import map_threads
from wbc_pipeline.imaging.duplicates import join_groups
from wbc_pipeline.imaging.reading import MAX_PIXELS, UnreadableImageError, read_image

_log = logging.getLogger(__name__)

SCORE = 0.8  # least score of a certain match
MARGIN = 0.2  # least lead of a certain match over originals of other fields of view
OVERLAP_CORRELATION = 0.8  # of two originals where they overlap: 0.89 and more, else 0.64 at most
OVERLAP_SHARE = 0.25  # of an original that another must cover

_WIDTH = 320  # pixels that images are scaled to for matching, unless they are smaller
_ORIGINAL_FEATURES = 150
_DIMENSIONS = 48  # of the 128 of SIFT, by principal components: less time, the same originals
_SIMILAR = 0.7  # cosine from which two features may show the same spot
_VOTE_FLOOR = 0.5  # cosines below this say nothing
_VOTE_SHARE = 0.1  # of the winner's votes: with fewer an original is no candidate
_OVERLAP_COLUMNS = ["first", "second", "correlation", "share", "transform"]
_OVERLAPS_TRIED = 12  # candidates of each original
_NEAR_BLACK = 40  # grey levels: JPEG blurs the black that turning leaves at the borders
_FRAME = 15  # pixels beside that black where features would describe its edge


class _Effort(NamedTuple):
    """How hard to look: features of the copy, and originals to fit it to."""

    features: int
    candidates: int


_EFFORTS = (_Effort(features=60, candidates=4), _Effort(features=240, candidates=24))


class _Query(NamedTuple):
    """An image whose original is looked for."""

    grey: np.ndarray  # uint8 [H, W], scaled
    inside: np.ndarray  # bool [H, W], without black borders
    points: np.ndarray  # float32 [F, 2], its features
    cosines: np.ndarray  # float32 [F, features of the index]


class _Fit(NamedTuple):
    """An original, or its mirror image, laid over another image."""

    image: int  # twice the original's number, plus one for its mirror image
    correlation: float  # where it covers the other, 0 to 1
    share: float  # of the other that it covers
    transform: np.ndarray  # [2, 3], between scaled images

    @property
    def original(self) -> int:
        return int(self.image // 2)

    @property
    def score(self) -> float:
        return self.correlation * self.share


class Match(NamedTuple):
    """The original that a copy shows.

    Attributes
    ----------
    original
        Its number; -1 if no map onto any could be fitted.
    mirrored
        Whether the copy shows its mirror image.
    score
        Correlation of the copy with the original warped onto it, times the share of the copy
        (without black borders) that the original covers; 0 to 1.
    margin
        By how much the score is above that of the best original of another field of view.
    transform
        float64 [2, 3]: maps ``(x, y, 1)`` in pixels of the original to pixels of the copy.
    """

    original: int
    mirrored: bool
    score: float
    margin: float
    transform: np.ndarray

    @property
    def certain(self) -> bool:
        """Whether score and margin leave no doubt."""
        return self.score >= SCORE and self.margin >= MARGIN


@dataclass(frozen=True)
class OriginalIndex:
    """The features of all originals and of their mirror images; see `index_originals`.

    Attributes
    ----------
    greys
        uint8 [H, W] of each original and, after it, of its mirror image, scaled for matching.
    scales
        Scaled size over the size of the file, of each.
    points
        float32 [F, 2], x and y of each feature in its scaled image.
    starts
        int64 [images + 1]: features ``starts[i]`` to ``starts[i + 1]`` are of image ``i``.
    mean, basis
        float32 [128] and [128, D]: the principal components of the features.
    descriptors
        float32 [D, F], of length 1 each.
    overlaps
        A row per pair of originals that show the same field of view in part: ``first``, ``second``,
        their ``correlation`` where they overlap, the ``share`` of the first that the second covers,
        and the ``transform`` from pixels of the second to pixels of the first, 6 numbers.
    fields
        int64 [originals]: originals of the same number overlap, directly or along a chain.
    """

    greys: list[np.ndarray]
    scales: list[float]
    points: np.ndarray
    starts: np.ndarray
    mean: np.ndarray
    basis: np.ndarray
    descriptors: np.ndarray
    overlaps: pd.DataFrame | None = None
    fields: np.ndarray | None = None


def index_originals(
    paths: Sequence[str], *, max_pixels: int = MAX_PIXELS, workers: int | None = None
) -> OriginalIndex:
    """Describe the originals once, so that copies can be matched against all of them.

    Parameters
    ----------
    paths
        Files of the originals; `Match.original` counts in their order. One that cannot be read is
        warned of, and its copies will have no certain match.
    max_pixels
        Larger files are refused before they are decoded.
    workers
        Threads; None for one per core.

    Raises
    ------
    ValueError
        If there are no originals, or none has any features.
    """

    def describe(path: str) -> list[tuple]:
        grey, scale = _scaled(_read_original(path, max_pixels))
        sides = (grey, np.ascontiguousarray(grey[:, ::-1]))
        return [(side, scale, *_features(side, _ORIGINAL_FEATURES)) for side in sides]

    described = map_threads(describe, paths, title="Describing originals", workers=workers)
    with threadpool_limits(1, "blas"):
        index = _index([side for sides in described for side in sides])
    find = partial(_overlaps, index)
    overlaps = _each_pair_once(
        map_threads(find, range(len(paths)), title="Overlaps of originals", workers=workers)
    )
    fields = join_groups(np.arange(len(paths)), overlaps[["first", "second"]].to_numpy())
    return replace(index, overlaps=overlaps, fields=fields)


def _read_original(path: str, max_pixels: int) -> np.ndarray:
    try:
        return read_image(path, max_pixels=max_pixels).pixels
    except UnreadableImageError as reason:
        _log.warning("%s: %s. Its copies stay without a source: mend the file.", path, reason)
        return np.zeros((_WIDTH, _WIDTH, 3), np.uint8)  # no features


def _index(described: list[tuple[np.ndarray, float, np.ndarray, np.ndarray]]) -> OriginalIndex:
    counts = [len(points) for _, _, points, _ in described]
    if not sum(counts):
        raise ValueError(
            f"No features in the {len(described) // 2} originals: nothing to match copies with."
        )
    descriptors = np.concatenate([side[3] for side in described])
    mean = descriptors.mean(axis=0)
    _, axes = np.linalg.eigh(np.cov(descriptors.T))
    basis = axes[:, : -_DIMENSIONS - 1 : -1].astype(np.float32)
    return OriginalIndex(
        greys=[side[0] for side in described],
        scales=[side[1] for side in described],
        points=np.concatenate([side[2] for side in described]),
        starts=np.concatenate([[0], np.cumsum(counts)]),
        mean=mean,
        basis=basis,
        descriptors=np.ascontiguousarray(_project(descriptors, mean, basis).T),
    )


def _overlaps(index: OriginalIndex, original: int) -> list[dict]:
    """Pair an original with those that show part of the same field of view."""
    image = 2 * original
    start, stop, stop_of_mirrored = index.starts[image : image + 3]
    grey = index.greys[image]
    cosines = index.descriptors[:, start:stop].T @ index.descriptors
    cosines[:, start:stop_of_mirrored] = -1  # itself and its mirror image
    query = _Query(grey, np.ones(grey.shape, bool), index.points[start:stop], cosines)
    return [
        {
            "first": original,
            "second": fit.original,
            "correlation": fit.correlation,
            "share": fit.share,
            "transform": _between_files(fit, index.scales[image], index).ravel().tolist(),
        }
        for fit in _fits(query, index, _OVERLAPS_TRIED)
        if fit.correlation >= OVERLAP_CORRELATION and fit.share >= OVERLAP_SHARE
    ]


def _each_pair_once(overlaps: Iterable[list[dict]]) -> pd.DataFrame:
    table = pd.DataFrame([pair for pairs in overlaps for pair in pairs], columns=_OVERLAP_COLUMNS)
    pair = [tuple(sorted(sides)) for sides in zip(table["first"], table["second"], strict=True)]
    once = table[~pd.Series(pair, dtype=object).duplicated()].reset_index(drop=True)
    return once.astype({"first": np.int64, "second": np.int64})


def match_copy(pixels: np.ndarray, index: OriginalIndex) -> Match:
    """Find the original that an image is a copy of.

    A quick look first; where that leaves a doubt, a thorough one with more features and more
    candidates.

    Parameters
    ----------
    pixels
        uint8 [H, W, 3], RGB. Black that touches the border is taken for what turning left there.
    index
        Of the originals.
    """
    grey, scale = _scaled(pixels)
    inside = _inside(cv2.resize(pixels, grey.shape[::-1], interpolation=cv2.INTER_AREA))
    for effort in _EFFORTS:
        match = _match(grey, inside, scale, index, effort)
        if match.certain:
            break
    return match


def recover_sources(
    paths: Sequence[str],
    index: OriginalIndex,
    *,
    max_pixels: int = MAX_PIXELS,
    workers: int | None = None,
    title: str = "Recovering sources",
    progress: bool = True,
) -> pd.DataFrame:
    """Match many copies in threads.

    Parameters
    ----------
    paths
        Files of the copies; all must be readable.
    index
        Of the originals.
    max_pixels
        Larger files are refused before they are decoded.
    workers
        Threads; None for one per core.
    title, progress
        Of the progress bar, which shows if standard error is a terminal.

    Returns
    -------
    A row per path: the fields of `Match`, the transform as a list of 6 numbers, and ``certain``.

    Raises
    ------
    UnreadableImageError
        If a file cannot be read.
    """

    def match(path: str) -> Match:
        return match_copy(read_image(path, max_pixels=max_pixels).pixels, index)

    matches = map_threads(match, paths, title=title, workers=workers, progress=progress)
    table = pd.DataFrame(matches, columns=Match._fields)
    table["transform"] = [match.transform.ravel().tolist() for match in matches]
    table["certain"] = [match.certain for match in matches]
    return table


def _match(
    grey: np.ndarray, inside: np.ndarray, scale: float, index: OriginalIndex, effort: _Effort
) -> Match:
    points, descriptors = _features(grey, effort.features, inside)
    cosines = _project(descriptors, index.mean, index.basis) @ index.descriptors
    fits = _fits(_Query(grey, inside, points, cosines), index, effort.candidates)
    if not fits:
        return Match(-1, False, 0.0, 0.0, np.full((2, 3), np.nan))
    best = fits[0]
    field = index.fields[best.original]
    others = [fit.score for fit in fits if index.fields[fit.original] != field]
    transform = _between_files(best, scale, index)
    return Match(
        original=best.original,
        mirrored=bool(np.linalg.det(transform[:, :2]) < 0),
        score=best.score,
        margin=best.score - max(others, default=0.0),
        transform=transform,
    )


def _fits(query: _Query, index: OriginalIndex, candidates: int) -> list[_Fit]:
    """Lay the likeliest originals over an image, and give the maps that could be, best first."""
    likeliest = _candidates(query.cosines, index.starts, candidates)
    fits = (_fit(image, query, index) for image in likeliest)
    return sorted((fit for fit in fits if fit), key=lambda fit: -fit.score)


def _candidates(cosines: np.ndarray, starts: np.ndarray, number: int) -> np.ndarray:
    """Choose the images with most votes; each feature votes for its nearest neighbour's image."""
    nearest = cosines.argmax(axis=1)
    cosine = np.take_along_axis(cosines, nearest[:, None], axis=1)[:, 0]
    voted = np.searchsorted(starts, nearest, side="right") - 1
    weights = np.maximum(cosine - _VOTE_FLOOR, 0)
    votes = np.bincount(voted, weights, minlength=len(starts) - 1)
    best = np.argsort(-votes, kind="stable")[:number]
    return best[votes[best] > _VOTE_SHARE * votes[best[0]]]


def _fit(image: int, query: _Query, index: OriginalIndex) -> _Fit | None:
    start, stop = index.starts[image : image + 2]
    transform = registration.fit_map(
        index.points[start:stop], query.points, query.cosines[:, start:stop], similar=_SIMILAR
    )
    if transform is None:
        return None
    correlation, share = registration.compare(
        index.greys[image], transform, query.grey, query.inside
    )
    return _Fit(image, max(correlation, 0.0), share, transform)


def _between_files(fit: _Fit, copy_scale: float, index: OriginalIndex) -> np.ndarray:
    """Turn a map onto a scaled image into one between pixels of the files."""
    scale, width = index.scales[fit.image], index.greys[fit.image].shape[1]
    to_scaled = np.diag([scale, scale, 1.0])
    if fit.image % 2:  # x runs from the other side
        to_scaled[0] = [-scale, 0, width - 1]
    return fit.transform @ to_scaled / copy_scale


def _features(
    grey: np.ndarray, number: int, inside: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Describe features that do not see the edge of what lies outside."""
    where = None
    if inside is not None:
        frame = np.ones((_FRAME, _FRAME), np.uint8)
        where = cv2.erode(inside.astype(np.uint8), frame, borderValue=1)
    return registration.describe(grey, number, where)


def _project(descriptors: np.ndarray, mean: np.ndarray, basis: np.ndarray) -> np.ndarray:
    projected = (descriptors - mean) @ basis
    return projected / np.maximum(np.linalg.norm(projected, axis=1, keepdims=True), 1e-6)


def _scaled(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """Give the grey image, not wider than for matching, and its size over that of the file."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, _WIDTH / grey.shape[1])
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return grey, scale


def _inside(pixels: np.ndarray) -> np.ndarray:
    """Mask the pixels outside black borders: bool [H, W]."""
    black = (pixels.max(axis=2) < _NEAR_BLACK).astype(np.uint8)
    black = cv2.morphologyEx(black, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    _, parts = cv2.connectedComponents(black)
    edges = np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])
    touching = np.unique(edges[edges > 0])
    return ~np.isin(parts, touching)
