"""Stain normalisation and separation: Reinhard, Macenko, haematoxylin and eosin densities.

The methods were made for histological sections in haematoxylin and eosin. Blood smears are stained
with azure B and eosin (Wright, Giemsa), so "haematoxylin" is here whatever dyes nuclei.
"""

from collections.abc import Callable

import cv2
import numpy as np
from skimage.color import rgb_from_hed
from skimage.util import img_as_float32, img_as_ubyte
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer

from wbc_pipeline.imaging.batches import over_batch, require_rgb

_WHITE = 240  # transmitted light, as in Macenko's paper and torchstain
_TRANSPARENT = 0.15  # optical density below which a pixel holds no stain
_LEAST_STAINED = 0.01  # share of the pixels
_ALIKE = 50  # condition number of two stains that are one; of 60 cells in 7 sets none exceeds 10
_FLAT = 0.5  # standard deviation of L, a or b; less is the rounding to 8 bits

_DIMMED = np.float32(1e-6)  # light of density 1; also that of black, which has no logarithm

# Haematoxylin, eosin and what is at right angles to both, as rows; inverted.
_HE_FROM_RGB = np.linalg.inv([*rgb_from_hed[:2], np.cross(*rgb_from_hed[:2])]).astype(np.float32)

Normaliser = Callable[[np.ndarray], np.ndarray]


def reinhard(image: np.ndarray, *, reference: np.ndarray) -> np.ndarray:
    """Give an image the mean and standard deviation of the reference in CIELAB.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``. Each image is normalised by itself.
    reference
        RGB, uint8, ``[H', W', 3]``: the look to take over. For many calls see `fit_reinhard`.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`. Colours outside sRGB are clipped. An image that is flat in
        L, a or b (blank, one colour, grey) has nothing to scale and comes back unchanged.

    Raises
    ------
    ValueError
        If the reference is such a flat image.

    References
    ----------
    E. Reinhard et al., "Color transfer between images", IEEE Computer Graphics and Applications
    21(5), 2001.

    Examples
    --------
    >>> image, reference = np.random.default_rng(0).integers(100, 200, (2, 32, 32, 3), np.uint8)
    >>> reference //= 2
    >>> bool(abs(reinhard(image, reference=reference).mean() - reference.mean()) < 1)
    True
    """
    return fit_reinhard(reference)(image)


def fit_reinhard(reference: np.ndarray) -> Normaliser:
    """Measure the reference of `reinhard` once, for many images.

    Parameters
    ----------
    reference
        As for `reinhard`.

    Returns
    -------
    Callable
        `reinhard` of an image or a batch with this reference.

    Examples
    --------
    >>> image, reference = np.random.default_rng(0).integers(100, 200, (2, 32, 32, 3), np.uint8)
    >>> normalise = fit_reinhard(reference)
    >>> bool((normalise(image) == reinhard(image, reference=reference)).all())
    True
    """
    require_rgb(reference, batch=False)
    _, target_mean, target_spread = _lab_statistics(reference)
    if target_spread.min() < _FLAT:
        raise ValueError("the reference of Reinhard is flat in L, a or b; take one with a cell")

    @over_batch
    def normalise(image: np.ndarray) -> np.ndarray:
        lab, mean, spread = _lab_statistics(image)
        if spread.min() < _FLAT:
            return image.copy()
        lab = (lab - mean) * (target_spread / spread) + target_mean
        return img_as_ubyte(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB).clip(0, 1))

    return normalise


def macenko(image: np.ndarray, *, reference: np.ndarray) -> np.ndarray:
    """Give the two stains of an image the colours and strengths of those of the reference.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``. Each image has its own stains.
    reference
        RGB, uint8, ``[H', W', 3]``: the look to take over. For many calls see `fit_macenko`.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`. What neither stain explains is lost. An image with less than
        1 % stained pixels, or whose stains have one colour, comes back unchanged.

    Raises
    ------
    ValueError
        If the reference is such an image without two stains.

    Notes
    -----
    The stains are found by torchstain. It tells them apart by their red, which puts them in the
    other order on 8 % of blood smears (203 Barcelona cells, 96 x 96); so each stain is here
    paired with the more similar one of the reference.

    Red cells are too pale to take part in the search, so smears lose colour that a section keeps:
    those cells normalised to themselves differ by 8 grey levels in the median, by 23 at worst;
    the ground may turn green and eosinophil granules grey. `reinhard` has no such loss.

    References
    ----------
    M. Macenko et al., "A method for normalizing histology slides for quantitative analysis",
    ISBI 2009.

    Examples
    --------
    >>> amounts = np.random.default_rng(0).uniform(0, 2, (32, 32, 2))
    >>> image = 240 * np.exp(-amounts @ [[0.5, 0.8, 0.3], [0.2, 0.9, 0.4]])
    >>> image = image.astype(np.uint8)
    >>> bool(np.abs(macenko(image, reference=image) - image.astype(int)).max() <= 2)
    True
    """
    return fit_macenko(reference)(image)


def fit_macenko(reference: np.ndarray) -> Normaliser:
    """Find the stains of the reference of `macenko` once, for many images.

    Parameters
    ----------
    reference
        As for `macenko`.

    Returns
    -------
    Callable
        `macenko` of an image or a batch with this reference.

    Examples
    --------
    >>> image, reference = np.random.default_rng(0).integers(50, 200, (2, 32, 32, 3), np.uint8)
    >>> normalise = fit_macenko(reference)
    >>> bool((normalise(image) == macenko(image, reference=reference)).all())
    True
    """
    require_rgb(reference, batch=False)
    target = _stains(reference)
    if target is None:
        raise ValueError("the reference of Macenko has no two stains; take one with a cell")
    target_colours, target_strongest = target

    @over_batch
    def normalise(image: np.ndarray) -> np.ndarray:
        stains = _stains(image)
        if stains is None:
            return image.copy()
        colours, strongest = stains
        likeness = target_colours.T @ colours
        if np.trace(likeness) < np.trace(likeness[:, ::-1]):
            colours, strongest = colours[:, ::-1], strongest[::-1]
        amounts = _density(image) @ np.linalg.pinv(colours).T  # [H, W, 2]
        amounts *= target_strongest / strongest
        light = _WHITE * np.exp(-amounts @ target_colours.T) - 1
        return np.rint(light.clip(0, 255)).astype(np.uint8)

    return normalise


def haematoxylin_eosin(image: np.ndarray) -> np.ndarray:
    """Densities of haematoxylin, eosin and the residual, by colour deconvolution.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``.

    Returns
    -------
    np.ndarray
        float32, shape of `image`, 0 and up; the last axis is haematoxylin, eosin, residual (the
        direction at right angles to both: other dyes). The unit is scikit-image's: a channel
        dimmed a millionfold has density 1. White is 0, cells reach about 0.2, and black, which is
        taken for a millionth, 1.8.

    References
    ----------
    A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
    deconvolution", Analytical and Quantitative Cytology and Histology 23(4), 2001.

    Examples
    --------
    >>> image = np.array([[[255, 255, 255], [90, 80, 170], [240, 110, 220]]], np.uint8)
    >>> densities = haematoxylin_eosin(image)
    >>> densities.argmax(axis=-1)[0, 1:].tolist(), float(densities[0, 0].max())
    ([0, 1], 0.0)
    """
    require_rgb(image)
    light = np.maximum(image / np.float32(255), _DIMMED)
    return np.maximum(np.log(light) @ (_HE_FROM_RGB / np.log(_DIMMED)), 0)


def _lab_statistics(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Convert to CIELAB; mean and standard deviation of L, a, b."""
    lab = cv2.cvtColor(img_as_float32(image), cv2.COLOR_RGB2LAB)
    return lab, lab.mean(axis=(0, 1)), lab.std(axis=(0, 1))


def _stains(image: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Find two stains: colours, one per column ``[3, 2]``, and amounts at the 99th percentile."""
    stained = (_density(image) >= _TRANSPARENT).all(axis=-1)
    if stained.sum() < max(2, _LEAST_STAINED * stained.size):
        return None
    normaliser = NumpyMacenkoNormalizer()
    normaliser.fit(image, Io=_WHITE, beta=_TRANSPARENT)
    colours, strongest = normaliser.HERef, normaliser.maxCRef
    if np.linalg.cond(colours) > _ALIKE or strongest.min() <= 0:
        return None
    return colours, strongest


def _density(image: np.ndarray) -> np.ndarray:
    return -np.log((image + np.float32(1)) / _WHITE)
