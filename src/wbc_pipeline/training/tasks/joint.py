"""Joint task: the class of an image, and the mask of its cell and nucleus."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MeanMetric

from wbc_pipeline.imaging.masks import UNKNOWN
from wbc_pipeline.models.joint import ClassHead
from wbc_pipeline.training.augmentation import augment_with_masks
from wbc_pipeline.training.joint import (
    alignment_loss,
    bce_loss,
    dice_loss,
    known_ious,
    measure,
    regions_of,
)
from wbc_pipeline.training.options import OF_CLASSIFIERS, JointLosses, switched_on
from wbc_pipeline.training.tasks.base import Stage, Task
from wbc_pipeline.training.tasks.classification import ClassificationTask
from wbc_pipeline.training.views import as_tensor, take_views

PRIOR = "prior"  # the view that saliency is aligned with where no mask is known


class JointTask(ClassificationTask):
    """Trains a network to segment and to classify, as far as masks and labels are known.

    Sets with and without masks take one path: what is not known adds nothing to a loss.

    Parameters
    ----------
    network
        Takes one float tensor [B, 3, H, W] per view of ``network.views``; gives a ``JointOutput``.
    views
        uint8 [N, H, W, 3], RGB, by the names in ``network.views``; perhaps `PRIOR` beside them, of
        which the first channel counts.
    classes
        Names of the C classes in the order of the network's outputs.
    masks
        uint8 [N, H, W], see ``design``: images, of the first view; None if there are none.
    losses
        Weights of the losses.
    known
        ``labels``, ``parts`` and ``sources``, as of `ClassificationTask`.
    """

    monitors = (*ClassificationTask.monitors, "val_iou")

    def __init__(
        self,
        network: nn.Module,
        *,
        views: Mapping[str, np.ndarray],
        classes: Sequence[str],
        masks: np.ndarray | None = None,
        losses: JointLosses | None = None,
        **known,
    ):
        super().__init__(network, views=views, classes=classes, **known)
        if masks is None:
            shape = views[network.views[0]].shape[:3]
            masks = np.broadcast_to(np.uint8(UNKNOWN), shape)  # takes no memory
        self.arrays["mask"] = as_tensor(masks)
        if PRIOR in views:
            self.arrays[PRIOR] = as_tensor(views[PRIOR])
        for metric in (each for members in self.metrics.values() for each in members.values()):
            metric.ignore_index = -1  # images without a label
        self.metrics["val_"].add_metrics({"iou": MeanMetric(nan_strategy="disable")})
        self.weights = losses or JointLosses()

    def begin(self, stage: Stage) -> None:
        """Prepare for a stage; see `Task.begin`.

        Raises
        ------
        ValueError
            Also if an option does not apply to masks, there is nothing to learn from, or
            ``val_iou`` is monitored without any mask.
        """
        self._check_masks(stage)
        super().begin(stage)

    def on_fit_start(self) -> None:
        """Move the arrays to the device."""
        Task.on_fit_start(self)

    def batch(self, rows: Tensor) -> dict[str, Tensor | list[Tensor] | None]:
        """Take ``inputs`` but the prior, ``label`` [B], ``mask`` and ``prior``, uint8 [B, H, W]."""
        arrays = self.on_device
        images = [arrays[name] for name in self.network.views if name != PRIOR]
        return {
            "inputs": take_views(images, rows, channels_last=self.stage.channels_last),
            "label": arrays["label"][rows],
            "mask": arrays["mask"][rows],
            "prior": arrays[PRIOR][rows, ..., 0] if PRIOR in arrays else None,
        }

    def augmented(self, batch: dict) -> dict:
        """Change the images at random, and move masks and priors with them."""
        mask, prior = batch["mask"].int(), batch["prior"]
        # Both as one number, so that they move by the same draws; the nearest pixel mixes none.
        both = mask if prior is None else mask + 256 * prior.int()
        views, both = augment_with_masks(batch["inputs"], both, self.options.augmentation)
        prior = None if prior is None else (both // 256).to(torch.uint8)
        return {**batch, "inputs": views, "mask": (both % 256).to(torch.uint8), "prior": prior}

    def losses(self, batch: dict, part: str) -> dict[str, Tensor]:
        """Compute the weighted losses; see ``JointLosses``.

        Raises
        ------
        ValueError
            If the network predicts no mask, and ``val_iou`` is monitored or classes have no weight.
        """
        prior = None if batch["prior"] is None else batch["prior"].float() / 255  # [B, H, W]
        output = self.network(*self._in_order(batch["inputs"], prior))
        regions = regions_of(batch["mask"])
        logits = output.logits.float()
        found = {"cross_entropy": self._cross_entropy(logits, batch["label"], part == "train")}
        ious = logits.new_empty(0)
        if output.masks is not None:
            masks = output.masks.float()
            found["bce"] = bce_loss(masks, regions, rim=self.weights.rim)
            found["dice"] = dice_loss(masks, regions)
            ious = known_ious(masks, regions)
        elif self.has_validation and self.options.monitor == "val_iou":
            raise ValueError(
                f"stages.{self.stage.name}.monitor: {type(self.network).__name__} predicts no "
                f"mask, and has no val_iou; use {' or '.join(ClassificationTask.monitors)}."
            )
        if output.saliency is not None:
            found["alignment"] = alignment_loss(output.saliency.float(), regions, prior)
        self.metrics[f"{part}_"].update(preds=logits, target=batch["label"], value=ious)
        weights = {name: weight for name, weight in self.weights if weight and name in found}
        if not weights.keys() - {"alignment"}:
            raise ValueError(
                f"losses: {type(self.network).__name__} predicts no mask, so that it learns from "
                "classes alone; set cross_entropy above 0."
            )
        return {name: weight * found[name] for name, weight in weights.items()}

    def predict(
        self, rows: np.ndarray, *, device: torch.device, batch_size: int = 64
    ) -> pd.DataFrame:
        """Give a classifier's columns, and what ``measure`` tells where a mask is known."""
        views = {name: self.arrays[name].numpy() for name in self.network.views}
        classifier = ClassificationTask(ClassHead(self.network), views=views, classes=self.classes)
        table = classifier.predict(rows, device=device, batch_size=batch_size)
        if self._has_no_mask(as_tensor(rows)):
            return table
        chunks = np.array_split(rows, range(batch_size, len(rows), batch_size))
        found = [self._measure(as_tensor(chunk), device) for chunk in chunks]
        return pd.concat([table, pd.concat(found, ignore_index=True)], axis=1)

    @torch.inference_mode()
    def _measure(self, rows: Tensor, device: torch.device) -> pd.DataFrame:
        everything = torch.arange(len(rows), device=device)
        arrays = [self.arrays[name][rows].to(device) for name in self.network.views]
        output = self.network(*take_views(arrays, everything, channels_last=True))
        return measure(output, regions_of(self.arrays["mask"][rows].to(device)))

    def _in_order(self, images: list[Tensor], prior: Tensor | None) -> list[Tensor]:
        """Put the prior among the network's other views, if it is one of them."""
        images = iter(images)
        return [
            prior[:, None].expand(-1, 3, -1, -1) if name == PRIOR else next(images)
            for name in self.network.views
        ]

    def _cross_entropy(self, logits: Tensor, labels: Tensor, training: bool) -> Tensor:
        labelled = labels >= 0
        if not labelled.any():
            return 0 * logits.sum()
        logits, labels = logits[labelled], labels[labelled]
        if training:
            return self._class_loss.cross_entropy(logits, labels)
        return functional.cross_entropy(logits, labels)

    def _check_masks(self, stage: Stage) -> None:
        options, augmentation = stage.options, stage.options.augmentation
        if not self.weights.cross_entropy and self._has_no_mask(self.rows["train"]):
            raise ValueError(
                "losses.cross_entropy is 0, and no training image has a mask to learn from; set it "
                "above 0, or take a data set with masks."
            )
        unfit = switched_on(options, OF_CLASSIFIERS)
        if augmentation is not None:
            mixing = [name for name in ("cutmix", "mixup") if getattr(augmentation, name)]
            unfit += [f"augmentation.{name}" for name in mixing]
        if unfit:
            raise ValueError(
                f"stages.{stage.name}: networks that segment know no {', '.join(unfit)}; leave it "
                "out."
            )
        needs_masks = options.monitor == "val_iou" and self.has_validation
        if needs_masks and self._has_no_mask(self.rows["validation"]):
            raise ValueError(
                f"stages.{stage.name}.monitor: no image of the validation part has a mask for "
                f"val_iou; use {' or '.join(ClassificationTask.monitors)}."
            )

    def _has_no_mask(self, rows: Tensor) -> bool:
        return bool((self.arrays["mask"][rows] == UNKNOWN).all())
