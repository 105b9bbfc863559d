"""Transfer learning in the challenge paper: a pretrained backbone's features under a new head."""

from pathlib import Path

from torch import Tensor, nn

from wbc_pipeline.models.backbones import Backbone


class PretrainedCNN(nn.Module):
    """A backbone of torchvision or timm, dropout, a dense layer.

    Built with random weights; :meth:`load_pretrained` gives the backbone those that are published
    for it. The image is normalised here as for those weights: by ImageNet's mean and standard
    deviation, for ``efficientnet_lite0`` to -1…1.

    All backbones have the same parts, which stages freeze or slow by name: ``backbone.stem``,
    ``backbone.stages.0`` (at the image's size) to ``backbone.stages.3`` (the last, whose output is
    pooled), ``backbone.pool`` (its normalisation, if it has one), ``head``.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels, at least 32.
    backbone
        ``mobilenet_v2``, ``efficientnet_lite0``, ``efficientnetv2_b0``, ``resnet50``,
        ``convnext_tiny``, ``swin_tiny``, ``cspdarknet53`` (YOLOv4's), ``vit_base_dinov2`` or
        ``vit_small_dinov2`` (those of DinoBloom-B and -S).
    dropout
        Share of the features dropped.

    References
    ----------
    M. Sandler et al., "MobileNetV2", CVPR 2018. M. Tan and Q. Le, "EfficientNetV2", ICML 2021.
    K. He et al., "Deep residual learning", CVPR 2016. Z. Liu et al., "A ConvNet for the 2020s",
    CVPR 2022, and "Swin transformer", ICCV 2021. A. Bochkovskiy et al., "YOLOv4", 2020. M. Oquab
    et al., "DINOv2", 2023. V. Koch et al., "DinoBloom", MICCAI 2024.
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
        self.backbone = Backbone(backbone, image_size)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.backbone.channels, classes))
        if self.backbone.cam_layer:
            self.cam_layer = f"backbone.{self.backbone.cam_layer}"

    def load_pretrained(self, file: Path) -> None:
        """Load weights from a file into the backbone; the head is left unchanged.

        Parameters
        ----------
        file
            State dict of the library's network, such as ``find_weights`` of
            :mod:`wbc_pipeline.models.pretrained` finds.

        Raises
        ------
        UserError
            If the file's weights do not fit; the network is then unchanged.
        """
        self.backbone.load_pretrained(file)

    def features(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        return self.backbone(image)  # [B, C]

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        return self.head(self.features(image))  # [B, classes], logits
