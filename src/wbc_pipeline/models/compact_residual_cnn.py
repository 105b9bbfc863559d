"""Beyond the separable paper: a small residual network within its budget of parameters."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional


def _convolution(in_channels: int, filters: int, *, size: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, filters, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(filters),
    )


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al., CVPR 2016).

    Where the block halves its input, the shortcut averages 2×2 pixels ahead of its 1×1
    convolution, so that no pixel is skipped (ResNet-D of He et al., CVPR 2019).
    """

    def __init__(self, in_channels: int, filters: int, *, stride: int):
        super().__init__()
        self.first = _convolution(in_channels, filters, size=3, stride=stride)
        self.second = _convolution(filters, filters, size=3)
        self.shortcut = nn.Sequential()  # the input itself
        if stride > 1:
            self.shortcut.append(nn.AvgPool2d(stride))
        if in_channels != filters:
            self.shortcut.append(_convolution(in_channels, filters, size=1))

    def forward(self, features: Tensor) -> Tensor:  # [B, C, H, W]
        change = self.second(functional.relu(self.first(features)))  # [B, filters, H/s, W/s]
        return functional.relu(change + self.shortcut(features))  # [B, filters, H/s, W/s]


class CompactResidualCNN(nn.Module):
    """Residual CNN with 298,084 parameters for four classes, where the paper's has 340,388.

    Made for a few hundred independent cells on a CPU: the stem's stride leaves nothing else to
    do at full resolution, blocks have plain 3×3 convolutions (in bfloat16 on two cores,
    depthwise ones with a sixth of the weights trained more slowly), and the head is global
    average pooling, dropout and one dense layer, so that it has little to memorise with.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels; the stem and each stage but the first halve it,
        so it must be a multiple of ``2 ** len(filters)``.
    filters
        Filters of each stage.
    blocks
        Residual blocks of each stage.
    dropout
        Share of the pooled features dropped.
    """

    views = ("image",)

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        filters: Sequence[int] = (32, 64, 96),
        blocks: Sequence[int] = (1, 2, 1),
        dropout: float = 0.3,
    ):
        super().__init__()
        if len(blocks) != len(filters):
            raise ValueError(
                f"blocks is {list(blocks)} and filters is {list(filters)}, but each stage needs "
                "one number of both; give them the same length."
            )
        shrink = 2 ** len(filters)
        if image_size % shrink:
            raise ValueError(
                f"image_size is {image_size}, but a stem and {len(filters)} stages need a "
                f"multiple of {shrink}; set the view's resize step to such a size."
            )
        self.stem = _convolution(3, filters[0], size=5, stride=2)
        self.stages = nn.Sequential()
        in_channels = filters[0]
        for stage, (width, depth) in enumerate(zip(filters, blocks, strict=True)):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                self.stages.append(ResidualBlock(in_channels, width, stride=stride))
                in_channels = width
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.classes = nn.Linear(in_channels, classes)

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, 64, 64] in 0…1
        features = functional.relu(self.stem(image))  # [B, 32, 32, 32]
        features = self.stages(features)  # [B, 96, 8, 8]
        features = self.flatten(self.pool(features))  # [B, 96]
        return self.classes(self.dropout(features))  # [B, classes], logits
