"""The separable paper's network: ordinary, spatially and depthwise separable convolutions."""

from collections.abc import Sequence

from torch import Tensor, nn

ACTIVATIONS = ("leaky_relu", "relu", "swish")
SMALLEST_IMAGE = 24  # leaves the last pooling one pixel


def _activation(name: str, negative_slope: float) -> nn.Module:
    if name not in ACTIVATIONS:
        raise ValueError(f"No activation is called {name!r}; known are {', '.join(ACTIVATIONS)}.")
    if name == "leaky_relu":
        return nn.LeakyReLU(negative_slope)
    return nn.ReLU() if name == "relu" else nn.SiLU()


class MixedSeparableCNN(nn.Module):
    """CNN of three blocks, each with a cheaper kind of 3×3 convolution than the one before.

    The defaults are the separable paper's Table 1; the rows of its ablation, Table 2, are
    ``filters``, ``activation``, ``batch_norm`` and ``global_pooling``. No convolution is padded:
    64×64 shrinks to 62, 60, 30, 28, 14, 12 and 6, where the 1×3 convolution takes two columns
    and the 3×1 convolution two rows, so 28 holds for both axes only after the second.

    Table 1 has no rows for activations; here one follows each convolution and each hidden dense
    layer, so batch normalisation, in the table's place, comes after that of its convolution.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels, at least ``SMALLEST_IMAGE``.
    filters
        Filters of the three blocks: two 3×3 convolutions; 1×3 and 3×1; depthwise 3×3 (which
        keeps the second block's number) and pointwise. Table 2 also has 16, 32, 64 or 128 in all.
    activation
        ``leaky_relu``, ``relu`` or ``swish``.
    batch_norm
        Normalise after the second convolution.
    global_pooling
        Average each feature map to one number ahead of the dense layers; else flatten them.
    hidden
        Units of the two hidden dense layers.
    dropout
        Share of activations dropped after each hidden dense layer.
    negative_slope
        Of ``leaky_relu``. The paper gives none; its counts are Keras' (512 for batch
        normalisation includes the moving statistics), so this is the default of Keras'
        ``LeakyReLU`` layer, 0.3, and not PyTorch's 0.01.
    """

    views = ("image",)

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        filters: Sequence[int] = (128, 64, 32),
        activation: str = "leaky_relu",
        batch_norm: bool = True,
        global_pooling: bool = True,
        hidden: Sequence[int] = (512, 256),
        dropout: float = 0.5,
        negative_slope: float = 0.3,
    ):
        super().__init__()
        for name, sizes, expected in (("filters", filters, 3), ("hidden", hidden, 2)):
            if len(sizes) != expected:
                raise ValueError(f"{name} is {list(sizes)}, but this network needs {expected}.")
        if image_size < SMALLEST_IMAGE:
            raise ValueError(
                f"image_size is {image_size}, but unpadded convolutions and three poolings need "
                f"at least {SMALLEST_IMAGE}; set the view's resize step to such a size."
            )
        first, second, third = filters
        self.activation = _activation(activation, negative_slope)

        self.convolution_1 = nn.Conv2d(3, first, kernel_size=3)
        self.convolution_2 = nn.Conv2d(first, first, kernel_size=3)
        self.batch_norm = nn.BatchNorm2d(first) if batch_norm else nn.Identity()
        self.pool_1 = nn.MaxPool2d(2)

        self.horizontal = nn.Conv2d(first, second, kernel_size=(1, 3))
        self.vertical = nn.Conv2d(second, second, kernel_size=(3, 1))
        self.pool_2 = nn.MaxPool2d(2)

        self.depthwise = nn.Conv2d(second, second, kernel_size=3, groups=second)
        self.pointwise = nn.Conv2d(second, third, kernel_size=1)
        self.pool_3 = nn.MaxPool2d(2)

        side = 1 if global_pooling else (((image_size - 4) // 2 - 2) // 2 - 2) // 2
        self.global_pool = nn.AdaptiveAvgPool2d(1) if global_pooling else nn.Identity()
        self.flatten = nn.Flatten()
        self.dense_1 = nn.Linear(third * side**2, hidden[0])
        self.dense_2 = nn.Linear(hidden[0], hidden[1])
        self.classes = nn.Linear(hidden[1], classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, 64, 64] in 0…1, sizes as in Table 1
        features = self.activation(self.convolution_1(image))  # [B, 128, 62, 62]
        features = self.activation(self.convolution_2(features))  # [B, 128, 60, 60]
        features = self.pool_1(self.batch_norm(features))  # [B, 128, 30, 30]
        features = self.activation(self.horizontal(features))  # [B, 64, 30, 28]
        features = self.pool_2(self.activation(self.vertical(features)))  # [B, 64, 14, 14]
        features = self.activation(self.depthwise(features))  # [B, 64, 12, 12]
        features = self.pool_3(self.activation(self.pointwise(features)))  # [B, 32, 6, 6]
        units = self.flatten(self.global_pool(features))  # [B, 32]
        units = self.dropout(self.activation(self.dense_1(units)))  # [B, 512]
        units = self.dropout(self.activation(self.dense_2(units)))  # [B, 256]
        return self.classes(units)  # [B, classes], logits
