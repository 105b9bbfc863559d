"""What all tasks share: arrays on the device, optimizer and schedule, freezing, logging."""

import math
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from wbc_pipeline.errors import UserError
from wbc_pipeline.training.options import LEARNT_FROM, OUTSIDE, SAMPLED_BY, StageOptions
from wbc_pipeline.training.parts import check_prefixes, is_under, reset_parts
from wbc_pipeline.training.sampling import RowBatches, balancing_weights, derive_seed
from wbc_pipeline.training.views import as_tensor

VALIDATION_BATCH = 256
# Beside losses and metrics, what stands in the history and in MLflow once an epoch.
OF_STAGE = ("learning_rate", "learning_rate_lowest", "stage_number", "unfrozen_parameters")


class DivergedError(UserError, FloatingPointError):
    """Training has led to no finite loss."""


@dataclass(frozen=True)
class Stage:
    """One stage of a training, as a task sees it.

    Attributes
    ----------
    name, number
        Of the stage, and its place among all.
    options
        Its schedule.
    seed
        Of the training.
    channels_last
        Memory layout of images and weights.
    first_epoch, first_step
        Epochs and optimizer steps of the stages before.
    processes
        How many processes train together.
    """

    name: str
    number: int
    options: StageOptions
    seed: int
    channels_last: bool = False
    first_epoch: int = 0
    first_step: int = 0
    processes: int = 1


class Task(lightning.LightningModule, ABC):
    """Trains a network on rows of arrays that stay on the device.

    A subclass says how a batch is taken from the arrays, how it is augmented, what its losses and
    metrics are, and which columns of the predictions table it gives.

    Parameters
    ----------
    network
        Changed in place.
    arrays
        Arrays of N rows by name, such as uint8 images [N, H, W, 3]; memory-mapped ones stay on disk
        when training on the CPU.
    parts
        Row numbers of ``train`` and, perhaps, ``validation``, and ``outside`` where a stage learns
        from it; other parts are not looked at.
    groups
        What ``sampling`` balances: group of each row by ``class`` and ``source``, each [N].
    metrics
        From torchmetrics, for ``train`` and ``val``; updated by `losses`, logged as
        ``<part>_<metric>``.
    """

    monitors: ClassVar[tuple[str, ...]]  # names that StageOptions.monitor may have

    def __init__(
        self,
        network: nn.Module,
        *,
        arrays: Mapping[str, np.ndarray],
        parts: Mapping[str, np.ndarray],
        groups: Mapping[str, np.ndarray],
        metrics: Mapping[str, MetricCollection],
    ):
        super().__init__()
        self.network = network
        self.arrays = {name: as_tensor(array) for name, array in arrays.items()}
        self.rows = {
            part: torch.as_tensor(np.asarray(rows, dtype=np.int64)) for part, rows in parts.items()
        }
        self.groups = groups
        self.metrics = nn.ModuleDict(
            {f"{part}_": members.clone(prefix=f"{part}_") for part, members in metrics.items()}
        )
        self.stage: Stage | None = None
        self.on_device: dict[str, Tensor] = {}
        self._parts_of_loss: dict[str, Tensor] = {}
        self._trainable = {
            name for name, weight in network.named_parameters() if weight.requires_grad
        }

    @abstractmethod
    def batch(self, rows: Tensor) -> dict[str, Tensor | list[Tensor]]:
        """Take a batch from the arrays; ``rows`` are int64 [B]."""

    @abstractmethod
    def augmented(self, batch: dict) -> dict:
        """Change a training batch at random, as the stage's ``augmentation`` says."""

    @abstractmethod
    def losses(self, batch: dict, part: str) -> dict[str, Tensor]:
        """Compute the losses of a batch, which are summed, and update the part's metrics."""

    @abstractmethod
    def predict(
        self, rows: np.ndarray, *, device: torch.device, batch_size: int = 64
    ) -> pd.DataFrame:
        """Give the task's columns of the predictions table, a line per row."""

    @property
    def options(self) -> StageOptions:
        """The current stage's schedule."""
        return self.stage.options

    @property
    def has_validation(self) -> bool:
        """Tell whether there is a validation part."""
        return len(self.rows.get("validation", ())) > 0

    @property
    def learnt_rows(self) -> Tensor:
        """Row numbers that the current stage learns from, int64 [M]."""
        return torch.cat([self.rows[part] for part in LEARNT_FROM[self.options.learn_from]])

    @property
    def is_augmented(self) -> bool:
        """Tell whether training batches change at random."""
        return self.options.augmentation is not None

    def begin(self, stage: Stage) -> None:
        """Prepare for a stage: draw anew what it resets, freeze what it freezes.

        Its options are checked against the task.

        Raises
        ------
        ValueError
            If the monitored metric, a prefix or what sampling balances is unknown, all is fixed, or
            what is to be reset cannot be.
        """
        self.stage = stage
        self._check_options()
        self.stage = replace(stage, options=_lengthened(stage.options, len(self.batches("train"))))
        layout = torch.channels_last if stage.channels_last else torch.contiguous_format
        self.network.to(memory_format=layout)
        self.train()
        check_prefixes(self.network, stage.name, self.options)
        seed = derive_seed(stage.seed, stage.number)
        reset_parts(self.network, stage.name, self.options.reset, seed=seed)
        for name, weight in self.network.named_parameters():
            weight.requires_grad_(name in self._trainable and not self._is_frozen(name))
        if not any(weight.requires_grad for weight in self.network.parameters()):
            raise ValueError(f"stages.{stage.name}.freeze fixes all weights; free some.")

    def batches(self, part: str, rank: int = 0) -> RowBatches:
        """Deal a part's rows into batches."""
        stage, processes = self.stage, self.stage.processes
        if part != "train":
            return RowBatches(
                self.rows[part], batch_size=VALIDATION_BATCH, rank=rank, processes=processes
            )
        rows = self.learnt_rows
        weights = None
        if self.options.sampling != "uniform":
            levels = SAMPLED_BY[self.options.sampling]
            weights = balancing_weights(*(np.asarray(self.groups[level])[rows] for level in levels))
        return RowBatches(
            rows,
            batch_size=self.options.batch_size,
            seed=(stage.seed, stage.number),
            weights=weights,
            rank=rank,
            processes=processes,
        )

    def train_dataloader(self) -> DataLoader:
        """Hand out row numbers of the training part."""
        return self.batches("train", self.global_rank).loader()

    def val_dataloader(self) -> DataLoader | list:
        """Hand out row numbers of the validation part."""
        return self.batches("validation", self.global_rank).loader() if self.has_validation else []

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build optimizer and schedule; the rate changes after each step."""
        groups = defaultdict(list)
        for name, weight in self.network.named_parameters():
            if weight.requires_grad:
                groups[self._rate_factor(name)].append(weight)
        rate, options = self.options.learning_rate, self.options
        optimizer = {
            "adam": torch.optim.Adam,
            "adamw": torch.optim.AdamW,
            "sgd": torch.optim.SGD,
        }[options.optimizer](
            [{"params": weights, "lr": rate * factor} for factor, weights in groups.items()],
            weight_decay=options.weight_decay,
            **({"momentum": options.momentum} if options.optimizer == "sgd" else {}),
        )
        schedule = self._schedule(optimizer)
        if schedule is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_fit_start(self) -> None:
        """Move the arrays to the device, once for the whole stage."""
        self.on_device = {name: array.to(self.device) for name, array in self.arrays.items()}

    def teardown(self, stage: str) -> None:
        """Free the device's memory."""
        self.on_device = {}

    def on_train_epoch_start(self) -> None:
        """Make the epoch's random state, start its clock, and fix what is frozen."""
        seed = derive_seed(self.stage.seed, self.stage.number, self.current_epoch, self.global_rank)
        lightning.seed_everything(seed, verbose=False)
        self._start = time.perf_counter()
        self.train()
        for name, module in self.network.named_modules():
            if name and self._is_frozen(name):
                module.eval()
        self._log_stage()
        self._log_epoch()

    def training_step(self, rows: Tensor) -> Tensor:  # int64 [B]
        """Learn from one batch; returns its loss."""
        batch = self.batch(rows)
        if self.is_augmented:
            batch = self.augmented(batch)
        return self._step(batch, "train", len(rows))

    def validation_step(self, rows: Tensor) -> None:  # int64 [B]
        """Score one batch."""
        self._step(self.batch(rows), "val", len(rows))

    def on_validation_epoch_end(self) -> None:
        """Tell loggers the epoch."""
        self._log_epoch()

    def on_train_epoch_end(self) -> None:
        """Log how long the epoch took, validation included."""
        self.log("seconds", time.perf_counter() - self._start, sync_dist=self._is_distributed)

    def tracked(self) -> dict[str, Tensor]:
        """Give scalars whose path over training is worth a plot: the network's, and the losses."""
        network = self.network.tracked() if hasattr(self.network, "tracked") else {}
        return network | self._parts_of_loss

    def _step(self, batch: dict, part: str, size: int) -> Tensor | None:
        losses = {name: loss.float() for name, loss in self.losses(batch, part).items()}
        self.log_dict(self.metrics[f"{part}_"], on_step=False, on_epoch=True, batch_size=size)
        if not losses:
            return None
        total = sum(losses.values())
        if part == "train" and len(losses) > 1:
            self._parts_of_loss = {name: loss.detach() for name, loss in losses.items()}
        self.log(
            f"{part}_loss",
            total,
            on_step=False,
            on_epoch=True,
            prog_bar=True,
            batch_size=size,
            sync_dist=self._is_distributed,
        )
        return total

    def _log_stage(self) -> None:
        rates = [group["lr"] for group in self.optimizers().param_groups]
        found = {"learning_rate": max(rates)}
        if len(rates) > 1:
            found["learning_rate_lowest"] = min(rates)
        found["stage_number"] = float(self.stage.number)
        weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        found["unfrozen_parameters"] = float(sum(weight.numel() for weight in weights))
        for name, value in found.items():
            self.log(name, value, sync_dist=self._is_distributed)

    def _log_epoch(self) -> None:
        # Lightning's own number begins anew with each stage.
        epoch = float(self.stage.first_epoch + self.current_epoch)
        self.log("epoch", epoch, sync_dist=self._is_distributed)

    def _schedule(self, optimizer: torch.optim.Optimizer) -> lr_scheduler.LRScheduler | None:
        options, steps = self.options, int(self.trainer.estimated_stepping_batches)
        if options.schedule == "step":
            every = options.step_epochs * steps // options.epochs
            return lr_scheduler.StepLR(optimizer, every, gamma=options.step_factor)
        if options.schedule == "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, steps)
        if options.schedule == "one_cycle":
            highest = [group["lr"] for group in optimizer.param_groups]
            return lr_scheduler.OneCycleLR(optimizer, highest, total_steps=steps)
        return None

    def _check_options(self) -> None:
        options, where = self.options, f"stages.{self.stage.name}"
        if self.has_validation and options.monitor not in self.monitors:
            raise ValueError(
                f"{where}.monitor: {type(self).__name__} has no {options.monitor}; use "
                f"{' or '.join(self.monitors)}."
            )
        if not self.has_validation and options.keep == "best":
            raise ValueError(
                f"{where}.keep: the best epoch needs a validation part, and there is none; use "
                "keep: last or keep: average."
            )
        if not set(LEARNT_FROM[options.learn_from]) <= set(self.rows):
            raise ValueError(
                f"{where}.learn_from: this training has no images {OUTSIDE}; use train."
            )
        unknown = [level for level in SAMPLED_BY[options.sampling] if level not in self.groups]
        if unknown:
            raise ValueError(
                f"{where}.sampling: this training knows no {unknown[0]} of its images; use "
                "uniform, or give the task their groups."
            )

    def _is_frozen(self, name: str) -> bool:
        return any(is_under(name, prefix) for prefix in self.options.freeze)

    def _rate_factor(self, name: str) -> float:
        prefixes = [prefix for prefix in self.options.rates if is_under(name, prefix)]
        return self.options.rates[max(prefixes, key=len)] if prefixes else 1.0

    @property
    def _is_distributed(self) -> bool:
        return self.trainer.world_size > 1


def _lengthened(options: StageOptions, batches: int) -> StageOptions:
    """Multiply the epochs until they take ``min_steps``."""
    times = math.ceil(options.min_steps / (options.epochs * batches))
    if times <= 1:
        return options
    lengths = {"epochs": times * options.epochs, "step_epochs": times * options.step_epochs}
    if options.patience is not None:
        lengths["patience"] = times * options.patience
    return options.model_copy(update=lengths)
