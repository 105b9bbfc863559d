"""The training recipe: a network, arrays and row numbers in, the best weights and curves out."""

import logging
import math
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from wbc_pipeline.processes import FollowerError, is_launched
from wbc_pipeline.training.module import Classifier, row_loader
from wbc_pipeline.training.options import TrainerOptions, TrainOptions
from wbc_pipeline.training.views import as_tensor

EPOCH_COLUMNS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "seconds")
# Points of a tracked scalar's path in each epoch: enough to see it jump.
PATH_POINTS = 20


@dataclass(frozen=True)
class Fit:
    """What a training leaves behind.

    Attributes
    ----------
    history
        A row per epoch: ``epoch`` and the columns of ``EPOCH_COLUMNS``.
    paths
        Scalars that the network tracks: ``step``, ``epoch``, ``name``, ``value``.
    summary
        ``epochs``, ``best_epoch``, ``training_seconds``, ``seconds_per_epoch``, ``parameters``.
    """

    history: pd.DataFrame
    paths: pd.DataFrame
    summary: dict


def fit_network(
    network: nn.Module,
    *,
    arrays: Sequence[np.ndarray],
    labels: np.ndarray,
    train_rows: np.ndarray,
    validation_rows: np.ndarray,
    train: TrainOptions,
    trainer: TrainerOptions,
    device: torch.device,
    seed: int,
    callbacks: Sequence[lightning.Callback] = (),
) -> Fit:
    """Train a network and leave in it the weights of its best epoch.

    Parameters
    ----------
    network
        Changed in place: ends with the weights of the epoch of lowest validation loss.
    arrays
        uint8 [N, H, W, 3], RGB, one for each of ``network.views``.
    labels
        Class numbers, int [N].
    train_rows, validation_rows
        Row numbers of the two parts.
    train, trainer
        The schedule, and where and in which precision it runs (no ``auto`` left but in
        ``strategy``).
    device
        The kind of device to train on.
    seed
        Seed of order, augmentation and dropout.
    callbacks
        Further Lightning callbacks, such as one that tracks.

    Raises
    ------
    FloatingPointError
        If the validation loss was never a finite number.
    FollowerError
        In all but the first of the processes that a launcher started, once training is over.
    """
    lightning.seed_everything(seed, workers=True, verbose=False)
    module = Classifier(
        network,
        [as_tensor(array) for array in arrays],
        torch.from_numpy(np.asarray(labels, dtype=np.int64)),
        train,
        channels_last=trainer.channels_last,
    )
    loaders = [
        row_loader(
            torch.tensor(train_rows),
            batch_size=train.batch_size,
            shuffle=True,
            processes=trainer.devices * trainer.num_nodes,
        ),
        row_loader(torch.tensor(validation_rows), batch_size=256, shuffle=False),
    ]
    times = max(1, math.ceil(train.min_steps / (train.epochs * len(loaders[0]))))
    with TemporaryDirectory() as folder:
        logger = CSVLogger(folder, name="", version="")
        best = ModelCheckpoint(folder, monitor="val_loss", save_weights_only=True)
        stop = EarlyStopping("val_loss", patience=times * train.patience, check_finite=True)
        engine = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=trainer.devices,
            num_nodes=trainer.num_nodes,
            strategy=_strategy(trainer),
            precision=trainer.precision,
            max_epochs=times * train.epochs,
            logger=logger,
            callbacks=[best, stop, *callbacks],
            log_every_n_steps=max(1, len(loaders[0]) // PATH_POINTS),
            deterministic="warn",
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        start = time.perf_counter()
        _fit_quietly(engine, module, loaders)
        seconds = time.perf_counter() - start
        if not engine.is_global_zero:
            raise FollowerError("The first process has the log and the weights.")
        history, paths = read_log(Path(folder) / "metrics.csv", EPOCH_COLUMNS)
        if not np.isfinite(history["val_loss"]).any():
            raise FloatingPointError(
                f"The validation loss of {type(network).__name__} (seed {seed}) was never a finite "
                "number: training diverged; lower train.learning_rate."
            )
        _load_weights(network, Path(best.best_model_path))
    summary = {
        "epochs": len(history),
        "best_epoch": int(history["val_loss"].idxmin()),
        "training_seconds": seconds,
        "seconds_per_epoch": float(history["seconds"].median()),
        "parameters": sum(weight.numel() for weight in network.parameters()),
    }
    return Fit(history, paths, summary)


def _strategy(trainer: TrainerOptions) -> str:
    # Where no launcher has started the processes, Lightning's "ddp" would start the whole
    # command anew in each, for each training; processes spawned from this one do the same work.
    if trainer.devices > 1 and trainer.strategy in ("auto", "ddp") and not is_launched():
        return "ddp_spawn"
    return trainer.strategy


def _fit_quietly(engine: lightning.Trainer, module: Classifier, loaders: list) -> None:
    with warnings.catch_warnings():
        # Lightning advises worker processes for loading; here loading hands out row numbers.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # Between Lightning and newer releases of torch.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory.*exists.*")
        engine.fit(module, *loaders)


def _load_weights(network: nn.Module, checkpoint: Path) -> None:
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    network.cpu().load_state_dict(
        {name.removeprefix("network."): tensor for name, tensor in saved.items()}
    )


def read_log(path: Path, epoch_columns: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Part Lightning's log into what stands once an epoch and what is tracked by step."""
    log = pd.read_csv(path)
    history = log.groupby("epoch")[list(epoch_columns)].first().reset_index()
    tracked = log.columns.difference([*epoch_columns, "epoch", "step"])
    paths = log.melt(["step", "epoch"], tracked, var_name="name").dropna(subset="value")
    return history, paths.astype({"step": int, "epoch": int}).reset_index(drop=True)


# Lightning's notes on devices and tips would stand between this project's own lines.
for _name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
    logging.getLogger(_name).setLevel(logging.WARNING)
