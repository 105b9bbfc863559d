"""Classical segmentation ahead of a small classifier, a baseline of the saliency paper."""

import torch
from torch import Tensor, nn

from wbc_pipeline.models.compact_residual_cnn import CompactResidualCNN
from wbc_pipeline.models.joint import JointOutput

CERTAIN = 10.0  # logit of a pixel that the segmentation has decided on


class MaskedCNN(nn.Module):
    """Compact residual CNN on a cell that was segmented before, beside the masks as they were.

    Its views are made by chains such as Otsu's threshold or a watershed: black but for the cell,
    and black but for the nucleus. It learns nothing of masks; their logits are ±10, so no loss on
    them has a gradient.

    Parameters
    ----------
    classes, image_size
        As in :class:`~wbc_pipeline.models.compact_residual_cnn.CompactResidualCNN`.
    cnn
        Further arguments of ``CompactResidualCNN``.
    """

    task = "joint"
    views = ("cell", "nucleus")  # in the order of joint.REGIONS
    cam_layer = "cnn.stages"

    def __init__(self, *, classes: int, image_size: int, **cnn):
        super().__init__()
        self.cnn = CompactResidualCNN(classes=classes, image_size=image_size, **cnn)

    def forward(self, cell: Tensor, nucleus: Tensor) -> JointOutput:  # [B, 3, H, W] twice
        shown = torch.stack([view.amax(dim=1) > 0 for view in (cell, nucleus)], dim=1)
        masks = torch.where(shown, CERTAIN, -CERTAIN)  # [B, 2, H, W], logits
        return JointOutput(self.cnn(cell), masks)
