"""Low-rank adapters (LoRA) in a frozen transformer, by peft."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from wbc_pipeline.errors import UserError

TARGET = "qkv"  # queries, keys and values of timm's attention


def add_adapters(network: nn.Module, *, rank: int) -> None:
    """Freeze a network, and add a learned matrix of low rank to each of its attentions.

    The adapters begin at 0: the network gives what it gave.

    Parameters
    ----------
    network
        With dense layers called ``qkv``; changed in place.
    rank
        Of the adapters.

    Raises
    ------
    UserError
        If peft is not installed.

    References
    ----------
    E. Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise UserError(
            "mode lora needs the package peft, which is not installed: pip install "
            "'wbc_pipeline[lora]', or set mode to linear, knn or full."
        ) from error

    inject_adapter_in_model(
        LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=[TARGET]), network
    )


@contextmanager
def without_adapters(network: nn.Module) -> Iterator[None]:
    """Give the layers under the adapters their own names back, such as to load weights."""
    adapted = {
        name: layer for name, layer in network.named_modules() if hasattr(layer, "base_layer")
    }
    for name, layer in adapted.items():
        _exchange(network, name, layer.base_layer)
    try:
        yield
    finally:
        for name, layer in adapted.items():
            _exchange(network, name, layer)


def _exchange(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, layer)
