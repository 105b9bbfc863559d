"""A head that trains nothing: it remembers the training images' features."""

import torch
from torch import Tensor, nn
from torch.nn import functional

SMALLEST_SHARE = 1e-6  # of the votes, so that their logarithm is finite


class NearestNeighbours(nn.Module):
    """Votes of the remembered images whose features are most similar by cosine.

    A vote weighs ``exp(cosine / temperature)``.

    Parameters
    ----------
    channels
        Number of features.
    classes
        Number of classes.
    neighbours
        Images that vote.
    temperature
        Of the weights.
    memory
        Remembered images; 0 before :meth:`remember`.

    References
    ----------
    M. Caron et al., "Emerging properties in self-supervised vision transformers", ICCV 2021,
    section 4.1: weights and temperature.
    """

    def __init__(
        self,
        channels: int,
        *,
        classes: int,
        neighbours: int = 20,
        temperature: float = 0.07,
        memory: int = 0,
    ):
        super().__init__()
        self.classes, self.neighbours, self.temperature = classes, neighbours, temperature
        self.register_buffer("known", torch.zeros(memory, channels))
        self.register_buffer("labels", torch.zeros(memory, dtype=torch.int64))

    def remember(self, features: Tensor, labels: Tensor) -> None:  # [M, C]; int64 [M]
        """Take the training images in place of what was remembered."""
        self.known = functional.normalize(features.float(), dim=1)
        self.labels = labels

    def forward(self, features: Tensor) -> Tensor:  # [B, C]
        similarity = functional.normalize(features.float(), dim=1) @ self.known.T  # [B, M]
        nearest, place = similarity.topk(min(self.neighbours, len(self.known)), dim=1)
        weights = (nearest / self.temperature).softmax(1)  # [B, k]
        votes = weights.new_zeros(len(features), self.classes)
        votes = votes.scatter_add(1, self.labels[place], weights)  # [B, classes]
        return votes.clamp(min=SMALLEST_SHARE).log()  # logits whose softmax the votes are
