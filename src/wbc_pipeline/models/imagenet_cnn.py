"""Transfer learning in the localize paper: an ImageNet network's features under a new head."""

from collections import OrderedDict
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn

from wbc_pipeline.models.pretrained import check_backbone, load_weights

CHANNELS = {
    "vgg16": 512,
    "resnet50": 2048,
    "inception_v3": 2048,
    "mobilenet_v2": 1280,
    "mobilenet_v3_small": 576,
    "mobilenet_v3_large": 960,
}
MEAN, STANDARD_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB of ImageNet

_HEAD_PARTS = ("avgpool", "dropout", "fc", "classifier")


def _features(backbone: str) -> nn.Sequential:
    arguments = {}
    if backbone == "inception_v3":
        # Left to itself it warns that its initial weights will change; these are torch's own.
        arguments = {"aux_logits": False, "init_weights": False}
    network = getattr(torchvision.models, backbone)(**arguments)
    return nn.Sequential(
        OrderedDict(
            (name, part) for name, part in network.named_children() if name not in _HEAD_PARTS
        )
    )


class ImageNetCNN(nn.Module):
    """Features of one of torchvision's networks, global average pooling, dropout, a dense layer.

    Built with random weights; :meth:`load_pretrained` gives the features those of ImageNet. The
    parts keep torchvision's names inside ``backbone``. The image is normalised here, as for
    torchvision's weights: by ImageNet's mean and standard deviation, but to -1…1 for
    ``inception_v3``, whose weights were trained so.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels: at least 32, for ``inception_v3`` 75.
    backbone
        ``vgg16``, ``resnet50``, ``inception_v3`` (without its auxiliary head), ``mobilenet_v2``,
        ``mobilenet_v3_small`` or ``mobilenet_v3_large``.
    dropout
        Share of the pooled features dropped.
    """

    views = ("image",)

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        backbone: str = "mobilenet_v2",
        dropout: float = 0.2,
    ):
        super().__init__()
        check_backbone(backbone)
        smallest = 75 if backbone == "inception_v3" else 32
        if image_size < smallest:
            raise ValueError(
                f"image_size is {image_size}, but {backbone} needs at least {smallest}; "
                "set the view's resize step to such a size."
            )
        half = (0.5, 0.5, 0.5)
        mean, deviation = (half, half) if backbone == "inception_v3" else (MEAN, STANDARD_DEVIATION)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer(
            "deviation", torch.tensor(deviation).view(1, 3, 1, 1), persistent=False
        )
        self.backbone = _features(backbone)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.classes = nn.Linear(CHANNELS[backbone], classes)

    def load_pretrained(self, file: Path) -> None:
        """Load weights from a file into the features; the head is left unchanged.

        Parameters
        ----------
        file
            State dict of torchvision's network, such as ``find_weights`` of
            :mod:`wbc_pipeline.models.pretrained` finds.

        Raises
        ------
        ValueError
            If the file's weights do not fit; the network is then unchanged.
        """
        load_weights({"": self.backbone}, file)

    def features(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        maps = self.backbone((image - self.mean) / self.deviation)  # [B, C, H/32, W/32]
        return self.flatten(self.pool(maps))  # [B, C]

    def head(self, features: Tensor) -> Tensor:  # [B, C]
        return self.classes(self.dropout(features))  # [B, classes], logits

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        return self.head(self.features(image))  # [B, classes], logits
