"""Composites: an annotated cell under another stain and light, on another ground, among red cells.

A network that has seen one laboratory's slides learns their colours, and that whatever is not
ground is the cell. Neither holds on the next. In a composite the cell keeps its shape, so that its
mask still fits, and all else is drawn anew in optical density, where dyes add up.
"""

import cv2
import numpy as np

from wbc_pipeline.imaging.masks import CYTOPLASM, NUCLEUS, UNKNOWN, region_mask
from wbc_pipeline.imaging.recompose_options import RecomposeOptions
from wbc_pipeline.imaging.red_cells import blur, draw_red_cells

_FLOOR = 4.0  # levels, added to intensities: black has no optical density
_BRIGHT = 0.7  # quantile above which a pixel outside the cell is clear ground
_MARGIN = 7  # pixels of the kernel that keeps the ground clear of the cell
_SOFTNESS = 0.7  # pixels, sigma of the edge between what is drawn and what is not
_SIDE = 112  # pixels: lengths below are given for images of this side
_USUAL_CELL = 0.4  # diameter as a share of the side, where no cell is seen
_FLOAT = np.float32


def recompose(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator, options: RecomposeOptions
) -> np.ndarray:
    """Draw a composite of an image.

    Optical density is ``-log((I + 4) / (G + 4))`` relative to the clear ground G: per channel, the
    median of the brightest 30 % of pixels outside the cell. Densities of nucleus and cytoplasm are
    each multiplied by a matrix near the identity, that of the surroundings gets layers of drawn
    things, and both are put together by the mask and looked at in the light of a ground that may
    have any colour.

    Parameters
    ----------
    image
        uint8 ``[H, W, 3]``, RGB.
    mask
        uint8 ``[H, W]``: 0 background, 1 cytoplasm, 2 nucleus, 3 cell whose parts are not known,
        255 not known. Without any known pixel the whole image counts as the cell: it changes in
        colour and light alone, and nothing is drawn on it.
    rng
        Draws everything; the same state gives the same composite.
    options
        Chances of the ingredients; with all of them 0 the image stays as it is.

    Returns
    -------
    np.ndarray
        uint8 ``[H, W, 3]``, RGB. The mask fits it as it fits `image`.

    Examples
    --------
    >>> image = np.full((32, 32, 3), 220, np.uint8)
    >>> mask = np.zeros((32, 32), np.uint8)
    >>> image[8:24, 8:24], mask[8:24, 8:24] = (90, 40, 150), 1
    >>> recompose(image, mask, np.random.default_rng(0), RecomposeOptions()).shape
    (32, 32, 3)
    """
    is_known = (mask != UNKNOWN).any()
    cell = region_mask(mask, "cell") if is_known else np.full(mask.shape, 255, np.uint8)
    ground = _ground_of(image, cell)
    density = -np.log((image.astype(_FLOAT) + _FLOOR) / (ground + _FLOOR))
    inside = _stain(density, mask, rng, options)
    outside = _surround(density, cell, rng, options)
    edge = _soft(cell)[..., None] if is_known else _FLOAT(1)
    density = edge * inside + (1 - edge) * outside
    light = (_lamp(ground, rng, options) + _FLOOR) * np.exp(-density) - _FLOOR
    return _photograph(light, rng, options)


def _ground_of(image: np.ndarray, cell: np.ndarray) -> np.ndarray:  # float32 [3]
    away = cv2.dilate(cell, np.ones((_MARGIN, _MARGIN))) == 0
    pixels = image[away] if away.any() else image.reshape(-1, 3)
    brightness = pixels.sum(axis=1, dtype=np.int32)
    bright = pixels[brightness >= np.quantile(brightness, _BRIGHT)]
    return np.median(bright, axis=0).astype(_FLOAT)


def _stain(
    density: np.ndarray, mask: np.ndarray, rng: np.random.Generator, options: RecomposeOptions
) -> np.ndarray:
    """Stain the cell otherwise."""
    nucleus, body = _soft(mask == NUCLEUS)[..., None], mask == CYTOPLASM
    of_body, of_nucleus = density, density
    if rng.random() < options.recolour:
        of_nucleus = density @ _matrix(rng, 0.2, strength=(-0.35, 0.3))
        of_body = density @ _matrix(rng, 0.25, strength=(-0.9, 0.4)) if body.any() else of_nucleus
    if rng.random() < options.tint and body.any():
        grey = of_body.mean(axis=-1, keepdims=True)
        of_body = of_body + rng.uniform(0.2, 1) * (grey * _hue(rng) - of_body)
    if rng.random() < options.grain and body.any():
        mean = of_body[body].mean(axis=0)
        of_body = mean + (of_body - mean) * rng.uniform(0.3, 1.5)
    if rng.random() < options.granules and body.any():
        grains = _spots(mask.shape, rng, number=(20, 250), radius=(0.4, 1.6))
        of_body = of_body + rng.uniform(0.05, 0.5) * grains * _hue(rng)
    if rng.random() < options.vacuoles and body.any():
        of_body = of_body * (1 - 0.85 * _spots(mask.shape, rng, number=(3, 50), radius=(0.8, 3.5)))
    return nucleus * of_nucleus + (1 - nucleus) * of_body


def _surround(
    density: np.ndarray, cell: np.ndarray, rng: np.random.Generator, options: RecomposeOptions
) -> np.ndarray:
    """Fade what surrounds the cell, and draw red cells and debris behind it."""
    if rng.random() < options.fade:
        density = density * rng.uniform(0, 0.4)
    if rng.random() < options.red_cells:
        side = min(cell.shape)
        own = 2 * np.sqrt(cv2.countNonZero(cell) / np.pi) or _USUAL_CELL * side
        diameter = np.clip(own * rng.uniform(0.4, 0.95), 0.1 * side, 0.65 * side)
        layer = draw_red_cells(cell.shape, diameter=diameter, rng=rng)[..., None]
        colour = _hue(rng) * np.exp(rng.uniform(np.log(0.06), np.log(0.9)))
        if rng.random() < 0.6:  # rather pink, as haemoglobin
            colour = colour * _FLOAT([0.6, 1.3, 1.1])
        density = density * (1 - np.minimum(layer, 1)) + layer * colour
    if rng.random() < options.debris:
        specks = _spots(cell.shape, rng, number=(1, 12), radius=(0.6, 5))
        density = density + rng.uniform(0.1, 1) * specks * _hue(rng)
    return density


def _lamp(ground: np.ndarray, rng: np.random.Generator, options: RecomposeOptions) -> np.ndarray:
    """Give the clear ground any hue, rather pale; float32 [3]."""
    if rng.random() >= options.ground:
        return ground
    colour = _FLOAT([[[360 * rng.uniform(), 0.7 * rng.beta(1, 3), 1]]])
    return rng.uniform(190, 255) * cv2.cvtColor(colour, cv2.COLOR_HSV2RGB)[0, 0]


def _photograph(
    light: np.ndarray, rng: np.random.Generator, options: RecomposeOptions
) -> np.ndarray:
    """Take a picture, uint8."""
    if rng.random() < options.gamma:
        light = 255 * (np.clip(light, 0, 255) / 255) ** np.exp(_normal(rng, 0.25, 3))
    if rng.random() < options.grey:
        light = light + rng.uniform(0.4, 1) * (light.mean(axis=-1, keepdims=True) - light)
    if rng.random() < options.blur:
        light = blur(light, rng.uniform(0.3, 1.5) * _scale(light.shape))
    elif rng.random() < options.sharpen:
        light = light + rng.uniform(0.3, 1.5) * (light - blur(light, 1.2 * _scale(light.shape)))
    if rng.random() < options.noise:
        light = light + _normal(rng, rng.uniform(1, 8), light.shape)
    if rng.random() < options.shade:
        down, across = (np.linspace(-1, 1, length, dtype=_FLOAT) for length in light.shape[:2])
        tilt = _normal(rng, 0.05, 2)
        light = light * (1 + tilt[0] * down[:, None] + tilt[1] * across)[..., None]
    return np.clip(np.rint(light), 0, 255).astype(np.uint8)


def _soft(region: np.ndarray) -> np.ndarray:  # float32 [H, W] in 0…1
    return blur((region > 0).astype(_FLOAT), _SOFTNESS)


def _matrix(
    rng: np.random.Generator, spread: float, *, strength: tuple[float, float]
) -> np.ndarray:
    """Draw how densities [..., 3] of one stain become those of another: a matrix near identity."""
    matrix = np.diag(np.exp(rng.normal(0, spread, 3))) + rng.normal(0, 0.4 * spread, (3, 3))
    return (np.exp(rng.uniform(*strength)) * matrix).astype(_FLOAT)


def _hue(rng: np.random.Generator) -> np.ndarray:
    """Draw densities of the three channels, 1 on average."""
    hue = np.exp(_normal(rng, 0.5, 3))
    return hue / hue.mean()


def _spots(
    shape: tuple[int, int],
    rng: np.random.Generator,
    *,
    number: tuple[int, int],
    radius: tuple[float, float],
) -> np.ndarray:
    """Scatter soft discs, float32 ``[H, W, 1]`` in 0…1."""
    layer, scale = np.zeros(shape, np.uint8), _scale(shape)
    for _ in range(rng.integers(*number)):
        place = int(rng.integers(0, 8 * shape[1])), int(rng.integers(0, 8 * shape[0]))
        size = max(int(8 * scale * rng.uniform(*radius)), 1)
        cv2.circle(layer, place, size, int(rng.integers(100, 256)), -1, cv2.LINE_AA, 3)
    return blur(layer.astype(_FLOAT) / 255, 0.6 * scale)[..., None]


def _scale(shape: tuple[int, ...]) -> float:
    return max(min(shape[:2]) / _SIDE, 0.1)


def _normal(rng: np.random.Generator, deviation: float, shape: int | tuple[int, ...]) -> np.ndarray:
    return _FLOAT(deviation) * rng.standard_normal(shape, dtype=_FLOAT)
