"""Losses of classifiers that know how often classes are seen, and in which order they stand."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from wbc_pipeline.training.options import StageOptions


class ClassLoss:
    """The training loss of class logits, as a stage's options say.

    Parameters
    ----------
    options
        ``class_weights``, ``effective_beta``, ``focal``, ``logit_adjustment``, ``label_smoothing``
        and ``ordinal`` count.
    counts
        Images of each class in the training part, int64 [C].
    chain
        Numbers of the classes of ``ordinal``, in order.
    """

    def __init__(self, options: StageOptions, counts: Tensor, chain: Sequence[int] = ()):
        self.options = options
        self.chain = list(chain)
        self.weights = class_weights(counts, how=options.class_weights, beta=options.effective_beta)
        self.shift = None
        if options.logit_adjustment:
            self.shift = options.logit_adjustment * log_shares(counts)

    def __call__(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Compute the losses, which are summed.

        Parameters
        ----------
        logits
            Float [B, C].
        target
            Class numbers, int64 [B], or probabilities of the classes, float [B, C].
        """
        losses = {"cross_entropy": self.cross_entropy(logits, target)}
        if self.chain:
            moved = ordinal_loss(self._adjusted(logits), target, self.chain)
            losses["ordinal"] = self.options.ordinal.weight * moved
        return losses

    def cross_entropy(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the cross-entropy, weighted, focused and adjusted."""
        return focal_cross_entropy(
            self._adjusted(logits),
            target,
            gamma=self.options.focal,
            weight=None if self.weights is None else self.weights.to(logits.device),
            label_smoothing=self.options.label_smoothing,
        )

    def _adjusted(self, logits: Tensor) -> Tensor:
        return logits if self.shift is None else logits + self.shift.to(logits.device)


def class_weights(counts: Tensor, *, how: str, beta: float = 0.999) -> Tensor | None:
    """Weigh classes by their images; the mean over all images is 1 if every class has some.

    Parameters
    ----------
    counts
        Images of each class, int64 [C]; a class without any counts as one image.
    how
        ``none``; ``balanced``: inversely to the count; ``effective``: inversely to the effective
        number ``(1 - beta^n) / (1 - beta)`` of n images (Cui et al., CVPR 2019, section 3).
    beta
        From 0 (all alike) to below 1.

    Returns
    -------
    Tensor or None
        Float32 [C]; None for ``none``.

    Examples
    --------
    >>> class_weights(torch.tensor([90, 10]), how="balanced").tolist()
    [0.5555555820465088, 5.0]
    """
    if how == "none":
        return None
    seen = counts.clamp(min=1)
    if how == "balanced":
        return counts.sum() / (len(counts) * seen)
    weights = (1 - beta) / (1 - beta ** seen.double())
    return (weights * counts.sum() / (weights * counts).sum()).float()


def log_shares(counts: Tensor) -> Tensor:
    """Give the logarithm of each class's share of all images, float32 [C]; none counts as one."""
    seen = counts.clamp(min=1).double()
    return (seen / seen.sum()).log().float()


def focal_cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    gamma: float = 0.0,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy that counts what is answered with confidence less.

    Parameters
    ----------
    logits, target, weight, label_smoothing
        As of ``torch.nn.functional.cross_entropy``.
    gamma
        Each class's term ``-t log p`` is multiplied by ``(1 - p)^gamma``; with 0 the result is that
        of torch.

    Returns
    -------
    Tensor
        Mean over images, weighted where classes have weights.

    References
    ----------
    T.-Y. Lin et al., "Focal loss for dense object detection", ICCV 2017, section 3.2, for the one
    class that is right; here summed over classes, as mixed and smoothed labels have several.
    """
    if not gamma:
        return functional.cross_entropy(
            logits, target, weight=weight, label_smoothing=label_smoothing
        )
    log_shares_given = logits.log_softmax(dim=1)
    weight = torch.ones_like(logits[0]) if weight is None else weight
    images = len(logits)
    if not target.is_floating_point():
        images = weight[target].sum()
        target = functional.one_hot(target, logits.shape[1]).to(logits.dtype)
    target = (1 - label_smoothing) * target + label_smoothing / logits.shape[1]
    # of a probability of nearly 1, which rounding may put above
    unsure = (-log_shares_given.expm1()).clamp(min=torch.finfo(logits.dtype).eps)
    return -(weight * target * unsure**gamma * log_shares_given).sum() / images


def ordinal_loss(logits: Tensor, target: Tensor, chain: Sequence[int]) -> Tensor:
    """Squared earth mover's distance along a chain of classes.

    The probabilities of the chain's classes, among themselves, are carried to the true class: a
    wrong answer costs more the farther away it stands. What is no part of the chain costs nothing.

    Parameters
    ----------
    logits
        Float [B, C].
    target
        Class numbers, int64 [B], or probabilities of the classes, float [B, C].
    chain
        Numbers of its classes, in order.

    Returns
    -------
    Tensor
        Mean over the images of the chain, of the sum of squared differences of both cumulative
        distributions: 0 to one less than the chain has classes; 0 without such images.

    References
    ----------
    L. Hou, C.-P. Yu and D. Samaras, "Squared earth mover's distance-based loss for training deep
    neural networks", 2016, equation 10.

    Examples
    --------
    >>> sure = 100.0 * torch.eye(4)
    >>> [ordinal_loss(sure[[answer]], torch.tensor([0]), [0, 1, 2]).item() for answer in (0, 1, 2)]
    [0.0, 1.0, 2.0]
    """
    if not target.is_floating_point():
        target = functional.one_hot(target, logits.shape[1]).to(logits.dtype)
    true = target[:, chain]
    share = true.sum(dim=1)  # of an image's label that stands in the chain
    gap = logits[:, chain].softmax(dim=1) * share[:, None] - true
    # Both distributions carry the share, so that an image counts by it: divided out once.
    distance = gap.cumsum(dim=1).square().sum(dim=1) / share.clamp(min=1e-6)
    return distance.sum() / share.sum().clamp(min=1e-6)


def is_rare(counts: Tensor) -> Tensor:
    """Tell which classes have less than half the mean class size, bool [C].

    Classes without an image are not counted in the mean.

    Examples
    --------
    >>> is_rare(torch.tensor([50, 9, 20, 0])).tolist()
    [False, True, False, True]
    """
    mean = counts.sum() / (counts > 0).sum().clamp(min=1)
    return counts < mean / 2
