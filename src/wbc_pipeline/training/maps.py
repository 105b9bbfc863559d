"""What a joint network finds in single images: its masks and its saliency map."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from wbc_pipeline.training.views import as_tensor, take_views


@torch.inference_mode()
def predict_maps(
    network: nn.Module,
    arrays: Sequence[np.ndarray],
    rows: Sequence[int],
    *,
    device: torch.device,
    batch_size: int = 32,
) -> dict[str, np.ndarray]:
    """Predict the maps of some images; all are held in memory, so it is for a few.

    Parameters
    ----------
    network
        A trained one that gives a ``JointOutput``.
    arrays
        uint8 [N, H, W, 3], RGB, one for each of ``network.views``.
    rows
        Row numbers of M images.
    device
        Where to predict.
    batch_size
        Images at a time.

    Returns
    -------
    dict
        ``masks``: probabilities of ``models.joint.REGIONS``, uint8 [M, H, W, 2], 0 to 255;
        ``saliency``: float32 [M, h, w], 0 to 1. What the network does not give is left out, and so
        is everything of no image.
    """
    network = network.to(device).eval()
    tensors = [as_tensor(array) for array in arrays]
    masks, saliency = [], []
    for batch in torch.as_tensor(rows, dtype=torch.int64).split(batch_size):
        if not len(batch):
            continue
        views = [tensor[batch].to(device) for tensor in tensors]
        everything = torch.arange(len(batch), device=device)
        output = network(*take_views(views, everything, channels_last=False))
        if output.masks is not None:
            shares = (255 * output.masks.float().sigmoid()).round().byte()
            masks.append(shares.permute(0, 2, 3, 1).cpu())
        if output.saliency is not None:
            saliency.append(output.saliency[:, 0].float().cpu())
    found = {"masks": masks, "saliency": saliency}
    return {name: torch.cat(maps).numpy() for name, maps in found.items() if maps}
