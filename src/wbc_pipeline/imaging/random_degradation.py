"""A degradation drawn for each image: what makes one part of a split worse than another."""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch

from wbc_pipeline.imaging.batches import over_batch
from wbc_pipeline.imaging.degrade import DEGRADATIONS, degrade

#: Kinds that are drawn unless others are named.
KINDS = (
    "gaussian_noise",
    "motion_blur",
    "defocus_blur",
    "illumination_gradient",
    "stain_shift",
    "jpeg",
)
_LEVELS = 6  # untouched, and the five severities


@over_batch
def random_degradation(
    image: np.ndarray,
    *,
    severities: Sequence[float],
    kinds: Sequence[str] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Degrade an image by a kind and a severity that are drawn for it.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]`` or a batch ``[N, H, W, 3]``, each image of which draws its own.
    severities
        Six weights: of leaving the image untouched, and of severities 1 to 5 of
        `degrade.SEVERITIES`. Zero or more, one of them above 0; they need not sum to 1.
    kinds
        Keys of `degrade.DEGRADATIONS`, equally likely; None for `KINDS`.
    seed
        Zero or more. Another seed draws anew.

    Returns
    -------
    np.ndarray
        RGB, uint8, shape of `image`.

    Raises
    ------
    ValueError
        If there are not six weights, all of them are 0 or one is below, a kind is unknown, or the
        seed is below 0.

    Notes
    -----
    The draw depends on the bytes of the image and the seed alone: it is the same in any batch,
    thread or machine, and for copies of one file. With the same seed and other weights an image
    keeps its kind and its noise, and has a severity at the same quantile: under weights that are
    worse throughout, no image gets better.

    Examples
    --------
    >>> image = np.full((64, 64, 3), 128, np.uint8)
    >>> always, never = [0, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0]
    >>> noisy = random_degradation(image, severities=always, kinds=["gaussian_noise"])
    >>> bool(noisy.std() > 20), bool((random_degradation(image, severities=never) == image).all())
    (True, True)
    """
    kinds = KINDS if kinds is None else kinds
    _check(severities, kinds, seed)
    digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest()
    row = int.from_bytes(digest[:8], "little")
    random = np.random.default_rng((seed, row))
    kind = kinds[random.integers(len(kinds))]
    quantile = random.random(dtype=np.float32)  # so coarse that it stays below 1 when scaled
    upto = np.cumsum(severities)
    severity = int(np.searchsorted(upto, quantile * upto[-1], side="right"))
    if severity == 0:
        return image.copy()
    batch = torch.tensor(image).permute(2, 0, 1)[None]
    degraded = degrade(batch, kind, severity=severity, seed=seed, rows=[row])
    return degraded[0].permute(1, 2, 0).contiguous().numpy()


def _check(severities: Sequence[float], kinds: Sequence[str], seed: int) -> None:
    if len(severities) != _LEVELS or min(severities) < 0 or not 0 < sum(severities) < np.inf:
        raise ValueError(
            f"severities {list(severities)}: give six weights, of images that stay untouched and "
            "of severities 1 to 5; zero or more, and one of them above 0"
        )
    unknown = [kind for kind in kinds if kind not in DEGRADATIONS]
    if unknown or not len(kinds):
        what = f"no degradation {unknown[0]!r}" if unknown else "kinds names no degradation"
        raise ValueError(f"{what}; known: {', '.join(DEGRADATIONS)}")
    if seed < 0:
        raise ValueError(f"seed {seed}: use 0 or more")
