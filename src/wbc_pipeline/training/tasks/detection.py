"""Detection: boxes, and perhaps masks, of the white cells in each image."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, MetricCollection
from torchvision.ops import box_iou

from wbc_pipeline.imaging.roi import SIDES
from wbc_pipeline.training.augmentation import augment, flip_with_targets
from wbc_pipeline.training.augmentation_options import AugmentationOptions
from wbc_pipeline.training.detection import Targets, detect
from wbc_pipeline.training.options import OF_CLASSES, OF_CLASSIFIERS, switched_on
from wbc_pipeline.training.tasks.base import DivergedError, Stage, Task
from wbc_pipeline.training.views import take_views

# Changes of an image that its boxes do not follow.
WITHOUT_BOXES = ("rotation", "shift", "zoom", "cutmix", "mixup")


class DetectionTask(Task):
    """Trains a detector on frames and boxes.

    Parameters
    ----------
    network
        Takes images and a list of targets in training, and images alone otherwise, as torchvision's
        detectors do; has ``image_size`` and ``learns_masks``; see ``wbc_pipeline.models``.
    frames
        uint8 [N, S, S, 3], RGB.
    targets
        Of `make_targets`, for the rows of all parts; with masks if the network learns them.
    parts
        Row numbers of ``train`` and, perhaps, ``validation``; by default all targets train.
    sources
        Source of each row, [N]; needed for ``sampling: source``.

    Raises
    ------
    ValueError
        If the frames are not of the network's size, or the network learns masks and there are
        none.
    """

    monitors = ("val_iou",)

    def __init__(
        self,
        network: nn.Module,
        *,
        frames: np.ndarray,
        targets: Targets,
        parts: Mapping[str, np.ndarray] | None = None,
        sources: np.ndarray | None = None,
    ):
        _check(network, frames, targets)
        place = np.full(len(frames), -1)
        place[targets.rows] = np.arange(len(targets.rows))
        arrays = {
            "image": frames,
            "place": place,  # of a row among the targets
            "count": targets.counts.numpy(),
            "start": (targets.counts.cumsum(0) - targets.counts).numpy(),
            "box": targets.boxes.numpy(),
        }
        if network.learns_masks:
            arrays["mask"] = targets.masks.numpy()
        super().__init__(
            network,
            arrays=arrays,
            parts={"train": targets.rows.numpy()} if parts is None else parts,
            groups={} if sources is None else {"source": sources},
            metrics={
                "train": MetricCollection({}),
                "val": MetricCollection({"iou": MeanMetric(nan_strategy="disable")}),
            },
        )

    def begin(self, stage: Stage) -> None:
        """Prepare for a stage; see `Task.begin`.

        Raises
        ------
        ValueError
            Also if an option does not apply to detectors.
        """
        super().begin(stage)
        options, augmentation = stage.options, stage.options.augmentation
        unfit = switched_on(options, (*OF_CLASSES, *OF_CLASSIFIERS))
        if augmentation is not None:
            moving = [name for name in WITHOUT_BOXES if getattr(augmentation, name)]
            unfit += [f"augmentation.{name}" for name in moving]
        if unfit:
            raise ValueError(
                f"stages.{stage.name}: detectors know no {', '.join(unfit)}; leave it out."
            )

    def batch(self, rows: Tensor) -> dict[str, Tensor | list[Tensor]]:
        """Take frames as ``inputs``, ``count`` of cells [B], ``box`` [K, 4], ``mask`` [K, S, S]."""
        arrays = self.on_device
        places = arrays["place"][rows]
        counts = arrays["count"][places]
        within = torch.arange(int(counts.sum()), device=self.device)
        within -= (counts.cumsum(0) - counts).repeat_interleave(counts)
        cells = arrays["start"][places].repeat_interleave(counts) + within
        return {
            "inputs": take_views([arrays["image"]], rows, channels_last=False),
            "count": counts,
            "box": arrays["box"][cells],
            "mask": arrays["mask"][cells] if "mask" in arrays else None,
        }

    def augmented(self, batch: dict) -> dict:
        """Change the images at random and flip them together with their boxes and masks."""
        options = self.options.augmentation
        (images,), boxes, masks = batch["inputs"], batch["box"], batch["mask"]
        still = options.model_copy(update={"flip": False})
        if still != AugmentationOptions(flip=False):
            (images,) = augment([images], still)
        if options.flip:
            images, boxes, masks = flip_with_targets(images, boxes, masks, batch["count"])
        return {**batch, "inputs": [images], "box": boxes, "mask": masks}

    def losses(self, batch: dict, part: str) -> dict[str, Tensor]:
        """Compute the detector's losses in training, and its IoU in validation.

        Raises
        ------
        DivergedError
            As soon as a training loss is not a finite number.
        """
        (images,), counts = batch["inputs"], batch["count"].tolist()
        boxes = batch["box"].split(counts)
        if part != "train":
            for found, true in zip(self.network(images), boxes, strict=True):
                self.metrics["val_"].update(value=_best_overlaps(found["boxes"], true))
            return {}
        ones = torch.ones(len(batch["box"]), dtype=torch.int64, device=self.device)
        targets = [
            {"boxes": box, "labels": label}
            for box, label in zip(boxes, ones.split(counts), strict=True)
        ]
        if batch["mask"] is not None:
            for target, mask in zip(targets, batch["mask"].split(counts), strict=True):
                target["masks"] = mask
        losses = self.network(images, targets)
        if not all(torch.isfinite(loss) for loss in losses.values()):
            raise DivergedError(
                f"The training loss of {type(self.network).__name__} (seed {self.stage.seed}) is "
                f"not a finite number in step {self.global_step} of stage {self.stage.name}: "
                "training diverged; lower train.learning_rate."
            )
        return losses

    def predict(
        self, rows: np.ndarray, *, device: torch.device, batch_size: int = 1
    ) -> pd.DataFrame:
        """Give ``box_iou`` and ``inference_ms`` of each row.

        ``box_iou`` is the mean, over the true boxes, of the IoU with the nearest among as many of
        the highest-scored detections; missing for a row without targets or without a cell.
        """
        frames = self.arrays["image"].numpy()
        found, milliseconds = detect(
            self.network, frames, rows, device=device, batch_size=batch_size
        )
        boxes = {row: table[SIDES].to_numpy("float32") for row, table in found.groupby("row")}
        nothing = np.empty((0, 4), np.float32)
        overlaps = []
        for row in rows:
            place = self.arrays["place"][row]
            count = int(self.arrays["count"][place]) if place >= 0 else 0
            start = int(self.arrays["start"][place])
            true = self.arrays["box"][start : start + count]
            best = _best_overlaps(torch.from_numpy(boxes.get(row, nothing)), true)
            overlaps.append(best.mean().item() if count else np.nan)
        return pd.DataFrame({"box_iou": overlaps, "inference_ms": milliseconds})


def _best_overlaps(found: Tensor, true: Tensor) -> Tensor:
    """Give each true box's best IoU with as many detections, highest score first; [K]."""
    found = found[: len(true)]
    if len(found) == 0:
        return true.new_zeros(len(true))
    return box_iou(true, found.to(true)).amax(dim=1)


def _check(network: nn.Module, frames: np.ndarray, targets: Targets) -> None:
    if frames.shape[1:3] != (network.image_size, network.image_size):
        raise ValueError(
            f"The frames have {frames.shape[2]} x {frames.shape[1]} pixels, and the detector was "
            f"built for image_size {network.image_size}; give both one size."
        )
    if network.learns_masks and targets.masks is None:
        raise ValueError(
            f"{type(network).__name__} learns masks, and the targets have none; make them with "
            "masks=True."
        )
