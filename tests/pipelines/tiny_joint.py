"""A joint network small enough for tests."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from wbc_pipeline.models.joint import JointOutput


class TinyJoint(nn.Module):
    """A convolution for mask and saliency, and its mean for the class."""

    task = "joint"
    views = ("image",)
    cam_layer = "features"

    def __init__(self, *, classes=3, image_size=16, segments=True, views=("image",)):
        super().__init__()
        self.views, self.segments = views, segments
        self.features = nn.Conv2d(3 * len(views), 8, 3, padding=1)
        self.masks = nn.Conv2d(8, 2, 1)
        self.attention = nn.Conv2d(8, 1, 1)
        self.head = nn.Linear(8, classes)

    def forward(self, *views: Tensor) -> JointOutput:  # [B, 3, H, W] each
        found = functional.relu(self.features(torch.cat(views, dim=1)))
        saliency = functional.max_pool2d(self.attention(found), 4).sigmoid()
        masks = self.masks(found) if self.segments else None
        return JointOutput(self.head(found.mean((2, 3))), masks, saliency)
