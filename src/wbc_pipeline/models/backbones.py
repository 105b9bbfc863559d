"""Backbones of torchvision and timm, all cut alike: a stem, four stages, pooled features."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import timm
import torch
import torchvision
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn
from torch.nn import functional

from wbc_pipeline.errors import UserError
from wbc_pipeline.models.imagenet_cnn import MEAN, STANDARD_DEVIATION
from wbc_pipeline.models.pretrained import load_weights

SMALLEST = 32  # height and width of an image, in pixels
PATCH = 14  # of DINOv2's transformers

_HEADS = ("classifier.", "fc.", "head.", "_fc.")  # for ImageNet's classes


class TokenStem(nn.Module):
    """Patches of an image as tokens, behind a class token, with their positions added.

    An image that the patches do not divide is first scaled up to the next size that they do.

    Parameters
    ----------
    transformer
        timm's, whose parts these are.
    """

    def __init__(self, transformer: nn.Module):
        super().__init__()
        self.size = transformer.patch_embed.img_size
        self.patch_embed = transformer.patch_embed
        self.cls_token = transformer.cls_token
        self.pos_embed = transformer.pos_embed

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W]
        if tuple(image.shape[-2:]) != self.size:
            image = functional.interpolate(image, self.size, mode="bilinear")
        patches = self.patch_embed(image)  # [B, N, C]
        first = self.cls_token.expand(len(patches), -1, -1)
        return torch.cat([first, patches], dim=1) + self.pos_embed  # [B, 1 + N, C]


class FirstToken(nn.Module):
    """The class token alone."""

    def forward(self, tokens: Tensor) -> Tensor:  # [B, 1 + N, C]
        return tokens[:, 0]


@dataclass(frozen=True)
class Cut:
    """How a network of a library is cut into parts that are called alike.

    Attributes
    ----------
    build
        Builds the library's network with random weights, for images of a size in pixels.
    stem, pool
        Names of its parts before the stages and after them; without any in `pool`, means of maps.
    stages
        Names of the parts of each of the four stages.
    convert
        Makes the library's state dict of what stands in a file of weights.
    cam_layer
        The last part of ours whose output is a map, for Grad-CAM; empty where there is none.
    """

    build: Callable[[int], nn.Module]
    stem: tuple[str, ...]
    stages: tuple[tuple[str, ...], ...]
    pool: tuple[str, ...] = ()
    convert: "Callable[[Backbone, Mapping[str, Tensor]], Mapping[str, Tensor]] | None" = None
    cam_layer: str = "stages.3"


class Backbone(nn.Module):
    """One of `CUTS` with random weights: normalised image, ``stem``, ``stages`` 0 to 3, ``pool``.

    Within these, parts keep the library's modules.

    Parameters
    ----------
    name
        Key of `CUTS`.
    image_size
        Height and width of the input in pixels, at least 32.

    Attributes
    ----------
    channels
        Number of features.
    cam_layer
        See `Cut`.

    Raises
    ------
    UserError
        If no backbone has that name, or the image is too small for it.
    """

    def __init__(self, name: str, image_size: int):
        super().__init__()
        if name not in CUTS:
            raise UserError(
                f"No backbone is called {name!r}; known are {', '.join(CUTS)}. Set backbone to one "
                "of them."
            )
        if image_size < SMALLEST:
            raise UserError(
                f"image_size is {image_size}, but {name} needs at least {SMALLEST}; set the view's "
                "resize step to such a size."
            )
        cut = CUTS[name]
        network = cut.build(image_size)
        told = getattr(network, "pretrained_cfg", {})  # timm says how its weights were trained
        for key, kind, usual in (("mean", "mean", MEAN), ("deviation", "std", STANDARD_DEVIATION)):
            values = torch.tensor(told.get(kind, usual)).view(1, 3, 1, 1)
            self.register_buffer(key, values, persistent=False)
        self.stem = _sequence(network, cut.stem)
        self.stages = nn.Sequential(*(_sequence(network, names) for names in cut.stages))
        self.pool = _sequence(network, cut.pool) if cut.pool else nn.AdaptiveAvgPool2d(1)
        self.cam_layer = cut.cam_layer
        self.channels = _count_features(network)
        self._cut = cut

    def load_pretrained(self, file: Path) -> None:
        """Load weights under the names of the library, see `load_weights`.

        Raises
        ------
        UserError
            If the file's weights do not fit; the backbone is then unchanged.
        """
        convert = partial(self._cut.convert, self) if self._cut.convert else dict
        load_weights(self.library_parts(), file, ignored=_HEADS, convert=convert)

    def library_parts(self) -> dict[str, nn.Module]:
        """Give the parts by the prefix that their weights have in the library's state dict."""
        groups = [("stem", self._cut.stem)]
        groups += [(f"stages.{number}", names) for number, names in enumerate(self._cut.stages)]
        groups += [("pool", self._cut.pool)]
        return {
            "" if part == "tokens" else f"{part}.": self.get_submodule(f"{ours}.{place}")
            for ours, names in groups
            for place, part in enumerate(names)
        }

    def forward(self, image: Tensor) -> Tensor:  # [B, 3, H, W] in 0…1
        maps = self.stages(self.stem((image - self.mean) / self.deviation))
        return self.pool(maps).flatten(1)  # [B, channels]


def _sequence(network: nn.Module, names: tuple[str, ...]) -> nn.Sequential:
    return nn.Sequential(*(network.get_submodule(name) for name in names))


def _count_features(network: nn.Module) -> int:
    if hasattr(network, "num_features"):  # timm's
        return network.num_features
    *_, last = (part for part in network.modules() if isinstance(part, nn.Linear))
    return last.in_features  # of the head that is left out


def _torchvision(name: str) -> Callable[[int], nn.Module]:
    return lambda _: getattr(torchvision.models, name)()


def _timm(name: str) -> Callable[[int], nn.Module]:
    return lambda _: timm.create_model(name)


def _dinov2(name: str) -> Callable[[int], nn.Module]:
    def build(image_size: int) -> nn.Module:
        network = timm.create_model(name, img_size=-(-image_size // PATCH) * PATCH, num_classes=0)
        network.tokens, network.first = TokenStem(network), FirstToken()
        return network

    return build


def _name_as_timm(backbone: Backbone, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Name EfficientNet-Lite's weights as timm does; both list them from image to class.

    The file's names begin with an underscore, such as ``_blocks.0._bn1.weight``.
    """
    if not all(name.startswith("_") for name in given):
        return given
    names = [
        prefix + name
        for prefix, part in backbone.library_parts().items()
        for name in part.state_dict()
    ]
    names += [name for name in given if name.startswith(_HEADS)]
    return dict(zip(names, given.values(), strict=True)) if len(names) == len(given) else given


def _name_as_dinov2(backbone: Backbone, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Take the teacher out of a training of DINOv2, and resize its embeddings of positions.

    DinoBloom's checkpoints hold the teacher, ``backbone.`` before the names of its weights, beside
    the heads of self-supervision.
    """
    given = given.get("teacher", given)
    kept = {
        name.removeprefix("backbone."): tensor
        for name, tensor in given.items()
        if not name.startswith(("dino_head.", "ibot_head."))
    }
    kept.pop("mask_token", None)  # for training without labels
    [stem] = backbone.stem
    if "pos_embed" in kept and kept["pos_embed"].ndim == 3:
        size = list(stem.patch_embed.grid_size)
        kept["pos_embed"] = resample_abs_pos_embed(kept["pos_embed"], size)
    return kept


_PAIRS = (("features.1",), *((f"features.{i}", f"features.{i + 1}") for i in (2, 4, 6)))
_TRANSFORMER = {
    "stem": ("tokens",),
    "stages": tuple(tuple(f"blocks.{3 * stage + i}" for i in range(3)) for stage in range(4)),
    "pool": ("norm", "first"),
    "convert": _name_as_dinov2,
    "cam_layer": "",
}

#: Name in YAML -> the library's network, and how it is cut. Four stages end at H/4 to H/32, of the
#: transformers after each three blocks.
CUTS: dict[str, Cut] = {
    "mobilenet_v2": Cut(
        _torchvision("mobilenet_v2"),
        stem=("features.0",),
        stages=tuple(
            tuple(f"features.{i}" for i in range(start, end))
            for start, end in ((1, 4), (4, 7), (7, 14), (14, 19))
        ),
    ),
    "efficientnet_lite0": Cut(
        _timm("tf_efficientnet_lite0"),
        stem=("conv_stem", "bn1"),
        stages=(
            ("blocks.0", "blocks.1"),
            ("blocks.2",),
            ("blocks.3", "blocks.4"),
            ("blocks.5", "blocks.6", "conv_head", "bn2"),
        ),
        convert=_name_as_timm,
    ),
    "efficientnetv2_b0": Cut(
        _timm("tf_efficientnetv2_b0"),
        stem=("conv_stem", "bn1"),
        stages=(
            ("blocks.0", "blocks.1"),
            ("blocks.2",),
            ("blocks.3", "blocks.4"),
            ("blocks.5", "conv_head", "bn2"),
        ),
    ),
    "resnet50": Cut(
        _torchvision("resnet50"),
        stem=("conv1", "bn1", "relu", "maxpool"),
        stages=(("layer1",), ("layer2",), ("layer3",), ("layer4",)),
    ),
    "convnext_tiny": Cut(
        _torchvision("convnext_tiny"),
        stem=("features.0",),
        stages=_PAIRS,
        pool=("avgpool", "classifier.0"),
    ),
    "swin_tiny": Cut(
        _torchvision("swin_t"),
        stem=("features.0",),
        stages=_PAIRS,
        pool=("norm", "permute", "avgpool"),
        cam_layer="stages.3.1.1",  # its last block
    ),
    "cspdarknet53": Cut(
        _timm("cspdarknet53"),
        stem=("stem",),
        stages=(("stages.0", "stages.1"), ("stages.2",), ("stages.3",), ("stages.4",)),
    ),
    "test_efficientnet": Cut(
        _timm("test_efficientnet"),
        stem=("conv_stem", "bn1"),
        stages=(
            ("blocks.0", "blocks.1"),
            ("blocks.2",),
            ("blocks.3",),
            ("blocks.4", "conv_head", "bn2"),
        ),
    ),
    "vit_base_dinov2": Cut(_dinov2("vit_base_patch14_dinov2"), **_TRANSFORMER),
    "vit_small_dinov2": Cut(_dinov2("vit_small_patch14_dinov2"), **_TRANSFORMER),
}
