"""A drawn cell among red cells: a reference for stain normalisation that is nobody's test image."""

import cv2
import numpy as np

SIDE = 128
_LIGHT = 235  # of the empty ground
# Optical density of a unit of dye in red, green and blue, after the look of Wright-Giemsa films:
# azure B with the eosin in nuclei, eosin in red cells.
_AZURE, _EOSIN = np.array([0.62, 0.72, 0.28]), np.array([0.16, 0.55, 0.32])
_RED_CELLS = ((22, 26), (64, 10), (106, 28), (14, 76), (112, 84), (30, 116), (78, 120))
_RADIUS, _PALE_CENTRE = 17, 8
_LOBES = ((58, 58), (72, 66), (60, 76))


def drawn_reference() -> np.ndarray:
    """Draw a neutrophil in a blood film.

    Returns
    -------
    np.ndarray
        RGB, uint8, ``[128, 128, 3]``, the same each time: a pale ground, red cells with eosin, a
        pink cytoplasm and a violet nucleus with azure. It has the two stains that `stain.macenko`
        asks for, and spread in L*, a* and b* for `stain.reinhard`. It is a look to share, not that
        of any laboratory.

    Examples
    --------
    >>> image = drawn_reference()
    >>> image.shape, bool((image == drawn_reference()).all())
    ((128, 128, 3), True)
    """
    eosin, azure = np.zeros((2, SIDE, SIDE), np.float32)
    for centre in _RED_CELLS:
        cv2.circle(eosin, centre, _RADIUS, 0.55, -1)
        cv2.circle(eosin, centre, _PALE_CENTRE, 0.3, -1)
    cv2.circle(eosin, (64, 66), 30, 0.3, -1)
    cv2.circle(azure, (64, 66), 30, 0.12, -1)
    for centre in _LOBES:
        cv2.circle(azure, centre, 12, 2.0, -1)
        cv2.circle(eosin, centre, 12, 0.3, -1)
    eosin, azure = (cv2.GaussianBlur(dye, (0, 0), 1.5) for dye in (eosin, azure))
    texture = np.random.default_rng(0).standard_normal((2, SIDE, SIDE)).astype(np.float32)
    texture = [1 + 0.25 * cv2.GaussianBlur(each, (0, 0), 1.0) for each in texture]
    density = (eosin * texture[0])[..., None] * _EOSIN + (azure * texture[1])[..., None] * _AZURE
    return np.rint(_LIGHT * np.exp(-density)).clip(0, 255).astype(np.uint8)
