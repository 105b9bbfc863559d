"""From a trained network to probabilities."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from wbc_pipeline.training.views import as_tensor, take_views

# Keeps the log loss finite, and the same whoever computes it from the saved table.
SMALLEST_PROBABILITY = 1e-12


@torch.inference_mode()
def predict_probabilities(
    network: nn.Module,
    arrays: Sequence[np.ndarray],
    rows: np.ndarray,
    *,
    device: torch.device,
    batch_size: int = 64,
) -> tuple[np.ndarray, np.ndarray]:
    """Predict in float32, whatever the precision of training, and time it.

    Parameters
    ----------
    network
        A trained network.
    arrays
        uint8 [N, H, W, 3], RGB, one for each of ``network.views``.
    rows
        Row numbers of the images to predict, int [M].
    device
        Where to predict.
    batch_size
        Images at a time; the same for all networks, as it bears on their times.

    Returns
    -------
    probabilities
        float64 [M, classes], each at least 1e-12, rows sum to 1.
    milliseconds
        float64 [M], time of the image's batch divided by its size, from uint8 pixels to logits.
    """
    network = network.to(device, memory_format=torch.channels_last).eval()
    tensors = [as_tensor(array) for array in arrays]
    batches = np.array_split(rows, range(batch_size, len(rows), batch_size))
    _logits(network, tensors, batches[0], device)  # the first call sets up kernels
    logits, milliseconds = [], []
    for batch in batches:
        start = time.perf_counter()
        logits.append(_logits(network, tensors, batch, device))
        elapsed = 1000 * (time.perf_counter() - start)
        milliseconds.append(np.full(len(batch), elapsed / len(batch)))
    probabilities = torch.cat(logits).double().softmax(dim=1).clamp(min=SMALLEST_PROBABILITY)
    probabilities /= probabilities.sum(dim=1, keepdim=True)
    return probabilities.numpy(), np.concatenate(milliseconds)


def _logits(network, tensors, rows, device) -> torch.Tensor:  # [B, classes]
    chosen = torch.tensor(rows)
    batch = [tensor[chosen].to(device) for tensor in tensors]
    everything = torch.arange(len(rows), device=device)
    return network(*take_views(batch, everything, channels_last=True)).float().cpu()
