"""Degraded images for robustness studies: whole batches on any device, equal bytes on each.

Every kind is called as ``kind(images, amount, seed=..., rows=...)``. Random numbers are drawn on
the CPU, from one generator per image keyed by seed, kind and the image's number: a result depends
on neither the batch nor the device, and a stronger degradation starts from the same draw. What
the device computes is a single float32 operation, an exact sum, or float64, then rounded to uint8.
"""

import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from skimage.color import hed_from_rgb, rgb_from_hed
from torch import Tensor
from torchvision.transforms.v2.functional import jpeg_image

from wbc_pipeline.imaging.tensors import convolve, round_images, to_device


def degrade(
    images: Tensor, name: str, *, severity: int, seed: int, rows: Sequence[int] | Tensor
) -> Tensor:
    """Degrade a batch by one kind at one of five severities.

    Parameters
    ----------
    images
        RGB, uint8, ``[N, 3, H, W]``, on any device; not modified.
    name
        A key of `DEGRADATIONS`.
    severity
        1 (barely visible) to 5 (hard to read, still a cell); what each means: `SEVERITIES`.
    seed
        Zero or more. Another seed gives other noise, angles and directions.
    rows
        Number of each image in its data set, N in all: whatever batch an image comes in, its
        number decides what is drawn for it.

    Returns
    -------
    Tensor
        RGB, uint8, ``[N, 3, H, W]``, on the device of `images`.

    References
    ----------
    D. Hendrycks and T. Dietterich, "Benchmarking neural network robustness to common corruptions
    and perturbations", ICLR 2019: the pattern of kinds at five severities. The values are our own,
    chosen by looking at cells of 64 and 128 px.

    Examples
    --------
    >>> images = torch.full((2, 3, 64, 64), 128, dtype=torch.uint8)
    >>> noisy = degrade(images, "gaussian_noise", severity=3, seed=0, rows=[10, 11])
    >>> alone = degrade(images[1:], "gaussian_noise", severity=3, seed=0, rows=[11])
    >>> torch.equal(noisy[1:], alone)
    True
    """
    if name not in DEGRADATIONS:
        raise ValueError(f"no degradation {name!r}; known: {', '.join(DEGRADATIONS)}")
    if severity not in range(1, 6):
        raise ValueError(f"severity {severity} of {name}: use 1 to 5")
    return DEGRADATIONS[name](images, SEVERITIES[name][severity - 1], seed=seed, rows=rows)


def gaussian_noise(
    images: Tensor, alpha: float, *, seed: int, rows: Sequence[int] | Tensor
) -> Tensor:
    """Add noise: ``I + alpha * G``, with I in 0 to 1 and G standard normal, then clipped.

    Parameters
    ----------
    images, seed, rows
        See `degrade`.
    alpha
        Standard deviation of the noise as a share of the range, zero or more.

    Returns
    -------
    Tensor
        RGB, uint8, ``[N, 3, H, W]``; at `alpha` 0 a copy.

    Examples
    --------
    >>> images = torch.full((1, 3, 64, 64), 128, dtype=torch.uint8)
    >>> noisy = gaussian_noise(images, 0.1, seed=0, rows=[0])
    >>> round(noisy.double().std().item() / 255, 2)
    0.1
    """
    _require(alpha >= 0, f"alpha {alpha} of gaussian_noise: use 0 or more")
    shape = images.shape[1:]
    noise = [
        random.standard_normal(shape, dtype=np.float32)
        for random in _generators("gaussian_noise", images, seed, rows)
    ]
    return round_images(images + to_device(np.float32(255 * alpha) * np.stack(noise), images))


def shot_noise(
    images: Tensor, photons: float, *, seed: int, rows: Sequence[int] | Tensor
) -> Tensor:
    """Count photons: Poisson noise, as from a short exposure.

    Parameters
    ----------
    images, seed, rows
        See `degrade`.
    photons
        Mean count at full white, above 0; at grey I (0 to 1) the noise is ``sqrt(I / photons)``.

    Returns
    -------
    Tensor
        RGB, uint8, ``[N, 3, H, W]``; black stays black.

    Examples
    --------
    >>> images = torch.full((1, 3, 64, 64), 102, dtype=torch.uint8)  # 0.4: SD sqrt(0.4 / 40)
    >>> noisy = shot_noise(images, 40, seed=0, rows=[0])
    >>> round(noisy.double().std().item() / 255, 2)
    0.1
    """
    _require(photons > 0, f"photons {photons} of shot_noise: use more than 0")
    generators = _generators("shot_noise", images, seed, rows)
    means = images.cpu().numpy() * (photons / 255)
    counts = [random.poisson(mean) for random, mean in zip(generators, means, strict=True)]
    return round_images(to_device(np.stack(counts) * (255 / photons), images))


def salt_and_pepper(
    images: Tensor, amount: float, *, seed: int, rows: Sequence[int] | Tensor
) -> Tensor:
    """Turn a share of the pixels white or black, half of it each.

    Parameters
    ----------
    images, seed, rows
        See `degrade`.
    amount
        Share of the pixels, 0 to 1.

    Returns
    -------
    Tensor
        RGB, uint8, ``[N, 3, H, W]``; pixels change as a whole, not channel by channel.

    Examples
    --------
    >>> images = torch.full((1, 3, 64, 64), 128, dtype=torch.uint8)
    >>> spotted = salt_and_pepper(images, 0.1, seed=0, rows=[0])
    >>> spotted.unique().tolist(), round((spotted != 128).double().mean().item(), 1)
    ([0, 128, 255], 0.1)
    """
    _require(0 <= amount <= 1, f"amount {amount} of salt_and_pepper: use 0 to 1")
    shape = 1, *images.shape[2:]
    chance = [
        random.random(shape, dtype=np.float32)
        for random in _generators("salt_and_pepper", images, seed, rows)
    ]
    chance = to_device(np.stack(chance), images)
    return images.masked_fill(chance < amount / 2, 0).masked_fill(chance >= 1 - amount / 2, 255)


def motion_blur(
    images: Tensor, length: float, *, seed: int, rows: Sequence[int] | Tensor
) -> Tensor:
    """Move the stage during the exposure: blur along a straight line at a random angle.

    Parameters
    ----------
    images, seed, rows
        See `degrade`.
    length
        Way moved as a share of the shorter side, 0 to 0.5.

    Returns
    -------
    Tensor
        RGB, uint8, ``[N, 3, H, W]``; beyond the frame its outermost pixels go on.

    Examples
    --------
    >>> images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    >>> images[..., 32, 32] = 255
    >>> blurred = motion_blur(images, 0.1, seed=0, rows=[0])
    >>> int(blurred.max()) < 60, 5 < (blurred[0, 0] > 0).sum().item() < 20
    (True, True)
    """
    _require(0 <= length <= 0.5, f"length {length} of motion_blur: use 0 to 0.5")
    half = length * min(images.shape[2:]) / 2
    angle = _angles("motion_blur", images, seed, rows)
    y, x = _offsets(math.ceil(half))
    along = x * torch.cos(angle) + y * torch.sin(angle)  # [N, K, K]
    across = y * torch.cos(angle) - x * torch.sin(angle)
    line = (half + 0.5 - along.abs()).clamp(0, 1) * (1 - across.abs()).clamp(0, 1)
    return convolve(images, line)


def defocus_blur(
    images: Tensor,
    radius: float,
    *,
    seed: int | None = None,
    rows: Sequence[int] | Tensor | None = None,
) -> Tensor:
    """Put the cell out of focus: blur with a disc.

    Parameters
    ----------
    images
        See `degrade`.
    radius
        Radius of the disc as a share of the shorter side, 0 to 0.25.
    seed, rows
        Taken, as by every kind, but not used: nothing here is random.

    Returns
    -------
    Tensor
        RGB, uint8, ``[N, 3, H, W]``; beyond the frame its outermost pixels go on.

    Examples
    --------
    >>> images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    >>> images[..., 32, 32] = 255
    >>> (defocus_blur(images, 2.5 / 64)[0, 0, 30:35, 30:35] > 0).int().tolist()[:2]
    [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]
    """
    _require(0 <= radius <= 0.25, f"radius {radius} of defocus_blur: use 0 to 0.25")
    _require_images(images)
    pixels = radius * min(images.shape[2:])
    y, x = _offsets(math.ceil(pixels))
    disc = (pixels + 0.5 - torch.hypot(x, y)).clamp(0, 1)
    return convolve(images, disc.expand(len(images), -1, -1))


def jpeg(
    images: Tensor,
    quality: int,
    *,
    seed: int | None = None,
    rows: Sequence[int] | Tensor | None = None,
) -> Tensor:
    """Store as JPEG and read back; on the CPU, whatever the device.

    Parameters
    ----------
    images
        See `degrade`.
    quality
        Quality of libjpeg, 1 to 100.
    seed, rows
        Taken, as by every kind, but not used: nothing here is random.

    Returns
    -------
    Tensor
        RGB, uint8, ``[N, 3, H, W]``.

    Examples
    --------
    >>> images = torch.arange(64, dtype=torch.uint8).expand(1, 3, 64, 64)
    >>> bool((jpeg(images, 5) == images).all())
    False
    """
    _require(1 <= quality <= 100, f"quality {quality} of jpeg: use 1 to 100")
    _require_images(images)
    return jpeg_image(images.cpu(), quality).to(images.device)


def illumination_gradient(
    images: Tensor, strength: float, *, seed: int, rows: Sequence[int] | Tensor
) -> Tensor:
    """Let the light fall off in a straight line, in a random direction.

    Parameters
    ----------
    images, seed, rows
        See `degrade`.
    strength
        Share of the light that is lost in the darkest corner, 0 to 1; none in the opposite one.

    Returns
    -------
    Tensor
        RGB, uint8, ``[N, 3, H, W]``, nowhere brighter than before.

    Examples
    --------
    >>> images = torch.full((1, 3, 64, 64), 200, dtype=torch.uint8)
    >>> shaded = illumination_gradient(images, 0.5, seed=0, rows=[0])
    >>> int(shaded.min()), int(shaded.max())
    (100, 200)
    """
    _require(0 <= strength <= 1, f"strength {strength} of illumination_gradient: use 0 to 1")
    angle = _angles("illumination_gradient", images, seed, rows)
    y, x = (torch.linspace(-1, 1, side, dtype=torch.float64) for side in images.shape[2:])
    ramp = y[:, None] * torch.sin(angle) + x * torch.cos(angle)
    ramp /= torch.cos(angle).abs() + torch.sin(angle).abs()  # [N, H, W], -1 to 1
    gain = (1 - strength * (1 + ramp) / 2)[:, None]
    return round_images(images * gain.float().to(images.device))


def stain_shift(
    images: Tensor, strength: float, *, seed: int, rows: Sequence[int] | Tensor
) -> Tensor:
    """Stain with other amounts of the blue and the pink dye.

    The optical density ``-log((I + 1) / 256)`` is taken apart into haematoxylin, eosin and a rest
    [1]_. Each dye is scaled by ``1 + strength * u`` and shifted by ``strength / 4 * v``, u and v
    uniform in -1 to 1 for each image and dye, after [2]_; a larger shift turns the empty
    background, not the cell, to colours that no film has. Blood films hold azure B in place of
    haematoxylin; its vector serves as the direction "blue" all the same.

    Parameters
    ----------
    images, seed, rows
        See `degrade`.
    strength
        Largest share by which a dye grows or shrinks, 0 to 1.

    Returns
    -------
    Tensor
        RGB, uint8, ``[N, 3, H, W]``; at `strength` 0 a copy.

    References
    ----------
    .. [1] A. C. Ruifrok and D. A. Johnston, "Quantification of histochemical staining by color
       deconvolution", Anal. Quant. Cytol. Histol. 23(4), 2001; matrix of `skimage.color`.
    .. [2] D. Tellez et al., "Whole-slide mitosis detection in H&E breast histology using PHH3 as
       a reference to train distilled stain-invariant convolutional networks", IEEE TMI 37(9), 2018.

    Examples
    --------
    >>> images = torch.full((2, 3, 64, 64), 128, dtype=torch.uint8)
    >>> stained = stain_shift(images, 0.2, seed=0, rows=[0, 1])
    >>> torch.equal(stained[0], images[0]), torch.equal(stained[0], stained[1])
    (False, False)
    """
    _require(0 <= strength <= 1, f"strength {strength} of stain_shift: use 0 to 1")
    generators = _generators("stain_shift", images, seed, rows)
    draws = np.stack([random.uniform(-1, 1, (2, 2)) for random in generators])
    draws = np.pad(strength * draws, ((0, 0), (0, 0), (0, 1)))  # the rest keeps its amount
    scale, shift = draws[:, 0], draws[:, 1] / 4  # [N, 3]
    change = np.eye(3) + (hed_from_rgb * scale[:, None]) @ rgb_from_hed  # [N, 3, 3]
    change, offset = to_device(change, images), to_device(shift @ rgb_from_hed, images)
    density = -torch.log((images.double() + 1) / 256)
    density = torch.einsum("nchw,ncd->ndhw", density, change) + offset[:, :, None, None]
    return round_images(256 * torch.exp(-density) - 1)


#: Kind: function ``(images, amount, *, seed, rows)``.
DEGRADATIONS: dict[str, Callable[..., Tensor]] = {
    "gaussian_noise": gaussian_noise,
    "shot_noise": shot_noise,
    "salt_and_pepper": salt_and_pepper,
    "motion_blur": motion_blur,
    "defocus_blur": defocus_blur,
    "jpeg": jpeg,
    "illumination_gradient": illumination_gradient,
    "stain_shift": stain_shift,
}

#: Kind: its amount at severities 1 to 5.
SEVERITIES: dict[str, tuple[float, ...]] = {
    "gaussian_noise": (0.05, 0.10, 0.15, 0.25, 0.35),
    "shot_noise": (500, 120, 40, 15, 6),
    "salt_and_pepper": (0.005, 0.02, 0.05, 0.12, 0.25),
    "motion_blur": (0.02, 0.05, 0.08, 0.12, 0.18),
    "defocus_blur": (0.01, 0.02, 0.03, 0.045, 0.06),
    "jpeg": (70, 40, 25, 15, 8),
    "illumination_gradient": (0.10, 0.25, 0.40, 0.55, 0.75),
    "stain_shift": (0.10, 0.25, 0.40, 0.60, 0.80),
}


def _generators(
    kind: str, images: Tensor, seed: int, rows: Sequence[int] | Tensor
) -> list[np.random.Generator]:
    _require_images(images)
    rows, key = [int(row) for row in rows], zlib.crc32(kind.encode())
    _require(len(rows) == len(images), f"{len(rows)} rows for {len(images)} images: one for each")
    _require(min(seed, *rows) >= 0, f"seed {seed}, least row {min(rows)}: use 0 or more")
    return [np.random.default_rng((seed, key, row)) for row in rows]


def _angles(kind: str, images: Tensor, seed: int, rows: Sequence[int] | Tensor) -> Tensor:
    generators = _generators(kind, images, seed, rows)
    angles = [2 * math.pi * random.random() for random in generators]
    return torch.tensor(angles, dtype=torch.float64)[:, None, None]  # [N, 1, 1]


def _offsets(reach: int) -> tuple[Tensor, Tensor]:
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    return torch.meshgrid(steps, steps, indexing="ij")


def _require_images(images: Tensor) -> None:
    _require(
        images.dtype == torch.uint8 and images.ndim == 4 and images.shape[1] == 3 and len(images),
        f"images are {images.dtype} {list(images.shape)}: use uint8 [N, 3, H, W], N above 0",
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
