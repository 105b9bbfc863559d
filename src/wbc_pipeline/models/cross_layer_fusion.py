"""Cross-layer fusion: maps of all scales mixed at one of them."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from wbc_pipeline.models.joint_heads import resize


class CrossLayerFusion(nn.Module):
    """Maps resized to a common size, concatenated, and mixed by a 1×1 convolution.

    The 1×1 convolution of a concatenation is the sum of one for each map, and a bilinear resize
    commutes with it. So each is done where it costs least: a map is scaled up after its
    convolution and down before it, and nothing is concatenated.

    Parameters
    ----------
    channels
        Of the maps.
    filters
        Of the fused map.
    """

    def __init__(self, *, channels: Sequence[int], filters: int):
        super().__init__()
        self.mix = nn.ModuleList(
            nn.Conv2d(width, filters, kernel_size=1, bias=False) for width in channels
        )
        self.norm = nn.BatchNorm2d(filters)

    def forward(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        mixed = [
            mix(resize(one, size)) if one.shape[-1] > size[-1] else resize(mix(one), size)
            for mix, one in zip(self.mix, maps, strict=True)
        ]
        return functional.relu(self.norm(sum(mixed)))  # [B, filters, H, W]
