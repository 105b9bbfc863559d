"""From arrays of pixels to what networks take; needs torch alone, so that serving does too."""

import warnings

import numpy as np
import torch
from torch import Tensor


def as_tensor(array: np.ndarray) -> Tensor:
    """Share an array's memory with torch; a memory-mapped file stays on disk until it is read.

    Parameters
    ----------
    array
        Of any shape and dtype that torch knows; may be read-only, as nothing here writes to it.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(array)


def take_views(arrays: list[Tensor], rows: Tensor, *, channels_last: bool) -> list[Tensor]:
    """Take a batch out of the arrays as the networks want it.

    Parameters
    ----------
    arrays
        uint8 tensors [N, H, W, 3], RGB, one a view.
    rows
        Row numbers, int64 [B].
    channels_last
        Memory layout of the result.

    Returns
    -------
    list of Tensor
        float32 [B, 3, H, W] in 0…1, one a view.
    """
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return [
        array[rows].permute(0, 3, 1, 2).to(torch.float32, memory_format=layout).div_(255)
        for array in arrays
    ]
