"""Packed images and views: one uint8 array on disk, memory-mapped, with a picture for kedro-viz."""

import base64
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from kedro_datasets._typing import ImagePreview

from wbc_pipeline.datasets.results import Result, ResultDataset, ResultsDataset
from wbc_pipeline.keys import digest

if TYPE_CHECKING:
    import pandas as pd

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
        uint8 [N, H, W]: 0 background, 1 cytoplasm, 2 nucleus, 3 cell whose parts are not known, 255
        no mask known; None if the set has none.
    result
        The kept result that the arrays belong to.
    """

    pixels: np.ndarray
    masks: np.ndarray | None
    result: Result

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def digest(self) -> str:
        """Digest of the result, for the keys of what is made from it."""
        return self.result.digest

    @cached_property
    def content_digest(self) -> str:
        """Digest of what was decoded: it stays when files are copied or touched, not changed."""
        outcome = self.result.table("outcome")[["image_id", "sha256", "mask_sha256", "status"]]
        how = [self.result.key["params"], self.result.key["code"]]
        return digest([how, outcome.astype(object).to_numpy().tolist()])

    def digest_files(self, rows: "pd.DataFrame") -> str:
        """Digest which files rows of the manifest name, their bytes, and the pixels of masks."""
        masks = self.result.table("outcome").set_index("image_id")["mask_sha256"]
        masks = masks.reindex(rows["image_id"]).astype(object).tolist()
        return digest([digest_files(rows), masks])

    @property
    def max_pixels(self) -> int:
        """The cap under which the packed images' files were read."""
        return self.result.key["params"]["max_pixels"]

    @property
    def steps(self) -> list[dict]:
        """The chain of steps that made a view."""
        return self.result.key["params"]["steps"]


def open_images(result: Result) -> ImageArray:
    """Map the arrays of a result; nothing is read before it is used."""
    pixels, masks = image_files(result.folder)
    return ImageArray(
        pixels=np.load(pixels, mmap_mode="r"),
        masks=np.load(masks, mmap_mode="r") if masks.is_file() else None,
        result=result,
    )


class ImagesDataset(ResultDataset):
    """A kept result that holds ``images.npy`` and perhaps ``masks.npy``."""

    def load(self) -> ImageArray:
        """Map the arrays."""
        return open_images(super().load())

    def preview(self, columns: int = 12, rows: int = 6) -> ImagePreview:
        """Show images picked evenly from the array side by side."""
        import cv2

        pixels = self.load().pixels
        chosen = np.linspace(0, len(pixels) - 1, columns * rows).astype(int)
        height, width = pixels.shape[1:3]
        mosaic = pixels[chosen].reshape(rows, columns, height, width, 3)
        mosaic = mosaic.swapaxes(1, 2).reshape(rows * height, columns * width, 3)
        return _as_preview(cv2.imencode(".png", mosaic[..., ::-1])[1].tobytes())


class ViewsDataset(ResultsDataset):
    """Views by name, a folder each: as many as the parameters name."""

    def load(self) -> dict[str, ImageArray]:
        """Map the arrays by name."""
        return {name: open_images(result) for name, result in super().load().items()}

    def preview(self) -> ImagePreview:
        """Show the contact sheets of all views, each under its steps."""
        import cv2

        sheets = [cv2.imread(str(result.folder / SHEET_FILE)) for result in super().load().values()]
        if not sheets:
            return _as_preview(cv2.imencode(".png", np.full((1, 1, 3), 255, np.uint8))[1].tobytes())
        width = max(sheet.shape[1] for sheet in sheets)
        sheets = [
            cv2.copyMakeBorder(sheet, 0, 0, 0, width - sheet.shape[1], cv2.BORDER_CONSTANT)
            for sheet in sheets
        ]
        return _as_preview(cv2.imencode(".png", np.vstack(sheets))[1].tobytes())


def _as_preview(png: bytes) -> ImagePreview:
    return ImagePreview(base64.b64encode(png).decode())


def digest_files(rows: "pd.DataFrame") -> str:
    """Digest which files rows of a manifest name, and their bytes."""
    return digest(rows[["image_id", "sha256"]].to_numpy().tolist())


def image_files(folder: Path) -> tuple[Path, Path]:
    """Name the files of an image array: pixels, masks."""
    return folder / PIXELS_FILE, folder / MASKS_FILE
