"""The localization paper's detector: Mask R-CNN over VGG16 or ResNet-50."""

from pathlib import Path

import torchvision
from torch import Tensor, nn
from torchvision.models.detection import MaskRCNN as TorchvisionMaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.ops import MultiScaleRoIAlign

from wbc_pipeline.models.pretrained import load_weights

CLASSES = 2  # background, white cell
STRIDE = 32  # torchvision would pad other sizes with black
PROPOSALS_LEARNT = 0.512  # share of the proposals, as in torchvision
VGG_ANCHORS = (32, 64, 128, 256)  # pixels of the frame


def check_frame_size(image_size: int) -> None:
    """Refuse a size that a detector cannot halve five times.

    Raises
    ------
    ValueError
        If it is not a multiple of 32, at least 64.
    """
    if image_size % STRIDE or image_size < 2 * STRIDE:
        raise ValueError(
            f"image_size is {image_size}, but a detector needs a multiple of {STRIDE}, at least "
            f"{2 * STRIDE}; set the frame's resize step to such a size."
        )


class MaskRCNN(nn.Module):
    """Mask R-CNN (He et al., ICCV 2017) for one class, the white blood cell.

    ``resnet50`` has a feature pyramid, as torchvision builds it; ``vgg16`` has none: its features
    before the last pooling are one map with a stride of 16. Batch normalisation is trained,
    whether or not it starts from weights of ImageNet: frozen statistics of random weights would
    be no normalisation at all.

    In training, ``forward`` takes images and targets and gives a dict of losses; in evaluation it
    takes images and gives a list of dicts with ``boxes`` [n, 4] (xmin, ymin, xmax, ymax in pixels
    of the frame), ``scores`` [n] in descending order, ``labels`` [n] and ``masks`` [n, 1, S, S].

    Parameters
    ----------
    image_size
        Height and width of the frames in pixels; a multiple of 32, at least 64.
    backbone
        ``vgg16`` or ``resnet50``.
    score
        Detections below this score are not given.
    proposals
        Places of an image that the heads look at; torchvision's are 1,000. Half as many are
        learnt from, as there. The heads are most of the work on a small frame, and a photograph
        has few cells.
    """

    views = ("image",)
    learns_masks = True

    def __init__(
        self,
        *,
        image_size: int,
        backbone: str = "resnet50",
        score: float = 0.05,
        proposals: int = 1000,
    ):
        super().__init__()
        check_frame_size(image_size)
        if backbone not in _BACKBONES:
            raise ValueError(
                f"Mask R-CNN has no backbone {backbone!r}; set backbone to one of "
                f"{', '.join(_BACKBONES)}."
            )
        self.image_size = image_size
        self.detector = TorchvisionMaskRCNN(
            num_classes=CLASSES,
            min_size=image_size,
            max_size=image_size,
            box_score_thresh=score,
            rpn_post_nms_top_n_train=2 * proposals,
            rpn_post_nms_top_n_test=proposals,
            box_batch_size_per_image=max(1, round(PROPOSALS_LEARNT * proposals)),
            **_BACKBONES[backbone](),
        )

    def load_pretrained(self, file: Path) -> None:
        """Load weights from a file into the backbone; the rest is left unchanged.

        Parameters
        ----------
        file
            State dict of torchvision's classifier, such as ``find_weights`` of
            :mod:`wbc_pipeline.models.pretrained` finds.

        Raises
        ------
        ValueError
            If the file's weights do not fit; the network is then unchanged.
        """
        body = self.detector.backbone
        has_pyramid = isinstance(body, BackboneWithFPN)
        load_weights({"": body.body} if has_pyramid else {"features.": body}, file)

    def forward(
        self, images: Tensor, targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:  # images [B, 3, S, S] in 0…1
        return self.detector(list(images), targets)


def _vgg16() -> dict:
    features = torchvision.models.vgg16().features[:-1]  # [B, 512, S/16, S/16]
    features.out_channels = 512
    return {
        "backbone": features,
        "rpn_anchor_generator": AnchorGenerator((VGG_ANCHORS,), ((0.5, 1.0, 2.0),)),
        "box_roi_pool": MultiScaleRoIAlign(["0"], output_size=7, sampling_ratio=2),
        "mask_roi_pool": MultiScaleRoIAlign(["0"], output_size=14, sampling_ratio=2),
    }


def _resnet50() -> dict:
    backbone = resnet_fpn_backbone(
        backbone_name="resnet50", weights=None, norm_layer=nn.BatchNorm2d, trainable_layers=5
    )
    return {"backbone": backbone}


_BACKBONES = {"vgg16": _vgg16, "resnet50": _resnet50}
