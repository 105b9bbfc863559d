"""Arithmetic on batches of images that gives equal bytes on every device."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def convolve(images: Tensor, kernels: Tensor) -> Tensor:
    """Convolve each image with a kernel of its own.

    Parameters
    ----------
    images
        RGB, uint8, ``[N, 3, H, W]``, on any device; beyond the frame its outermost pixels go on.
    kernels
        float64 ``[N, K, K]``, K odd, not negative; scaled to a sum of 1.

    Returns
    -------
    Tensor
        uint8, ``[N, 3, H, W]``, on the device of `images`.
    """
    # Weights in steps of 2^-16 that sum to 1: every sum of products is exact in float32, whatever
    # the order of summation. GPUs may convolve float32 in TF32, where it is not.
    kind = torch.float32 if images.device.type == "cpu" else torch.float64
    share = kernels.flatten(1).cumsum(1)
    steps = torch.round(share / share[:, -1:] * 2**16)
    weights = torch.diff(steps, prepend=steps.new_zeros(len(steps), 1)) / 2**16
    weights = weights.view(kernels.shape)[:, None].to(images.device, kind)  # [N, 1, K, K]
    reach = kernels.shape[-1] // 2
    planes = images.transpose(0, 1).to(kind)  # [3, N, H, W]: images as channels, each its kernel
    planes = functional.pad(planes, [reach] * 4, mode="replicate")
    return round_images(functional.conv2d(planes, weights, groups=len(images)).transpose(0, 1))


def round_images(values: Tensor) -> Tensor:
    """Round to uint8, clipped to 0 to 255."""
    return values.round().clamp(0, 255).to(torch.uint8).contiguous()


def to_device(array: np.ndarray, images: Tensor) -> Tensor:
    """Move an array to the device of a batch."""
    return torch.from_numpy(array).to(images.device)
