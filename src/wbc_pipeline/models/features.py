"""What the last layer of a classifier looks at, and the last map on the way there.

Found by running the network once on empty images, so that no network has to say it.
"""

from dataclasses import dataclass
from threading import get_ident

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class LastLayers:
    """Names of parts of a network.

    Attributes
    ----------
    head
        Whose output the logits are, and whose input are features [B, F]; None if there is none.
    maps
        The last part before it whose output is a map [B, C, h, w] of more than one pixel, with no
        transformer behind it; None if there is none.
    """

    head: str | None
    maps: str | None


@torch.inference_mode()
def find_last_layers(network: nn.Module, image_size: int) -> LastLayers:
    """Find where a classifier's features are.

    Parameters
    ----------
    network
        In evaluation mode; gives logits or a ``models.joint.JointOutput``.
    image_size
        Height and width of its views.
    """
    calls: list[tuple[str, nn.Module, tuple, object]] = []
    hooks = [
        part.register_forward_hook(
            lambda part, given, output, name=name: calls.append((name, part, given, output))
        )
        for name, part in network.named_modules()
        if name
    ]
    device = next(network.parameters()).device
    views = [torch.zeros(2, 3, image_size, image_size, device=device) for _ in network.views]
    try:
        output = network(*views)
    finally:
        for hook in hooks:
            hook.remove()
    logits = getattr(output, "logits", output)
    heads = [
        name
        for name, _, given, result in calls
        if result is logits and given and isinstance(given[0], Tensor) and given[0].ndim == 2
    ]
    return LastLayers(heads[0] if heads else None, _last_map(calls))


def _last_map(calls: list) -> str | None:
    names = [name for name, *_ in calls]
    for name, _, _, result in reversed(calls):  # a part is called after those inside it
        if not isinstance(result, Tensor):
            continue
        if result.ndim == 3 and result.shape[1] > 1:  # tokens: no place in the image is left
            return None
        if result.ndim == 4 and min(result.shape[2:]) > 1 and names.count(name) == 1:
            return name
    return None


class WithFeatures(nn.Module):
    """A classifier that gives its logits and what its last layer looks at.

    It may be called from several threads at once.

    Parameters
    ----------
    network
        In evaluation mode; gets a hook.
    head
        Of `find_last_layers`; None: the logits stand in for features.
    """

    def __init__(self, network: nn.Module, head: str | None):
        super().__init__()
        self.network = network
        self.views = network.views
        self._seen: dict[int, Tensor] = {}
        self._has_head = head is not None
        if head is not None:
            network.get_submodule(head).register_forward_pre_hook(self._remember)

    def _remember(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        self._seen[get_ident()] = given[0]

    def forward(self, *views: Tensor) -> tuple[Tensor, Tensor]:  # [B, 3, H, W] each
        """Give logits [B, C] and features [B, F]."""
        output = self.network(*views)
        logits = getattr(output, "logits", output)
        return logits, self._seen.pop(get_ident()) if self._has_head else logits
