"""The networks, one a file, and the two files that keep a trained one."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from wbc_pipeline.errors import UserError
from wbc_pipeline.keys import Registry

if TYPE_CHECKING:
    from torch import nn

WEIGHTS_FILE = "weights.safetensors"
DESCRIPTION_FILE = "network.json"
NETWORK_FILES = (WEIGHTS_FILE, DESCRIPTION_FILE)
# In the description of a classifier: what tells its training from others, and which restorer stands
# before it, if one does. Earlier versions wrote neither.
TRAINED_AS, RESTORER = "trained_as", "restorer"

NETWORKS: Registry = {
    "normal_cnn": "wbc_pipeline.models.normal_cnn:NormalCNN",
    "blend_cnn": "wbc_pipeline.models.blend_cnn:BlendCNN",
    "adaptive_blend_cnn": "wbc_pipeline.models.adaptive_blend_cnn:AdaptiveBlendCNN",
    "soft_mask_cnn": "wbc_pipeline.models.soft_mask_cnn:SoftMaskCNN",
    "learnable_canny_cnn": "wbc_pipeline.models.learnable_canny_cnn:LearnableCannyCNN",
    "mixed_separable_cnn": "wbc_pipeline.models.mixed_separable_cnn:MixedSeparableCNN",
    "compact_residual_cnn": "wbc_pipeline.models.compact_residual_cnn:CompactResidualCNN",
    "le_net": "wbc_pipeline.models.le_net:LeNet",
    "three_block_cnn": "wbc_pipeline.models.three_block_cnn:ThreeBlockCNN",
    "concatenated_block_cnn": "wbc_pipeline.models.concatenated_block_cnn:ConcatenatedBlockCNN",
    "imagenet_cnn": "wbc_pipeline.models.imagenet_cnn:ImageNetCNN",
    "pretrained_cnn": "wbc_pipeline.models.pretrained_cnn:PretrainedCNN",
    "kan_transformer": "wbc_pipeline.models.kan_transformer:KANTransformer",
    "saliency_fusion": "wbc_pipeline.models.saliency_fusion:SaliencyFusionNet",
    "unet": "wbc_pipeline.models.u_net:UNet",
    "attention_localization": "wbc_pipeline.models.attention_localization:AttentionLocalizationNet",
    "deep_feature_cnn": "wbc_pipeline.models.deep_feature_cnn:DeepFeatureCNN",
    "resnext_fusion": "wbc_pipeline.models.resnext_fusion:ResNeXtFusionNet",
    "mobile_u_net": "wbc_pipeline.models.mobile_u_net:MobileUNet",
    "masked_cnn": "wbc_pipeline.models.masked_cnn:MaskedCNN",
}

DETECTORS: Registry = {
    "mask_rcnn": "wbc_pipeline.models.mask_rcnn:MaskRCNN",
    "light_detector": "wbc_pipeline.models.light_detector:LightDetector",
}

RESTORERS: Registry = {
    "restoration_unet": "wbc_pipeline.models.restoration_unet:RestorationUNet",
}


class MissingNetworkError(UserError, FileNotFoundError):
    """A folder holds no saved network."""


class DamagedNetworkError(UserError):
    """A saved network cannot be loaded."""


def network_class(name: str) -> "type[nn.Module]":
    """Find a classifier, a detector or a restorer by the name that YAML gives it.

    Raises
    ------
    ValueError
        If no network has that name; the message lists those that are known.
    """
    known = NETWORKS | DETECTORS | RESTORERS
    if name not in known:
        raise ValueError(f"No network is called {name!r}; known are {', '.join(known)}.")
    module, class_name = known[name].split(":")
    return getattr(import_module(module), class_name)


def build_network(name: str, arguments: dict, *, seed: int) -> "nn.Module":
    """Build an untrained network; the same seed gives the same weights."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network_class(name)(**arguments)


def save_network(folder: Path, network: "nn.Module", description: dict) -> None:
    """Write ``weights.safetensors`` and ``network.json``.

    Parameters
    ----------
    folder
        An existing folder.
    network
        The trained network.
    description
        ``name`` and ``arguments`` rebuild the network; the rest (classes in the order of the
        outputs, chains of its views, …) travels with it.
    """
    from safetensors.torch import save_file

    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / WEIGHTS_FILE)
    (folder / WEIGHTS_FILE).chmod(0o644)  # safetensors makes it its owner's alone
    (folder / DESCRIPTION_FILE).write_text(json.dumps(description, indent=2))


def load_network(folder: Path) -> "tuple[nn.Module, dict]":
    """Rebuild a network from the folder that :func:`save_network` wrote, in evaluation mode.

    Nothing is allocated before the header of the weights is seen to fit the description.

    Raises
    ------
    MissingNetworkError
        If the folder holds no saved network.
    DamagedNetworkError
        If its two files cannot be read, or do not belong together; the message names the folder,
        the file, what is wrong with it, and what to do.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    if not (folder / DESCRIPTION_FILE).is_file():
        raise MissingNetworkError(
            f"No saved network in {folder} (looked for {' and '.join(NETWORK_FILES)}); "
            "name the folder of a finished run, such as "
            "data/06_models/<dataset>/blend/<variant>/<protocol>-<seed>-<digest>."
        )
    with _reading(folder, DESCRIPTION_FILE):
        description = json.loads((folder / DESCRIPTION_FILE).read_text())
        build = partial(network_class(description["name"]), **description["arguments"])
        shapes = _shapes_of(description["name"], json.dumps(description["arguments"]))
    with _reading(folder, WEIGHTS_FILE):
        _check_shapes(folder / WEIGHTS_FILE, shapes, description["name"])
        weights = load_file(folder / WEIGHTS_FILE)
    network = build()
    network.load_state_dict(weights)
    return network.eval(), description


@contextmanager
def _reading(folder: Path, name: str) -> Iterator[None]:
    """Say of whatever goes wrong in which file it did: a damaged one fails in a dozen ways."""
    try:
        yield
    except Exception as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise DamagedNetworkError(
            f"The network in {folder} cannot be loaded: {name} is damaged, or belongs to another "
            f"network ({reason}). Copy both files of the folder anew from where they came, or "
            "delete the folder and run the command that made it again."
        ) from error


@cache
def _shapes_of(network: str, arguments: str) -> dict[str, list[int]]:
    """Give the shapes of a network's tensors; its arguments come as JSON."""
    import torch

    with torch.device("meta"):  # shapes alone, whatever sizes the arguments ask for
        built = network_class(network)(**json.loads(arguments))
    return {name: list(tensor.shape) for name, tensor in built.state_dict().items()}


def _check_shapes(file: Path, expected: dict[str, list[int]], network: str) -> None:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as weights:
        given = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118
    unlike = sorted(
        name
        for name in expected.keys() | given.keys()
        if expected.get(name, "none") != given.get(name, "none")
    )
    if unlike:
        name = unlike[0]
        raise ValueError(
            f"{len(unlike)} tensors are not those of {network}, such as {name}: its shape is "
            f"{given.get(name, 'none')}, and should be {expected.get(name, 'none')}"
        )
