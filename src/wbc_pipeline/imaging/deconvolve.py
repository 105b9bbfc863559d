"""Deblurring by deconvolution with a known point spread: Wiener, Richardson-Lucy, unsupervised.

Each channel is restored by itself, as scikit-image does. Borders are mirrored, as the edge of the
image would otherwise ring into it: point spreads are symmetric, so cosines do what Fourier's waves
do on a mirrored image of four times the size. That is why these are not scikit-image's functions:
on the mirrored image those give the same (the tests compare them) in four times the time.
"""

import cv2
import numpy as np
from scipy.fft import dctn, idctn
from skimage.util import img_as_float32, img_as_ubyte

from wbc_pipeline.imaging.batches import over_batch, require_positive
from wbc_pipeline.imaging.denoise import median_filter

_LAPLACIAN = np.float32([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
_TINY = 1e-12  # against division by 0
_BURN_IN, _FEWEST, _MOST = 16, 16, 184  # samples of the unsupervised method
_SETTLED = 1e-4  # relative change of their mean


def point_spread(psf: str = "gaussian", *, size: float = 1.5) -> np.ndarray:
    """Image of a point under blur.

    Parameters
    ----------
    psf
        ``gaussian`` (diffraction, many small blurs together) or ``disc`` (defocus).
    size
        Above 0, in pixels: standard deviation of the Gaussian, cut off at three of them, or
        radius of the disc, whose rim is smoothed. Near 0 a single pixel, which blurs nothing.

    Returns
    -------
    np.ndarray
        float32, ``[S, S]`` with S odd, sums to 1.

    Examples
    --------
    >>> (point_spread("disc", size=1) > 0.1).astype(int)
    array([[0, 1, 0],
           [1, 1, 1],
           [0, 1, 0]])
    """
    require_positive(size=size)
    reach = int(np.ceil(3 * size if psf == "gaussian" else size))
    distance = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    if psf == "gaussian":
        spread = np.exp(-((distance / size) ** 2) / 2)
    elif psf == "disc":
        spread = np.clip(size + 0.5 - distance, 0, 1)
    else:
        raise ValueError(f"no point spread {psf!r}; known: disc, gaussian")
    return (spread / spread.sum()).astype(np.float32)


@over_batch
def wiener(
    image: np.ndarray, *, psf: str = "gaussian", size: float = 1.5, balance: float = 0.01
) -> np.ndarray:
    """Wiener-Hunt deconvolution: invert the blur where it left a signal.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``.
    psf, size
        See `point_spread`.
    balance
        Above 0. Weight of smoothness against sharpness: near 0 noise explodes, from about 10 up
        the result is smoother than the image.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`.

    References
    ----------
    B. R. Hunt, "The application of constrained least squares estimation to image restoration by
    digital computer", IEEE Transactions on Computers 22(9), 1973.

    Examples
    --------
    >>> image = np.full((32, 32, 3), 100, np.uint8)
    >>> image[:, 16:] = np.linspace(100, 150, 16).astype(np.uint8)[:, None]
    >>> bool(wiener(image).std() > image.std())
    True
    """
    require_positive(balance=balance)
    shape = image.shape[:2]
    blur, roughness = _gains(point_spread(psf, size=size), shape), _gains(_LAPLACIAN, shape)
    inverse = blur / (blur**2 + balance * roughness**2)
    return _from_cosines(inverse * _to_cosines(image))


@over_batch
def richardson_lucy(
    image: np.ndarray, *, psf: str = "gaussian", size: float = 1.5, iterations: int = 10
) -> np.ndarray:
    """Richardson-Lucy deconvolution: the likeliest image if the noise is that of photons.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``.
    psf, size
        See `point_spread`.
    iterations
        At least 1. More are sharper, and noisier; time grows with them.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`.

    References
    ----------
    W. H. Richardson, "Bayesian-based iterative method of image restoration", JOSA 62(1), 1972.
    L. B. Lucy, "An iterative technique for the rectification of observed distributions", The
    Astronomical Journal 79, 1974.

    Examples
    --------
    >>> image = np.full((32, 32, 3), 100, np.uint8)
    >>> image[12:20, 12:20] = 150
    >>> int(richardson_lucy(image).max()) > 150
    True
    """
    require_positive(iterations=iterations)
    spread = point_spread(psf, size=size)
    pixels = img_as_float32(image)
    restored = np.full_like(pixels, 0.5)
    for _ in range(iterations):
        restored *= _blurred(pixels / (_blurred(restored, spread) + _TINY), spread)
    return img_as_ubyte(restored.clip(0, 1))


@over_batch
def unsupervised_wiener(
    image: np.ndarray, *, psf: str = "gaussian", size: float = 1.5
) -> np.ndarray:
    """Wiener-Hunt deconvolution that estimates its own balance from each channel.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``.
    psf, size
        See `point_spread`.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`. The estimate is drawn by a Gibbs sampler with a fixed seed:
        the same image always gives the same result.

    References
    ----------
    F. Orieux, J.-F. Giovannelli and T. Rodet, "Bayesian estimation of regularization and point
    spread function parameters for Wiener-Hunt deconvolution", JOSA A 27(7), 2010.

    Examples
    --------
    >>> image = np.full((32, 32, 3), 100, np.uint8)
    >>> image[12:20, 12:20] = 150
    >>> unsupervised_wiener(image).shape
    (32, 32, 3)
    """
    shape = image.shape[:2]
    blur, roughness = _gains(point_spread(psf, size=size), shape), _gains(_LAPLACIAN, shape)
    channels = _to_cosines(image)
    return _from_cosines(np.stack([_posterior_mean(c, blur, roughness) for c in channels]))


def deblur(
    image: np.ndarray, *, size: int = 3, sigma: float = 1.0, balance: float = 0.05
) -> np.ndarray:
    """Take specks out by a median, then undo a Gaussian blur by `wiener`.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``.
    size
        Side of the median's window, odd; 1 for no median.
    sigma
        Above 0. Standard deviation of the blur that is undone, in pixels.
    balance
        See `wiener`. More than there by default, as here no blur is known.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`.

    Examples
    --------
    >>> image = np.full((32, 32, 3), 100, np.uint8)
    >>> image[:, 16:] = np.linspace(100, 150, 16).astype(np.uint8)[:, None]
    >>> speckled = image.copy()
    >>> speckled[8, 8] = 255
    >>> int(deblur(speckled)[8, 8].max()) < 110, bool(deblur(image).std() > image.std())
    (True, True)
    """
    return wiener(median_filter(image, size=size), size=sigma, balance=balance)


def _posterior_mean(observed: np.ndarray, blur: np.ndarray, roughness: np.ndarray) -> np.ndarray:
    """Mean of samples of the sharp image's cosines, as in ``restoration.unsupervised_wiener``."""
    random = np.random.default_rng(0)
    blur_power, roughness_power = blur**2, roughness**2
    noise = prior = 1.0  # precisions, drawn anew after each sample
    total = np.zeros_like(observed)
    for number in range(1 - _BURN_IN, _MOST + 1):
        precision = noise * blur_power + prior * roughness_power
        sample = random.standard_normal(observed.shape, np.float32) / np.sqrt(precision)
        sample += noise * blur * observed / precision
        misfit = np.square(observed - blur * sample).sum()
        bending = np.square(roughness * sample).sum()
        noise = random.gamma(observed.size / 2, 2 / max(misfit, _TINY))
        prior = random.gamma((observed.size - 1) / 2, 2 / max(bending, _TINY))
        if number > 0:
            total += sample
        if number >= _FEWEST:
            change = np.abs(sample - total / number).sum() / (number - 1)
            if change < _SETTLED * np.abs(total).sum() * number:
                break
    return total / number


def _gains(kernel: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Factors by which a symmetric kernel scales the cosines of a mirrored image."""
    offsets = np.arange(len(kernel)) - len(kernel) // 2
    down, across = (np.cos(np.pi / side * np.outer(np.arange(side), offsets)) for side in shape)
    return (down @ kernel @ across.T).astype(np.float32)


def _to_cosines(image: np.ndarray) -> np.ndarray:  # [3, H, W]
    channels = np.moveaxis(img_as_float32(image), -1, 0)
    return dctn(channels, axes=(1, 2), norm="ortho")


def _from_cosines(cosines: np.ndarray) -> np.ndarray:
    channels = idctn(cosines, axes=(1, 2), norm="ortho")
    return np.dstack(img_as_ubyte(channels.clip(0, 1)))


def _blurred(pixels: np.ndarray, spread: np.ndarray) -> np.ndarray:
    return cv2.filter2D(pixels, -1, spread, borderType=cv2.BORDER_REFLECT)
