"""ResNeXt with cross-layer fusion, a baseline of the saliency paper."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from wbc_pipeline.models.cross_layer_fusion import CrossLayerFusion
from wbc_pipeline.models.joint import JointOutput
from wbc_pipeline.models.joint_heads import ClassHead, MaskDecoder, check_halvings

CHANNELS = tuple(planes * Bottleneck.expansion for planes in (64, 128, 256, 512))
STEM = 64


class ResNeXtFusionNet(nn.Module):
    """Four stages of torchvision's ResNeXt (Xie et al., CVPR 2017), fused at the second's size.

    After the idea of the baseline that the saliency paper cites as Luo et al. The fused map gives
    the class and, with the finer maps of the first stage and the stem, the mask.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels, a multiple of 16.
    blocks
        Of each of the four stages. The defaults are ResNeXt-50's; ``[1, 1, 1, 1]`` with few groups
        suits two cores.
    groups, width_per_group
        Groups of the 3×3 convolutions, and the filters of each in the first stage.
    fusion_filters, decoder_filters
        Of the fused map, and of the decoder's stages.
    dropout
        Share of the pooled features dropped before the class head.
    """

    task = "joint"
    views = ("image",)
    cam_layer = "fusion"

    def __init__(
        self,
        *,
        classes: int,
        image_size: int,
        blocks: Sequence[int] = (3, 4, 6, 3),
        groups: int = 32,
        width_per_group: int = 4,
        fusion_filters: int = 128,
        decoder_filters: int = 32,
        dropout: float = 0.2,
    ):
        super().__init__()
        check_halvings(image_size, 4)
        resnext = ResNet(Bottleneck, list(blocks), groups=groups, width_per_group=width_per_group)
        self.stem = nn.Sequential(resnext.conv1, resnext.bn1, resnext.relu)
        self.pool = resnext.maxpool
        self.stages = nn.ModuleList(
            [resnext.layer1, resnext.layer2, resnext.layer3, resnext.layer4]
        )
        self.fusion = CrossLayerFusion(channels=CHANNELS, filters=fusion_filters)
        self.decoder = MaskDecoder(
            channels=(STEM, CHANNELS[0], fusion_filters), filters=decoder_filters
        )
        self.head = ClassHead(fusion_filters, classes=classes, dropout=dropout)

    def forward(self, image: Tensor) -> JointOutput:  # [B, 3, H, W] in 0…1
        stem = self.stem(image)  # [B, 64, H/2, W/2]
        features, maps = self.pool(stem), []
        for stage in self.stages:
            features = stage(features)
            maps.append(features)  # H/4, H/8, H/16, H/32
        fused = self.fusion(maps, maps[1].shape[-2:])  # [B, 128, H/8, W/8]
        masks = self.decoder([stem, maps[0], fused], image.shape[-2:])  # [B, 2, H, W]
        return JointOutput(self.head(fused), masks)
