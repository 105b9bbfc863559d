"""What a blending network shows to its CNN."""

import numpy as np
import torch
from torch import nn

from wbc_pipeline.training.views import take_views


@torch.inference_mode()
def blend_images(network: nn.Module, views: dict[str, np.ndarray]) -> np.ndarray:
    """Blend images as a network does.

    Parameters
    ----------
    network
        Has a method ``blend`` of its ``views``.
    views
        uint8 [N, H, W, 3], RGB, by name.

    Returns
    -------
    ndarray
        uint8 [N, H, W, 3], RGB; values that a share outside 0…1 drives out of range are clipped.
    """
    arrays = [torch.from_numpy(np.ascontiguousarray(views[name])) for name in network.views]
    everything = torch.arange(len(arrays[0]))
    blended = network.eval().blend(*take_views(arrays, everything, channels_last=False))
    return (blended.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
