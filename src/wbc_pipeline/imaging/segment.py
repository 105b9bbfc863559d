"""Classical segmentation: colour limits, Otsu, watershed, saliency, and repairs of a mask.

Every function is pure. Images are RGB, uint8, ``[H, W, 3]``; masks uint8, ``[H, W]``, 255 on the
object and 0 elsewhere, and empty where there is nothing to find. Limits of violet depend on the
stain: the defaults suit nuclei in Wright and Giemsa stains, not the red ones of a rapid stain.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from wbc_pipeline.imaging.edges import CHANNELS

#: What Otsu's threshold can be put on; the object is bright in the first, dark in the others.
OTSU_CHANNELS = ("saturation", "green", "stain")


def violet_mask_hsv(
    image: np.ndarray,
    *,
    lower: Sequence[int] = (115, 80, 0),
    upper: Sequence[int] = (165, 255, 255),
) -> np.ndarray:
    """Isolate violet by limits on hue, saturation and value.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    lower, upper
        Limits, both inside, as OpenCV counts: hue 0 to 179 (half degrees), the others 0 to 255.

    Returns
    -------
    np.ndarray
        uint8, ``[H, W]``, 255 within the limits and 0 elsewhere.

    Raises
    ------
    ValueError
        If a limit is out of 0 to 255, or a lower one above its upper one.

    Examples
    --------
    >>> violet_mask_hsv(np.array([[[90, 40, 150], [215, 170, 165]]], np.uint8))
    array([[255,   0]], dtype=uint8)
    """
    return _within(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), lower, upper)


def violet_mask_rgb(
    image: np.ndarray,
    *,
    lower: Sequence[int] = (0, 0, 110),
    upper: Sequence[int] = (165, 130, 255),
) -> np.ndarray:
    """Isolate violet by limits on red, green and blue.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    lower, upper
        Limits on red, green and blue, 0 to 255, both inside. More sensitive to the light of the
        microscope than those of `violet_mask_hsv`; the defaults hold some middle grey as well.

    Returns
    -------
    np.ndarray
        uint8, ``[H, W]``, 255 within the limits and 0 elsewhere.

    Raises
    ------
    ValueError
        If a limit is out of 0 to 255, or a lower one above its upper one.

    Examples
    --------
    >>> violet_mask_rgb(np.array([[[90, 40, 150], [215, 170, 165]]], np.uint8))
    array([[255,   0]], dtype=uint8)
    """
    return _within(image, lower, upper)


def otsu_mask(image: np.ndarray, *, channel: str = "saturation") -> np.ndarray:
    """Split the image into two classes by Otsu's threshold on one channel.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``. Not smoothed.
    channel
        ``saturation`` (of HSV; the object is bright), ``green`` or ``stain`` (see
        ``edges.CHANNELS``; the object is dark).

    Returns
    -------
    np.ndarray
        uint8, ``[H, W]``, 255 on the object and 0 elsewhere; empty for a flat image. In a field
        full of red cells the object is all cells, unless the channel is ``stain``.

    Raises
    ------
    ValueError
        If the channel is unknown; the message names the known ones.

    References
    ----------
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE SMC 9(1), 1979.

    Examples
    --------
    >>> image = np.full((64, 64, 3), 230, np.uint8)
    >>> image[20:40, 20:40] = 90, 40, 150
    >>> [int((otsu_mask(image, channel=name) > 0).sum()) for name in OTSU_CHANNELS]
    [400, 400, 400]
    """
    if channel not in OTSU_CHANNELS:
        raise ValueError(f"no channel {channel!r} for Otsu; known: {', '.join(OTSU_CHANNELS)}")
    if channel == "saturation":
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)[..., 1]
    else:
        grey = cv2.bitwise_not(cv2.transform(image, np.array([CHANNELS[channel]], np.float32)))
    grey = grey - grey.min()  # a flat image becomes 0, which is above no threshold
    return cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]


def watershed_mask(
    image: np.ndarray, *, channel: str = "stain", core: float = 0.6, opening: int = 3
) -> np.ndarray:
    """Mask of objects that touch each other, parted by the lines of a watershed.

    The objects of `otsu_mask` are flooded from their cores, the points far from their rims.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    channel
        See `otsu_mask`.
    core
        A core is farther from the rim than this share (0 to 1, below 1) of the farthest point of
        all: more parts more objects, and loses small ones.
    opening
        Diameter, in pixels, of the disc that specks must hold to count; at least 1.

    Returns
    -------
    np.ndarray
        uint8, ``[H, W]``, 255 on the objects, and 0 on the background and on the lines between
        objects, which do not even touch at corners.

    Raises
    ------
    ValueError
        If `core` or `opening` is out of its range, or the channel is unknown.

    References
    ----------
    S. Beucher and F. Meyer, "The morphological approach to segmentation: the watershed
    transformation", Mathematical Morphology in Image Processing, 1993.

    Examples
    --------
    >>> image = np.full((64, 96, 3), 230, np.uint8)
    >>> for x in (35, 61):
    ...     image = cv2.circle(image, (x, 32), 14, (90, 40, 150), -1)
    >>> [cv2.connectedComponents(find(image))[0] - 1 for find in (otsu_mask, watershed_mask)]
    [1, 2]
    """
    from skimage.segmentation import watershed  # takes longer than all of this module's others

    if not 0 <= core < 1:
        raise ValueError(f"core is a share, 0 to 1 and below 1, not {core}")
    if opening < 1:
        raise ValueError(f"opening is a diameter of at least 1 pixel, not {opening}")
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (opening, opening))
    objects = cv2.morphologyEx(otsu_mask(image, channel=channel), cv2.MORPH_OPEN, disc)
    depth = cv2.distanceTransform(objects, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    _, cores = cv2.connectedComponents(np.uint8(depth > core * depth.max()))
    labels = np.float32(watershed(-depth, cores, connectivity=2, mask=objects > 0))
    # Not `watershed_line=True`, whose time and memory double with each pixel of some lines.
    touching = cv2.dilate(labels, np.ones((3, 3), np.uint8)) > labels
    labels[touching] = 0
    return cv2.inRange(labels, 1, np.inf)


def saliency_map(image: np.ndarray, *, edges: float = 0.3, sigma: float = 0.02) -> np.ndarray:
    """How much each pixel stands out: contrast of colour to the whole image, and edges nearby.

    Colour contrast is the distance in CIELAB between the smoothed pixel and the image's mean;
    edge contrast is the smoothed gradient of lightness. Each is scaled to 0 to 1, then mixed.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    edges
        Share of edge contrast in the mix, 0 to 1.
    sigma
        Standard deviation of the Gaussian blur as a share of the shorter side.

    Returns
    -------
    np.ndarray
        float32, ``[H, W]``, 0 to 1, with 0 where nothing stands out; all 0 for a flat image.

    Raises
    ------
    ValueError
        If `edges` is not in 0 to 1 or `sigma` is not positive.

    References
    ----------
    R. Achanta et al., "Frequency-tuned salient region detection", CVPR, 2009 (colour contrast).

    Examples
    --------
    >>> image = np.full((64, 64, 3), 230, np.uint8)
    >>> image[20:40, 20:40] = 90, 40, 150
    >>> saliency = saliency_map(image)
    >>> saliency.dtype, bool(saliency[30, 30] > 0.6), bool(saliency[5, 5] < 0.2)
    (dtype('float32'), True, True)
    """
    if not 0 <= edges <= 1:
        raise ValueError(f"edges is a share, 0 to 1, not {edges}")
    if sigma <= 0:
        raise ValueError(f"sigma is a positive share of the shorter side, not {sigma}")
    blur = sigma * min(image.shape[:2])
    lab = cv2.cvtColor(np.float32(image) / 255, cv2.COLOR_RGB2LAB)
    smooth = cv2.GaussianBlur(lab, (0, 0), blur)
    colour = np.linalg.norm(smooth - lab.mean(axis=(0, 1)), axis=2)
    slope = cv2.magnitude(*(cv2.Sobel(smooth[..., 0], cv2.CV_32F, dx, 1 - dx) for dx in (1, 0)))
    mixed = (1 - edges) * _stretched(colour) + edges * _stretched(slope)
    return np.minimum(mixed, 1)  # against rounding


def saliency_mask(
    image: np.ndarray, *, edges: float = 0.3, sigma: float = 0.02, threshold: float | None = None
) -> np.ndarray:
    """Mask of what stands out, by a threshold on `saliency_map`.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    edges, sigma
        See `saliency_map`.
    threshold
        Saliency, 0 to 1, from which on a pixel is in the mask; None for Otsu's threshold of the
        map.

    Returns
    -------
    np.ndarray
        uint8, ``[H, W]``, 255 at or above the threshold and 0 elsewhere; empty for a flat image.

    Raises
    ------
    ValueError
        If `threshold` or `edges` is not in 0 to 1, or `sigma` is not positive.

    References
    ----------
    R. Achanta et al., "Frequency-tuned salient region detection", CVPR, 2009.
    N. Otsu, "A threshold selection method from gray-level histograms", IEEE SMC 9(1), 1979.

    Examples
    --------
    >>> image = np.full((64, 64, 3), 230, np.uint8)
    >>> image[20:40, 20:40] = 90, 40, 150
    >>> mask = saliency_mask(image)
    >>> int(mask[30, 30]), int(mask[5, 5])
    (255, 0)
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"threshold is a saliency, 0 to 1, or None, not {threshold}")
    saliency = saliency_map(image, edges=edges, sigma=sigma)
    if (image == image[0, 0]).all():  # rounding leaves some saliency for Otsu to split
        return np.zeros(saliency.shape, np.uint8)
    if threshold is None:
        levels = np.rint(255 * saliency).astype(np.uint8)
        threshold = (cv2.threshold(levels, 0, 255, cv2.THRESH_OTSU)[0] + 0.5) / 255
    return cv2.inRange(saliency, threshold, 1)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Keep the object with the most pixels.

    Parameters
    ----------
    mask
        uint8, ``[H, W]``; not 0 on objects, whose pixels touch at sides or corners.

    Returns
    -------
    np.ndarray
        uint8, ``[H, W]``, 255 on the largest object (the first from the top of several) and 0
        elsewhere; empty if the mask is.

    Examples
    --------
    >>> largest_component(np.array([[255, 0, 255, 255]], np.uint8))
    array([[  0,   0, 255, 255]], dtype=uint8)
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    if not areas.size:
        return np.zeros_like(mask)
    return cv2.inRange(labels, *[1 + int(areas.argmax())] * 2)


def fill_holes(mask: np.ndarray) -> np.ndarray:
    """Fill what objects enclose.

    Parameters
    ----------
    mask
        uint8, ``[H, W]``; not 0 on objects.

    Returns
    -------
    np.ndarray
        uint8, ``[H, W]``, 255 on objects and wherever no path along sides of pixels leads out of
        the image, 0 elsewhere.

    Examples
    --------
    >>> ring = cv2.circle(np.zeros((9, 9), np.uint8), (4, 4), 3, 255)
    >>> int(ring[4, 4]), int(fill_holes(ring)[4, 4]), int(fill_holes(ring)[0, 0])
    (0, 255, 0)
    """
    outside = cv2.copyMakeBorder(
        cv2.inRange(mask, 0, 0), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=255
    )
    cv2.floodFill(outside, None, (0, 0), 128)
    return cv2.bitwise_not(cv2.inRange(outside, 128, 128))[1:-1, 1:-1]


def trace_border(mask: np.ndarray) -> np.ndarray:
    """Follow the outer border of the largest object.

    Parameters
    ----------
    mask
        uint8, ``[H, W]``; not 0 on objects.

    Returns
    -------
    np.ndarray
        int32, ``[N, 2]``: x and y of every border pixel in order, each the neighbour of the one
        before; ``[0, 2]`` if the mask is empty. A line of one pixel is followed there and back.

    References
    ----------
    S. Suzuki and K. Abe, "Topological structural analysis of digitized binary images by border
    following", CVGIP 30(1), 1985.

    Examples
    --------
    >>> mask = np.zeros((9, 9), np.uint8)
    >>> mask[2:5, 3:7] = 255
    >>> border = trace_border(mask)
    >>> len(border), border.min(axis=0).tolist(), border.max(axis=0).tolist()
    (10, [3, 2], [6, 4])
    """
    contours, _ = cv2.findContours(
        largest_component(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    return contours[0][:, 0] if contours else np.empty((0, 2), np.int32)


def _within(image: np.ndarray, lower: Sequence[int], upper: Sequence[int]) -> np.ndarray:
    lower, upper = np.array(lower), np.array(upper)
    if lower.shape != (3,) or upper.shape != (3,):
        raise ValueError(f"limits are three numbers each, not {lower} and {upper}")
    if lower.min() < 0 or upper.max() > 255 or (lower > upper).any():
        raise ValueError(f"limits are 0 to 255, lower up to upper, not {lower} to {upper}")
    return cv2.inRange(image, lower, upper)


def _stretched(values: np.ndarray) -> np.ndarray:
    # What rounding leaves of a flat image is far below a hundredth of a unit of CIELAB.
    lowest, highest = values.min(), values.max()
    return np.float32((values - lowest) / max(highest - lowest, 1e-2))
