"""Views of degraded images, for robustness studies.

The degradation comes first, on the image that the view's chain begins with, and what the chain
looks for is looked for after it, as in practice. Draws depend on the image's row number alone: two
views that begin alike show the same degraded image.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from wbc_pipeline.imaging.arrays import ArrayFile, map_chunks, split_rows
from wbc_pipeline.imaging.chain import Chain
from wbc_pipeline.imaging.degrade import DEGRADATIONS
from wbc_pipeline.imaging.steps import settle
from wbc_pipeline.imaging.views import FileImages, PackedImages

SEED = 0
_CHUNK = 32  # images of a task: what a thread holds at a time


class Condition(NamedTuple):
    """A degradation, and perhaps a restoration, applied before a view is made.

    Attributes
    ----------
    degradation
        A key of `degrade.DEGRADATIONS`.
    amount
        As that degradation takes it.
    restore
        Run on the degraded image; keeps its size.
    finds_on_clean
        Whether masks and regions of the view are those of the clean image.
    """

    degradation: str
    amount: float
    restore: Chain
    finds_on_clean: bool = False

    def apply(self, image: np.ndarray, row: int) -> np.ndarray:
        """Degrade the image of a row, RGB uint8 ``[H, W, 3]``, and restore it."""
        batch = torch.tensor(image).permute(2, 0, 1)[None]
        degraded = DEGRADATIONS[self.degradation](batch, self.amount, seed=SEED, rows=[row])
        return self.restore(degraded[0].permute(1, 2, 0).contiguous().numpy())

    def view(self, chain: Chain, image: np.ndarray, row: int) -> np.ndarray:
        """Apply a chain to the image of a row under this condition; RGB uint8."""
        guide = image if self.finds_on_clean else None
        return settle(chain.run(self.apply(image, row), guide)).image


class ChangedImages:
    """Images after a chain, such as the shift of the part that they play.

    Parameters
    ----------
    images
        As they come.
    chain
        Keeps their size.
    """

    def __init__(self, images: PackedImages | FileImages, chain: Chain):
        self._images, self._chain = images, chain

    def __getitem__(self, row: int) -> np.ndarray:
        return self._chain(self._images[row])


def write_degraded_view(
    chain: Chain,
    images: PackedImages | FileImages | ChangedImages,
    rows: Sequence[int],
    target: Path,
    condition: Condition,
    *,
    workers: int | None = None,
    title: str = "Degrading",
    progress: bool = True,
) -> None:
    """Apply a chain to some images under a condition and write the results.

    Parameters
    ----------
    chain
        Of the view, from `chain.build_chain`.
    images
        What the chain begins with.
    rows
        Numbers of at least one image among them.
    target
        The ``.npy`` file to write, uint8 ``[M, H, W, 3]``, RGB, in the order of `rows`.
    condition
        What is done before.
    workers
        Threads; None for one per core. The result does not depend on it.
    title
        Beside the progress bar.
    progress
        Show the bar, if standard error is a terminal.

    Raises
    ------
    ValueError
        If there is no row, results differ in shape, the restoration changes the size while masks
        and regions are those of the clean image, or the degradation refuses its amount.
    UnreadableImageError
        If a file can no longer be read, or has changed since it was packed.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from wbc_pipeline.imaging.chain import build_chain
    >>> noise = Condition("gaussian_noise", 0.1, restore=build_chain([]))
    >>> with TemporaryDirectory() as folder:
    ...     np.save(Path(folder, "packed.npy"), np.zeros((5, 16, 16, 3), np.uint8))
    ...     packed = PackedImages(np.load(Path(folder, "packed.npy"), mmap_mode="r"))
    ...     view = build_chain([{"resize": {"size": 8}}])
    ...     write_degraded_view(view, packed, [1, 4], Path(folder, "view.npy"), noise)
    ...     np.load(Path(folder, "view.npy")).shape
    (2, 8, 8, 3)
    """
    if len(rows) == 0:
        raise ValueError("no images to degrade; does a split leave a test part?")
    shape = condition.view(chain, images[rows[0]], rows[0]).shape
    chunks = split_rows(rows, _CHUNK)

    def degrade_chunk(chunk: Sequence[int]) -> np.ndarray:
        block = np.empty((len(chunk), *shape), np.uint8)
        for number, row in enumerate(map(int, chunk)):
            view = condition.view(chain, images[row], row)
            if view.shape != shape:
                raise ValueError(
                    f"image {row} became {view.shape}, image {rows[0]} {shape}; "
                    "end the view with a resize step"
                )
            block[number] = view
        return block

    with ArrayFile(target, (len(rows), *shape), "u1") as file:
        done = 0
        for block in map_chunks(
            degrade_chunk, chunks, title=title, workers=workers, progress=progress
        ):
            file.write(done, block)
            done += len(block)
