"""What runs beside the training loop: checkpoints with the history, and averaged weights."""

import math
import os
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint, WeightAveraging
from torch import Tensor

from wbc_pipeline.training.parts import unfrozen_parts
from wbc_pipeline.training.tasks.base import OF_STAGE, Task

POINTS_PER_EPOCH = 20  # of a tracked scalar: enough to see it jump


class Progress(Checkpoint):
    """Records the history and writes the checkpoints of one stage.

    After each epoch, ``best`` is written if the monitored metric has improved, and then ``state``.
    In that order, a training killed between the two repeats the epoch and writes ``best`` again;
    each replaces its predecessor atomically. The history travels in ``state``.

    Parameters
    ----------
    state, best
        The checkpoint files; `best` is None if the best epoch does not matter.
    monitor
        Name of the monitored metric.
    maximize
        Whether larger is better.
    trainer
        Precision and memory layout, which a resumed training keeps.
    """

    def __init__(
        self, *, state: Path, best: Path | None, monitor: str, maximize: bool, trainer: dict
    ):
        self.state = state
        self.best = best
        self.monitor = monitor
        self.sign = -1 if maximize else 1
        self.progress: dict[str, Any] = {
            "history": [],
            "paths": [],
            "best": math.inf,
            "best_epoch": None,
            "done": False,
            "steps": 0,
            "monitor": monitor,
            "trainer": trainer,
        }

    def state_dict(self) -> dict[str, Any]:
        """Give the progress so far, as plain Python."""
        return self.progress

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the progress of a checkpoint."""
        self.progress = state_dict

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, task: Task, optimizer: torch.optim.Optimizer
    ) -> None:
        """Record the network's scalars and the losses' parts while gradients are at hand."""
        batches = trainer.num_training_batches
        every = max(1, batches // POINTS_PER_EPOCH)
        if (trainer.global_step + 1) % every:
            return
        stage = task.stage
        place = {
            "stage": stage.name,
            "step": stage.first_step + trainer.global_step,
            "epoch": stage.first_epoch + trainer.current_epoch,
        }
        self.progress["paths"] += [
            {**place, "name": name, "value": float(value)} for name, value in task.tracked().items()
        ]

    def on_train_epoch_end(self, trainer: lightning.Trainer, task: Task) -> None:
        """Add the epoch's row to the history and write the checkpoints."""
        names = ("train_", "val_", "seconds", *OF_STAGE)
        metrics = {
            name: value.item()
            for name, value in trainer.callback_metrics.items()
            if name.startswith(names)
        }
        epoch = task.stage.first_epoch + trainer.current_epoch
        unfrozen = ", ".join(unfrozen_parts(task.network))
        place = {"stage": task.stage.name, "epoch": epoch, "unfrozen": unfrozen}
        self.progress["history"].append(place | metrics)
        value = self.sign * metrics[self.monitor]
        if not math.isfinite(value):
            trainer.should_stop = True
        if value < self.progress["best"]:
            self.progress |= {"best": value, "best_epoch": epoch}
            if self.best is not None:
                self._save(trainer, self.best, weights_only=True)
        is_last = trainer.current_epoch + 1 >= trainer.max_epochs
        self.progress |= {"done": trainer.should_stop or is_last, "steps": trainer.global_step}
        self._save(trainer, self.state, weights_only=False)

    @staticmethod
    def _save(trainer: lightning.Trainer, file: Path, *, weights_only: bool) -> None:
        partial = file.with_suffix(".partial")
        trainer.save_checkpoint(partial, weights_only=weights_only)
        if trainer.is_global_zero:
            os.replace(partial, file)
        trainer.strategy.barrier()


class MovingAverage(WeightAveraging):
    """Exponential moving average of the weights, warmed up so that a short run forgets its start.

    The average is what is validated, and what a checkpoint's ``state_dict`` holds.

    Parameters
    ----------
    decay
        The decay after the warm-up.
    """

    def __init__(self, decay: float):
        super().__init__(multi_avg_fn=self._average)
        self.decay = decay

    def setup(self, trainer: lightning.Trainer, task: Task, stage: str) -> None:
        """Copy the task, but not its arrays."""
        arrays, task.arrays = task.arrays, {}
        super().setup(trainer, task, stage)
        task.arrays = arrays

    def _average(self, averaged: list[Tensor], current: list[Tensor], _: Any) -> None:
        step = self._latest_update_step
        decay = min(self.decay, (1 + step) / (10 + step))
        if averaged[0].is_floating_point():
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:  # such as a count of batches
            torch._foreach_copy_(averaged, current)
