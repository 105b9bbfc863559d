"""LeNet-5, the oldest of the networks that the localize paper compares."""

from torch import Tensor, nn

SMALLEST_IMAGE = 16  # leaves the second pooling one pixel


class LeNet(nn.Module):
    """LeNet-5 (LeCun et al., Proceedings of the IEEE 1998) on RGB.

    ReLU, max pooling and logits stand for the original's hyperbolic tangent, trained subsampling
    and radial basis functions, and each map of the second convolution sees all of the first's,
    as in the re-uses of today, of which the paper's must be one. The convolutions are not padded:
    the original's 32×32 shrinks to 28, 14, 10 and 5.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels, at least ``SMALLEST_IMAGE``.
    """

    views = ("image",)

    def __init__(self, *, classes: int, image_size: int):
        super().__init__()
        if image_size < SMALLEST_IMAGE:
            raise ValueError(
                f"image_size is {image_size}, but two unpadded 5×5 convolutions and two poolings "
                f"need at least {SMALLEST_IMAGE}; set the view's resize step to such a size."
            )
        side = ((image_size - 4) // 2 - 4) // 2
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * side**2, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, classes),
        )

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, 32, 32] in 0…1
        features = self.features(image)  # [B, 16, 5, 5]
        return self.head(features)  # [B, classes], logits
