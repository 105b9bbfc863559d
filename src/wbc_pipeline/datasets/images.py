"""Packed images: one uint8 array on disk, memory-mapped, with a mosaic for kedro-viz."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from kedro_datasets._typing import ImagePreview

from wbc_pipeline.datasets.results import Result, ResultDataset
from wbc_pipeline.keys import digest

PIXELS_FILE = "images.npy"
MASKS_FILE = "masks.npy"


@dataclass(frozen=True)
class ImageArray:
    """Images of equal size in one array, in the order of the manifest's ``ok`` rows.

    Attributes
    ----------
    pixels
        uint8 [N, H, W, 3], RGB; memory-mapped, read-only.
    masks
        uint8 [N, H, W], 255 nucleus, 128 cytoplasm, 0 background; None if the set has none.
    result
        The kept result that the arrays belong to.
    """

    pixels: np.ndarray
    masks: np.ndarray | None
    result: Result

    @property
    def content_digest(self) -> str:
        """Digest of what was decoded: it stays when files are copied or touched, not changed."""
        outcome = self.result.table("outcome")[["image_id", "sha256", "mask_sha256", "status"]]
        how = {name: value for name, value in self.result.key.items() if name != "listing"}
        return digest([how, outcome.astype(object).to_numpy().tolist()])


class ImagesDataset(ResultDataset):
    """A kept result that holds ``images.npy`` and perhaps ``masks.npy``."""

    def load(self) -> ImageArray:
        """Map the arrays; nothing is read before it is used."""
        masks = self._folder / MASKS_FILE
        return ImageArray(
            pixels=np.load(self._folder / PIXELS_FILE, mmap_mode="r"),
            masks=np.load(masks, mmap_mode="r") if masks.is_file() else None,
            result=Result(self._folder),
        )

    def preview(self, columns: int = 12, rows: int = 6) -> ImagePreview:
        """Draw images picked evenly from the array side by side."""
        import cv2

        pixels = self.load().pixels
        chosen = np.linspace(0, len(pixels) - 1, columns * rows).astype(int)
        height, width = pixels.shape[1:3]
        mosaic = pixels[chosen].reshape(rows, columns, height, width, 3)
        mosaic = mosaic.swapaxes(1, 2).reshape(rows * height, columns * width, 3)
        _, png = cv2.imencode(".png", mosaic[..., ::-1])
        return ImagePreview(base64.b64encode(png.tobytes()).decode())


def image_files(folder: Path) -> tuple[Path, Path]:
    """Name the files of an image array: pixels, masks."""
    return folder / PIXELS_FILE, folder / MASKS_FILE
