"""Transfer learning in the challenge paper: a pretrained backbone's features under a new head."""

from pathlib import Path

from torch import Tensor, nn

from wbc_pipeline.errors import UserError
from wbc_pipeline.models.adapters import add_adapters, without_adapters
from wbc_pipeline.models.backbones import Backbone
from wbc_pipeline.models.nearest_neighbours import NearestNeighbours

MODES = ("full", "linear", "lora", "knn")
FIXED = ("linear", "knn")  # modes whose backbone never changes


class PretrainedCNN(nn.Module):
    """A backbone of torchvision or timm under a dense layer, or under nearest neighbours.

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
        ``vit_small_dinov2`` (those of DinoBloom-B and -S), ``test_efficientnet`` (timm's smallest,
        to try a schedule).
    dropout
        Share of the features dropped.
    mode
        ``full``: all weights learn, as far as stages don't freeze them. ``linear``: the dense layer
        alone. ``lora``: it and adapters in a transformer's attentions. ``knn``: none; the nearest
        training images vote in place of the dense layer.
    rank
        Of the adapters of ``lora``.
    neighbours
        Images that vote under ``knn``.
    memory
        Images that ``knn`` remembers; training sets it.

    Raises
    ------
    UserError
        If the backbone or the mode is not known, or they don't go together.

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
        mode: str = "full",
        rank: int = 8,
        neighbours: int = 20,
        memory: int = 0,
    ):
        super().__init__()
        if mode not in MODES:
            raise UserError(f"mode {mode!r} is not known; set it to one of {', '.join(MODES)}.")
        if mode == "lora" and not backbone.startswith("vit"):
            raise UserError(
                f"mode lora adapts the attentions of a transformer, and {backbone} has none that "
                "it knows; set backbone to vit_base_dinov2 or vit_small_dinov2, or mode to linear, "
                "knn or full."
            )
        self.mode = mode
        self.backbone = Backbone(backbone, image_size)
        channels = self.backbone.channels
        if mode == "lora":
            add_adapters(self.backbone, rank=rank)
        elif mode in FIXED:
            self.backbone.requires_grad_(False)
        self.head = (
            NearestNeighbours(channels, classes=classes, neighbours=neighbours, memory=memory)
            if mode == "knn"
            else nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, classes))
        )
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
        with without_adapters(self.backbone):
            self.backbone.load_pretrained(file)

    def train(self, mode: bool = True) -> "PretrainedCNN":
        """Switch between training and evaluation; a fixed backbone stays in evaluation."""
        super().train(mode)
        if self.mode in FIXED:
            self.backbone.eval()  # else batch normalisation's statistics would learn
        return self

    def features(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        return self.backbone(image)  # [B, C]

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        return self.head(self.features(image))  # [B, classes], logits
