"""Composites of every image of a view, kept on disk beside the images themselves."""

from pathlib import Path

import numpy as np

from wbc_pipeline.imaging.arrays import ArrayFile, forget_pages, map_chunks, split_rows
from wbc_pipeline.imaging.masks import UNKNOWN
from wbc_pipeline.imaging.recompose import recompose
from wbc_pipeline.imaging.recompose_options import RecomposeOptions

_CHUNK = 32  # composites per task of a thread
_SHEET = 12  # images on a sheet


def write_composites(
    images: np.ndarray,
    masks: np.ndarray | None,
    target: Path,
    *,
    count: int,
    options: RecomposeOptions,
    seed: int,
    workers: int | None = None,
    title: str = "Drawing composites",
    progress: bool = True,
) -> None:
    """Write the N images, then ``count`` composites of each.

    Parameters
    ----------
    images
        uint8 ``[N, H, W, 3]``, RGB; may be memory-mapped.
    masks
        uint8 ``[N, H, W]``, see `recompose`; None if there are none.
    target
        The ``.npy`` file to write, uint8 ``[(1 + count) * N, H, W, 3]``: row ``k * N + i`` is
        composite k of image i, and for k = 0 the image itself.
    count
        Composites of each image.
    options
        See `recompose`.
    seed
        A composite depends on this, its image's row and its number alone.
    workers
        Threads; None for one per core. The result does not depend on it.
    title
        Beside the progress bar.
    progress
        Show the bar, if standard error is a terminal.
    """
    total = len(images)

    def compose(rows: range) -> np.ndarray:
        block = np.empty((len(rows), *images.shape[1:]), np.uint8)
        for place, row in enumerate(rows):
            number, image = divmod(row, total)
            block[place] = images[image]
            if number:
                mask = masks[image] if masks is not None else unknown
                rng = np.random.default_rng((seed, image, number))
                block[place] = recompose(block[place], np.asarray(mask), rng, options)
        return block

    unknown = np.full(images.shape[1:3], UNKNOWN, np.uint8)
    chunks = split_rows(range((1 + count) * total), _CHUNK)
    with ArrayFile(target, ((1 + count) * total, *images.shape[1:]), "u1") as file:
        blocks = map_chunks(compose, chunks, title=title, workers=workers, progress=progress)
        for chunk, block in zip(chunks, blocks, strict=True):
            file.write(chunk.start, block)
    forget_pages(images)


def composite_sheet(composites: np.ndarray, *, count: int) -> np.ndarray:
    """Put some images above their composites.

    Parameters
    ----------
    composites
        What `write_composites` wrote, with the same ``count``.

    Returns
    -------
    np.ndarray
        uint8 RGB, a column for each of at most 12 images.
    """
    blocks = composites.reshape(1 + count, -1, *composites.shape[1:])
    chosen = np.linspace(0, blocks.shape[1] - 1, min(_SHEET, blocks.shape[1])).astype(int)
    return np.vstack([np.hstack(block[chosen]) for block in blocks])
