"""SG-CLDFF, the saliency paper's network: saliency-guided cross-layer deep feature fusion."""

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from wbc_pipeline.models.cross_layer_fusion import CrossLayerFusion
from wbc_pipeline.models.efficient_swin import EfficientSwin
from wbc_pipeline.models.joint import JointOutput
from wbc_pipeline.models.joint_heads import ClassHead, MaskDecoder, check_halvings, resize


class SaliencyModule(nn.Sequential):
    """Map in 0…1 of what stands out, at H/4: three 3×3 convolution blocks, pooled twice.

    Parameters
    ----------
    filters
        Of the three blocks.
    """

    def __init__(self, *, filters: Sequence[int] = (8, 16, 32)):
        first, second, third = filters
        super().__init__(
            Conv2dNormActivation(3, first, kernel_size=3),
            nn.MaxPool2d(2),
            Conv2dNormActivation(first, second, kernel_size=3),
            nn.MaxPool2d(2),
            Conv2dNormActivation(second, third, kernel_size=3),
            nn.Conv2d(third, 1, kernel_size=1),
            nn.Sigmoid(),
        )


class SaliencyFusionNet(nn.Module):
    """Mask and class from EfficientSwin's maps, gated by saliency and fused across layers.

    Where the paper is silent or contradicts itself: it prints "downsample F3" to 56×56, which
    has to be an upsampling. From 56×56 the decoder goes on to H/2 with the stem's map, which is
    neither gated nor fused, and from there bilinearly to the input's size. The class is read from
    the fused map at F3's size.

    Parameters
    ----------
    classes
        Number of classes.
    image_size
        Height and width of the input in pixels, a multiple of 16.
    saliency
        Whether the saliency module's map multiplies F1, F2 and F3.
    fusion
        Whether each stage of the decoder, and the class head, gets all of F1, F2 and F3, fused at
        its size; else the one of its size alone.
    channels, depths, stem, window
        As in :class:`~wbc_pipeline.models.efficient_swin.EfficientSwin`.
    saliency_filters
        Of the saliency module's three blocks.
    fusion_filters, decoder_filters
        Of each fused map, and of the decoder's stages.
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
        saliency: bool = True,
        fusion: bool = True,
        channels: Sequence[int] = (64, 128, 256),
        depths: Sequence[int] = (1, 1, 2),
        stem: int = 32,
        window: int = 7,
        saliency_filters: Sequence[int] = (8, 16, 32),
        fusion_filters: int = 64,
        decoder_filters: int = 24,
        dropout: float = 0.2,
    ):
        super().__init__()
        check_halvings(image_size, 1 + len(channels))  # the stem, then each stage
        self.saliency = SaliencyModule(filters=saliency_filters) if saliency else None
        self.backbone = EfficientSwin(channels=channels, depths=depths, stem=stem, window=window)
        self.cam_layer = f"backbone.stages.{len(channels) - 1}"
        self.fusions = nn.ModuleList()
        widths = tuple(channels)
        if fusion:
            for _ in channels:
                self.fusions.append(CrossLayerFusion(channels=channels, filters=fusion_filters))
            widths = (fusion_filters,) * len(channels)
        self.decoder = MaskDecoder(channels=(stem, *widths), filters=decoder_filters)
        self.head = ClassHead(widths[-1], classes=classes, dropout=dropout)

    def forward(self, image: Tensor) -> JointOutput:  # [B, 3, H, W] in 0…1
        stem, *maps = self.backbone(image)  # H/2; H/4, H/8, H/16
        saliency = None
        if self.saliency is not None:
            saliency = self.saliency(image)  # [B, 1, H/4, W/4]
            maps = [one * resize(saliency, one.shape[-2:]) for one in maps]
        if self.fusions:
            sizes = [one.shape[-2:] for one in maps]
            maps = [fuse(maps, size) for fuse, size in zip(self.fusions, sizes, strict=True)]
        masks = self.decoder([stem, *maps], image.shape[-2:])  # [B, 2, H, W]
        return JointOutput(self.head(maps[-1]), masks, saliency)
