"""The one Lightning module: any network of this project on arrays held once, on the device."""

import time

import lightning
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from wbc_pipeline.training.augmentation import augment
from wbc_pipeline.training.options import DetectionOptions, TrainOptions
from wbc_pipeline.training.views import take_views


class Rows(Dataset):
    """Row numbers of one part: what a data loader hands out instead of images.

    Fetched a batch at a time, so no Python runs for each image.
    """

    def __init__(self, rows: Tensor):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, positions: list[int]) -> Tensor:
        return self.rows[torch.as_tensor(positions)]


def row_loader(rows: Tensor, *, batch_size: int, shuffle: bool, processes: int = 1) -> DataLoader:
    """Hand out batches of row numbers, in each of several processes its share of them.

    A shuffled loader drops a last batch that is not full, unless it is the only one: one image
    alone has no batch statistics.
    """
    return DataLoader(
        Rows(rows),
        batch_size=batch_size,
        shuffle=shuffle,
        drop_last=shuffle and len(rows) // processes > batch_size,
        collate_fn=_as_is,
    )


def _as_is(batch: Tensor) -> Tensor:
    return batch


def with_schedule(
    optimizer: torch.optim.Optimizer,
    options: TrainOptions | DetectionOptions,
    trainer: lightning.Trainer,
) -> OptimizerLRScheduler:
    """Let an optimizer's rate stay constant, or run through one cycle over all steps."""
    if options.schedule == "constant":
        return optimizer
    steps = int(trainer.estimated_stepping_batches)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, total_steps=steps)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


class Classifier(lightning.LightningModule):
    """Train a network on rows of arrays that stay on the device.

    Parameters
    ----------
    network
        Takes one float tensor [B, 3, H, W] for each of its ``views``, gives logits [B, classes].
    arrays
        uint8 tensors [N, H, W, 3], RGB, in the order of ``network.views``.
    labels
        Class numbers, int64 [N].
    options
        The schedule.
    channels_last
        Memory layout of images and weights.
    """

    def __init__(
        self,
        network: nn.Module,
        arrays: list[Tensor],
        labels: Tensor,
        options: TrainOptions,
        *,
        channels_last: bool,
    ):
        super().__init__()
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=layout)
        self.arrays = arrays
        self.labels = labels
        self.options = options
        self.channels_last = channels_last

    def on_fit_start(self) -> None:
        """Move the arrays to the device, once for the whole training."""
        self.arrays = [array.to(self.device) for array in self.arrays]
        self.labels = self.labels.to(self.device)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Use Adam, at a constant rate or in one cycle over all steps."""
        adam = torch.optim.Adam(self.parameters(), lr=self.options.learning_rate)
        return with_schedule(adam, self.options, self.trainer)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's clock."""
        self._start = time.perf_counter()

    def training_step(self, rows: Tensor) -> Tensor:  # int64 [B]
        """Learn from one augmented batch; returns its loss."""
        views = take_views(self.arrays, rows, channels_last=self.channels_last)
        if self.options.augmentation is not None:
            views = augment(views, self.options.augmentation)
        return self._loss("train", views, self.labels[rows])

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the network's own scalars while their gradients are at hand."""
        if hasattr(self.network, "tracked"):
            self.log_dict(self.network.tracked(), on_step=True, on_epoch=False)

    def validation_step(self, rows: Tensor) -> None:  # int64 [B]
        """Score one batch."""
        views = take_views(self.arrays, rows, channels_last=self.channels_last)
        self._loss("val", views, self.labels[rows])

    def on_train_epoch_end(self) -> None:
        """Log how long the epoch took, validation included."""
        self.log("seconds", time.perf_counter() - self._start, sync_dist=self._is_distributed)

    def _loss(self, part: str, views: list[Tensor], labels: Tensor) -> Tensor:
        logits = self.network(*views).float()
        smoothing = self.options.label_smoothing if part == "train" else 0.0
        loss = functional.cross_entropy(logits, labels, label_smoothing=smoothing)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        self.log_dict(
            {f"{part}_loss": loss, f"{part}_accuracy": accuracy},
            on_step=False,
            on_epoch=True,
            batch_size=len(labels),
            prog_bar=True,
            sync_dist=self._is_distributed,
        )
        return loss

    @property
    def _is_distributed(self) -> bool:
        return self.trainer.world_size > 1
