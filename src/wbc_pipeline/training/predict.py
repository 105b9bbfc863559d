"""From a trained network to probabilities, and to columns of the predictions table."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import nn

from wbc_pipeline.training.views import as_tensor, take_views

if TYPE_CHECKING:  # serving needs no Lightning
    from wbc_pipeline.training.tasks.base import Task

# Keeps the log loss finite, and equal for all who compute it from the saved table.
SMALLEST_PROBABILITY = 1e-12


def predict_parts(
    task: "Task", parts: Mapping[str, np.ndarray], *, device: torch.device, **options
) -> pd.DataFrame:
    """Predict the rows of some parts, such as ``validation`` and ``test``.

    Parameters
    ----------
    task
        With a trained network and the arrays to predict from.
    parts
        Row numbers by part, int [M] each.
    device
        Where to predict.
    options
        Further arguments of the task's ``predict``, such as ``batch_size``.

    Returns
    -------
    pd.DataFrame
        ``row``, ``part`` and the task's columns (``p_<class>`` or ``box_iou``, ``inference_ms``).
    """
    tables = [
        task.predict(rows, device=device, **options).assign(row=rows, part=part)
        for part, rows in parts.items()
        if len(rows)
    ]
    table = pd.concat(tables, ignore_index=True)
    names = ["row", "part"]
    return table[[*names, *table.columns.drop(names)]]


def correct_prior(
    probabilities: np.ndarray, counts: Sequence[int], *, power: float = 1.0
) -> np.ndarray:
    """Divide what the classes' frequencies have added to probabilities out of them.

    A network that was trained by cross-entropy on images as they come answers with the classes'
    shares of its training part multiplied in. Divided by these, its answers are those for classes
    of equal frequency, which macro scores ask for.

    Parameters
    ----------
    probabilities
        Float [M, C], rows sum to 1.
    counts
        Training images of each class; a class without any counts as one image.
    power
        1 divides by the shares, a smaller power by less of them, 0 by nothing.

    Returns
    -------
    np.ndarray
        float64 [M, C], each at least 1e-12, rows sum to 1.

    References
    ----------
    M. Saerens, P. Latinne and C. Decaestecker, "Adjusting the outputs of a classifier to new a
    priori probabilities", Neural Computation 14(1), 2002, section 2.2, for a known new prior.

    Examples
    --------
    >>> correct_prior(np.array([[0.75, 0.25]]), [90, 10]).round(2).tolist()
    [[0.25, 0.75]]
    """
    shares = np.maximum(counts, 1) / np.maximum(counts, 1).sum()
    corrected = probabilities / shares**power
    corrected /= corrected.sum(axis=1, keepdims=True)
    corrected = np.maximum(corrected, SMALLEST_PROBABILITY)
    return corrected / corrected.sum(axis=1, keepdims=True)


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
        Images at a time; it affects the times, so compare networks at the same size.

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
