"""Heads of the networks that segment and classify at once, and what these share."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import Conv2dNormActivation

from wbc_pipeline.models.joint import REGIONS


def check_halvings(image_size: int, halvings: int) -> None:
    """Refuse an image that cannot be halved that often.

    Raises
    ------
    ValueError
        If ``image_size`` is no multiple of ``2 ** halvings``.
    """
    if image_size % 2**halvings:
        raise ValueError(
            f"image_size is {image_size}, but {halvings} halvings need a multiple of "
            f"{2**halvings}; set the view's resize step to such a size."
        )


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:  # [B, C, h, w]
    """Scale maps to ``(H, W)``, bilinearly; the result is [B, C, H, W]."""
    if maps.shape[-2:] == tuple(size):
        return maps
    return functional.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)


class ClassHead(nn.Sequential):
    """Global average pooling, dropout and one dense layer.

    Parameters
    ----------
    channels
        Of the map.
    classes
        Number of classes.
    dropout
        Share of the pooled features dropped.
    """

    def __init__(self, channels: int, *, classes: int, dropout: float):
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(channels, classes),
        )


class MaskDecoder(nn.Module):
    """Top-down path of a feature pyramid network (Lin et al., CVPR 2017) down to one mask head.

    Parameters
    ----------
    channels
        Of the maps, the finest first.
    filters
        Of every stage.
    """

    def __init__(self, *, channels: Sequence[int], filters: int = 32):
        super().__init__()
        self.lateral = nn.ModuleList(
            Conv2dNormActivation(width, filters, kernel_size=1, activation_layer=None)
            for width in channels
        )
        self.stages = nn.ModuleList(
            Conv2dNormActivation(filters, filters, kernel_size=3) for _ in channels[1:]
        )
        self.masks = nn.Conv2d(filters, len(REGIONS), kernel_size=1)

    def forward(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        lateral = [convolution(one) for convolution, one in zip(self.lateral, maps, strict=True)]
        features = lateral.pop()
        for stage in self.stages:
            finer = lateral.pop()
            features = stage(resize(features, finer.shape[-2:]) + finer)
        return resize(self.masks(features), size)  # [B, regions, H, W], logits
