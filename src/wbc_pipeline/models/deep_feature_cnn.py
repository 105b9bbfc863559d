"""Deep features of an ImageNet network under a compact classifier: a saliency baseline."""

from torch import Tensor, nn

from wbc_pipeline.errors import UserError
from wbc_pipeline.models.imagenet_cnn import CHANNELS, ImageNetCNN
from wbc_pipeline.models.joint import JointOutput
from wbc_pipeline.models.joint_heads import MaskDecoder


class DeepFeatureCNN(ImageNetCNN):
    """MobileNet features, a classifier of two dense layers, and a light mask decoder beside.

    After the idea of the baseline that the saliency paper cites as Yentrapragada; the mask decoder
    is added here, so that its IoU can be compared.

    Parameters
    ----------
    classes, image_size, dropout
        As in :class:`~wbc_pipeline.models.imagenet_cnn.ImageNetCNN`.
    backbone
        ``mobilenet_v2``, ``mobilenet_v3_small`` or ``mobilenet_v3_large``.
    dense
        Units of the first dense layer.
    decoder_filters
        Of the decoder's stages.
    """

    task = "joint"

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        backbone: str = "mobilenet_v2",
        dense: int = 64,
        decoder_filters: int = 32,
        dropout: float = 0.2,
    ):
        if not backbone.startswith("mobilenet"):
            raise UserError(
                f"No mask decoder fits the backbone {backbone!r}; set backbone to one of "
                f"{', '.join(name for name in CHANNELS if name.startswith('mobilenet'))}."
            )
        super().__init__(classes=classes, image_size=image_size, backbone=backbone, dropout=dropout)
        layers = self.backbone.features
        # torchvision marks the layers that halve; the one before each is the last of its size.
        self._ends = [i - 1 for i, layer in enumerate(layers) if getattr(layer, "_is_cn", False)]
        self._ends.append(len(layers) - 1)
        self.cam_layer = f"backbone.features.{len(layers) - 1}"
        self.decoder = MaskDecoder(
            channels=[layers[end].out_channels for end in self._ends], filters=decoder_filters
        )
        self.classes = nn.Sequential(
            nn.Linear(CHANNELS[backbone], dense), nn.ReLU(), nn.Linear(dense, classes)
        )

    def forward(self, image: Tensor) -> JointOutput:  # [B, 3, H, W] in 0…1
        features, maps = (image - self.mean) / self.deviation, []
        for place, layer in enumerate(self.backbone.features):
            features = layer(features)
            if place in self._ends:
                maps.append(features)  # at H/2, H/4, … H/32
        masks = self.decoder(maps, image.shape[-2:])  # [B, 2, H, W]
        return JointOutput(self.head(self.flatten(self.pool(features))), masks)
