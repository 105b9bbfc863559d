"""Images that show the same spot of a slide: neighbours cut from one photograph, or it taken twice.

Data sets of single cells are cut from photographs of many. Where cells are neighbours their crops
overlap, and each shows the other's cell too; and a microscopist who moves the slide a little, or
changes the camera's settings, photographs the same cell again. ``duplicates`` does not find these,
as it compares images as they lie.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
import pandas as pd

from wbc_pipeline.imaging import registration
from wbc_pipeline.imaging.arrays import forget_pages, map_threads
from wbc_pipeline.imaging.duplicates import fine_detail

SIMILARITY = 0.6
SHARE = 0.15  # of an image that another must cover

_FEATURES = 60  # of each image
_TABLES = 12  # hash tables
_SPARE_BITS = 4  # of a hash beyond those that number all features: few collide by chance
_CROWD = 8  # features of equal hash: more are of something common, such as a round red cell
_VOTES = 3  # hashed features that two images must have in common
_SIMILAR = 0.85  # cosine from which two features may show the same spot
_SAMPLE = 200  # images that the mean feature is taken from
_REMEMBERED = 2048  # images whose features are kept for the comparison of candidates
_REMEMBERED_DETAILS = 512  # and whose details, which take more: 64 kB of 128 pixels


def find_overlaps(
    images: np.ndarray,
    *,
    similarity: float = SIMILARITY,
    rows: Sequence[int] | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Find the pairs of images that show the same spot of a slide, shifted, turned or zoomed.

    Local features are hashed by random hyperplanes [1]_: images that share several hashes are
    candidates, so that time grows with the number of images and not with its square. An affine map
    is fitted to the features of each candidate pair; where one image then covers the other their
    fine detail is compared, as that of duplicates is.

    The defaults were chosen by looking at pairs of five public sets at 128 x 128. Of neighbours cut
    from one photograph (PBC, ALL-IDB2), of one cell photographed twice (LISC, also under two white
    balances in PBC) and of one cell at two zooms (segmentation_WBC) the detail correlates by 0.79
    or more, except for two pairs of ALL-IDB2 at very different zooms (0.64, and 0.49: not found);
    that of different cells by 0.53 at most. Mirror images are not found here.

    Parameters
    ----------
    images
        uint8 ``[N, S, S, 3]``, RGB; may be memory-mapped.
    similarity
        Least correlation of the detail.
    rows
        Which of the images to look at, in ascending order; None for all.
    workers
        Threads; None for one per core.
    progress
        Show a progress bar, if standard error is a terminal.

    Returns
    -------
    A row per pair: ``first`` and ``second`` (rows of the array, the lower first), their
    ``similarity`` and the ``share`` of one that the other covers, 0 to 1. Memory is bounded
    by the hashes, 3 kB an image, and the candidates.

    References
    ----------
    .. [1] Charikar, Similarity estimation techniques from rounding algorithms, STOC 2002.
    """
    places = np.arange(len(images)) if rows is None else np.asarray(rows, int)

    @lru_cache(_REMEMBERED)
    def describe(number: int) -> tuple[np.ndarray, np.ndarray]:
        grey = cv2.cvtColor(images[places[number]], cv2.COLOR_RGB2GRAY)
        return registration.describe(grey, _FEATURES)

    sample = range(0, len(places), max(1, len(places) // _SAMPLE))
    descriptors = [found for row in sample if len(found := describe(row)[1])]
    planes = _Hyperplanes(np.concatenate(descriptors), len(places)) if descriptors else None

    def hash_features(number: int) -> np.ndarray:
        if number % 1024 == 0:
            forget_pages(images)
        return planes.hash(describe(number)[1])

    def lay_over(first: int, second: int) -> tuple[float, float]:
        (onto, below), (points, above) = describe(first), describe(second)
        transform = registration.fit_map(points, onto, below @ above.T, similar=_SIMILAR)
        if transform is None:
            return 0.0, 0.0
        below, above = detail(first), detail(second)
        return registration.compare(above, transform, below)

    @lru_cache(_REMEMBERED_DETAILS)
    def detail(number: int) -> np.ndarray:
        return _detail(images[places[number]])

    def compare(numbered: tuple[int, np.ndarray]) -> tuple[float, float]:
        number, (first, second) = numbered
        if number % 1024 == 0:
            forget_pages(images)
        # Either way round: a close-up covers too little of its surroundings to be seen in one.
        found = (lay_over(first, second), lay_over(second, first))
        return max(found, key=lambda fit: fit[0] if fit[1] >= SHARE else 0.0)

    described = range(len(places)) if planes else range(0)
    how = {"workers": workers, "progress": progress}
    hashes = map_threads(hash_features, described, title="Describing images", **how)
    pairs = _candidates(hashes)
    numbered = list(enumerate(pairs))
    scores = map_threads(compare, numbered, title="Comparing candidates", **how)
    table = pd.DataFrame(places[pairs], columns=["first", "second"])
    table[["similarity", "share"]] = np.array(scores).reshape(-1, 2)
    same = (table["similarity"] >= similarity) & (table["share"] >= SHARE)
    return table[same].reset_index(drop=True)


class _Hyperplanes:
    """Random planes through the mean feature; the sides that a feature lies on are its hashes."""

    def __init__(self, sample: np.ndarray, images: int):
        self._mean = sample.mean(axis=0)
        self._bits = min(31, math.ceil(math.log2(images * _FEATURES)) + _SPARE_BITS)
        random = np.random.default_rng(0)
        shape = (sample.shape[1], _TABLES * self._bits)
        self._normals = random.standard_normal(shape, np.float32)

    def hash(self, descriptors: np.ndarray) -> np.ndarray:
        """Hash features, float32 [F, 128], to int32 [F, tables]."""
        sides = (descriptors - self._mean) @ self._normals > 0
        powers = 1 << np.arange(self._bits)
        return (sides.reshape(-1, _TABLES, self._bits) @ powers).astype(np.int32)


def _candidates(hashes: list[np.ndarray]) -> np.ndarray:
    """List the pairs of images with enough hashed features in common, int64 [P, 2]."""
    if not hashes:
        return np.empty((0, 2), np.int64)
    owners = np.repeat(np.arange(len(hashes)), [len(found) for found in hashes])
    stacked = np.concatenate(hashes)
    met = np.empty(0, np.int64)  # pairs of features, numbered: the same two count once
    for table in range(_TABLES):
        left, right = _collisions(stacked[:, table]).T
        apart = owners[left] != owners[right]
        met = np.union1d(met, left[apart] * len(owners) + right[apart])
    left, right = (owners[side] for side in np.divmod(met, len(owners)))
    pairs = np.minimum(left, right) * len(hashes) + np.maximum(left, right)
    pairs, votes = np.unique(pairs, return_counts=True)
    return np.stack(np.divmod(pairs[votes >= _VOTES], len(hashes)), axis=1)


def _collisions(hashes: np.ndarray) -> np.ndarray:
    """List the pairs of features with the same hash, int64 [P, 2], but for hashes of a crowd."""
    order = np.argsort(hashes, kind="stable")
    _, starts, sizes = np.unique(hashes[order], return_index=True, return_counts=True)
    found = [np.empty((0, 2), np.int64)]
    for size in range(2, _CROWD + 1):
        members = order[starts[sizes == size, None] + np.arange(size)]  # [buckets, size]
        found += [members[:, [i, j]] for i in range(size) for j in range(i + 1, size)]
    return np.sort(np.concatenate(found), axis=1)


def _detail(image: np.ndarray) -> np.ndarray:
    """Give the detail of the green channel, float32 [S, S]: what stains and blood absorb most."""
    return fine_detail(image[..., 1:2])[..., 0]
