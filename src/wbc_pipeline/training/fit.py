"""Runs a task's stages with Lightning; the only place that builds a Trainer."""

import logging
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import pandas as pd
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities.seed import isolate_rng

from wbc_pipeline.processes import FollowerError, is_launched, process_rank
from wbc_pipeline.training.callbacks import POINTS_PER_EPOCH, MovingAverage, Progress
from wbc_pipeline.training.devices import check_devices
from wbc_pipeline.training.options import StageOptions, TrainerOptions
from wbc_pipeline.training.tasks.base import DivergedError, Stage, Task


@dataclass(frozen=True)
class Fit:
    """What a training leaves behind, beside the weights.

    Attributes
    ----------
    history
        A row per stage and epoch: ``stage``, ``epoch`` (running over stages), ``train_loss``,
        ``val_loss`` and other metrics, ``seconds``, the largest ``learning_rate`` (and, where parts
        have their own, ``learning_rate_lowest``), ``stage_number``, and what is trained:
        ``unfrozen_parameters`` (how many numbers) and ``unfrozen`` (names of the parts).
    paths
        The network's scalars and the parts of its loss, about 20 points per epoch: ``stage``,
        ``step`` and ``epoch`` (running over stages), ``name``, ``value``.
    summary
        ``epochs``, ``best_epoch`` (that of the kept weights), ``training_seconds``,
        ``seconds_per_epoch`` (median), ``parameters``, ``kept``, ``precision``,
        ``channels_last``.
    """

    history: pd.DataFrame
    paths: pd.DataFrame
    summary: dict


def fit(
    task: Task,
    *,
    stages: Mapping[str, StageOptions],
    trainer: TrainerOptions,
    device: torch.device,
    seed: int,
    folder: Path,
    logger: Logger | None = None,
    callbacks: Sequence[lightning.Callback] = (),
) -> Fit:
    """Train a task stage after stage; its network ends on the CPU with the weights that are kept.

    A training that was stopped at any moment continues, when called again with the same arguments
    and folder, after the last finished epoch; on the CPU, the final weights are byte for byte those
    of an uninterrupted training. Global random states are left as they were.

    Its checkpoints stay until `remove_checkpoints`: what comes of a training is first made safe.

    Parameters
    ----------
    task
        What to learn, from which arrays.
    stages
        Their schedules, in order; each begins with the weights that the one before has kept.
    trainer
        How many devices, and in which precision and memory layout (no ``auto`` but in
        ``strategy``). A resumed training keeps the precision and layout of its start.
    device
        The kind of device to train on.
    seed
        Seed of order, augmentation and dropout, at least 0.
    folder
        Working folder for checkpoints, shared by all processes of a job.
    logger
        A Lightning logger, such as ``MLFlowLogger``.
    callbacks
        Further Lightning callbacks.

    Raises
    ------
    DivergedError
        If training diverged: no kept weights have a finite loss.
    FollowerError
        In all but the first of the processes that a launcher started, once training is over.
    ValueError
        If there are fewer devices than asked for, or a stage's options do not suit the task.
    """
    check_devices(trainer, device)
    folder.mkdir(parents=True, exist_ok=True)
    first_epoch = first_step = 0
    history, paths = [], []
    for number, (name, options) in enumerate(stages.items()):
        files = _Files(folder, name)
        progress = files.progress()
        if progress is not None:
            trainer = trainer.model_copy(update=progress["trainer"])
        stage = Stage(
            name=name,
            number=number,
            options=options,
            seed=seed,
            channels_last=trainer.channels_last,
            first_epoch=first_epoch,
            first_step=first_step,
            processes=trainer.devices * trainer.num_nodes,
        )
        task.begin(stage)
        if progress is None or not progress["done"]:
            with isolate_rng(include_cuda=device.type == "cuda"):
                _run(
                    task,
                    files,
                    trainer=trainer,
                    device=device,
                    logger=logger,
                    callbacks=callbacks,
                )
            if process_rank() > 0 and number == len(stages) - 1:
                raise FollowerError("The first process has the history and the weights.")
            progress = files.progress()
        kept_epoch = _load_kept(task, files, progress)
        history += progress["history"]
        paths += progress["paths"]
        first_epoch, first_step = len(history), first_step + progress["steps"]
    if process_rank() > 0:
        raise FollowerError("The first process has the history and the weights.")
    table = pd.DataFrame(history)
    summary = {
        "epochs": len(table),
        "best_epoch": kept_epoch,
        "training_seconds": float(table["seconds"].sum()),
        "seconds_per_epoch": float(table["seconds"].median()),
        "parameters": sum(weight.numel() for weight in task.network.parameters()),
        "kept": options.keep,
        **trainer.model_dump(include={"precision", "channels_last"}),
    }
    types = {"stage": str, "step": int, "epoch": int, "name": str, "value": float}
    return Fit(table, pd.DataFrame(paths, columns=list(types)).astype(types), summary)


def checkpoint_files(folder: Path, stage: str) -> tuple[Path, Path]:
    """Name what `fit` leaves of a stage: its state after the last epoch, and its best weights."""
    files = _Files(folder, stage)
    return files.state, files.best


def remove_checkpoints(folder: Path, stages: Mapping[str, StageOptions]) -> None:
    """Remove what `fit` resumes from."""
    for name in stages:
        _Files(folder, name).remove()


class _Files:
    """The checkpoints of a stage: its state after the last epoch, and its best weights."""

    def __init__(self, folder: Path, stage: str):
        self.state = folder / f"{stage}.state.ckpt"
        self.best = folder / f"{stage}.best.ckpt"

    def progress(self) -> dict[str, Any] | None:
        """Read what `Progress` has recorded; None before the end of the first epoch."""
        if not self.state.exists():
            return None
        return _read(self.state)["callbacks"][Progress.__qualname__]

    def remove(self) -> None:
        for file in (self.state, self.best):
            file.unlink(missing_ok=True)
            file.with_suffix(".partial").unlink(missing_ok=True)


def _run(
    task: Task,
    files: _Files,
    *,
    trainer: TrainerOptions,
    device: torch.device,
    logger: Logger | None,
    callbacks: Sequence[lightning.Callback],
) -> None:
    options = task.options
    monitor = options.monitor if task.has_validation else "train_loss"
    maximize = not monitor.endswith("loss")
    own = [
        Progress(
            state=files.state,
            best=files.best if options.keep == "best" else None,
            monitor=monitor,
            maximize=maximize,
            trainer=trainer.model_dump(include={"precision", "channels_last"}),
        )
    ]
    if options.patience is not None and task.has_validation:
        mode = "max" if maximize else "min"
        own.append(EarlyStopping(monitor, patience=options.patience, mode=mode))
    if options.keep == "average":
        own.append(MovingAverage(options.average_decay))
    engine = lightning.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=trainer.devices,
        num_nodes=trainer.num_nodes,
        strategy=_strategy(trainer),
        precision=trainer.precision,
        max_epochs=options.epochs,
        gradient_clip_val=options.gradient_clip or None,
        logger=logger or False,
        callbacks=[*callbacks, *own],
        log_every_n_steps=max(1, len(task.batches("train")) // POINTS_PER_EPOCH),
        default_root_dir=files.state.parent,
        deterministic="warn",
        use_distributed_sampler=False,  # RowBatches deals the rows to the processes
        enable_progress_bar=sys.stderr.isatty(),
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    with warnings.catch_warnings():
        # Lightning advises worker processes for loading; here loading hands out row numbers.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        # Training without a validation part is meant.
        warnings.filterwarnings("ignore", message=".*across ranks is zero.*")
        # A network may keep a fixed backbone in evaluation mode.
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
        # Between Lightning and newer releases of torch.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        state = files.state if files.state.exists() else None
        engine.fit(task, ckpt_path=state, weights_only=True)


def _strategy(trainer: TrainerOptions) -> str:
    # Where no launcher has started the processes, Lightning's "ddp" would start the whole
    # command anew in each, for each training; processes spawned from this one do the same work.
    if trainer.devices > 1 and trainer.strategy in ("auto", "ddp") and not is_launched():
        return "ddp_spawn"
    return trainer.strategy


def _load_kept(task: Task, files: _Files, progress: dict[str, Any]) -> int:
    """Load the stage's kept weights into the network; returns their epoch."""
    monitor = progress["monitor"]
    last = progress["history"][-1]
    keeps_best = task.options.keep == "best"
    if progress["best_epoch"] is None or not (keeps_best or math.isfinite(last[monitor])):
        raise DivergedError(
            f"The {monitor} of {type(task.network).__name__} (seed {task.stage.seed}) was not a "
            f"finite number at the end of stage {task.stage.name}: training diverged; lower "
            "train.learning_rate."
        )
    saved = _read(files.best if keeps_best else files.state)["state_dict"]
    task.network.cpu().load_state_dict(
        {name.removeprefix("network."): tensor for name, tensor in saved.items()}
    )
    return progress["best_epoch"] if keeps_best else last["epoch"]


def _read(file: Path) -> dict[str, Any]:
    return torch.load(file, map_location="cpu", weights_only=True, mmap=True)


# Lightning's notes on devices and tips would stand between this project's own lines.
for _name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.seed"):
    logging.getLogger(_name).setLevel(logging.WARNING)
