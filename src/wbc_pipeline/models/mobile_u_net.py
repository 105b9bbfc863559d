"""A U-Net on MobileNetV2, whose ImageNet features know more colours than one laboratory's slides.

Built for this project's own variant of the saliency paper, ``stain_robust``.
"""

from collections import OrderedDict
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from wbc_pipeline.errors import UserError
from wbc_pipeline.models.imagenet_cnn import MEAN, STANDARD_DEVIATION
from wbc_pipeline.models.joint import REGIONS, JointOutput
from wbc_pipeline.models.joint_heads import ClassHead, check_halvings, resize
from wbc_pipeline.models.pretrained import HEADS, load_weights

LAYERS = 14  # of MobileNetV2's 19: those down to H/16
SKIPS = {1: 16, 3: 24, 6: 32}  # the last layers at H/2, H/4 and H/8, and their channels
DEEPEST = 96  # channels at H/16


class MobileUNet(nn.Module):
    """MobileNetV2 down to H/16, a light decoder up to H/2, pixel shuffle to the full size.

    Built with random weights; :meth:`load_pretrained` gives the encoder those of ImageNet. Its
    parts keep torchvision's names inside ``backbone``. The image is normalised here.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels, a multiple of 16.
    backbone
        ``mobilenet_v2``: whose weights the encoder begins with.
    filters
        Of the decoder at H/8, H/4 and H/2.
    dropout
        Share of the pooled features dropped before the class head.

    References
    ----------
    M. Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018;
    W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network", CVPR 2016.
    """

    task = "joint"
    views = ("image",)
    cam_layer = f"backbone.features.{LAYERS - 1}"

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        backbone: str = "mobilenet_v2",
        filters: tuple[int, int, int] = (64, 40, 24),
        dropout: float = 0.2,
    ):
        super().__init__()
        if backbone != "mobilenet_v2":
            raise UserError(
                f"No decoder fits the backbone {backbone!r}; set backbone to mobilenet_v2."
            )
        check_halvings(image_size, 4)
        features = torchvision.models.mobilenet_v2().features[:LAYERS]
        self.backbone = nn.Sequential(OrderedDict(features=features))
        skips = list(reversed(SKIPS.values()))
        channels = (DEEPEST, *filters)
        self.up = nn.ModuleList(
            Conv2dNormActivation(channels[i] + skip, channels[i + 1], kernel_size=3)
            for i, skip in enumerate(skips)
        )
        self.masks = nn.Sequential(
            nn.Conv2d(filters[-1], 4 * len(REGIONS), kernel_size=1), nn.PixelShuffle(2)
        )
        self.head = ClassHead(DEEPEST, classes=classes, dropout=dropout)
        for name, values in (("mean", MEAN), ("deviation", STANDARD_DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1), persistent=False)

    def load_pretrained(self, file: Path) -> None:
        """Load weights from a file into the encoder; its deeper layers are left out.

        Parameters
        ----------
        file
            State dict of torchvision's network, such as ``find_weights`` of
            :mod:`wbc_pipeline.models.pretrained` finds.

        Raises
        ------
        UserError
            If the file's weights do not fit; the network is then unchanged.
        """
        deeper = tuple(f"features.{layer}." for layer in range(LAYERS, 19))
        load_weights({"": self.backbone}, file, ignored=(*HEADS, *deeper))

    def forward(self, image: Tensor) -> JointOutput:  # [B, 3, H, W] in 0…1
        features, skips = (image - self.mean) / self.deviation, []
        for place, layer in enumerate(self.backbone.features):
            features = layer(features)
            if place in SKIPS:
                skips.append(features)  # at H/2, H/4, H/8
        logits = self.head(features)  # [B, classes], from [B, 96, H/16, W/16]
        for convolution in self.up:
            skip = skips.pop()
            wide = resize(features, skip.shape[-2:])
            features = convolution(torch.cat([wide, skip], dim=1))
        return JointOutput(logits, self.masks(features))  # masks [B, 2, H, W]
