"""Padding in the colour of the image's own background."""

import cv2
import numpy as np

from wbc_pipeline.imaging.batches import require_rgb

_FRAME = 16  # the frame that shows the background is a sixteenth of the shorter side wide


def pad_square(image: np.ndarray) -> np.ndarray:
    """Pad an image to a square, so that a resize keeps its proportions.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.

    Returns
    -------
    np.ndarray
        RGB, uint8, ``[S, S, 3]``, S being the longer side, with the image in the middle; a square
        image as it is. What is added has one colour, `background_colour`: no black bars, whose
        edges a network would learn.

    Examples
    --------
    >>> image = np.full((40, 60, 3), (240, 220, 230), np.uint8)
    >>> padded = pad_square(image)
    >>> padded.shape, bool((padded == image[0, 0]).all())
    ((60, 60, 3), True)
    """
    require_rgb(image, batch=False)
    height, width = image.shape[:2]
    side = max(height, width)
    above, left = (side - height) // 2, (side - width) // 2
    around = (above, side - height - above, left, side - width - left)
    colour = background_colour(image).tolist()
    return cv2.copyMakeBorder(image, *around, cv2.BORDER_CONSTANT, value=colour)


def background_colour(image: np.ndarray) -> np.ndarray:
    """Give the commonest colour along the rim of an image: the median of each channel.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.

    Returns
    -------
    np.ndarray
        RGB, uint8, ``[3]``. A cell that reaches into the rim does not count as long as more than
        half of the rim is free of it.

    Examples
    --------
    >>> image = np.full((40, 60, 3), 230, np.uint8)
    >>> image[10:, 20:40] = 90
    >>> background_colour(image).tolist()
    [230, 230, 230]
    """
    width = max(1, min(image.shape[:2]) // _FRAME)
    inside = np.zeros(image.shape[:2], bool)
    inside[width:-width, width:-width] = True
    return np.median(image[~inside], axis=0).round().astype(np.uint8)
