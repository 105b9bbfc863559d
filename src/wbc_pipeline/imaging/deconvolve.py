"""Deblurring by deconvolution with a known point spread: Wiener, Richardson-Lucy, unsupervised.

Each channel is restored by itself. Borders are mirrored first, and what that adds is cut off
again, as the edge of the image would otherwise ring into it.
"""

from collections.abc import Callable

import numpy as np
from skimage import restoration
from skimage.util import img_as_float32, img_as_ubyte

from wbc_pipeline.imaging.batches import over_batch, require_positive


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
    spread = point_spread(psf, size=size)
    return _restored(
        image,
        _whole_periods(image, spread),
        lambda channel: restoration.wiener(channel, spread, balance),
    )


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
    frame = (2 * len(spread), 2 * len(spread))
    return _restored(
        image,
        [frame, frame],
        lambda channel: restoration.richardson_lucy(channel, spread, iterations),
    )


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
    spread = point_spread(psf, size=size)
    return _restored(
        image,
        _whole_periods(image, spread),
        lambda channel: restoration.unsupervised_wiener(channel, spread, rng=0)[0],
    )


def _whole_periods(image: np.ndarray, spread: np.ndarray) -> list[tuple[int, int]]:
    """Widths that mirror an image to whole periods: Fourier's wrap-around then meets no edge."""
    periods = [2 * side * -(-len(spread) // (2 * side)) for side in image.shape[:2]]
    return [(0, period - side) for period, side in zip(periods, image.shape[:2], strict=True)]


def _restored(
    image: np.ndarray,
    widths: list[tuple[int, int]],
    restore: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    padded = np.pad(img_as_float32(image), [*widths, (0, 0)], "symmetric")
    restored = np.dstack([restore(channel) for channel in np.moveaxis(padded, -1, 0)])
    (height, width, _), ((top, _), (left, _)) = image.shape, widths
    return img_as_ubyte(restored[top : top + height, left : left + width].clip(0, 1))
