"""A small U-Net that takes degradations out of an image: it gives a correction, not an image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wbc_pipeline.models.joint_heads import check_halvings

# Many images need no correction, so the easiest answer is none: plain ReLUs die on the way there.
_LEAK = 0.1
_FLAT = 1e-4  # standard deviation, of 1: less than the rounding to 8 bits


def _level(in_channels: int, filters: int) -> nn.Sequential:
    level = nn.Sequential(
        nn.Conv2d(in_channels, filters, 3, padding=1),
        nn.LeakyReLU(_LEAK),
        nn.Conv2d(filters, filters, 3, padding=1),
        nn.LeakyReLU(_LEAK),
    )
    for layer in (level[0], level[2]):
        nn.init.kaiming_normal_(layer.weight, a=_LEAK)
        nn.init.zeros_(layer.bias)
    return level


class RestorationUNet(nn.Module):
    """Residual U-Net: the restored image is the given one plus a correction.

    The correction is that of the image with its mean colour taken out and its contrast set to 1,
    scaled back to the image's contrast. So a tile without contrast (flat, black, white) stays as
    it is, and a brighter or paler smear is restored like any other. The last layer begins at 0:
    an untrained network changes nothing.

    Parameters
    ----------
    image_size
        Height and width of the input in pixels; each level but the first halves it.
    filters
        Of each level, from full resolution down.

    References
    ----------
    Ronneberger et al., "U-Net", MICCAI 2015; without batch normalisation, whose statistics would
    mix degradations. Zhang et al., "Beyond a Gaussian denoiser", IEEE TIP 26(7), 2017: learning
    the residual. Weigert et al., "Content-aware image restoration", Nature Methods 15, 2018: a
    U-Net trained on pairs, in whose place this one stands.
    """

    task = "restoration"
    views = ("degraded",)

    def __init__(self, *, image_size: int, filters: Sequence[int] = (16, 32, 64)):
        super().__init__()
        check_halvings(image_size, len(filters) - 1)
        depth = len(filters)
        channels = (6, *filters)  # the image, and its mean colour
        self.down = nn.ModuleList(_level(channels[i], channels[i + 1]) for i in range(depth))
        self.up = nn.ModuleList(
            _level(filters[i] + filters[i - 1], filters[i - 1]) for i in range(depth - 1, 0, -1)
        )
        self.correction = nn.Conv2d(filters[0], 3, kernel_size=1)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, degraded: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        mean = degraded.mean(dim=(2, 3), keepdim=True)  # [B, 3, 1, 1]
        centred = degraded - mean
        contrast = centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()  # [B, 1, 1, 1]
        contrast = torch.where(contrast > _FLAT, contrast, 0)
        features = torch.cat([centred / (contrast + _FLAT), mean.expand_as(degraded)], dim=1)
        skips = []
        for depth, level in enumerate(self.down):
            features = level(functional.max_pool2d(features, 2) if depth else features)
            skips.append(features)
        skips.pop()  # the bottleneck
        for level, skip in zip(self.up, reversed(skips), strict=True):
            wide = functional.interpolate(features, size=skip.shape[-2:], mode="nearest")
            features = level(torch.cat([wide, skip], dim=1))
        return degraded + contrast * self.correction(features)
