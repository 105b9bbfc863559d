"""Images that show the same picture: copied, mirrored, turned, recompressed or brightened.

Two such images on two sides of a split leak, so they count as one source.
"""

from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SIMILARITY = 0.95
SHORTLIST = 0.90

_VIEWS = range(8)  # rotations by 90 degrees, then those of the mirror image
_THUMBNAIL = 16  # side in pixels of the grey thumbnails that candidates are found by
_BLOCK = 256  # rows compared at a time: bounds the memory to a few times 256 x N scores


def group_duplicates(
    images: np.ndarray, *, similarity: float = SIMILARITY, shortlist: float = SHORTLIST
) -> np.ndarray:
    """Group the images that show the same picture, as it is or under a rotation or mirroring.

    Candidates are pairs whose 16 x 16 grey thumbnails correlate by ``shortlist`` or more under one
    of the 8 rotations and mirrorings by right angles; a candidate is a duplicate if all its colour
    pixels correlate by ``similarity`` or more under that view. Correlation does not see brightness
    or contrast. Duplicates of duplicates are one group.

    The defaults were chosen by looking at pairs of the 5,000 images of ``leukemia5`` at 128 x 128:
    its 7 duplicate pairs correlate by 0.984 to 1.000 (six exactly, one recompressed), the most
    alike of two different cells by 0.904 (thumbnails: 0.996 and 0.928), with nothing between. A
    copy of an image recompressed at JPEG quality 30 correlates with it by 0.970 or more, scaled
    to half and back by 0.971, with noise of 8 grey levels by 0.957, darkened with a gamma of 1.5
    by 0.983. Not found, for they look like two cells of one kind: copies shifted by more than a
    pixel, cropped, turned by other angles, or so bright that they are clipped.

    Parameters
    ----------
    images
        uint8 ``[N, S, S, 3]``; may be memory-mapped.
    similarity
        Least correlation of the pixels of duplicates, up to 1.
    shortlist
        Least correlation of the thumbnails of candidates; lower finds more and takes longer.

    Returns
    -------
    int64 ``[N]``: the group of each image, numbered from 0 by first appearance. An image of one
    flat colour is a group of its own.
    """
    groups = np.arange(len(images))
    for row, others, views in _candidates(_thumbnails(images), shortlist):
        new = groups[others] != groups[row]  # what is joined already need not be compared
        others, views = others[new], views[new]
        same = [
            _unit(_view(images[row], view)) @ _unit(images[other]) >= similarity
            for other, view in zip(others, views, strict=True)
        ]
        joined = groups[np.append(others[same], row)]
        if len(joined) > 1:
            groups[np.isin(groups, joined)] = joined.min()
    return np.unique(groups, return_inverse=True)[1]


def complete_source_ids(
    manifest: pd.DataFrame, groups: np.ndarray, *, one_image_per_cell: bool
) -> pd.Series:
    """Name the source of each image from what is known and from its duplicates.

    Two images are of one source if their known ``source_id`` is the same or if they are
    duplicates, and so on along chains of these.

    Parameters
    ----------
    manifest
        Columns ``image_id``, ``source_id`` (missing where not known) and ``status``.
    groups
        Of :func:`group_duplicates`, one per row of the manifest whose status is ``ok``.
    one_image_per_cell
        Whether an image of unknown source is its own source unless duplicates join it with others.
        False (``sources``: ``ONE_IMAGE_PER_CELL``) leaves it missing.

    Returns
    -------
    ``source_id`` per row of the manifest, dtype ``str``: the first of the known source ids that
    were joined, else the first ``image_id``. Refused rows keep theirs.

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
    rows = manifest[ok]
    known = rows["source_id"]
    joined = _joined(np.asarray(groups), pd.factorize(known)[0])  # -1 where not known
    names = known.groupby(joined).transform("min")
    if one_image_per_cell:
        names = names.fillna(rows["image_id"].groupby(joined).transform("min"))
    completed = manifest["source_id"].astype(object)
    completed[ok] = names.astype(object)
    return completed.where(completed.notna(), None).astype("str").rename("source_id")


def _joined(groups: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Component of each image in the graph that links images with their group and their source."""
    rows = np.arange(len(groups))
    known = sources >= 0
    left = np.concatenate([rows, rows[known]])
    group_nodes = len(rows) + groups
    source_nodes = 2 * len(rows) + sources[known]  # there are at most N groups and N sources
    right = np.concatenate([group_nodes, source_nodes])
    nodes = 3 * len(rows)
    graph = coo_array((np.ones(len(left), bool), (left, right)), shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1][: len(rows)]


def _candidates(
    thumbnails: np.ndarray, shortlist: float
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """For each image the later ones that resemble one of its views, and which view that is."""
    flat = np.stack([_unit(thumbnail) for thumbnail in thumbnails])  # [N, 256]
    for start in range(0, len(thumbnails), _BLOCK):
        block = thumbnails[start : start + _BLOCK]
        views = np.stack([[_unit(_view(one, view)) for one in block] for view in _VIEWS])
        best = views[0] @ flat[start:].T  # [block, later images]
        for view in views[1:]:
            np.maximum(best, view @ flat[start:].T, out=best)
        for i, scores in enumerate(best):
            later = i + 1 + np.flatnonzero(scores[i + 1 :] >= shortlist)
            if len(later):
                others = start + later
                yield start + i, others, np.argmax(views[:, i] @ flat[others].T, axis=0)


def _thumbnails(images: np.ndarray) -> np.ndarray:
    """[N, 16, 16] float32 grey."""
    small = np.empty((len(images), _THUMBNAIL, _THUMBNAIL), np.float32)
    for image, out in zip(images, small, strict=True):
        thumbnail = cv2.resize(image, out.shape, interpolation=cv2.INTER_AREA)
        out[:] = thumbnail.mean(axis=2)
    return small


def _view(image: np.ndarray, view: int) -> np.ndarray:
    """One of the 8 rotations and mirrorings of a square image."""
    return np.rot90(image[:, ::-1] if view >= 4 else image, view % 4)


def _unit(image: np.ndarray) -> np.ndarray:
    """Flat float32 vector of mean 0 (in each channel) and length 1, or all 0 for a flat image."""
    centred = image.astype(np.float32)
    centred -= centred.mean(axis=(0, 1))
    length = np.linalg.norm(centred)
    return centred.ravel() / max(length, 1e-3)
