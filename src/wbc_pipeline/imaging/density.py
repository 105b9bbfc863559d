"""Optical density relative to an image's own ground, and the stain that red cells lack.

Nothing here is a fixed hue: slides of another laboratory have another light, another ground and
another strength of stain, but on each of them nuclei absorb more red and green light, for the blue
that they absorb, than the red cells beside them.
"""

import cv2
import numpy as np

PRESENT = 0.06  # density of green from which on a pixel holds something

_BLACK = 12  # padding of rotated images, after JPEG
_MODE_SD = 4  # of the histogram's smoothing, in grey levels
_MODE_HEIGHT = 0.2  # a mode below this share of the highest is none
_MODE_WIDTH = 6  # grey levels around a mode that are of it
_RATIO_QUANTILE = 25  # per cent; red cells have the lowest ratios of an image
_RATIOS = (0.4, 1.5)  # of red cells, whatever the stain
_FEWEST = 50  # pixels that tell a ratio


def ground_colour(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the colour of the empty ground: the brightest mode of green.

    Green is what both red cells and nuclei absorb, so the ground is brightest there even where it
    is yellow or dim. A mode has at least 20 % of the height of the highest.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.

    Returns
    -------
    colour : np.ndarray
        float64 ``[3]``, 0 to 255: the median of the pixels near that mode.
    near : np.ndarray
        bool ``[H, W]``: these pixels.

    Examples
    --------
    >>> image = np.full((48, 64, 3), (220, 225, 150), np.uint8)
    >>> image[:, :40] = 200, 150, 140  # more red cells than ground
    >>> colour, near = ground_colour(image)
    >>> colour.tolist(), int(near.sum())
    ([220.0, 225.0, 150.0], 1152)
    """
    green = image[..., 1]
    counts = np.bincount(green.ravel(), minlength=256).astype(float)
    if counts[_BLACK:].any():
        counts[:_BLACK] = 0
    kernel = cv2.getGaussianKernel(6 * _MODE_SD + 1, _MODE_SD).ravel()
    smooth = np.convolve(counts, kernel, "same")
    beside = np.pad(smooth, 1)
    modes = (smooth >= beside[:-2]) & (smooth > beside[2:])
    mode = int(np.flatnonzero(modes & (smooth > _MODE_HEIGHT * smooth.max())).max())
    near = cv2.inRange(green, mode - _MODE_WIDTH, mode + _MODE_WIDTH) > 0
    if not near.any():  # between the levels that occur
        near = green == green.flat[np.abs(green.ravel() - float(mode)).argmin()]
    return np.median(image[near], axis=0), near


def optical_density(image: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Natural logarithm of the ground's light over that of each pixel (Beer and Lambert).

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    ground
        Colour of `ground_colour`.

    Returns
    -------
    np.ndarray
        float32 ``[H, W, 3]``: 0 on the ground, up to 5.5 on black, below 0 where it is brighter.

    Examples
    --------
    >>> optical_density(np.full((1, 1, 3), 99, np.uint8), np.array([199, 99, 49])).round(2)
    array([[[ 0.69,  0.  , -0.69]]], dtype=float32)
    """
    levels = np.arange(1, 257, dtype=np.float32)
    table = np.log((np.float32(ground) + 1) / levels[:, None])  # [256, 3]
    return cv2.LUT(image, table[:, None].transpose(1, 0, 2))


def red_cell_ratio(density: np.ndarray) -> float:
    """Estimate what red cells absorb of red and green for each unit of blue.

    Parameters
    ----------
    density
        Of `optical_density`.

    Returns
    -------
    float
        0.4 to 1.5. The first quartile over all pixels that hold something; without red cells that
        of cytoplasm, and 0.6 for an empty image.

    Examples
    --------
    >>> red_cell_ratio(np.full((9, 9, 3), (0.1, 0.3, 0.25), np.float32))
    0.8
    """
    held = density[density[..., 1] > PRESENT]
    if len(held) < _FEWEST:
        return 0.6
    ratios = _red_and_green(held) / np.maximum(held[:, 2], 0.03)
    return round(float(np.clip(np.percentile(ratios, _RATIO_QUANTILE), *_RATIOS)), 6)


def violet_density(density: np.ndarray, ratio: float) -> np.ndarray:
    """Density of red and green beyond that of red cells: high in nuclei, about 0 in red cells.

    Parameters
    ----------
    density
        Of `optical_density`, ``[..., 3]``.
    ratio
        Of `red_cell_ratio`.

    Returns
    -------
    np.ndarray
        float32 ``[...]``.

    Examples
    --------
    >>> red_cell, nucleus = (0.1, 0.3, 0.25), (0.8, 1.6, 0.3)
    >>> violet_density(np.float32([red_cell, nucleus]), 0.8).round(2)
    array([0.  , 0.96], dtype=float32)
    """
    return _red_and_green(density) - np.float32(ratio) * np.maximum(density[..., 2], 0)


def _red_and_green(density: np.ndarray) -> np.ndarray:
    return (density[..., 0] + density[..., 1]) / 2
