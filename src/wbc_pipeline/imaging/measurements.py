"""Image statistics: brightness, sharpness, strength of the stain, black border.

They tell more of the camera, the stain and the handling of a file than of its cell: where they
differ between classes, a network may learn them instead.
"""

import os
from collections.abc import Sequence
from functools import partial

import cv2
import numpy as np
import pandas as pd
from skimage.color import hed_from_rgb

from wbc_pipeline.imaging.arrays import map_threads
from wbc_pipeline.imaging.reading import UnreadableImageError, read_image
from wbc_pipeline.imaging.segment import fill_holes

#: Every measurement with a label for axes, and its unit or range.
MEASUREMENTS = {
    "black_border": ("Black border", "share of pixels"),
    "brightness": ("Brightness", "mean L*, 0-100"),
    "contrast": ("Contrast", "SD of L*"),
    "sharpness": ("Sharpness", "1 / pixel²"),
    "saturation": ("Saturation", "mean of HSV, 0-1"),
    "haematoxylin": ("Haematoxylin", "mean optical density"),
    "eosin": ("Eosin", "mean optical density"),
    "background_red": ("Background, red", "0-255"),
    "background_green": ("Background, green", "0-255"),
    "background_blue": ("Background, blue", "0-255"),
}

_BLACK = 32  # padding of turned images, after JPEG has carried light into it
_REACH = 8  # pixels: a JPEG block, so far the border's edge rings, stronger than any other edge
_SMOOTHING = 1.5  # pixels; without it the noise of rounding to 8 bits outweighs many an edge
_FLAT = 1e-6  # squared grey levels: what rounding leaves of the gradient of a flat image
_DENSITY = -np.log10(np.maximum(np.arange(256), 1) / 255).astype(np.float32)  # of a grey level
_STAINS = np.ascontiguousarray(hed_from_rgb[:, :2].T, np.float32)  # haematoxylin, eosin


def measure_files(
    paths: Sequence[str | os.PathLike],
    *,
    max_pixels: int,
    workers: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Measure image files at full size, in threads.

    Parameters
    ----------
    paths
        Readable image files, such as those of a manifest whose status is ``ok``.
    max_pixels
        Larger files are refused before they are decoded.
    workers
        Threads; None for one per core.
    progress
        Show a progress bar, if standard error is a terminal.

    Returns
    -------
    DataFrame
        A row per path, in order, numbered from 0; float64 columns as in ``MEASUREMENTS``, see
        :func:`measure_image`.

    Raises
    ------
    UnreadableImageError
        If a file cannot be read; the message names it.
    """
    measure = partial(_measure_file, max_pixels=max_pixels)
    rows = map_threads(measure, paths, title="Measuring images", workers=workers, progress=progress)
    return pd.DataFrame(rows, columns=list(MEASUREMENTS), dtype=float)


def measure_image(pixels: np.ndarray) -> dict[str, float]:
    """Measure an image without its black border and 8 pixels, a block of JPEG, around that.

    Parameters
    ----------
    pixels
        RGB, uint8, ``[H, W, 3]``.

    Returns
    -------
    dict
        A float per key of ``MEASUREMENTS``:

        - ``black_border``: share of pixels in :func:`black_border`, 0 to 1.
        - ``brightness``, ``contrast``: mean and SD of CIELAB's L*, 0 to 100.
        - ``sharpness``: variance of the Laplacian of the luminance over the mean of its squared
          gradient [1]_, both after a Gaussian blur of 1.5 pixels against noise, per squared pixel
          of the file. Brightness and contrast cancel, and so does how much of the image is edge:
          edges that are blurred by a Gaussian of sigma pixels have ``1 / (2 (sigma² + 1.5²))``.
        - ``saturation``: mean of HSV's S, 0 to 1.
        - ``haematoxylin``, ``eosin``: mean optical density (base 10, against white) by the stain
          matrix of Ruifrok and Johnston [2]_, negative densities counted as 0: six times the mean
          of ``skimage.color.rgb2hed``, but for channels at 0, which count as 1 of 255.
        - ``background_red``, ``_green``, ``_blue``: median colour of the brightest, least saturated
          tenth (highest minimum of red, green and blue), 0 to 255.

        NaN where nothing can be said: all but ``black_border`` where no pixel is left,
        ``sharpness`` of a flat image.

    References
    ----------
    .. [1] Pertuz, Puig and Garcia, Analysis of focus measure operators for shape-from-focus,
       Pattern Recognition 46, 2013, reviews both energies.
    .. [2] Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution,
       Analytical and Quantitative Cytology and Histology 23, 2001.

    Examples
    --------
    >>> image = np.full((60, 80, 3), 255, np.uint8)
    >>> image[:15] = 0
    >>> measures = measure_image(image)
    >>> measures["black_border"], measures["brightness"], measures["contrast"]
    (0.25, 100.0, 0.0)
    """
    border = black_border(pixels)
    measured = {"black_border": cv2.countNonZero(border) / border.size}
    inside = cv2.erode(cv2.bitwise_not(border), np.ones((2 * _REACH + 1, 2 * _REACH + 1)))
    if not inside.any():
        return dict.fromkeys(MEASUREMENTS, np.nan) | measured
    lightness = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB)[..., 0]  # 0-255
    mean, deviation = _mean_and_deviation(lightness, inside)
    haematoxylin, eosin = _stain_densities(pixels, inside)
    red, green, blue = _background(pixels, inside)
    return measured | {
        "brightness": mean / 2.55,
        "contrast": deviation / 2.55,
        "sharpness": _sharpness(pixels, inside),
        "saturation": cv2.mean(cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV), inside)[1] / 255,
        "haematoxylin": haematoxylin,
        "eosin": eosin,
        "background_red": red,
        "background_green": green,
        "background_blue": blue,
    }


def black_border(pixels: np.ndarray) -> np.ndarray:
    """Find the black that reaches the edge of the image: padding of turned or shifted copies.

    Parameters
    ----------
    pixels
        RGB, uint8, ``[H, W, 3]``.

    Returns
    -------
    np.ndarray
        uint8, ``[H, W]``: 255 on pixels with all channels at 32 or below that are connected (up,
        down, left, right) to the edge of the image, 0 elsewhere.

    Examples
    --------
    >>> image = np.full((4, 6, 3), 200, np.uint8)
    >>> image[:, 0] = image[2, 3] = 0  # padding on the left, and a dark spot within
    >>> black_border(image)[2].tolist()
    [255, 0, 0, 0, 0, 0]
    """
    black = cv2.inRange(pixels, (0, 0, 0), (_BLACK, _BLACK, _BLACK))
    return cv2.bitwise_not(fill_holes(cv2.bitwise_not(black)))


def _measure_file(path: str | os.PathLike, max_pixels: int) -> dict[str, float]:
    try:
        return measure_image(read_image(path, max_pixels=max_pixels).pixels)
    except UnreadableImageError as reason:
        raise UnreadableImageError(f"{path} cannot be measured: {reason}") from None


def _sharpness(pixels: np.ndarray, inside: np.ndarray) -> float:
    luminance = cv2.cvtColor(pixels.astype(np.float32), cv2.COLOR_RGB2GRAY)
    luminance = cv2.GaussianBlur(luminance, (0, 0), _SMOOTHING)
    (gradient_x, deviation_x), (gradient_y, deviation_y) = (
        _mean_and_deviation(cv2.Sobel(luminance, cv2.CV_32F, *axis, ksize=1, scale=0.5), inside)
        for axis in ((1, 0), (0, 1))
    )
    _, curvature = _mean_and_deviation(cv2.Laplacian(luminance, cv2.CV_32F), inside)
    energy = gradient_x**2 + deviation_x**2 + gradient_y**2 + deviation_y**2
    return curvature**2 / energy if energy > _FLAT else np.nan


def _stain_densities(pixels: np.ndarray, inside: np.ndarray) -> tuple[float, ...]:
    stains = cv2.transform(cv2.LUT(pixels, _DENSITY), _STAINS)
    return cv2.mean(np.maximum(stains, 0), inside)[:2]


def _background(pixels: np.ndarray, inside: np.ndarray) -> np.ndarray:
    red, green, blue = cv2.split(pixels)
    least = cv2.min(cv2.min(red, green), blue)  # high only where bright and hardly saturated
    bright = least >= np.quantile(least[inside > 0], 0.9)
    return np.median(pixels[bright & (inside > 0)], axis=0)


def _mean_and_deviation(values: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    mean, deviation = cv2.meanStdDev(values, mask=where)
    return mean.item(), deviation.item()
