"""Blend with a share of foreground predicted for each image: the paper's own future work."""

import math

import torch
from torch import Tensor, nn

from wbc_pipeline.models.normal_cnn import NormalCNN


class AdaptiveBlendCNN(nn.Module):
    """CNN on a blend whose ``alpha`` in 0…1 is predicted from the image and its foreground.

    Parameters
    ----------
    classes, image_size
        As in :class:`~wbc_pipeline.models.normal_cnn.NormalCNN`.
    alpha
        Share of the foreground that an untrained network starts from, between 0 and 1.
    gate_filters
        Filters of the small network that predicts ``alpha``.
    cnn
        Further arguments of ``NormalCNN``.
    """

    views = ("image", "foreground")

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        alpha: float = 0.5,
        gate_filters: int = 8,
        **cnn,
    ):
        super().__init__()
        if not 0 < alpha < 1:
            raise ValueError(f"alpha is {alpha}, but a predicted share starts between 0 and 1.")
        self.gate = nn.Sequential(
            nn.AvgPool2d(4),  # a share for the whole image needs no detail
            nn.Conv2d(6, gate_filters, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(gate_filters, 1),
        )
        nn.init.constant_(self.gate[-1].bias, math.log(alpha / (1 - alpha)))
        self.cnn = NormalCNN(classes=classes, image_size=image_size, **cnn)
        self._shares = torch.full((1,), float(alpha))

    def blend(self, image: Tensor, foreground: Tensor) -> Tensor:  # [B, 3, H, W] twice
        """Mix each image with its foreground by its own share; the result has their shape."""
        alpha = self.gate(torch.cat([image, foreground], dim=1)).sigmoid()  # [B, 1]
        self._shares = alpha.detach().flatten()
        return torch.lerp(image, foreground, alpha[:, :, None, None].to(image.dtype))

    def forward(self, image: Tensor, foreground: Tensor) -> Tensor:  # [B, 3, H, W] twice
        return self.cnn(self.blend(image, foreground))  # [B, classes], logits

    def tracked(self) -> dict[str, Tensor]:
        """Give mean and standard deviation of the shares in the latest batch."""
        shares = self._shares.float()
        return {"alpha_mean": shares.mean(), "alpha_sd": shares.std(correction=0)}
