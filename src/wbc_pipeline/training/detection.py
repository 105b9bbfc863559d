"""Detectors: boxes to targets, targets and frames to weights, weights to boxes."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from wbc_pipeline.imaging.cell_mask import cell_mask_in_box
from wbc_pipeline.imaging.roi import SIDES
from wbc_pipeline.processes import FollowerError
from wbc_pipeline.training.fit import PATH_POINTS, _fit_quietly, _strategy, read_log
from wbc_pipeline.training.module import row_loader, with_schedule
from wbc_pipeline.training.options import DetectionOptions, TrainerOptions
from wbc_pipeline.training.views import as_tensor, take_views

EPOCH_COLUMNS = ("train_loss", "seconds")


@dataclass(frozen=True)
class Targets:
    """What detectors learn to find, made once for a whole training.

    Attributes
    ----------
    rows
        Row numbers of the images, int64 [M].
    counts
        White cells of each of these images, int64 [M], some 0.
    boxes
        Their boxes in that order, float32 [K, 4]: xmin, ymin, xmax, ymax in pixels of the frame.
    masks
        uint8 [K, S, S], 1 on the cell; None for detectors that learn none.
    boxes_without_violet
        Of how many boxes the whole box became the mask.
    """

    rows: Tensor
    counts: Tensor
    boxes: Tensor
    masks: Tensor | None
    boxes_without_violet: int

    def to(self, device: torch.device) -> "Targets":
        """Move everything to a device."""
        masks = None if self.masks is None else self.masks.to(device)
        moved = (part.to(device) for part in (self.rows, self.counts, self.boxes))
        return Targets(*moved, masks, self.boxes_without_violet)


@dataclass(frozen=True)
class DetectorFit:
    """What the training of a detector leaves behind.

    Attributes
    ----------
    history
        A row per epoch: ``epoch``, ``train_loss`` (the sum of all parts), ``seconds``.
    paths
        The parts of the loss over training: ``step``, ``epoch``, ``name``, ``value``.
    summary
        ``epochs``, ``training_seconds``, ``seconds_per_epoch``, ``parameters``, ``boxes``,
        ``boxes_without_violet`` (of these; 0 where no masks are learnt).
    """

    history: pd.DataFrame
    paths: pd.DataFrame
    summary: dict


def make_targets(
    pixels: np.ndarray,
    images: pd.DataFrame,
    truth: pd.DataFrame,
    rows: Sequence[int],
    *,
    masks: bool = True,
) -> Targets:
    """Bring annotated boxes into pixels of the frame and, by colour, make masks of them.

    Parameters
    ----------
    pixels
        Frames, uint8 [N, S, S, 3], RGB: whole images squeezed to squares.
    images
        ``image_id``, ``width`` and ``height`` of the files, in the order of `pixels`.
    truth
        ``image_id`` and the sides in pixels of the file, a row per white cell; see
        ``wbc_pipeline.evaluation.regions.true_boxes``.
    rows
        Row numbers of the images to learn from; those without a box count as without a cell.
    masks
        Whether the detector learns masks (see ``imaging.cell_mask``).

    Raises
    ------
    ValueError
        If a box has no area inside its image; the message names the image.
    """
    size, rows = pixels.shape[1], np.asarray(rows, dtype=np.int64)
    files = images.iloc[rows]
    places = truth["image_id"].map(pd.Series(range(len(rows)), index=files["image_id"]))
    boxes = truth.assign(place=places).dropna(subset="place").sort_values("place", kind="stable")
    place = boxes["place"].to_numpy(int)
    scale = size / files[["width", "height"] * 2].to_numpy(float)[place]
    sides = np.clip(boxes[SIDES].to_numpy(float) * scale, 0, size)
    empty = (sides[:, 2:] <= sides[:, :2]).any(axis=1)
    if empty.any():
        names = ", ".join(boxes["image_id"][empty].unique()[:3])
        raise ValueError(
            f"{int(empty.sum())} annotated boxes have no area inside their image, such as in "
            f"{names}; correct these annotations or leave the images out."
        )
    cells = np.zeros((len(sides) if masks else 0, size, size), np.uint8)
    without_violet = 0
    for cell, row, box in zip(cells, rows[place], sides, strict=False):  # no cells: no masks
        mask, found = cell_mask_in_box(pixels[row], box)
        np.minimum(mask, 1, out=cell)
        without_violet += not found
    return Targets(
        rows=torch.from_numpy(rows),
        counts=torch.from_numpy(np.bincount(place, minlength=len(rows))),
        boxes=torch.from_numpy(sides.astype(np.float32)),
        masks=torch.from_numpy(cells) if masks else None,
        boxes_without_violet=without_violet,
    )


def fit_detector(
    network: nn.Module,
    *,
    pixels: np.ndarray,
    targets: Targets,
    train: DetectionOptions,
    trainer: TrainerOptions,
    device: torch.device,
    seed: int,
    callbacks: Sequence[lightning.Callback] = (),
) -> DetectorFit:
    """Train a detector on all images of the targets and leave in it the weights of the last epoch.

    Nothing is chosen on other images, so there is no validation part.

    Parameters
    ----------
    network
        Changed in place; see ``wbc_pipeline.models.DETECTORS``.
    pixels
        Frames, uint8 [N, S, S, 3], RGB.
    targets
        Of `make_targets`, with masks if the network learns them.
    train, trainer
        The schedule, and where and in which precision it runs (no ``auto`` left but in
        ``strategy``).
    device
        The kind of device to train on.
    seed
        Seed of order, augmentation and what is sampled.
    callbacks
        Further Lightning callbacks, such as one that tracks.

    Raises
    ------
    FloatingPointError
        As soon as the loss is not a finite number.
    FollowerError
        In all but the first of the processes that a launcher started, once training is over.
    ValueError
        If the frames are not of the network's size, or the network learns masks and there are
        none.
    """
    _check(network, pixels, targets)
    lightning.seed_everything(seed, workers=True, verbose=False)
    module = _Detection(
        network, as_tensor(pixels), targets, train, seed=seed, channels_last=trainer.channels_last
    )
    loader = row_loader(
        torch.arange(len(targets.rows)),
        batch_size=train.batch_size,
        shuffle=True,
        processes=trainer.devices * trainer.num_nodes,
    )
    with TemporaryDirectory() as folder:
        engine = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=trainer.devices,
            num_nodes=trainer.num_nodes,
            strategy=_strategy(trainer),
            precision=trainer.precision,
            max_epochs=train.epochs,
            logger=CSVLogger(folder, name="", version=""),
            callbacks=list(callbacks),
            log_every_n_steps=max(1, len(loader) // PATH_POINTS),
            deterministic="warn",
            enable_checkpointing=False,
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        start = time.perf_counter()
        _fit_quietly(engine, module, [loader])
        seconds = time.perf_counter() - start
        if not engine.is_global_zero:
            raise FollowerError("The first process has the log and the weights.")
        history, paths = read_log(Path(folder) / "metrics.csv", EPOCH_COLUMNS)
    network.cpu()
    summary = {
        "epochs": len(history),
        "training_seconds": seconds,
        "seconds_per_epoch": float(history["seconds"].median()),
        "parameters": sum(weight.numel() for weight in network.parameters()),
        "boxes": len(targets.boxes),
        "boxes_without_violet": targets.boxes_without_violet,
    }
    return DetectorFit(history, paths, summary)


@torch.inference_mode()
def detect(
    network: nn.Module,
    pixels: np.ndarray,
    rows: Sequence[int],
    *,
    device: torch.device,
    batch_size: int = 1,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Find white cells in float32, whatever the precision of training, and time it.

    Parameters
    ----------
    network
        A trained detector.
    pixels
        Frames, uint8 [N, S, S, 3], RGB.
    rows
        Row numbers of the images to look at, int [M].
    device
        Where to look.
    batch_size
        Images at a time; 1 is what somebody with one image waits for.

    Returns
    -------
    detections : pd.DataFrame
        ``row``, the sides in pixels of the frame (0 to S) and ``score`` (0 to 1); the highest
        score first in each image, no row for an image without a detection.
    milliseconds : np.ndarray
        float64 [M], time of the image's batch divided by its size, from uint8 pixels to boxes.
    """
    network = network.to(device).eval()
    rows = np.asarray(rows, dtype=np.int64)
    frames = as_tensor(pixels)
    tables = [pd.DataFrame(columns=["row", *SIDES, "score"], dtype=float).astype({"row": int})]
    batches = np.array_split(rows, range(batch_size, len(rows), batch_size)) if len(rows) else []
    milliseconds = []
    for number, batch in enumerate(batches):
        if number == 0:
            _look(network, frames, batch, device)  # the first call sets up kernels
        start = time.perf_counter()
        found = _look(network, frames, batch, device)
        elapsed = 1000 * (time.perf_counter() - start)
        milliseconds.append(np.full(len(batch), elapsed / len(batch)))
        for row, (boxes, scores) in zip(batch, found, strict=True):
            table = pd.DataFrame(boxes.numpy().astype(float), columns=SIDES)
            table.insert(0, "row", row)
            tables.append(table.assign(score=scores.numpy().astype(float)))
    detections = pd.concat(tables[1:] or tables, ignore_index=True)
    return detections, np.concatenate([*milliseconds, np.empty(0)])


def to_file_pixels(detections: pd.DataFrame, images: pd.DataFrame, size: int) -> pd.DataFrame:
    """Give detections in pixels of the files.

    Parameters
    ----------
    detections
        Of `detect`.
    images
        ``image_id``, ``width`` and ``height`` of the files, in the order of the frames.
    size
        Height and width of the frames.

    Returns
    -------
    pd.DataFrame
        ``image_id``, the sides and ``score``.

    Examples
    --------
    >>> found = pd.DataFrame([[0, 8, 8, 16, 32, 0.9]], columns=["row", *SIDES, "score"])
    >>> images = pd.DataFrame({"image_id": ["a.jpg"], "width": [640], "height": [480]})
    >>> to_file_pixels(found, images, 64)[SIDES].to_numpy().tolist()
    [[80.0, 60.0, 160.0, 240.0]]
    """
    files = images.iloc[detections["row"]]
    sides = detections[SIDES].to_numpy(float) * files[["width", "height"] * 2].to_numpy(float)
    table = pd.DataFrame(sides / size, columns=SIDES)
    table.insert(0, "image_id", files["image_id"].to_numpy())
    return table.assign(score=detections["score"].to_numpy())


class _Detection(lightning.LightningModule):
    """Train a detector on frames and targets that stay on the device."""

    def __init__(
        self,
        network: nn.Module,
        pixels: Tensor,
        targets: Targets,
        options: DetectionOptions,
        *,
        seed: int,
        channels_last: bool,
    ):
        super().__init__()
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.network = network.to(memory_format=layout)
        self.pixels = pixels
        self.targets = targets
        self.options = options
        self.seed = seed

    def on_fit_start(self) -> None:
        """Move frames and targets to the device, once for the whole training."""
        self.pixels = self.pixels.to(self.device)
        self.targets = self.targets.to(self.device)
        self._starts = self.targets.counts.cumsum(0) - self.targets.counts

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Use Adam with decoupled decay, at a constant rate or in one cycle over all steps."""
        rate = self.options.learning_rate
        adam = torch.optim.AdamW(self.parameters(), rate, weight_decay=self.options.weight_decay)
        return with_schedule(adam, self.options, self.trainer)

    def on_train_epoch_start(self) -> None:
        """Start the epoch's clock."""
        self._start = time.perf_counter()

    def training_step(self, places: Tensor) -> Tensor:  # int64 [B], into targets.rows
        """Learn from one batch; returns its loss."""
        losses = self.network(*self._batch(places))
        loss = sum(part.float() for part in losses.values())
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"The training loss of {type(self.network).__name__} (seed {self.seed}) is not a "
                f"finite number in step {self.global_step}: training diverged; lower "
                "train.learning_rate."
            )
        distributed = self.trainer.world_size > 1
        self.log(
            "train_loss",
            loss,
            on_step=False,
            on_epoch=True,
            batch_size=len(places),
            prog_bar=True,
            sync_dist=distributed,
        )
        self.log_dict({name: part.detach() for name, part in losses.items()}, on_step=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log how long the epoch took."""
        seconds = time.perf_counter() - self._start
        self.log("seconds", seconds, sync_dist=self.trainer.world_size > 1)

    def _batch(self, places: Tensor) -> tuple[Tensor, list[dict[str, Tensor]]]:
        targets = self.targets
        (images,) = take_views([self.pixels], targets.rows[places], channels_last=False)
        counts = targets.counts[places]
        ends = counts.cumsum(0)
        within = torch.arange(int(counts.sum()), device=self.device)
        within -= (ends - counts).repeat_interleave(counts)
        chosen = self._starts[places].repeat_interleave(counts) + within
        boxes = targets.boxes[chosen]
        masks = None if targets.masks is None else targets.masks[chosen]
        if self.options.flip:
            images, boxes, masks = flip_at_random(images, boxes, masks, counts)
        parts = counts.tolist()
        batch = [
            {"boxes": part, "labels": torch.ones(len(part), dtype=torch.int64, device=self.device)}
            for part in boxes.split(parts)
        ]
        if masks is not None:
            for target, part in zip(batch, masks.split(parts), strict=True):
                target["masks"] = part
        return images, batch


def flip_at_random(
    images: Tensor, boxes: Tensor, masks: Tensor | None, counts: Tensor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Mirror each image with its boxes and masks left-right and top-bottom, or not.

    Parameters
    ----------
    images
        float [B, 3, S, S].
    boxes, masks
        float [K, 4] in pixels, and uint8 [K, S, S] or None: those of the images in turn.
    counts
        How many each image has, int64 [B], summing to K.

    Returns
    -------
    tuple
        Images, boxes and masks, of the same shapes.
    """
    size = images.shape[-1]
    for axis, low, high in ((-1, 0, 2), (-2, 1, 3)):  # left and right, top and bottom
        flipped = torch.rand(len(images), device=images.device) < 0.5
        of_box = flipped.repeat_interleave(counts)
        images = torch.where(flipped[:, None, None, None], images.flip(axis), images)
        mirrored = boxes.clone()
        mirrored[:, low], mirrored[:, high] = size - boxes[:, high], size - boxes[:, low]
        boxes = torch.where(of_box[:, None], mirrored, boxes)
        if masks is not None:
            masks = torch.where(of_box[:, None, None], masks.flip(axis), masks)
    return images, boxes, masks


def _check(network: nn.Module, pixels: np.ndarray, targets: Targets) -> None:
    if pixels.shape[1:3] != (network.image_size, network.image_size):
        raise ValueError(
            f"The frames have {pixels.shape[2]} x {pixels.shape[1]} pixels, and the detector was "
            f"built for image_size {network.image_size}; give both one size."
        )
    if network.learns_masks and targets.masks is None:
        raise ValueError(
            f"{type(network).__name__} learns masks, and the targets have none; make them with "
            "masks=True."
        )


def _look(
    network: nn.Module, frames: Tensor, rows: np.ndarray, device: torch.device
) -> list[tuple[Tensor, Tensor]]:
    batch = frames[torch.from_numpy(rows)].to(device)
    (images,) = take_views([batch], torch.arange(len(rows), device=device), channels_last=False)
    return [(found["boxes"].cpu(), found["scores"].cpu()) for found in network(images)]
