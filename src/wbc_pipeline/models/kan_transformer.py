"""A small transformer whose dense layers are Kolmogorov–Arnold layers."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from wbc_pipeline.errors import UserError

STRIDE = 8  # of the convolutions that make tokens
REACH = 2.0  # the splines' knots lie between minus and plus this


class KANLinear(nn.Module):
    """A learned function on each edge between inputs and outputs, in place of a weight.

    An edge adds ``w silu(x)`` and a cubic spline of ``x``, the sum of uniform B-splines with
    learned coefficients. Outside of all knots the spline is 0.

    Parameters
    ----------
    inputs, outputs
        Sizes of the last axis.
    splines
        B-splines of each edge, at least 4.
    """

    def __init__(self, inputs: int, outputs: int, *, splines: int = 8):
        super().__init__()
        self.inputs, self.splines = inputs, splines
        self.register_buffer("centres", torch.linspace(-REACH, REACH, splines), persistent=False)
        self.base = nn.Parameter(torch.empty(outputs, inputs))
        self.coefficients = nn.Parameter(torch.empty(outputs, inputs * splines))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all anew: the splines begin close to 0."""
        nn.init.xavier_uniform_(self.base)
        nn.init.normal_(self.coefficients, std=0.1 / (self.inputs * self.splines) ** 0.5)

    def forward(self, values: Tensor) -> Tensor:  # [..., inputs]
        spacing = 2 * REACH / (self.splines - 1)
        bases = cubic_b_spline((values.unsqueeze(-1) - self.centres) / spacing)
        smooth = functional.linear(functional.silu(values), self.base)
        return smooth + functional.linear(bases.flatten(-2), self.coefficients)  # [..., outputs]


def cubic_b_spline(distance: Tensor) -> Tensor:
    """Evaluate the uniform cubic B-spline; where splines one apart overlap, they sum to 1.

    Parameters
    ----------
    distance
        From its centre, in distances between knots; any shape.

    Examples
    --------
    >>> cubic_b_spline(torch.tensor([0.0, -1.0, 1.0, 2.0])).tolist()
    [0.6666666865348816, 0.1666666716337204, 0.1666666716337204, 0.0]
    """
    outer = (2 - distance.abs()).clamp(min=0) ** 3
    inner = (1 - distance.abs()).clamp(min=0) ** 3
    return (outer - 4 * inner) / 6


class KANBlock(nn.Module):
    """Self-attention, then two Kolmogorov–Arnold layers, each behind a normalisation and added."""

    def __init__(self, width: int, *, heads: int, splines: int, dropout: float):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.layers = nn.Sequential(
            KANLinear(width, width, splines=splines),
            nn.LayerNorm(width),  # keeps what comes between the knots of the next
            KANLinear(width, width, splines=splines),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:  # [B, N, width]
        normed = self.attention_norm(tokens)
        attended, _ = self.attention(normed, normed, normed, need_weights=False)
        tokens = tokens + attended
        return tokens + self.layers(self.norm(tokens))


class KANTransformer(nn.Module):
    """Convolutions make tokens, blocks of attention and Kolmogorov–Arnold layers follow.

    In the spirit of SCKansformer, which the challenge paper trains from scratch; sizes, stem and
    splines are ours.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels, a multiple of 8.
    width
        Of the tokens, a multiple of `heads`.
    depth
        Number of blocks.
    heads
        Of the attention.
    splines
        B-splines of each edge of a Kolmogorov–Arnold layer.
    dropout
        In the attention, and after each block's layers.

    Raises
    ------
    UserError
        If a size does not fit.

    References
    ----------
    Z. Liu et al., "KAN: Kolmogorov–Arnold networks", ICLR 2025. Y. Chen et al., "SCKansformer:
    fine-grained classification of bone marrow cells via Kansformer backbone and hierarchical
    attention mechanisms", IEEE J-BHI 2024.
    """

    views = ("image",)

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        splines: int = 8,
        dropout: float = 0.1,
    ):
        super().__init__()
        if image_size % STRIDE or image_size < STRIDE:
            raise UserError(
                f"image_size is {image_size}, but kan_transformer needs a multiple of {STRIDE}; "
                "set the view's resize step to such a size."
            )
        if width % (4 * heads):
            raise UserError(
                f"width is {width}, but must be a multiple of 4 times heads, that is {4 * heads}."
            )
        if splines < 4:
            raise UserError(f"splines is {splines}, but a cubic spline needs at least 4.")
        side = image_size // STRIDE
        self.stem = nn.Sequential(
            *_halve(3, width // 4), *_halve(width // 4, width // 2), *_halve(width // 2, width)
        )
        self.positions = nn.Parameter(0.02 * torch.randn(1, side * side, width))
        self.blocks = nn.Sequential(
            *(KANBlock(width, heads=heads, splines=splines, dropout=dropout) for _ in range(depth))
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def features(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        tokens = self.stem(image).flatten(2).transpose(1, 2)  # [B, H/8 * W/8, width]
        return self.norm(self.blocks(tokens + self.positions)).mean(1)  # [B, width]

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        return self.head(self.features(image))  # [B, classes], logits


def _halve(channels: int, filters: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(channels, filters, 3, stride=2, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(filters), nn.GELU()
