"""What networks that segment and classify at once give."""

from typing import NamedTuple

from torch import Tensor

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
