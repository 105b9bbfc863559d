"""The localize paper's first network of its own: three blocks and three dense layers."""

from torch import Tensor, nn

SMALLEST_IMAGE = 8  # leaves the third pooling one pixel


def _block(in_channels: int, filters: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, filters, kernel_size=3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(dropout),
    )


class ThreeBlockCNN(nn.Module):
    """CNN of three blocks: a 3×3 convolution, ReLU, 2×2 max pooling and dropout.

    The paper does not state the padding; here the convolutions keep their maps' size, so that
    only pooling shrinks the image.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels, at least ``SMALLEST_IMAGE``; each block halves
        it, and drops a last odd row and column.
    dropout
        Share of activations dropped after each block.
    """

    views = ("image",)

    def __init__(self, *, classes: int, image_size: int, dropout: float = 0.2):
        super().__init__()
        if image_size < SMALLEST_IMAGE:
            raise ValueError(
                f"image_size is {image_size}, but three 2×2 poolings need at least "
                f"{SMALLEST_IMAGE}; set the view's resize step to such a size."
            )
        side = image_size // 2**3
        self.features = nn.Sequential(
            _block(3, 32, dropout),
            _block(32, 64, dropout),
            _block(64, 128, dropout),
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * side**2, 64),
            nn.ReLU(),
            nn.Linear(64, 128),
            nn.ReLU(),
            nn.Linear(128, 64),
            nn.ReLU(),
            nn.Linear(64, classes),
        )

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        features = self.features(image)  # [B, 128, H/8, W/8]
        return self.head(features)  # [B, classes], logits
