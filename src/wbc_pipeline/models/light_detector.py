"""Beyond the localization paper: a detector for a laptop, trained in minutes on one core."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator

from wbc_pipeline.models.compact_residual_cnn import ResidualBlock, _convolution
from wbc_pipeline.models.mask_rcnn import CLASSES, check_frame_size
from wbc_pipeline.models.pretrained import HEADS, load_weights

STRIDE = 16  # of the one map of features
CHANNELS = 96  # of the features that the heads see
DETECTIONS = 20  # of an image at the most
_MOBILENET_STAGES = {"mobilenet_v2": 14, "mobilenet_v3_large": 13}  # up to the stride of 16
_ALL_STAGES = 19  # of the deeper of the two


class CompactBackbone(nn.Module):
    """Residual blocks as in ``CompactResidualCNN``, one stage more, up to a stride of 16."""

    def __init__(
        self, *, filters: Sequence[int] = (32, 64, 96, 128), blocks: Sequence[int] = (1, 1, 2, 2)
    ):
        super().__init__()
        self.stem = _convolution(3, filters[0], size=5, stride=2)
        self.stages = nn.Sequential()
        in_channels = filters[0]
        for stage, (width, depth) in enumerate(zip(filters, blocks, strict=True)):
            for block in range(depth):
                stride = 2 if stage > 0 and block == 0 else 1
                self.stages.append(ResidualBlock(in_channels, width, stride=stride))
                in_channels = width
        self.project = nn.Conv2d(in_channels, CHANNELS, kernel_size=1)
        self.out_channels = CHANNELS

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, S, S]
        features = functional.relu(self.stem(image))  # [B, 32, S/2, S/2]
        return self.project(self.stages(features))  # [B, 96, S/16, S/16]


class MobileBackbone(nn.Module):
    """MobileNetV2 (Sandler et al., CVPR 2018) or V3-Large (Howard et al., ICCV 2019), in part.

    The part is that up to a stride of 16; the image is normalised as for ImageNet's weights by
    torchvision's ``FCOS``.
    """

    def __init__(self, name: str):
        super().__init__()
        self.stages = _MOBILENET_STAGES[name]
        self.features = getattr(torchvision.models, name)().features[: self.stages]
        self.project = nn.Conv2d(self.features[-1].out_channels, CHANNELS, kernel_size=1)
        self.out_channels = CHANNELS

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, S, S]
        return self.project(self.features(image))  # [B, 96, S/16, S/16]


_BACKBONES = {
    "compact": CompactBackbone,
    **{name: partial(MobileBackbone, name) for name in _MOBILENET_STAGES},
}


class LightDetector(nn.Module):
    """Anchor-free detector (FCOS: Tian et al., ICCV 2019) on one map of features.

    White cells are of much the same size, so one map does, without a pyramid. The loss is a
    generalised IoU and no proposal is sampled. Tried beside it from scratch on 220 photographs:
    SSDLite320 had found little after 8 epochs, and Faster R-CNN over MobileNetV3-Large, which
    learns too, took many times as long for each.

    ``forward`` is that of :class:`~wbc_pipeline.models.mask_rcnn.MaskRCNN`, without masks.

    Parameters
    ----------
    image_size
        Height and width of the frames in pixels; a multiple of 32, at least 64.
    backbone
        ``compact``: 1.6 million parameters, from scratch. ``mobilenet_v2`` and
        ``mobilenet_v3_large``: for weights of ImageNet.
    score
        Detections below this score are not given.
    """

    views = ("image",)
    learns_masks = False

    def __init__(self, *, image_size: int, backbone: str = "compact", score: float = 0.05):
        super().__init__()
        check_frame_size(image_size)
        if backbone not in _BACKBONES:
            raise ValueError(
                f"The light detector has no backbone {backbone!r}; set backbone to one of "
                f"{', '.join(_BACKBONES)}."
            )
        self.image_size = image_size
        self.detector = FCOS(
            _BACKBONES[backbone](),
            num_classes=CLASSES,
            min_size=image_size,
            max_size=image_size,
            anchor_generator=AnchorGenerator(((STRIDE,),), ((1.0,),)),
            score_thresh=score,
            detections_per_img=DETECTIONS,
        )

    def load_pretrained(self, file: Path) -> None:
        """Load weights from a file into a MobileNet; the rest is left unchanged.

        Parameters
        ----------
        file
            State dict of torchvision's classifier, such as ``find_weights`` of
            :mod:`wbc_pipeline.models.pretrained` finds.

        Raises
        ------
        ValueError
            If the backbone is ``compact``, or the file's weights do not fit; the network is then
            unchanged.
        """
        if not isinstance(self.detector.backbone, MobileBackbone):
            raise ValueError(
                f"There are no weights for the backbone compact, so {file} is of no use to it; set "
                f"weights to none, or backbone to one of {', '.join(_MOBILENET_STAGES)}."
            )
        backbone = self.detector.backbone
        later = tuple(f"features.{stage}." for stage in range(backbone.stages, _ALL_STAGES))
        load_weights({"features.": backbone.features}, file, ignored=HEADS + later)

    def forward(
        self, images: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:  # images [B, 3, S, S] in 0…1
        return self.detector(list(images), targets)
