"""Classification: one label per image."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from wbc_pipeline.training.augmentation import augment, mix
from wbc_pipeline.training.predict import predict_probabilities
from wbc_pipeline.training.tasks.base import VALIDATION_BATCH, Stage, Task
from wbc_pipeline.training.views import take_views


class ClassificationTask(Task):
    """Trains a classifier by cross-entropy.

    Parameters
    ----------
    network
        Takes one float tensor [B, 3, H, W] per view of ``network.views``; gives logits [B, C].
    views
        uint8 [N, H, W, 3], RGB, by the names in ``network.views``.
    classes
        Names of the C classes in the order of the network's outputs.
    labels
        Class numbers, int [N], -1 where unknown; not needed for prediction.
    parts
        Row numbers of ``train`` and ``validation``; not needed for prediction.
    sources
        Source of each row, [N]; needed for ``sampling: source``.
    """

    monitors = ("val_loss", "val_macro_f1", "val_accuracy")

    def __init__(
        self,
        network: nn.Module,
        *,
        views: Mapping[str, np.ndarray],
        classes: Sequence[str],
        labels: np.ndarray | None = None,
        parts: Mapping[str, np.ndarray] | None = None,
        sources: np.ndarray | None = None,
    ):
        arrays = {name: views[name] for name in network.views}
        groups = {}
        if labels is not None:
            arrays["label"] = np.asarray(labels, dtype=np.int64)
            groups["class"] = arrays["label"]
        if sources is not None:
            groups["source"] = np.asarray(sources)
        count = {"num_classes": len(classes), "validate_args": False}
        accuracy = {"accuracy": MulticlassAccuracy(**count, average="micro")}
        macro_f1 = {"macro_f1": MulticlassF1Score(**count, average="macro")}
        super().__init__(
            network,
            arrays=arrays,
            parts=parts or {},
            groups=groups,
            metrics={
                "train": MetricCollection(accuracy),
                "val": MetricCollection(accuracy | macro_f1),
            },
        )
        self.classes = list(classes)
        self._class_weights: Tensor | None = None
        self._features: Tensor | None = None

    def begin(self, stage: Stage) -> None:
        """Prepare for a stage; see `Task.begin`.

        Raises
        ------
        ValueError
            Also if features are to be cached and the network does not offer them.
        """
        super().begin(stage)
        if self.options.cached_features and not (
            hasattr(self.network, "features") and hasattr(self.network, "head")
        ):
            raise ValueError(
                f"stages.{stage.name}.cached_features: {type(self.network).__name__} has no "
                "methods features and head; switch it off."
            )

    def on_fit_start(self) -> None:
        """Move the arrays to the device; weight classes and compute features where asked."""
        super().on_fit_start()
        self._class_weights = self._features = None
        if self.options.class_weights == "balanced":
            labels = self.arrays["label"][self.rows["train"]]
            counts = torch.bincount(labels, minlength=len(self.classes)).clamp(min=1)
            weights = len(labels) / (len(self.classes) * counts)
            self._class_weights = weights.to(self.device)
        if self.options.cached_features:
            self._cache_features()

    def batch(self, rows: Tensor) -> dict[str, Tensor | list[Tensor]]:
        """Take views (or cached features) as ``inputs``, and ``label``, int64 [B]."""
        if self._features is None:
            inputs = self._take_views(rows)
        else:
            inputs = [self._features[self._place[rows]]]
        label = self.on_device["label"][rows]
        return {"inputs": inputs, "label": label, "target": label}

    def augmented(self, batch: dict) -> dict:
        """Change the images at random; CutMix and MixUp make ``target`` probabilities [B, C]."""
        options, target = self.options.augmentation, batch["target"]
        views = augment(batch["inputs"], options)
        if options.cutmix or options.mixup:
            target = functional.one_hot(target, len(self.classes)).float()
            views, target = mix(views, target, options)
        return {**batch, "inputs": views, "target": target}

    def losses(self, batch: dict, part: str) -> dict[str, Tensor]:
        """Compute the cross-entropy; smoothed and weighted in training alone."""
        forward = self.network if self._features is None else self.network.head
        logits = forward(*batch["inputs"]).float()
        self.metrics[f"{part}_"].update(logits, batch["label"])
        training = part == "train"
        loss = functional.cross_entropy(
            logits,
            batch["target"],
            weight=self._class_weights if training else None,
            label_smoothing=self.options.label_smoothing if training else 0.0,
        )
        return {"cross_entropy": loss}

    def predict(
        self, rows: np.ndarray, *, device: torch.device, batch_size: int = 64
    ) -> pd.DataFrame:
        """Give ``p_<class>`` of each class and ``inference_ms``; see `predict_probabilities`."""
        probabilities, milliseconds = predict_probabilities(
            self.network,
            [self.arrays[name].numpy() for name in self.network.views],
            rows,
            device=device,
            batch_size=batch_size,
        )
        table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in self.classes])
        return table.assign(inference_ms=milliseconds)

    def _take_views(self, rows: Tensor) -> list[Tensor]:
        arrays = [self.on_device[name] for name in self.network.views]
        return take_views(arrays, rows, channels_last=self.stage.channels_last)

    def _cache_features(self) -> None:
        parts = [self.rows[part] for part in ("train", "validation") if part in self.rows]
        rows = torch.cat(parts).to(self.device)
        self._place = torch.zeros(len(self.arrays["label"]), dtype=torch.int64, device=self.device)
        self._place[rows] = torch.arange(len(rows), device=self.device)
        self.network.eval()
        with self.trainer.precision_plugin.forward_context():
            if self.network.features(*self._take_views(rows[:2])).requires_grad:
                raise ValueError(
                    f"stages.{self.stage.name}.cached_features: weights before the head of "
                    f"{type(self.network).__name__} are trained; freeze all but the head."
                )
            with torch.no_grad():
                chunks = [
                    self.network.features(*self._take_views(chunk))
                    for chunk in rows.split(VALIDATION_BATCH)
                ]
        self._features = torch.cat(chunks)
        self.network.train()
