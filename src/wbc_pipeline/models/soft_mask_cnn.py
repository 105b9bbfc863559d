"""Blend with a mask made by a small U-Net, end to end: the paper's own future work."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from wbc_pipeline.models.blend_cnn import BlendCNN


def _convolution(in_channels: int, filters: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, filters, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(),
    )


class SmallUNet(nn.Module):
    """U-Net with one convolution a level (after Ronneberger et al., MICCAI 2015).

    Parameters
    ----------
    filters
        Filters of each level, from full resolution down.
    """

    def __init__(self, *, filters: Sequence[int] = (8, 16, 32)):
        super().__init__()
        channels = (3, *filters)
        self.down = nn.ModuleList(
            _convolution(channels[i], channels[i + 1]) for i in range(len(filters))
        )
        self.up = nn.ModuleList(
            _convolution(filters[i] + filters[i - 1], filters[i - 1])
            for i in range(len(filters) - 1, 0, -1)
        )
        self.mask = nn.Conv2d(filters[0], 1, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W]
        skips = []
        features = image
        for level, convolution in enumerate(self.down):
            features = convolution(functional.max_pool2d(features, 2) if level else features)
            skips.append(features)
        for convolution, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            wide = functional.interpolate(features, size=skip.shape[-2:], mode="nearest")
            features = convolution(torch.cat([wide, skip], dim=1))
        return self.mask(features)  # [B, 1, H, W], logits


class SoftMaskCNN(BlendCNN):
    """Blend CNN whose foreground is the image times a mask in 0…1 from a small U-Net.

    The mask is trained by the classification loss alone: no reference mask is shown to it.

    Parameters
    ----------
    classes, image_size, alpha, cnn
        As in :class:`~wbc_pipeline.models.blend_cnn.BlendCNN`.
    mask_filters
        Filters of each level of the U-Net.
    """

    views = ("image",)

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        alpha: float = 0.5,
        mask_filters: Sequence[int] = (8, 16, 32),
        **cnn,
    ):
        super().__init__(classes=classes, image_size=image_size, alpha=alpha, **cnn)
        self.unet = SmallUNet(filters=mask_filters)

    def foreground(self, image: Tensor) -> Tensor:  # [B, 3, H, W]
        """Multiply the image by its soft mask; the result has its shape."""
        return image * self.unet(image).sigmoid().to(image.dtype)

    def blend(self, image: Tensor) -> Tensor:  # [B, 3, H, W]
        """Mix the image with its own foreground; the result has its shape."""
        return super().blend(image, self.foreground(image))
