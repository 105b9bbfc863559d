"""Images that show the same spot of a slide: neighbours cut from one photograph, or it taken twice.

Data sets of single cells are cut from photographs of many. Where cells are neighbours their crops
overlap, and each shows the other's cell too; and a microscopist who moves the slide a little, or
changes the camera's settings, photographs the same cell again. ``duplicates`` does not find these,
as it compares images as they lie.
"""

import math
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import lru_cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np
import pandas as pd

from wbc_pipeline.imaging import registration
from wbc_pipeline.imaging.arrays import forget_pages, map_chunks, split_rows
from wbc_pipeline.imaging.duplicates import fine_detail

SIMILARITY = 0.6
SHARE = 0.15  # of an image that another must cover

_FEATURES = 60  # of each image
_TABLES = 12  # hash tables
_SPARE_BITS = 4  # of a hash beyond those that number all features: few collide by chance
_CROWD = 8  # features of equal hash: more are of something common, such as a round red cell
_VOTES = 3  # pairs of like features that two images must have, turned and zoomed alike
_TURNS = 8  # directions that a turn is counted in, each together with the next
_ZOOMS = 32  # steps of three quarters of an octave likewise, more than any image spans
_SIMILAR = 0.85  # cosine from which two features may show the same spot
_SAMPLE = 200  # images that the mean feature is taken from
_CHUNK = 64  # images or candidates per task
_GATHERED = 5_000  # pairs of features read at a time, from pages of 40 MB at most
_REMEMBERED = 512  # images whose details are kept, 64 kB each of 128 pixels


class _Chunk(NamedTuple):
    """The features of some images, one after another."""

    counts: list[int]
    features: np.ndarray  # registration.FEATURE [F]
    hashes: np.ndarray  # int32 [F, tables]


class _Features(NamedTuple):
    """The features of all images: what is large of it on disk."""

    records: np.ndarray  # registration.FEATURE [F], memory-mapped
    tables: list[BinaryIO]  # int32 [F] each, hashes
    starts: np.ndarray  # int64 [images + 1]: features starts[i] to starts[i + 1] are of image i
    owners: np.ndarray  # int32 [F], their images
    turns: np.ndarray  # uint8 [F], direction in 256ths of a turn
    zooms: np.ndarray  # int8 [F], width in 16ths of an octave

    def of(self, image: int) -> np.ndarray:
        """Give the features of one image."""
        return self.records[self.starts[image] : self.starts[image + 1]]


def find_overlaps(
    images: np.ndarray,
    *,
    similarity: float = SIMILARITY,
    rows: Sequence[int] | None = None,
    scratch: Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Find the pairs of images that show the same spot of a slide, shifted, turned or zoomed.

    Local features are hashed by random hyperplanes [1]_: time grows with the number of images and
    not with its square. Images are candidates if several features of equal hash are alike, and all
    turned and zoomed by the same [2]_. An affine map is fitted to the features of each candidate
    pair; where one image then covers the other their fine detail is compared, as that of duplicates
    is.

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
    scratch
        Folder for the features, 11 kB an image while this runs; None for the system's own.
    workers
        Threads; None for one per core.
    progress
        Show a progress bar, if standard error is a terminal.

    Returns
    -------
    A row per pair: ``first`` and ``second`` (rows of the array, the lower first), their
    ``similarity`` and the ``share`` of one that the other covers, 0 to 1.

    References
    ----------
    .. [1] Charikar, Similarity estimation techniques from rounding algorithms, STOC 2002.
    .. [2] Jégou, Douze and Schmid, Hamming embedding and weak geometric consistency for large scale
       image search, ECCV 2008.
    """
    places = np.arange(len(images)) if rows is None else np.asarray(rows, int)
    how = {"workers": workers, "progress": progress}

    def detect(number: int) -> np.ndarray:
        grey = cv2.cvtColor(images[places[number]], cv2.COLOR_RGB2GRAY)
        return registration.detect(grey, _FEATURES)

    def describe(numbers: range) -> _Chunk:
        found = [detect(number) for number in numbers]
        forget_pages(images)
        features = np.concatenate(found)
        return _Chunk([*map(len, found)], features, planes.hash(features))

    @lru_cache(_REMEMBERED)
    def detail(number: int) -> np.ndarray:
        return _detail(images[places[number]])

    def lay_over(first: int, second: int) -> tuple[float, float]:
        below, above = features.of(first), features.of(second)
        cosines = registration.root_descriptors(below) @ registration.root_descriptors(above).T
        transform = registration.fit_map(
            above["point"].copy(), below["point"].copy(), cosines, similar=_SIMILAR
        )
        if transform is None:
            return 0.0, 0.0
        return registration.compare(detail(second), transform, detail(first))

    def compare(pairs: np.ndarray) -> list[tuple[float, float]]:
        # Either way round: a close-up covers too little of its surroundings to be seen in one.
        found = [(lay_over(first, second), lay_over(second, first)) for first, second in pairs]
        forget_pages(images)
        forget_pages(features.records)
        return [max(fits, key=lambda fit: fit[0] if fit[1] >= SHARE else 0.0) for fits in found]

    sample = range(0, len(places), max(1, len(places) // _SAMPLE))
    planes = _Hyperplanes(np.concatenate([_NONE, *map(detect, sample)]), len(places))
    chunks = split_rows(range(len(places)), _CHUNK)
    with ExitStack() as stack:
        files = [stack.enter_context(TemporaryFile(dir=scratch)) for _ in range(_TABLES + 1)]
        described = map_chunks(describe, chunks, title="Describing images", **how)
        features = _write_features(described, files)
        pairs = _candidates(features)
        chunks = split_rows(pairs, _CHUNK)
        done = map_chunks(compare, chunks, title="Comparing candidates", **how)
        scores = [fit for fits in done for fit in fits]
    table = pd.DataFrame(places[pairs], columns=["first", "second"])
    table[["similarity", "share"]] = np.array(scores).reshape(-1, 2)
    same = (table["similarity"] >= similarity) & (table["share"] >= SHARE)
    return table[same].reset_index(drop=True)


_NONE = np.empty(0, registration.FEATURE)


class _Hyperplanes:
    """Random planes through the mean feature; the sides that a feature lies on are its hashes."""

    def __init__(self, sample: np.ndarray, images: int):
        shape = sample["descriptor"].shape[1], _TABLES
        self._mean = registration.root_descriptors(sample).sum(axis=0) / max(1, len(sample))
        self._bits = min(31, math.ceil(math.log2(max(1, images) * _FEATURES)) + _SPARE_BITS)
        random = np.random.default_rng(0)
        self._normals = random.standard_normal((shape[0], shape[1] * self._bits), np.float32)

    def hash(self, features: np.ndarray) -> np.ndarray:
        """Hash features, to int32 [F, tables]."""
        sides = (registration.root_descriptors(features) - self._mean) @ self._normals > 0
        powers = 1 << np.arange(self._bits)
        return (sides.reshape(-1, _TABLES, self._bits) @ powers).astype(np.int32)


def _write_features(chunks: Iterable[_Chunk], files: list[BinaryIO]) -> _Features:
    """Write the records to the first file and the hashes to the others, a table each."""
    counts, turns, zooms = [], [], []
    for chunk in chunks:
        counts += chunk.counts
        turns.append((chunk.features["angle"] * (256 / 360)).astype(int).astype(np.uint8))
        zooms.append(np.rint(16 * np.log2(chunk.features["size"])).astype(np.int8))
        for file, column in zip(files, (chunk.features, *chunk.hashes.T), strict=True):
            file.write(column.tobytes())
    for file in files:
        file.flush()
    total = sum(counts)
    return _Features(
        records=np.memmap(files[0], registration.FEATURE, "r", shape=total) if total else _NONE,
        tables=files[1:],
        starts=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        owners=np.repeat(np.arange(len(counts), dtype=np.int32), counts),
        turns=np.concatenate([np.empty(0, np.uint8), *turns]),
        zooms=np.concatenate([np.empty(0, np.int8), *zooms]),
    )


def _candidates(features: _Features) -> np.ndarray:
    """List the pairs of images with enough like features that agree, int64 [P, 2]."""
    number = len(features.owners)
    met = [np.empty(0, np.int64)]  # pairs of features, numbered: the same two count once
    for table in features.tables:
        table.seek(0)
        pairs = _collisions(np.fromfile(table, np.int32))
        first, second = features.owners[pairs].T
        for some in split_rows(pairs[first != second], _GATHERED):
            left, right = some[_are_alike(features.records, some)].T
            met.append(left * number + right)
    left, right = np.divmod(np.unique(np.concatenate(met)), max(1, number))
    images = len(features.starts) - 1
    pairs = features.owners[left].astype(np.int64) * images + features.owners[right]
    turn = (features.turns[left] - features.turns[right]) // (256 // _TURNS)  # wraps around
    zoom = (features.zooms[left].astype(np.int64) - features.zooms[right]) // 12 + _ZOOMS // 2
    found = [np.empty(0, np.int64)]
    for turn_from, zoom_from in product((0, 1), repeat=2):  # any two neighbours count together
        turns = (turn.astype(np.int64) + turn_from) % _TURNS // 2
        manner = turns * _ZOOMS + (zoom + zoom_from) // 2
        counted, votes = np.unique(pairs * (_TURNS * _ZOOMS) + manner, return_counts=True)
        found.append(counted[votes >= _VOTES] // (_TURNS * _ZOOMS))
    return np.stack(np.divmod(np.unique(np.concatenate(found)), max(1, images)), axis=1)


def _are_alike(records: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    left, right = (registration.root_descriptors(records[side]) for side in pairs.T)
    forget_pages(records)
    return np.einsum("ij,ij->i", left, right) >= _SIMILAR


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
