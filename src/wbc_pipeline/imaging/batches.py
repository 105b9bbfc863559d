"""Helpers of the image functions: batches, and checks of parameters."""

from collections.abc import Callable
from functools import wraps
from math import inf

import numpy as np


def over_batch(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Extend a function of one image to batches, image by image.

    Parameters
    ----------
    function
        RGB uint8 ``[H, W, 3]`` in, RGB uint8 of the same shape out; its options are keywords.

    Returns
    -------
    Callable
        The same for ``[H, W, 3]`` or ``[N, H, W, 3]``, N = 0 included. It raises a ValueError for
        anything else, and never modifies what it is given.

    Examples
    --------
    >>> negative = over_batch(lambda image, *, white=255: white - image)
    >>> negative(np.zeros((5, 16, 16, 3), np.uint8)).shape
    (5, 16, 16, 3)
    """

    @wraps(function)
    def on_one_or_many(images: np.ndarray, **options) -> np.ndarray:
        require_rgb(images)
        if images.ndim == 3:
            return function(np.ascontiguousarray(images), **options)
        results = np.empty(images.shape, np.uint8)
        for image, result in zip(images, results, strict=True):
            result[...] = function(np.ascontiguousarray(image), **options)
        return results

    return on_one_or_many


def require_rgb(images: np.ndarray, *, batch: bool = True) -> None:
    """Raise a ValueError unless this is RGB uint8 ``[H, W, 3]`` or, with `batch`, ``[N, H, W, 3]``.

    Examples
    --------
    >>> require_rgb(np.zeros((5, 16, 16, 3), np.uint8))
    >>> require_rgb(np.zeros((16, 16, 3)))
    Traceback (most recent call last):
    ...
    ValueError: expected RGB uint8 [H, W, 3] or [N, H, W, 3], got float64 [16, 16, 3]
    """
    known = "[H, W, 3] or [N, H, W, 3]" if batch else "[H, W, 3]"
    dimensions = (3, 4) if batch else (3,)
    if images.dtype != np.uint8 or images.ndim not in dimensions or images.shape[-1] != 3:
        raise ValueError(f"expected RGB uint8 {known}, got {images.dtype} {list(images.shape)}")


def require_positive(**values: float) -> None:
    """Raise a ValueError that names the first value that is not finite and above 0.

    Examples
    --------
    >>> require_positive(sigma=1.5)
    >>> require_positive(sigma=0)
    Traceback (most recent call last):
    ...
    ValueError: sigma must be above 0 and finite, not 0
    """
    for name, value in values.items():
        if not 0 < value < inf:
            raise ValueError(f"{name} must be above 0 and finite, not {value}")


def require_odd(**values: int) -> None:
    """Raise a ValueError that names the first value that is not an odd number from 1 up.

    Examples
    --------
    >>> require_odd(size=3)
    >>> require_odd(size=4)
    Traceback (most recent call last):
    ...
    ValueError: size must be odd and at least 1, not 4
    """
    for name, value in values.items():
        if value < 1 or value % 2 != 1:
            raise ValueError(f"{name} must be odd and at least 1, not {value}")
