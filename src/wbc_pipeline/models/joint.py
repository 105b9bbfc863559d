"""What networks that segment and classify at once give.

Their class says ``task = "joint"``.
"""

from typing import NamedTuple

from torch import Tensor, nn

REGIONS = (
    "cell",
    "nucleus",
)  # the channels of a mask, each a region of its own: nuclei lie in cells


class JointOutput(NamedTuple):
    """Output of a joint network on B images of H × W pixels.

    Attributes
    ----------
    logits
        Of the classes, float [B, C].
    masks
        Logits of ``REGIONS``, float [B, 2, H, W]; None where a network predicts no mask.
    saliency
        Map of what the network looks at, float [B, 1, h, w] in 0…1; None where it has none.
    """

    logits: Tensor
    masks: Tensor | None = None
    saliency: Tensor | None = None


class ClassHead(nn.Module):
    """The class logits of a joint network alone: it is called as classifiers are."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.views = network.views

    def forward(self, *views: Tensor) -> Tensor:  # [B, 3, H, W] each
        return self.network(*views).logits  # [B, C]


def is_joint(network: nn.Module | type[nn.Module]) -> bool:
    """Tell whether a network, or its class, gives a `JointOutput`."""
    return getattr(network, "task", None) == "joint"


def as_classifier(network: nn.Module) -> nn.Module:
    """Give a network that returns class logits: itself, or the head of a joint one."""
    return ClassHead(network).train(network.training) if is_joint(network) else network
