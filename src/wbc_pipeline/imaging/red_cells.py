"""Red cells drawn by a program, as a layer behind a white cell.

The demo's smears draw theirs in µm at twice the resolution, and clear of the white cell. Here they
are drawn in pixels, thousands a minute, and reach behind it.
"""

from collections.abc import Sequence

import cv2
import numpy as np

NUMBER = (2, 21)
_FRACTION = 4  # bits of a pixel's fraction in which cv2 draws
_ANGLES = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_WAVES = np.array([2, 3, 4])  # of an outline, around the cell


def draw_red_cells(
    shape: Sequence[int], *, diameter: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw wobbly ellipses that overlap, full, with a pale centre or as rings.

    Parameters
    ----------
    shape
        ``(H, W)``.
    diameter
        Of a typical one, in pixels, above 0.
    rng
        Draws number, places, shapes and how hollow they are, which all of a layer share.

    Returns
    -------
    np.ndarray
        Thickness, float32 ``[H, W]``: 0 where there is none, about 1 in a cell, 1.6 and a little
        more where cells overlap.

    Examples
    --------
    >>> layer = draw_red_cells((64, 64), diameter=20, rng=np.random.default_rng(0))
    >>> layer.shape, float(layer.min()), bool(layer.max() > 0.5)
    ((64, 64), 0.0, True)
    """
    radius = diameter / 2
    wobble, hole = rng.uniform(0, 0.12), rng.uniform(0.35, 0.75)
    hollow = rng.uniform(0, 1) if rng.random() < 0.7 else 0.0
    discs, holes = np.zeros((2, *shape), np.float32)
    for centre in _places(shape, radius, rng):
        outline = _outline(radius * np.exp(rng.normal(0, 0.08)), wobble, rng)
        discs += rng.uniform(0.8, 1.15) * _fill(shape, outline + centre)
        aside = rng.normal(0, 0.05 * radius, 2)
        np.maximum(holes, _fill(shape, hole * outline + centre + aside), out=holes)
    thickness = np.minimum(blur(discs, rng.uniform(0.4, 1.0)), 1.6)
    if rng.random() < 0.5:  # a brighter rim, as out of focus
        thickness += rng.uniform(0, 0.5) * (thickness - blur(thickness, 2.5))
    thickness *= 1 - hollow * blur(holes, max(0.08 * diameter, 0.6))
    return np.maximum(thickness, 0)


def blur(layer: np.ndarray, sigma: float) -> np.ndarray:
    """Blur a layer by a Gaussian of ``sigma`` pixels."""
    return cv2.GaussianBlur(layer, (0, 0), sigma)


def _places(shape: Sequence[int], radius: float, rng: np.random.Generator) -> np.ndarray:
    """Scatter centres ``[n, 2]`` that keep a distance, also a little outside."""
    number, gap = rng.integers(NUMBER[0], NUMBER[1] + 1), radius * rng.uniform(0.8, 1.8)
    low, high = -radius, np.array(shape[::-1]) + radius
    places = np.empty((0, 2))
    for place in rng.uniform(low, high, (3 * number, 2)):
        if np.hypot(*(places - place).T).min(initial=np.inf) >= gap:
            places = np.vstack([places, place])
    return places[:number]


def _outline(radius: float, wobble: float, rng: np.random.Generator) -> np.ndarray:  # [32, 2]
    size = rng.normal(0, wobble, len(_WAVES)) / _WAVES
    waves = size @ np.cos(np.outer(_WAVES, _ANGLES) + rng.uniform(0, 2 * np.pi, (len(_WAVES), 1)))
    stretch = np.sqrt(rng.uniform(1, 1.45))
    ellipse = np.stack([np.cos(_ANGLES) * stretch, np.sin(_ANGLES) / stretch], axis=1)
    turn = rng.uniform(0, 2 * np.pi)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return radius * (1 + waves)[:, None] * ellipse @ rotation


def _fill(shape: Sequence[int], outline: np.ndarray) -> np.ndarray:  # 0 to 1
    points = np.rint(outline * 2**_FRACTION).astype(np.int32)
    filled = cv2.fillPoly(np.zeros(shape, np.uint8), [points], 255, cv2.LINE_AA, _FRACTION)
    return filled.astype(np.float32) / 255
