"""Nearest neighbours: what stands in the place of a training."""

import time
from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy

from wbc_pipeline.processes import FollowerError, process_rank
from wbc_pipeline.training.fit import Fit
from wbc_pipeline.training.macro_f1 import MacroF1
from wbc_pipeline.training.predict import predict_probabilities
from wbc_pipeline.training.views import as_tensor, take_views

BATCH = 256


def remember(
    network: nn.Module,
    *,
    views: Mapping[str, np.ndarray],
    labels: np.ndarray,
    parts: Mapping[str, np.ndarray],
    classes: int,
    device: torch.device,
) -> Fit:
    """Let a network's head remember the features of the training part, and score it.

    Parameters
    ----------
    network
        With ``features(*views)`` and a head that has ``remember(features, labels)``; it ends on the
        CPU.
    views
        uint8 [N, H, W, 3], RGB, by the names in ``network.views``.
    labels
        Class numbers, int [N].
    parts
        Row numbers of ``train`` and, perhaps, ``validation``.
    classes
        Number of classes.
    device
        Where features are computed, in float32.

    Returns
    -------
    Fit
        One epoch that has no training loss; ``seconds`` are those of computing the features.

    Raises
    ------
    FollowerError
        In all but the first of the processes that a launcher started.
    """
    if process_rank() > 0:
        raise FollowerError("The first process remembers the images.")
    start = time.perf_counter()
    arrays = [views[name] for name in network.views]
    labels, rows = torch.as_tensor(np.asarray(labels, dtype=np.int64)), np.sort(parts["train"])
    network.to(device).eval()
    network.head.remember(
        _features(network, [as_tensor(array) for array in arrays], rows, device),
        labels[rows].to(device),
    )
    seconds = time.perf_counter() - start
    found = {"stage": "neighbours", "epoch": 0, "train_loss": float("nan")}
    validation = parts.get("validation", ())
    if len(validation):
        probabilities, _ = predict_probabilities(network, arrays, validation, device=device)
        found |= _scores(torch.from_numpy(probabilities), labels[validation], classes)
    network.cpu()
    summary = {
        "epochs": 1,
        "best_epoch": 0,
        "training_seconds": seconds,
        "seconds_per_epoch": seconds,
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "kept": "last",
        "precision": "32-true",
        "channels_last": False,
    }
    types = {"stage": str, "step": int, "epoch": int, "name": str, "value": float}
    paths = pd.DataFrame(columns=list(types)).astype(types)
    return Fit(pd.DataFrame([{**found, "seconds": seconds}]), paths, summary)


@torch.no_grad()
def _features(
    network: nn.Module, arrays: list[Tensor], rows: np.ndarray, device: torch.device
) -> Tensor:  # [M, C]
    chunks = []
    for chunk in torch.as_tensor(rows).split(BATCH):
        batch = [array[chunk].to(device) for array in arrays]
        everything = torch.arange(len(chunk), device=device)
        chunks.append(network.features(*take_views(batch, everything, channels_last=False)))
    return torch.cat(chunks)


def _scores(probabilities: Tensor, labels: Tensor, classes: int) -> dict[str, float]:
    of_label = probabilities[torch.arange(len(labels)), labels]
    scores = {
        "val_loss": -of_label.log().mean(),
        "val_accuracy": multiclass_accuracy(probabilities, labels, classes, average="micro"),
        "val_macro_f1": MacroF1(classes)(probabilities, labels),
    }
    return {name: float(score) for name, score in scores.items()}
