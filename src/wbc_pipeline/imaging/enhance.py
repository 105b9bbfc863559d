"""Contrast and sharpness: CLAHE, histogram equalisation, gamma, unsharp masking.

Contrast is changed on the lightness L of CIELAB alone, so that hue and chroma, which tell the
stains apart, stay, as far as sRGB and CIELAB in 8 bits a channel can show them: nine in ten colours
come back from there within 3 levels, glaring ones, which no stain has, within 26.
"""

from collections.abc import Callable

import cv2
import numpy as np

from wbc_pipeline.imaging.batches import over_batch, require_positive

_LEVELS = np.arange(256, dtype=np.uint8)


@over_batch
def clahe(image: np.ndarray, *, clip_limit: float = 2.0, tiles: int = 8) -> np.ndarray:
    """Equalise the lightness tile by tile, with a limit on how much contrast may grow.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``.
    clip_limit
        Above 0. Largest bin of a tile's histogram, as a multiple of the mean bin: near 0 hardly
        any contrast is added, 2 to 4 is usual, 256 is equalisation without a limit.
    tiles
        At least 1. Tiles per side; 1 equalises the image as a whole.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`. A flat image stays flat, but becomes somewhat brighter.

    References
    ----------
    K. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994.

    Examples
    --------
    >>> ramp = np.tile(np.linspace(100, 150, 64).astype(np.uint8)[:, None, None], (1, 64, 3))
    >>> bool(clahe(ramp, tiles=2).std() > ramp.std())
    True
    """
    require_positive(clip_limit=clip_limit, tiles=tiles)
    return _on_lightness(image, cv2.createCLAHE(clip_limit, (tiles, tiles)).apply)


@over_batch
def equalise_histogram(image: np.ndarray) -> np.ndarray:
    """Spread the lightness evenly over its whole range.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``. Each image has its own histogram.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`; the order of lightnesses stays. An image of one lightness
        keeps it.

    References
    ----------
    R. C. Gonzalez and R. E. Woods, "Digital Image Processing", 4th ed., section 3.3, 2018.

    Examples
    --------
    >>> ramp = np.tile(np.linspace(100, 150, 64).astype(np.uint8)[:, None, None], (1, 64, 3))
    >>> spread = equalise_histogram(ramp)
    >>> int(spread.min()), int(spread.max())
    (0, 255)
    """
    return _on_lightness(image, cv2.equalizeHist)


@over_batch
def gamma(image: np.ndarray, *, exponent: float = 0.8) -> np.ndarray:
    """Raise intensities, taken as 0 to 1, to a power.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``.
    exponent
        Above 0. Below 1 brightens, 1 changes nothing, above 1 darkens.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`; 0 and 255 stay.

    References
    ----------
    R. C. Gonzalez and R. E. Woods, "Digital Image Processing", 4th ed., section 3.2, 2018.

    Examples
    --------
    >>> gamma(np.full((8, 8, 3), 64, np.uint8), exponent=0.5)[0, 0].tolist()
    [128, 128, 128]
    """
    from skimage.exposure import adjust_gamma  # takes longer than all of this module's others

    require_positive(exponent=exponent)
    return cv2.LUT(image, adjust_gamma(_LEVELS, exponent))


@over_batch
def unsharp_mask(image: np.ndarray, *, radius: float = 1.5, amount: float = 1.0) -> np.ndarray:
    """Sharpen: add what a Gaussian blur takes away (Gaussian deblurring).

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``. Borders reflect.
    radius
        Above 0. Standard deviation of the blur in pixels: the scale of the detail that is lifted.
    amount
        At least 0, the share of the detail that is added; 0 changes nothing. Results outside 0 to
        255 are clipped, so large amounts give halos and burnt-out rims.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`.

    References
    ----------
    A. Polesel, G. Ramponi and V. J. Mathews, "Image enhancement via adaptive unsharp masking",
    IEEE Transactions on Image Processing 9(3), 2000.

    Examples
    --------
    >>> image = np.full((8, 8, 3), 100, np.uint8)
    >>> image[:, 4:] = 150
    >>> sharp = unsharp_mask(image)
    >>> int(sharp.min()) < 100, int(sharp.max()) > 150
    (True, True)
    """
    require_positive(radius=radius)
    if not amount >= 0:
        raise ValueError(f"amount must be at least 0, not {amount}")
    blurred = cv2.GaussianBlur(image, (0, 0), radius, borderType=cv2.BORDER_REFLECT)
    return cv2.addWeighted(image, 1 + amount, blurred, -amount, 0)


def _on_lightness(image: np.ndarray, function: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)  # in floats it would take three times as long
    lab[..., 0] = function(lab[..., 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
