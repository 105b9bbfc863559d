"""Parts of networks, named by prefixes of their parameters: found, counted, drawn anew."""

from collections.abc import Sequence

import torch
from torch import nn

from wbc_pipeline.training.options import StageOptions


def check_prefixes(network: nn.Module, stage: str, options: StageOptions) -> None:
    """Check that a stage resets, freezes and slows parts that the network has.

    Raises
    ------
    ValueError
        Naming the stage, the prefix and the network's parts.
    """
    names = [name for name, _ in network.named_parameters()]
    for prefix in (*options.reset, *options.freeze, *options.rates):
        if not any(is_under(name, prefix) for name in names):
            parts = ", ".join(name for name, _ in network.named_children())
            raise ValueError(
                f"stages.{stage}: no parameter of {type(network).__name__} is under {prefix!r}; "
                f"correct reset, freeze and rates, its parts are {parts}."
            )


def unfrozen_parts(network: nn.Module) -> list[str]:
    """Name what a network trains: modules all of whose weights it trains, else single weights.

    Examples
    --------
    >>> network = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    >>> _ = network[0].requires_grad_(False)
    >>> unfrozen_parts(network)
    ['1']
    """
    found = [name for name, each in network.named_parameters(recurse=False) if each.requires_grad]
    for name, module in network.named_children():
        trained = [weight.requires_grad for weight in module.parameters()]
        if trained and all(trained):
            found.append(name)
        else:
            found += [f"{name}.{part}" for part in unfrozen_parts(module)]
    return found


def reset_parts(network: nn.Module, stage: str, prefixes: Sequence[str], *, seed: int) -> None:
    """Draw parts of a network anew, as their modules do when they are built.

    Parameters
    ----------
    network
        Changed in place; statistics of batches are forgotten too.
    stage
        Name of the stage, for the message.
    prefixes
        Of the names of the parts' parameters.
    seed
        Of the draw; global random states are left as they were.

    Raises
    ------
    ValueError
        If a part holds parameters of its own and cannot reset them; names it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, module in network.named_modules():
            own = [
                f"{name}.{each}".lstrip(".") for each, _ in module.named_parameters(recurse=False)
            ]
            chosen = [each for each in own if any(is_under(each, prefix) for prefix in prefixes)]
            if not chosen:
                continue
            if chosen != own or not hasattr(module, "reset_parameters"):
                raise ValueError(
                    f"stages.{stage}.reset: {chosen[0]} of {type(network).__name__} cannot be "
                    "drawn anew on its own; reset whole layers, such as its head."
                )
            module.reset_parameters()


def is_under(name: str, prefix: str) -> bool:
    """Tell whether a parameter or module is a part, or inside it.

    Examples
    --------
    >>> is_under("head.0.weight", "head"), is_under("header.weight", "head")
    (True, False)
    """
    return name == prefix or name.startswith(f"{prefix}.")
