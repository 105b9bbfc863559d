"""A mask file -> the values of its pixels, as stored.

What the value of a pixel is can be taken in several ways: a palette has indices and colours, and
some programs put the mask into the transparency. All ways are given, the likeliest first.
"""

import os
from typing import NamedTuple

import numpy as np
from PIL import Image

from wbc_pipeline.imaging.deep import deep_samples
from wbc_pipeline.imaging.orientation import UPRIGHT
from wbc_pipeline.imaging.reading import open_upright, read_bytes

COLOUR = 1 << 24  # added to the 24 bits of a colour, so that blue is not grey level 255


class MaskFile(NamedTuple):
    """The values of a mask file.

    Attributes
    ----------
    values
        int32 ``[H, W]``, upright: grey levels of 8 or 16 bits as stored; ``COLOUR`` plus
        ``0xrrggbb`` where a pixel is coloured.
    others
        What else the values could be, likewise: indices of a palette, transparency.
    has_palette
        Whether the first of ``others`` are indices of a palette.
    is_soft
        Whether the file is compressed as JPEG, which blurs edges.
    is_turned
        Whether an EXIF tag of the mask's own has turned it upright.
    """

    values: np.ndarray
    others: list[np.ndarray]
    has_palette: bool
    is_soft: bool
    is_turned: bool


def read_mask_file(path: str | os.PathLike, *, max_pixels: int) -> MaskFile:
    """Read a mask file: PNG, TIFF, BMP, JPEG and whatever else `reading.read_image` reads.

    Raises
    ------
    UnreadableImageError
        As `reading.read_image`.
    """
    data = read_bytes(path, max_pixels)
    image, orientation = open_upright(data, max_pixels)
    samples = deep_samples(image, data, orientation)
    has_palette = image.mode in ("P", "1")  # of one bit: 0 and 1, or black and white
    if samples is not None:
        values, alpha = _codes(samples), samples[..., 3] if samples.shape[2:] == (4,) else None
    else:
        values = _codes(np.array(image if image.mode == "L" else image.convert("RGB")))
        alpha = np.array(image.getchannel("A")) if "A" in image.getbands() else None
    others = [np.array(image).astype(np.int32)] if has_palette else []
    if alpha is not None and np.ptp(alpha):
        others.append(alpha.astype(np.int32))
        if not np.ptp(values):  # one colour throughout says nothing
            values, *others = others
    return MaskFile(
        values, others, has_palette, is_soft=_is_jpeg(image), is_turned=orientation != UPRIGHT
    )


def _codes(samples: np.ndarray) -> np.ndarray:
    """Give grey levels as they are, and colours by their 24 bits; int32 ``[H, W]``."""
    if samples.ndim == 2:
        return samples.astype(np.int32)
    red, green, blue = np.moveaxis(samples[..., :3].astype(np.int32), -1, 0)
    is_grey = (red == green) & (green == blue)
    if samples.dtype == np.uint16:
        grey, (red, green, blue) = red, (red >> 8, green >> 8, blue >> 8)
    else:
        grey = red
    return np.where(is_grey, grey, COLOUR | red << 16 | green << 8 | blue)


def _is_jpeg(image: Image.Image) -> bool:
    return image.format in ("JPEG", "MPO") or image.info.get("compression") == "jpeg"
