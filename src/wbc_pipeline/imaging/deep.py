"""Images of 16 bits a sample, which Pillow cuts down to 8 without a word."""

import cv2
import numpy as np
from PIL import Image

from wbc_pipeline.imaging.orientation import turn_upright
from wbc_pipeline.imaging.refusals import UnreadableImageError

_TIFF_BITS = 258  # tag of TIFF 6.0
_DEPTHS = (8, 10, 12, 14, 16)  # bits of the sensors of cameras and scanners


def deep_samples(image: Image.Image, data: bytes, orientation: int) -> np.ndarray | None:
    """Give the samples of a 16-bit image.

    Parameters
    ----------
    image
        The file as Pillow loads it, turned upright.
    data
        The bytes of the file.
    orientation
        What Pillow turned it by, 1 to 8.

    Returns
    -------
    uint16 ``[H, W]`` grey, ``[H, W, 3]`` RGB or ``[H, W, 4]`` with alpha, upright, as stored; None
    if the file has no 16 bits.

    Raises
    ------
    UnreadableImageError
        If colours of 16 bits cannot be decoded.
    """
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)
    is_png = image.format == "PNG" and data[24] == 16
    if not is_png and (image.format != "TIFF" or image.tag_v2.get(_TIFF_BITS, (8,))[0] != 16):
        return None
    try:
        samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        samples = None
    if samples is None or samples.dtype != np.uint16 or samples.ndim != 3:
        raise UnreadableImageError("16-bit colours of a kind that is not read here: save as PNG")
    samples = samples[..., [2, 1, 0, 3][: samples.shape[2]]]
    return turn_upright(samples, orientation) if is_png else samples  # OpenCV turns TIFFs itself


def used_bits(samples: np.ndarray) -> int:
    """Give the smallest of 8, 10, 12, 14 and 16 bits that holds the largest of the samples.

    Examples
    --------
    >>> used_bits(np.uint16([0, 4095])), used_bits(np.uint16([4096]))
    (12, 14)
    """
    return next(bits for bits in _DEPTHS if samples.max(initial=0) < 2**bits)


def scale_to_eight_bits(samples: np.ndarray, bits: int) -> np.ndarray:
    """Scale samples so that the largest of so many bits becomes 255, rounded; uint8.

    Examples
    --------
    >>> scale_to_eight_bits(np.uint16([0, 2048, 4095]), 12).tolist()
    [0, 128, 255]
    """
    largest = 2**bits - 1
    return ((samples.astype(np.uint32) * 255 + largest // 2) // largest).astype(np.uint8)
