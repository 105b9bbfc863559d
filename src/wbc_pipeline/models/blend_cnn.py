"""The blend paper's proposal: the normal CNN fed by a learned mix of image and foreground."""

import torch
from torch import Tensor, nn

from wbc_pipeline.models.normal_cnn import NormalCNN


class BlendCNN(nn.Module):
    """CNN on ``alpha * foreground + (1 - alpha) * image`` with one learned ``alpha``.

    Parameters
    ----------
    classes, image_size
        As in :class:`~wbc_pipeline.models.normal_cnn.NormalCNN`.
    alpha
        Initial share of the foreground; trained freely, as in the paper, so it may leave 0…1.
    cnn
        Further arguments of ``NormalCNN``.
    """

    views = ("image", "foreground")

    def __init__(self, *, classes: int, image_size: int, alpha: float = 0.5, **cnn):
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(float(alpha)))
        self.cnn = NormalCNN(classes=classes, image_size=image_size, **cnn)

    def blend(self, image: Tensor, foreground: Tensor) -> Tensor:  # [B, 3, H, W] twice
        """Mix image and foreground; the result has their shape."""
        return torch.lerp(image, foreground, self.alpha)

    def forward(self, *views: Tensor) -> Tensor:  # [B, 3, H, W] each, in 0…1
        return self.cnn(self.blend(*views))  # [B, classes], logits

    def tracked(self) -> dict[str, Tensor]:
        """Give the scalars whose path over training is worth a plot."""
        return {"alpha": self.alpha.detach()}
