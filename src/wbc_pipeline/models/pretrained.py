"""Published weights of backbones: found, fetched, loaded into part of a network."""

import hashlib
import logging
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from wbc_pipeline.errors import UserError
from wbc_pipeline.models.published_weights import OTHERS, Published, published_for

if TYPE_CHECKING:
    from torch import Tensor, nn

BACKBONES = (
    "vgg16",
    "resnet50",
    "inception_v3",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
)
# Those that `models.backbones` cuts, beside torchvision's above.
CUT_BACKBONES = ("convnext_tiny", "swin_tiny", *OTHERS)
HEADS = ("classifier.", "fc.", "AuxLogits.")  # for ImageNet's classes: of no use to others

# Published weights by what `weights` in YAML calls them.
WORDS = {"imagenet": "ImageNet", "dinobloom": "DinoBloom"}

_TIMEOUT = 20.0  # seconds without a byte
_KEYS_SHOWN = 3
_log = logging.getLogger(__name__)
_unreachable: dict[str, str] = {}  # host: why; else each network waits for the same time-out


class MissingWeightsError(UserError, FileNotFoundError):
    """Weights that were asked for are neither on this machine nor to be had."""


def check_backbone(backbone: str) -> None:
    """Refuse a backbone that is not one of ``BACKBONES``.

    Raises
    ------
    UserError
        If no backbone has that name; the message lists those that are known.
    """
    if backbone not in BACKBONES:
        raise UserError(
            f"No backbone is called {backbone!r}; known are {', '.join(BACKBONES)}. "
            "Set backbone to one of them."
        )


def find_weights(backbone: str, weights: str) -> Path | None:
    """Find the file from which a backbone starts.

    Parameters
    ----------
    backbone
        One of ``BACKBONES`` or ``CUT_BACKBONES``.
    weights
        ``none``: train from scratch. ``imagenet``: those published for the backbone, as a rule
        torchvision's ``IMAGENET1K_V1``, from torch.hub's folder of checkpoints (``TORCH_HOME``
        moves it), a package or timm's cache, else fetched. ``dinobloom``: DinoBloom's checkpoint
        for DINOv2's transformers, from the folder of checkpoints alone. ``auto``: the one of both
        that there is for the backbone, but from scratch, with a warning, where it cannot be had.
        Anything else is the path of a state dict, ``.pth``, ``.pt`` or ``.safetensors``.

    Returns
    -------
    Path or None
        An existing file; ``None`` to train from scratch.

    Raises
    ------
    MissingWeightsError
        If the file is not there and cannot be fetched. A host that cannot be reached is tried
        once in a process.
    UserError
        If no backbone has that name, or there are no such weights of it.

    Examples
    --------
    >>> find_weights("mobilenet_v2", "none") is None
    True
    """
    if backbone not in CUT_BACKBONES:
        check_backbone(backbone)
    if weights == "none":
        return None
    if weights in WORDS:
        published = published_for(backbone)
        if weights != published.word:
            raise UserError(
                f"There are no {weights} weights of {backbone}; set weights to {published.word}, "
                "to the path of a local state dict (.pth, .pt or .safetensors), or to none."
            )
        return _published_file(backbone, published)
    if weights == "auto":
        try:
            return _published_file(backbone, published_for(backbone))
        except MissingWeightsError as error:
            _log.warning("%s is trained from scratch. %s", backbone, error)
            return None
    return _local_file(weights)


def load_weights(
    parts: "Mapping[str, nn.Module]",
    file: Path,
    *,
    ignored: tuple[str, ...] = HEADS,
    convert: "Callable[[Mapping], Mapping[str, Tensor]]" = dict,
) -> None:
    """Copy a state dict into parts of a network; either all of them change or none.

    Parameters
    ----------
    parts
        By the prefix that its keys have in the file: ``{"": network.backbone}`` where the names
        are torchvision's, ``{"features.": detector.backbone.body}`` where they stand one level
        deeper there, several entries where the detector cuts the backbone into pieces.
    file
        ``.safetensors``, else what ``torch.save`` wrote. Only tensors are unpickled, no code.
    ignored
        Beginnings of the file's keys that need no place: as a rule the heads.
    convert
        Makes the state dict of what stands in the file, if that is one by other names.

    Raises
    ------
    UserError
        If the file is no state dict, lacks a weight of a part, has one of another shape, or has
        one for which there is no place; the message names the file and some of these keys.
    """
    import torch

    given = _read_state_dict(file, convert)
    expected = {
        prefix + name: tensor
        for prefix, part in parts.items()
        for name, tensor in part.state_dict().items()
    }
    missing = [key for key in expected if key not in given and not _is_counter(key)]
    unexpected = [
        key
        for key in given
        if key not in expected and not key.startswith(ignored) and not _is_counter(key)
    ]
    misshapen = [
        key for key in expected if key in given and given[key].shape != expected[key].shape
    ]
    if missing or unexpected or misshapen:
        raise UserError(
            f"The weights in {file} do not fit: missing {_some(missing)}; unexpected "
            f"{_some(unexpected)}; of another shape {_some(misshapen)}. Set weights to the state "
            "dict of the same backbone, or weights: none to train from scratch."
        )
    with torch.no_grad():
        for key, tensor in expected.items():
            if key in given:
                tensor.copy_(given[key])


def weights_digest(file: Path | None) -> str:
    """Give the beginning of a file's SHA-256, for the keys of results; ``none`` without a file.

    Of as many digits as torchvision writes into the names of its files.

    Examples
    --------
    >>> weights_digest(None)
    'none'
    """
    if file is None:
        return "none"
    state = file.stat()
    return _digest_unchanged(file, state.st_size, state.st_mtime_ns)


@cache  # each training asks, and VGG16 has half a gigabyte
def _digest_unchanged(file: Path, size: int, mtime_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:8]


def published_digest(backbone: str) -> str | None:
    """Give `weights_digest` of a backbone's published weights, which need not be there.

    None where their publisher tells none.
    """
    return published_for(backbone).digest


def _published_file(backbone: str, published: Published) -> Path:
    import torch

    checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
    found = published.on_this_machine(checkpoints)
    if found is not None:
        return found
    file = checkpoints / published.file
    if published.url:
        _fetch(backbone, published.url, file)
        return file
    package = f", and for the package {published.package}" * bool(published.package)
    raise MissingWeightsError(
        f"No {WORDS[published.word]} weights of {backbone}: looked for {file}{package}. "
        f"{published.ways_out()}, set weights to the path of a local state dict (.pth, .pt or "
        ".safetensors), or train from scratch with weights: none."
    )


def _fetch(backbone: str, url: str, file: Path) -> None:
    import torch

    host = urlsplit(url).netloc
    try:
        if host in _unreachable:
            raise URLError(_unreachable[host])
        file.parent.mkdir(parents=True, exist_ok=True)
        start_of_hash = file.stem.rpartition("-")[2]  # torchvision names its files by it
        with _socket_timeout(_TIMEOUT):
            # Writes beside the file, checks the hash, then renames: no half of a file is left.
            torch.hub.download_url_to_file(
                url, str(file), start_of_hash, progress=sys.stderr.isatty()
            )
    except (OSError, HTTPException, RuntimeError) as error:
        reason = getattr(error, "reason", error)
        if _is_unreachable(error):
            _unreachable[host] = str(reason)
        raise MissingWeightsError(
            f"No ImageNet weights of {backbone}: looked for {file}, and {url} could not be "
            f"fetched ({reason}). Put that file there, set weights to the path of a local state "
            "dict (.pth, .pt or .safetensors), or train from scratch with weights: none."
        ) from error


def _is_unreachable(error: Exception) -> bool:
    has_answered = isinstance(error, HTTPError)
    return isinstance(error, URLError | TimeoutError | ConnectionError) and not has_answered


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)  # torch.hub takes no time-out of its own
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _local_file(weights: str) -> Path:
    file = Path(weights).expanduser()
    if not file.is_file():
        raise MissingWeightsError(
            f"No weights at {file.absolute()}; set weights to an existing .pth, .pt or "
            ".safetensors file, or to imagenet, auto or none."
        )
    return file


def _read_state_dict(
    file: Path, convert: "Callable[[Mapping], Mapping[str, Tensor]]"
) -> "dict[str, Tensor]":
    import torch
    from safetensors.torch import load_file

    try:
        is_safetensors = file.suffix == ".safetensors"
        content = (
            load_file(file)
            if is_safetensors
            else torch.load(file, map_location="cpu", weights_only=True)
        )
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file breaks the two readers in half a dozen ways
        raise UserError(
            f"{file} cannot be read as weights ({type(error).__name__}); it may be damaged or "
            "cut short: delete it and fetch it again, or set weights to a state dict."
        ) from error
    if isinstance(content, Mapping):
        content = convert(content)
    is_state_dict = isinstance(content, Mapping) and all(
        isinstance(tensor, torch.Tensor) for tensor in content.values()
    )
    if not is_state_dict:
        raise UserError(
            f"{file} holds no state dict, that is names and tensors alone; write one with "
            "torch.save(network.state_dict(), file) and set weights to it."
        )
    return dict(content)


def _is_counter(key: str) -> bool:
    # Frozen batch normalisation and files older than torch 0.4 have none, and nothing needs it.
    return key.endswith("num_batches_tracked")


def _some(keys: list[str]) -> str:
    if not keys:
        return "none"
    more = len(keys) - _KEYS_SHOWN
    return ", ".join(keys[:_KEYS_SHOWN]) + (f" and {more} more" if more > 0 else "")
