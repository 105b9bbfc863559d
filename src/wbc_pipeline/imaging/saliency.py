"""Saliency as an image: what stands out is bright."""

import cv2
import numpy as np

from wbc_pipeline.imaging.segment import saliency_map


def saliency_image(image: np.ndarray, *, edges: float = 0.3, sigma: float = 0.02) -> np.ndarray:
    """Show how much each pixel stands out, see `segment.saliency_map`.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    edges, sigma
        See `segment.saliency_map`.

    Returns
    -------
    np.ndarray
        uint8, ``[H, W, 3]``, three equal channels, 0 to 255; black for a flat image.

    Raises
    ------
    ValueError
        See `segment.saliency_map`.

    Examples
    --------
    >>> image = np.full((64, 64, 3), 230, np.uint8)
    >>> image[20:40, 20:40] = 90, 40, 150
    >>> prior = saliency_image(image)
    >>> prior.shape, bool(prior[30, 30].min() > 150), bool(prior[5, 5].max() < 50)
    ((64, 64, 3), True, True)
    """
    saliency = saliency_map(image, edges=edges, sigma=sigma)
    return cv2.merge([np.rint(255 * saliency).astype(np.uint8)] * 3)
