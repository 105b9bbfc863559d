"""Localization by saliency and attention, a baseline of the saliency paper."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from wbc_pipeline.models.joint import JointOutput
from wbc_pipeline.models.joint_heads import ClassHead, MaskDecoder, check_halvings
from wbc_pipeline.models.u_net import ConvolutionEncoder


class AttentionLocalizationNet(nn.Module):
    """CNN whose deepest map is gated by a spatial attention map, which also guides the mask.

    After the idea of the baseline that the saliency paper cites as Zheng et al. (2018) and Asha
    et al.; no code of theirs was found, so sizes are ours.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels; each level but the first halves it.
    filters
        Of each level, from full resolution down.
    attention_filters
        Of the convolution that the attention map is made from.
    decoder_filters
        Of the decoder's stages.
    dropout
        Share of the pooled features dropped before the class head.
    """

    task = "joint"
    views = ("image",)

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        filters: Sequence[int] = (16, 32, 64, 128),
        attention_filters: int = 32,
        decoder_filters: int = 32,
        dropout: float = 0.2,
    ):
        super().__init__()
        check_halvings(image_size, len(filters) - 1)
        self.encoder = ConvolutionEncoder(filters=filters)
        self.cam_layer = f"encoder.levels.{len(filters) - 1}"
        self.attention = nn.Sequential(
            Conv2dNormActivation(filters[-1], attention_filters, kernel_size=3),
            nn.Conv2d(attention_filters, 1, kernel_size=1),
            nn.Sigmoid(),
        )
        self.decoder = MaskDecoder(channels=filters, filters=decoder_filters)
        self.head = ClassHead(filters[-1], classes=classes, dropout=dropout)

    def forward(self, image: Tensor) -> JointOutput:  # [B, 3, H, W] in 0…1
        *maps, deepest = self.encoder(image)
        attention = self.attention(deepest)  # [B, 1, H/8, W/8] in 0…1
        attended = deepest * attention  # [B, 128, H/8, W/8]
        masks = self.decoder([*maps, attended], image.shape[-2:])
        return JointOutput(self.head(attended), masks, attention)
