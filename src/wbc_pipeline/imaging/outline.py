"""A closed outline around a known core: the cheapest path once around it in polar coordinates."""

import cv2
import numpy as np

ANGLES, RADII = 64, 64

_REGION = 8  # pixels of certainty that weigh as much as a full edge
_EDGE = 1.0  # weight of a full edge
_EDGE_CEILING = 1.5  # of the edges of all layers together
_SMOOTH = 0.4  # cost of a step of one radius between neighbouring angles
_SIZE = 0.15  # weight of the expected size
_SIZE_SD = 0.3  # of its logarithm
_INSIDE_CORE = 5.0  # cost of cutting the core


def outline_core(
    belongs: np.ndarray,
    layers: np.ndarray,
    corners: np.ndarray,
    *,
    reach: float,
    expected: float = 1.25,
) -> np.ndarray:
    """Find the outline around a core that takes in what belongs to it and follows falling edges.

    For each of 64 angles around the core's centre one radius is chosen, by dynamic programming over
    neighbouring angles, so that the outline is closed, smooth and sees its centre everywhere.

    Parameters
    ----------
    belongs
        float32 ``[H, W]``, 0 to 1: how sure a pixel is inside; 0.5 does not tell.
    layers
        float32 ``[H, W, C]``, 0 to 1 each; an edge is where one falls on the way out.
    corners
        ``[N, 2]``: x and y of the corners of the core, convex, which is inside for certain.
    reach
        How far the outline may go beyond the core, in pixels.
    expected
        Radius to expect, in radii of the core.

    Returns
    -------
    np.ndarray
        float64 ``[64, 2]``: x and y of the outline's corners, perhaps outside the image where the
        object is cut off.

    References
    ----------
    R. Bellman, "Dynamic Programming", Princeton University Press, 1957 (the path).

    Examples
    --------
    >>> disc = cv2.circle(np.zeros((100, 100), np.float32), (50, 50), 30, 1, -1)
    >>> core = np.array([(40, 35), (70, 35), (70, 65), (40, 65)])
    >>> outline = outline_core(disc, disc[..., None], core, reach=30)
    >>> bool(np.abs(np.hypot(*(outline - 50).T) - 30).max() < 2)
    True
    """
    core = np.zeros(belongs.shape, np.uint8)
    core = cv2.fillConvexPoly(core, np.int32(np.round(corners)), 255)
    moments = cv2.moments(core, binaryImage=True)
    centre = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    longest = float(np.hypot(*(corners - centre).T).max() + reach)
    unroll = _Unrolled(centre, longest)
    known = unroll(np.ones(core.shape, np.float32)) > 0.5
    core_ends = np.maximum((unroll(core) > 127) @ np.ones(RADII) * longest / RADII, 2)
    certain = np.maximum(unroll(belongs), 0.9 * (unroll(core) > 127))
    radii = np.arange(RADII) * longest / RADII
    outside = np.cumsum(np.where(known, 0.5 - certain, 0), axis=1) * longest / RADII / _REGION
    falls = sum(_falls(unroll(layer)) for layer in np.moveaxis(layers, 2, 0))
    size = expected * (core_ends + core_ends.mean()) / 2
    unusual = np.log(np.maximum(radii, 1) / size[:, None]) / _SIZE_SD
    cost = outside - _EDGE * np.minimum(falls, _EDGE_CEILING) + _SIZE * unusual**2
    cost[radii < 0.95 * core_ends[:, None]] += _INSIDE_CORE
    chosen = radii[_cheapest_round(cost)] + 0.5
    angles = 2 * np.pi * np.arange(ANGLES) / ANGLES
    return np.add(centre, chosen[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))


class _Unrolled:
    """Unrolls maps around a centre: ``[ANGLES, RADII]``, 0 outside the map."""

    def __init__(self, centre: tuple[float, float], longest: float):
        self.centre, self.longest = centre, longest

    def __call__(self, values: np.ndarray) -> np.ndarray:
        flags = cv2.WARP_POLAR_LINEAR | cv2.WARP_FILL_OUTLIERS
        values = np.float32(values)
        return cv2.warpPolar(values, (RADII, ANGLES), self.centre, self.longest, flags)


def _falls(unrolled: np.ndarray) -> np.ndarray:
    """How much a layer falls from the two radii before to the two after."""
    kernel = np.array([[0.5, 0.5, 0, -0.5, -0.5]], np.float32)
    fall = cv2.filter2D(unrolled, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.maximum(fall, 0)


def _cheapest_round(cost: np.ndarray) -> np.ndarray:
    """Choose a radius for each angle, at most one apart from that of the next.

    The path goes twice round; of that the middle is taken, where it has no beginning and no end.
    """
    angles, radii = cost.shape
    twice = np.concatenate([cost, cost])
    total, steps, places = twice[0], [], np.arange(radii)
    for row in twice[1:]:
        padded = np.pad(total, 1, constant_values=np.inf)
        options = np.stack([padded[:-2] + _SMOOTH, total, padded[2:] + _SMOOTH])
        step = options.argmin(axis=0)
        steps.append(places + step - 1)
        total = options[step, places] + row
    path = [int(total.argmin())]
    for step in reversed(steps):
        path.append(int(step[path[-1]]))
    path = np.array(path[::-1])
    middle = slice(angles // 2, angles // 2 + angles)
    return np.roll(path[middle], angles // 2)
