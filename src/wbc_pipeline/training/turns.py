"""The eight flips and turns of a square image, and answers averaged over them."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

Change = Callable[[Tensor], Tensor]


class Turned(nn.Module):
    """A trained classifier that answers by the mean over an image's eight flips and turns.

    A cell has no upright position, so that all eight show the same cell. Called as the network is.

    Parameters
    ----------
    network
        Takes square images, float [B, 3, S, S] per view; gives logits [B, C].
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.views = network.views

    def forward(self, *views: Tensor) -> Tensor:  # [B, 3, S, S] each
        """Average the probabilities, and give them as logits, [B, C]."""
        return average_logits([self.network(*map(turn, views)).float() for turn, _ in turns()])


def average_logits(logits: Sequence[Tensor]) -> Tensor:
    """Average the probabilities behind logits [B, C], and give them as logits."""
    mean = torch.stack([each.softmax(dim=1) for each in logits]).mean(dim=0)
    return mean.clamp(min=torch.finfo(mean.dtype).tiny).log()


def turns() -> Iterator[tuple[Change, Change]]:
    """Go through the symmetries of a square, and what undoes each; of tensors [B, C, S, S]."""
    for quarters in range(4):
        for axes in ((), (3,)):
            yield (
                lambda maps, k=quarters, axes=axes: maps.flip(axes).rot90(k, (2, 3)),
                lambda maps, k=quarters, axes=axes: maps.rot90(-k, (2, 3)).flip(axes),
            )
