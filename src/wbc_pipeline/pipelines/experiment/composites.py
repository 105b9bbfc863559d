"""Composites of a variant's images: how they are made, and how a training takes them in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from wbc_pipeline.datasets.images import SHEET_FILE, ImageArray, image_files
from wbc_pipeline.datasets.results import Task
from wbc_pipeline.keys import Key, code_digest
from wbc_pipeline.pipelines.experiment.options import CompositeOptions, plain_repeats


@dataclass(frozen=True)
class Composites:
    """Composites behind the N images that they are of.

    Attributes
    ----------
    array
        Rows ``k * N + i``: composite k of image i, and for k = 0 the image itself.
    options
        How many there are, and how often the images themselves are learned from.
    """

    array: ImageArray
    options: CompositeOptions

    def extend_views(self, views: Mapping[str, ImageArray]) -> dict[str, ImageArray]:
        """Put composites behind the first view; others, such as a prior, repeat."""
        first, *others = views
        repeated = {
            name: replace(views[name], pixels=self.repeat(views[name].pixels)) for name in others
        }
        return {first: self.array, **repeated}

    def extend_parts(self, parts: Mapping[str, np.ndarray], total: int) -> dict[str, np.ndarray]:
        """Add composites to the training part alone.

        Parameters
        ----------
        parts
            Row numbers of the parts.
        total
            N.
        """
        count, plain, rows = self.options.count, self.options.plain, parts["train"]
        images = np.tile(rows, plain_repeats(count, plain))
        composites = [number * total + rows for number in range(1, count + 1)]
        return {**parts, "train": np.concatenate([images, *composites])}

    def repeat(self, values: np.ndarray) -> np.ndarray:
        """Repeat what is known of the images for each of their composites."""
        return np.concatenate([values] * (1 + self.options.count))


def composites_task(view: ImageArray, options: CompositeOptions, seed: int) -> Task:
    """Describe the composites of all images of a view.

    Returns
    -------
    Task
        Makes a folder with ``images.npy``, perhaps ``masks.npy``, and ``contact_sheet.png``.
    """
    from wbc_pipeline.imaging.composites import composite_sheet, write_composites

    def compute(folder: Path) -> None:
        import cv2

        pixels, masks = image_files(folder)
        write_composites(
            view.pixels,
            view.masks,
            pixels,
            count=options.count,
            options=options.recompose,
            seed=seed,
        )
        if view.masks is not None:
            np.save(masks, np.tile(view.masks, (1 + options.count, 1, 1)))
        sheet = composite_sheet(np.load(pixels, mmap_mode="r"), count=options.count)
        cv2.imwrite(str(folder / SHEET_FILE), sheet[..., ::-1])

    key = Key(
        params={**options.model_dump(exclude={"plain"}), "seed": seed},
        data={"view": view.result.digest},
        code=code_digest(write_composites),
    )
    return Task(key, compute)
