"""Filters against noise: median, bilateral, Gaussian, non-local means, total variation, wavelets.

All leave a flat image as it is and reflect or repeat the borders. Lengths are in pixels of the
image that is given, strengths in grey levels of 0 to 255 unless said otherwise.
"""

import cv2
import numpy as np
from skimage.restoration import denoise_tv_chambolle, denoise_wavelet
from skimage.util import img_as_float32, img_as_ubyte

from wbc_pipeline.imaging.batches import over_batch, require_odd, require_positive


@over_batch
def median_filter(image: np.ndarray, *, size: int = 3) -> np.ndarray:
    """Median of each channel in a square window: removes specks, keeps straight edges.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``. Borders repeat.
    size
        Side of the window, odd; 1 changes nothing.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`.

    References
    ----------
    T. S. Huang, G. J. Yang and G. Y. Tang, "A fast two-dimensional median filtering algorithm",
    IEEE Transactions on Acoustics, Speech and Signal Processing 27(1), 1979.

    Examples
    --------
    >>> image = np.full((8, 8, 3), 200, np.uint8)
    >>> image[4, 4] = 0
    >>> int(median_filter(image).min())
    200
    """
    require_odd(size=size)
    return cv2.medianBlur(image, size)


@over_batch
def bilateral_filter(
    image: np.ndarray, *, sigma_space: float = 2.0, sigma_colour: float = 40.0
) -> np.ndarray:
    """Gaussian mean over near pixels of a like colour: smooths surfaces, keeps edges.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``. Borders reflect.
    sigma_space
        Above 0. Standard deviation of the weight over distance, in pixels.
    sigma_colour
        Above 0. Standard deviation of the weight over the colour difference (absolute differences
        summed over the channels, 0 to 765). Near 0 nothing changes; beyond 765 every colour is
        like every other, which is a Gaussian blur.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`.

    References
    ----------
    C. Tomasi and R. Manduchi, "Bilateral filtering for gray and color images", ICCV 1998.

    Examples
    --------
    >>> image = np.full((8, 8, 3), 100, np.uint8)
    >>> image[:, 4:] = 250
    >>> bool((bilateral_filter(image) == image).all())  # the edge stays
    True
    """
    require_positive(sigma_space=sigma_space, sigma_colour=sigma_colour)
    return cv2.bilateralFilter(image, -1, sigma_colour, sigma_space, borderType=cv2.BORDER_REFLECT)


@over_batch
def gaussian_filter(image: np.ndarray, *, sigma: float = 1.0) -> np.ndarray:
    """Gaussian mean of each channel: smooths noise and edges alike.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``. Borders reflect.
    sigma
        Above 0. Standard deviation in pixels; below about 0.3 nothing changes.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`.

    References
    ----------
    T. Lindeberg, "Scale-space for discrete signals", IEEE PAMI 12(3), 1990.

    Examples
    --------
    >>> image = np.zeros((9, 9, 3), np.uint8)
    >>> image[4, 4] = 255
    >>> gaussian_filter(image)[4, 3:6, 0].tolist()
    [25, 40, 25]
    """
    require_positive(sigma=sigma)
    return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)


@over_batch
def non_local_means(
    image: np.ndarray, *, strength: float = 10.0, patch: int = 5, window: int = 15
) -> np.ndarray:
    """Mean over pixels whose surroundings look alike, wherever they lie in a window.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``. Borders reflect.
    strength
        Above 0. How different two patches may be, in grey levels: about the standard deviation
        of the noise. Near 0 nothing changes, large values blur.
    patch, window
        Sides of the compared patches and of the searched window, odd. Time grows with the area
        of the window. A window of 1 changes nothing.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`.

    References
    ----------
    A. Buades, B. Coll and J.-M. Morel, "A non-local algorithm for image denoising", CVPR 2005.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(128, 10, (32, 32, 3)).astype(np.uint8)
    >>> bool(non_local_means(noise).std() < noise.std() / 2)
    True
    """
    require_positive(strength=strength)
    require_odd(patch=patch, window=window)
    return cv2.fastNlMeansDenoising(
        image, h=strength, templateWindowSize=patch, searchWindowSize=window
    )


@over_batch
def total_variation(image: np.ndarray, *, weight: float = 0.1) -> np.ndarray:
    """Image of small total variation near the given one: flat patches with sharp rims.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``.
    weight
        Above 0, for intensities of 0 to 1. Near 0 nothing changes; from about 1 up only the
        largest shapes are left.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`.

    References
    ----------
    A. Chambolle, "An algorithm for total variation minimization and applications", Journal of
    Mathematical Imaging and Vision 20, 2004.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(128, 10, (32, 32, 3)).astype(np.uint8)
    >>> bool(total_variation(noise).std() < noise.std() / 2)
    True
    """
    require_positive(weight=weight)
    denoised = denoise_tv_chambolle(img_as_float32(image), weight, channel_axis=-1)
    return img_as_ubyte(denoised.clip(0, 1))


@over_batch
def wavelet(image: np.ndarray, *, sigma: float | None = None) -> np.ndarray:
    """Shrink wavelet coefficients (Daubechies 2, BayesShrink) of luma and chroma.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``.
    sigma
        Standard deviation of the noise in grey levels, above 0; None estimates it from the finest
        coefficients of each channel. Near 0 nothing changes; beyond the standard deviation of the
        image itself only its coarsest level is left.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`.

    References
    ----------
    S. G. Chang, B. Yu and M. Vetterli, "Adaptive wavelet thresholding for image denoising and
    compression", IEEE Transactions on Image Processing 9(9), 2000.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(128, 10, (128, 128, 3)).astype(np.uint8)
    >>> bool(wavelet(noise).std() < noise.std() / 2)
    True
    """
    if sigma is not None:
        require_positive(sigma=sigma)
        sigma /= 255
    denoised = denoise_wavelet(
        img_as_float32(image), sigma, wavelet="db2", convert2ycbcr=True, channel_axis=-1
    )
    return img_as_ubyte(denoised.clip(0, 1))
