"""Packed images and views: one uint8 array on disk, memory-mapped, with a picture for kedro-viz."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from kedro_datasets._typing import ImagePreview

from wbc_pipeline.datasets.results import Result, ResultDataset, ResultsDataset
from wbc_pipeline.keys import digest

PIXELS_FILE = "images.npy"
MASKS_FILE = "masks.npy"
SHEET_FILE = "contact_sheet.png"


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

    @property
    def max_pixels(self) -> int:
        """The cap under which the packed images' files were read."""
        return self.result.key["options"]["max_pixels"]


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
        """Show the contact sheet of a view, or images picked evenly from the array side by side."""
        import cv2

        sheet = self._folder / SHEET_FILE
        if sheet.is_file():
            return _as_preview(sheet.read_bytes())
        pixels = self.load().pixels
        chosen = np.linspace(0, len(pixels) - 1, columns * rows).astype(int)
        height, width = pixels.shape[1:3]
        mosaic = pixels[chosen].reshape(rows, columns, height, width, 3)
        mosaic = mosaic.swapaxes(1, 2).reshape(rows * height, columns * width, 3)
        _, png = cv2.imencode(".png", mosaic[..., ::-1])
        return _as_preview(png.tobytes())


class ViewsDataset(ResultsDataset):
    """Views by name, a folder each: as many as the parameters name.

    Parameters
    ----------
    filepath
        The folder of their folders. What is no longer among the parameters is removed.
    """

    def __init__(self, *, filepath: str, metadata: dict | None = None):
        super().__init__(filepath=filepath, prune=True, metadata=metadata)

    def load(self) -> dict[str, ImageArray]:
        """Map the arrays by name."""
        return {
            name: ImagesDataset(filepath=str(result.folder)).load()
            for name, result in self._finished().items()
        }

    def preview(self) -> ImagePreview:
        """Show the contact sheets of all views, each under its steps."""
        import cv2

        sheets = [
            cv2.imread(str(result.folder / SHEET_FILE)) for result in self._finished().values()
        ]
        _, png = cv2.imencode(".png", np.vstack(sheets))
        return _as_preview(png.tobytes())


def _as_preview(png: bytes) -> ImagePreview:
    return ImagePreview(base64.b64encode(png).decode())


def digest_files(rows: pd.DataFrame) -> str:
    """Digest which files rows of a manifest name, and their bytes."""
    return digest(rows[["image_id", "sha256"]].to_numpy().tolist())


def image_files(folder: Path) -> tuple[Path, Path]:
    """Name the files of an image array: pixels, masks."""
    return folder / PIXELS_FILE, folder / MASKS_FILE
