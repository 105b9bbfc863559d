"""EfficientSwin: convolutions that halve, and a few light Swin blocks after each."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformerBlock
from torchvision.ops import Conv2dNormActivation

HEAD_CHANNELS = 32  # of each attention head, as in Swin-T


class SwinStage(nn.Module):
    """A 3×3 convolution of stride 2, Swin blocks and layer normalisation.

    Windows are shifted by half in every other block. A map that they do not divide is padded
    inside the block.

    Parameters
    ----------
    in_channels, channels
        Of the maps that come in and go out; `channels` is a multiple of 32.
    depth
        Swin blocks.
    window
        Height and width of a window.
    """

    def __init__(self, in_channels: int, channels: int, *, depth: int, window: int):
        super().__init__()
        self.halve = Conv2dNormActivation(in_channels, channels, kernel_size=3, stride=2)
        self.blocks = nn.Sequential(
            *(
                SwinTransformerBlock(
                    channels,
                    num_heads=channels // HEAD_CHANNELS,
                    window_size=[window, window],
                    shift_size=[window // 2 * (block % 2)] * 2,
                    mlp_ratio=2.0,  # half of Swin-T's
                )
                for block in range(depth)
            )
        )
        self.norm = nn.LayerNorm(channels)

    def forward(self, maps: Tensor) -> Tensor:  # [B, C, H, W]
        tokens = self.halve(maps).permute(0, 2, 3, 1)  # [B, H/2, W/2, channels]
        return self.norm(self.blocks(tokens)).permute(0, 3, 1, 2)  # [B, channels, H/2, W/2]


class EfficientSwin(nn.Module):
    """Backbone with maps at H/4, H/8 and H/16: F1 56×56×64, F2 28×28×128, F3 14×14×256 at 224.

    The saliency paper names it and gives these three sizes; everything else is ours. Its Swin
    blocks (Liu et al., ICCV 2021) are torchvision's.

    Parameters
    ----------
    channels
        Of F1, F2, F3, multiples of 32.
    depths
        Swin blocks of each stage.
    stem
        Filters of the convolution of stride 2 before the stages.
    window
        Height and width of a window.

    Raises
    ------
    ValueError
        If `depths` and `channels` differ in length, or a width is no multiple of 32.
    """

    def __init__(
        self,
        *,
        channels: Sequence[int] = (64, 128, 256),
        depths: Sequence[int] = (1, 1, 2),
        stem: int = 32,
        window: int = 7,
    ):
        super().__init__()
        if len(depths) != len(channels):
            raise ValueError(
                f"depths is {list(depths)} and channels is {list(channels)}, but each stage needs "
                "one number of both; give them the same length."
            )
        if any(width % HEAD_CHANNELS for width in channels):
            raise ValueError(
                f"channels is {list(channels)}, but each attention head takes {HEAD_CHANNELS} of "
                f"them; give multiples of {HEAD_CHANNELS}."
            )
        self.stem = Conv2dNormActivation(3, stem, kernel_size=3, stride=2)
        widths = (stem, *channels)
        self.stages = nn.ModuleList(
            SwinStage(widths[i], widths[i + 1], depth=depth, window=window)
            for i, depth in enumerate(depths)
        )

    def forward(self, image: Tensor) -> list[Tensor]:  # [B, 3, H, W] in 0…1
        maps = [self.stem(image)]  # [B, stem, H/2, W/2]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps  # the stem's, then F1, F2, F3
