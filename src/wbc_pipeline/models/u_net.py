"""A plain U-Net with a class head, the saliency paper's simplest baseline."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import Conv2dNormActivation

from wbc_pipeline.models.joint import REGIONS, JointOutput
from wbc_pipeline.models.joint_heads import ClassHead, check_halvings


def _level(in_channels: int, filters: int) -> nn.Sequential:
    return nn.Sequential(
        Conv2dNormActivation(in_channels, filters, kernel_size=3),
        Conv2dNormActivation(filters, filters, kernel_size=3),
    )


class ConvolutionEncoder(nn.Module):
    """Levels of two 3×3 convolutions, with 2×2 max pooling between them.

    Parameters
    ----------
    filters
        Of each level, from full resolution down.
    """

    def __init__(self, *, filters: Sequence[int]):
        super().__init__()
        channels = (3, *filters)
        self.levels = nn.ModuleList(
            _level(channels[i], channels[i + 1]) for i in range(len(filters))
        )

    def forward(self, image: Tensor) -> list[Tensor]:  # [B, 3, H, W]
        maps = []
        features = image
        for depth, level in enumerate(self.levels):
            features = level(functional.max_pool2d(features, 2) if depth else features)
            maps.append(features)
        return maps  # the finest first


class UNet(nn.Module):
    """U-Net (Ronneberger et al., MICCAI 2015) whose bottleneck also gives the class.

    With batch normalisation, padding and nearest-neighbour scaling up.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels; each level but the first halves it.
    filters
        Of each level, from full resolution down.
    dropout
        Share of the pooled bottleneck dropped before the class head.
    """

    task = "joint"
    views = ("image",)

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        filters: Sequence[int] = (16, 32, 64, 128),
        dropout: float = 0.2,
    ):
        super().__init__()
        check_halvings(image_size, len(filters) - 1)
        self.encoder = ConvolutionEncoder(filters=filters)
        self.cam_layer = f"encoder.levels.{len(filters) - 1}"
        self.up = nn.ModuleList(
            _level(filters[i] + filters[i - 1], filters[i - 1])
            for i in range(len(filters) - 1, 0, -1)
        )
        self.masks = nn.Conv2d(filters[0], len(REGIONS), kernel_size=1)
        self.head = ClassHead(filters[-1], classes=classes, dropout=dropout)

    def forward(self, image: Tensor) -> JointOutput:  # [B, 3, H, W] in 0…1
        *skips, bottleneck = self.encoder(image)
        features = bottleneck  # [B, 128, H/8, W/8]
        for level, skip in zip(self.up, reversed(skips), strict=True):
            wide = functional.interpolate(features, size=skip.shape[-2:], mode="nearest")
            features = level(torch.cat([wide, skip], dim=1))
        return JointOutput(self.head(bottleneck), self.masks(features))
