"""Images that show the same picture: copied, mirrored, turned, recompressed or brightened.

Two such images on two sides of a split leak, so they count as one source.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import cv2
import numpy as np
import pandas as pd
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from wbc_pipeline.imaging.arrays import forget_pages, map_chunks, progress_bar, split_rows

SIMILARITY = 0.5
SHORTLIST = 0.97

_VIEWS = range(8)  # rotations by 90 degrees, then those of the mirror image
_THUMBNAIL = 16  # side in pixels of the grey thumbnails that candidates are found by
_INVARIANTS = 64  # of a thumbnail's 255, those of the lowest frequencies
_BLOCK = 1024  # rows compared at a time with as many others: a few MB
_PAIRS = 2048  # pairs whose thumbnails are turned at a time
_SPARE = 1e-4  # of a squared distance: rounding loses no pair
_ROWS = 256  # images in memory at a time: 13 MB of 128 pixels


def group_duplicates(
    images: np.ndarray,
    *,
    similarity: float = SIMILARITY,
    shortlist: float = SHORTLIST,
    workers: int | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Group the images that show the same picture, as it is or under a rotation or mirroring.

    Candidates are pairs whose 16 x 16 grey thumbnails correlate by ``shortlist`` or more under one
    of the 8 rotations and mirrorings by right angles; a candidate is a duplicate if its fine detail
    at full size correlates by ``similarity`` or more under that view. Detail is what a blur takes
    away, evened out so that each region counts alike: blood smears look alike from afar (a dark
    disc on a light ground), and the black corners of turned photographs even more so, but the
    detail of two cells is not correlated. Duplicates of duplicates are one group.

    The defaults were chosen by looking at pairs of ``leukemia5`` and ``blood_cells`` at 128 x 128.
    The detail of the 7 duplicate pairs of ``leukemia5`` correlates by 0.93 to 1, that of the most
    alike of two different cells by 0.29. The pairs of ``blood_cells`` looked at between 0.43 and
    0.67 all show one cell twice, and no pair across classes or published parts is above 0.41. Plain
    colour pixels do not tell: 0.98 against 0.90 in ``leukemia5``, and in ``blood_cells`` up to 0.97
    for different cells within the same black corners.

    The detail of a copy correlates with the original by at least 0.79 after JPEG at quality 30,
    0.75 with noise of 8 grey levels, 0.98 after scaling to half and back, 0.82 brightened by 1.2
    with clipping, 0.83 shifted by a pixel, 0.58 shifted by two. All of these but clipping and
    shifts keep the thumbnails above 0.98. Not found are copies shifted further, cropped, or turned
    by other angles.

    Parameters
    ----------
    images
        uint8 ``[N, S, S, 3]``; may be memory-mapped.
    similarity
        Least correlation of the detail of duplicates, up to 1.
    shortlist
        Least correlation of the thumbnails of candidates; lower finds more and takes longer.
    workers
        Threads; None for one per core.
    progress
        Show a progress bar, if standard error is a terminal.

    Returns
    -------
    int64 ``[N]``: the group of each image, numbered from 0 by first appearance. An image of one
    flat colour is a group of its own. Memory grows by 1.3 kB an image.
    """
    how = {"workers": workers, "progress": progress}
    groups = _Groups(len(images))
    small = _thumbnails(images, **how)
    for row, others, views in _candidates(*small, shortlist, progress):
        detail = fine_detail(images[row])
        for other, view in zip(others, views, strict=True):
            if groups.apart(row, other):  # what is joined already need not be compared
                turned = _unit(_view(detail[None], view)[0])
                if turned @ _unit(fine_detail(images[other])) >= similarity:
                    groups.join(row, other)
        forget_pages(images)
    return pd.factorize(groups.numbers())[0]


class _Groups:
    """Disjoint sets of rows; joining two does not look at the others."""

    def __init__(self, rows: int):
        self._parents = np.arange(rows)

    def _first(self, row: int) -> int:
        while self._parents[row] != row:
            self._parents[row] = self._parents[self._parents[row]]
            row = self._parents[row]
        return row

    def apart(self, first: int, second: int) -> bool:
        return self._first(first) != self._first(second)

    def join(self, first: int, second: int) -> None:
        first, second = sorted((self._first(first), self._first(second)))
        self._parents[second] = first

    def numbers(self) -> np.ndarray:
        return np.array([self._first(row) for row in range(len(self._parents))], np.int64)


def join_groups(groups: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Merge groups that are linked by further pairs of images.

    Parameters
    ----------
    groups
        int64 ``[N]``, numbers of groups.
    pairs
        int64 ``[P, 2]``, rows of images that belong together.

    Returns
    -------
    int64 ``[N]``, numbered from 0 by first appearance.

    Examples
    --------
    >>> join_groups(np.array([0, 0, 1, 2]), np.array([[1, 3]])).tolist()
    [0, 0, 1, 0]
    """
    count = int(groups.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(pairs), bool), groups[pairs].T), shape=(count, count))
    joined = connected_components(graph, directed=False)[1][groups]
    return pd.factorize(joined)[0]


def hash_pixels(images: np.ndarray) -> list[str]:
    """Digest the pixels of each image: equal digests mean equal images.

    Parameters
    ----------
    images
        uint8 ``[N, S, S, 3]``; may be memory-mapped.

    Returns
    -------
    32 hexadecimal digits for each image.
    """
    digests = []
    for row, image in enumerate(images):
        digests.append(hashlib.blake2b(image.tobytes(), digest_size=16).hexdigest())
        if row % _ROWS == _ROWS - 1:
            forget_pages(images)
    return digests


def group_sources(
    manifest: pd.DataFrame,
    groups: np.ndarray,
    *,
    one_image_per_cell: bool | Sequence[bool],
    same_cell: Iterable[tuple[str, str]] = (),
) -> pd.DataFrame:
    """Name the source of each image, and the group of sources that show one cell.

    Two images are of one group if their known ``source_id`` or ``patient`` is the same, if they are
    duplicates or the same file, or if their sources are known to show one cell; and so on along
    chains of these. A group is what a split must keep together.

    Parameters
    ----------
    manifest
        Columns ``image_id``, ``source_id``, ``patient`` and ``sha256`` (missing where not known),
        ``status``.
    groups
        Of :func:`group_duplicates`, one per row of the manifest whose status is ``ok``.
    one_image_per_cell
        Whether an image of unknown source is its own source unless duplicates join it with others;
        of all or of each row of the manifest. False (``sources``: ``ONE_IMAGE_PER_CELL``) leaves it
        missing.
    same_cell
        Pairs of source ids, such as two photographs that overlap.

    Returns
    -------
    Dtype ``str``, per row of the manifest:

    - ``source_id``: the known one as it is, else the name of the group;
    - ``source_group``: the first of the group's known source ids, else its first ``image_id``.

    Both are missing where nothing tells the source. Refused rows keep their source id and have no
    group.

    Raises
    ------
    ValueError
        If the number of groups' rows is not that of the ok rows.
    """
    ok = (manifest["status"] == "ok").to_numpy()
    if len(groups) != ok.sum():
        raise ValueError(
            f"{len(groups)} images were grouped, but the manifest has {ok.sum()} ok rows: group "
            "the images that were packed with this manifest."
        )
    rows = manifest[ok].assign(own=np.broadcast_to(one_image_per_cell, len(manifest))[ok])
    known = rows["source_id"]
    files = _joined(np.asarray(groups), rows["sha256"])
    cells = _joined(files, known, same_cell)
    joined = _joined(cells, rows["patient"])
    source_id = manifest["source_id"].astype(object).where(manifest["source_id"].notna(), None)
    source_group = pd.Series(None, index=manifest.index, dtype=object)
    names = _names(rows, cells)
    source_id[ok] = known.astype(object).where(known.notna(), names)
    source_group[ok] = _names(rows, joined)
    return pd.DataFrame(
        {
            "source_id": pd.Series(source_id.tolist(), index=manifest.index, dtype="str"),
            "source_group": pd.Series(source_group.tolist(), index=manifest.index, dtype="str"),
        }
    )


def _names(rows: pd.DataFrame, groups: np.ndarray) -> pd.Series:
    """Name each group after the first of its known sources, else after its first image."""
    known, own = rows["source_id"], rows["own"].to_numpy()
    names = rows.loc[own, "image_id"].groupby(groups[own]).min().to_dict()
    names |= known.dropna().groupby(groups[known.notna()]).min().to_dict()
    return pd.Series([names.get(group) for group in groups], index=rows.index, dtype=object)


def _joined(
    groups: np.ndarray, sources: pd.Series, same_cell: Iterable[tuple[str, str]] = ()
) -> np.ndarray:
    """Find the components of the graph of images, duplicates, sources and same cells."""
    images = [("image", row) for row in range(len(groups))]
    links = [
        *zip(images, [("duplicates", group) for group in groups], strict=True),
        *(
            (image, ("source", source))
            for image, source in zip(images, sources, strict=True)
            if not pd.isna(source)
        ),
        *((("source", first), ("source", second)) for first, second in same_cell),
    ]
    nodes = {node: number for number, node in enumerate(dict.fromkeys([*images, *chain(*links)]))}
    pairs = np.array([(nodes[left], nodes[right]) for left, right in links], int).reshape(-1, 2)
    return join_groups(np.arange(len(nodes)), pairs)[: len(groups)]


def _candidates(
    thumbnails: np.ndarray, invariants: np.ndarray, shortlist: float, progress: bool
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each image others that resemble one of its views, and which view that is.

    Two unit vectors that correlate by c lie sqrt(2 - 2c) apart, and invariants lie no further apart
    than the nearest views: pairs whose invariants are further apart need not be turned. Sorted by
    one invariant, most pairs are far apart in that already.
    """
    if not len(thumbnails):
        return
    limit = 2 - 2 * shortlist + _SPARE
    leading = invariants.var(axis=0).argmax()
    order = np.argsort(invariants[:, leading], kind="stable")
    invariants = invariants[order]
    ascending = invariants[:, leading]
    last = np.searchsorted(ascending, ascending + np.sqrt(limit))
    lengths = (invariants**2).sum(axis=1)
    with progress_bar(progress) as bar:
        blocks = split_rows(range(len(order)), _BLOCK)
        for block in bar.track(blocks, description="Comparing thumbnails"):
            rows = slice(block.start, block.stop)
            for others in split_rows(range(block.start, last[block.stop - 1]), _BLOCK):
                columns = slice(others.start, others.stop)
                apart = lengths[rows, None] + lengths[columns]
                apart -= 2 * invariants[rows] @ invariants[columns].T
                near = np.stack(np.nonzero(apart <= limit), axis=1)
                near += np.array([rows.start, columns.start])
                near = np.sort(order[near[near[:, 0] < near[:, 1]]], axis=1)
                yield from _likely(thumbnails, near, shortlist)


def _likely(
    thumbnails: np.ndarray, pairs: np.ndarray, shortlist: float
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Turn the first image of each pair, and keep those that one view makes alike."""
    for some in split_rows(pairs, _PAIRS):
        first, second = thumbnails[some[:, 0]], thumbnails[some[:, 1]]
        scores = [np.einsum("pij,pij->p", _view(first, view), second) for view in _VIEWS]
        alike = np.max(scores, axis=0) >= shortlist
        views = np.argmax(scores, axis=0)
        for row in np.unique(some[alike, 0]):
            own = alike & (some[:, 0] == row)
            yield row, some[own, 1], views[own]


def _invariants(thumbnails: np.ndarray) -> np.ndarray:
    """Give what of a thumbnail's low frequencies no view changes: float32 [N, 64].

    Mirroring changes the sign of odd cosine coefficients, and turning swaps rows and columns. Of
    each coefficient and its transpose are kept two numbers that survive both, and that lie no
    further apart, for two thumbnails, than the coefficients of the nearest views.
    """
    waves = dctn(thumbnails, axes=(1, 2), norm="ortho")
    odd = np.arange(_THUMBNAIL) % 2 == 1
    row, column = np.triu_indices(_THUMBNAIL, 1)
    upper, lower = waves[:, row, column], waves[:, column, row]
    total, difference = (upper + lower) / np.sqrt(2), np.abs(upper - lower) / np.sqrt(2)
    total = np.where(odd[row] & odd[column], np.abs(total), total)
    mixed = odd[row] != odd[column]
    upper, lower = np.abs(upper), np.abs(lower)
    diagonal = np.diagonal(waves, axis1=1, axis2=2)
    invariants = np.concatenate(
        [
            np.where(odd, np.abs(diagonal), diagonal),
            np.where(mixed, np.maximum(upper, lower), total),
            np.where(mixed, np.minimum(upper, lower), difference),
        ],
        axis=1,
    )
    frequency = np.concatenate([2 * np.arange(_THUMBNAIL), *[row + column] * 2])
    lowest = np.argsort(frequency, kind="stable")[1 : _INVARIANTS + 1]  # the first is the mean, 0
    return invariants[:, lowest].astype(np.float32)


def _thumbnails(
    images: np.ndarray, *, workers: int | None, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Grey thumbnails of mean 0 and length 1 each, float32 [N, 16, 16], and their invariants."""

    def shrink(rows: range) -> tuple[np.ndarray, np.ndarray]:
        small = np.empty((len(rows), _THUMBNAIL, _THUMBNAIL), np.float32)
        for thumbnail, row in zip(small, rows, strict=True):
            resized = cv2.resize(images[row], small.shape[1:], interpolation=cv2.INTER_AREA)
            thumbnail[:] = resized.mean(axis=2)
        forget_pages(images)
        small = _units(small)
        return small, _invariants(small)

    chunks = split_rows(range(len(images)), _ROWS)
    how = {"workers": workers, "progress": progress}
    done = map_chunks(shrink, chunks, title="Shrinking images", **how)
    thumbnails = np.empty((len(images), _THUMBNAIL, _THUMBNAIL), np.float32)
    invariants = np.empty((len(images), _INVARIANTS), np.float32)
    for rows, (small, unchanged) in zip(chunks, done, strict=True):
        thumbnails[rows.start : rows.stop] = small
        invariants[rows.start : rows.stop] = unchanged
    return thumbnails, invariants


def fine_detail(image: np.ndarray) -> np.ndarray:
    """High-pass filter: what a blur takes away, normalised by its local strength.

    Parameters
    ----------
    image
        uint8 ``[S, S, C]``.

    Returns
    -------
    float32 ``[S, S, C]``.
    """
    pixel = len(image) / 128  # the widths below were chosen at 128 x 128
    pixels = image.astype(np.float32)
    detail = cv2.GaussianBlur(pixels, (0, 0), pixel) - cv2.GaussianBlur(pixels, (0, 0), 4 * pixel)
    strength = cv2.GaussianBlur(detail * detail, (0, 0), 6 * pixel)
    evened = detail / np.sqrt(strength + 4)  # 2 grey levels and less are noise, not to be amplified
    return evened.reshape(image.shape)  # OpenCV drops a single channel


def _view(images: np.ndarray, view: int) -> np.ndarray:
    """One of the 8 rotations and mirrorings of square images, [N, S, S, …]."""
    return np.rot90(images[:, :, ::-1] if view >= 4 else images, view % 4, axes=(1, 2))


def _units(images: np.ndarray) -> np.ndarray:
    """Like `_unit`, of many grey images at once: float32 [N, S, S] to the same shape."""
    centred = images - images.mean(axis=(1, 2), keepdims=True)
    lengths = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
    return centred / np.maximum(lengths, 1e-3)


def _unit(image: np.ndarray) -> np.ndarray:
    """Flat float32 vector of mean 0 (in each channel) and length 1, or all 0 for a flat image."""
    centred = image.astype(np.float32)
    centred -= centred.mean(axis=(0, 1))
    length = np.linalg.norm(centred)
    return centred.ravel() / max(length, 1e-3)
