"""The localize paper's second network of its own: blocks that put two of their layers together."""

import torch
from torch import Tensor, nn
from torch.nn import functional

FILTERS = (12, 24, 32, 24, 18, 12)  # of the six blocks
SMALLEST_IMAGE = 32  # leaves the fifth pooling one pixel


def _convolution(in_channels: int, filters: int, *, size: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, filters, kernel_size=size, padding=size // 2),
        nn.ReLU(),
        nn.BatchNorm2d(filters),
    )


class ConcatenatedBlock(nn.Module):
    """Six layers, 1×1, 1×1 and 3×3 convolutions each with its batch normalisation.

    The output is that of the fourth layer beside that of the sixth, 2 × ``filters`` maps.
    """

    def __init__(self, in_channels: int, filters: int):
        super().__init__()
        self.first = _convolution(in_channels, filters, size=1)
        self.second = _convolution(filters, filters, size=1)
        self.third = _convolution(filters, filters, size=3)

    def forward(self, features: Tensor) -> Tensor:  # [B, C, H, W]
        fourth_layer = self.second(self.first(features))  # [B, filters, H, W]
        sixth_layer = self.third(fourth_layer)  # [B, filters, H, W]
        return torch.cat([fourth_layer, sixth_layer], dim=1)  # [B, 2 * filters, H, W]


class ConcatenatedBlockCNN(nn.Module):
    """CNN of six concatenating blocks with 2×2 max pooling between them, and a sigmoid head.

    All convolutions keep their maps' size. The paper does not state their activation. Here ReLU
    belongs to the convolution, ahead of batch normalisation: so a block has the six layers that
    the paper counts, and its fourth and sixth are batch normalisations.

    The head's units are sigmoids, one a class, trained with categorical cross-entropy. The
    paper's framework, Keras, first divides such outputs by their sum. As a softmax divides
    ``exp(logit)`` by its sum, the logits that do the same are ``logsigmoid(units)``: their
    softmax is ``sigmoid_i / sum_j sigmoid_j``, in training as in prediction.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels, at least ``SMALLEST_IMAGE``; five poolings halve
        it, and drop a last odd row and column.
    """

    views = ("image",)

    def __init__(self, *, classes: int, image_size: int):
        super().__init__()
        if image_size < SMALLEST_IMAGE:
            raise ValueError(
                f"image_size is {image_size}, but five 2×2 poolings need at least "
                f"{SMALLEST_IMAGE}; set the view's resize step to such a size."
            )
        self.batch_norm = nn.BatchNorm2d(3)
        self.stem = _convolution(3, 12, size=5)
        channels = (12, *(2 * filters for filters in FILTERS))
        self.blocks = nn.ModuleList(
            ConcatenatedBlock(in_channels, filters)
            for in_channels, filters in zip(channels, FILTERS, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        side = image_size // 2 ** (len(FILTERS) - 1)
        self.flatten = nn.Flatten()
        self.classes = nn.Linear(channels[-1] * side**2, classes)

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        features = self.blocks[0](self.stem(self.batch_norm(image)))  # [B, 24, H, W]
        for block in self.blocks[1:]:
            features = block(self.pool(features))  # [B, 24, H/32, W/32] after the last
        units = self.classes(self.flatten(features))  # [B, classes]
        return functional.logsigmoid(units)  # [B, classes], logits, none above 0
