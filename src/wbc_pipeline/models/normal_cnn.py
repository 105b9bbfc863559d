"""The blend paper's normal model: three blocks of two convolutions and a dense head."""

from collections.abc import Sequence

from torch import Tensor, nn


def convolution_block(in_channels: int, filters: int, dropout: float) -> nn.Sequential:
    """Two 3×3 convolutions, each with ReLU and batch normalisation, then pooling and dropout."""
    return nn.Sequential(
        nn.Conv2d(in_channels, filters, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(filters),
        nn.Conv2d(filters, filters, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.BatchNorm2d(filters),
        nn.MaxPool2d(2),
        nn.Dropout(dropout),
    )


class NormalCNN(nn.Module):
    """CNN on the whole image: the blend paper's reference network.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels; each block halves it, so it must be a
        multiple of ``2 ** len(filters)``.
    filters
        Filters of each block. The paper prints 32, 64, 118; the last is taken for a misprint
        of 128.
    dense
        Units of the dense layer.
    dropout, dense_dropout
        Share of activations dropped after each block, and before the dense layer.

    Notes
    -----
    The head is in the paper's order: batch normalisation (over the channels), dropout, flattening,
    the dense layer.
    """

    views = ("image",)

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        filters: Sequence[int] = (32, 64, 128),
        dense: int = 512,
        dropout: float = 0.25,
        dense_dropout: float = 0.5,
    ):
        super().__init__()
        shrink = 2 ** len(filters)
        if image_size % shrink:
            raise ValueError(
                f"image_size is {image_size}, but {len(filters)} blocks of 2×2 pooling need "
                f"a multiple of {shrink}; set the view's resize step to such a size."
            )
        channels = (3, *filters)
        self.features = nn.Sequential(
            *(convolution_block(channels[i], channels[i + 1], dropout) for i in range(len(filters)))
        )
        self.head = nn.Sequential(
            nn.BatchNorm2d(filters[-1]),
            nn.Dropout(dense_dropout),
            nn.Flatten(),
            nn.Linear(filters[-1] * (image_size // shrink) ** 2, dense),
            nn.ReLU(),
            nn.Linear(dense, classes),
        )

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        return self.head(self.features(image))  # [B, classes], logits
