"""Classification: one label per image."""

from collections.abc import Mapping, Sequence
from functools import partial

import lightning
import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from wbc_pipeline.training.augmentation import augment, augment_some, mix
from wbc_pipeline.training.class_losses import ClassLoss, is_rare
from wbc_pipeline.training.feature_cache import FeatureCache, remember_features
from wbc_pipeline.training.macro_f1 import MacroF1
from wbc_pipeline.training.predict import predict_probabilities
from wbc_pipeline.training.sampling import derive_seed
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
        Source of each row, [N]; needed for sampling by source.
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
        accuracy = {
            "accuracy": MulticlassAccuracy(len(classes), average="micro", validate_args=False)
        }
        macro_f1 = {"macro_f1": MacroF1(len(classes))}
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
        self._class_loss: ClassLoss | None = None
        self._is_rare: Tensor | None = None  # bool [C]
        self._cache: FeatureCache | None = None

    def begin(self, stage: Stage) -> None:
        """Prepare for a stage; see `Task.begin`.

        Raises
        ------
        ValueError
            Also if features are to be cached and the network does not offer them, or a named class
            is unknown.
        """
        super().begin(stage)
        options, where = self.options, f"stages.{stage.name}"
        if options.cached_features and not (
            hasattr(self.network, "features") and hasattr(self.network, "head")
        ):
            raise ValueError(
                f"{where}.cached_features: {type(self.network).__name__} has no "
                "methods features and head; switch it off."
            )
        counts = self._count_classes()
        self._class_loss = ClassLoss(options, counts, self._numbers_of_chain(where))
        self._is_rare = None
        if options.rare_augmentation is not None:
            self._is_rare = self._find_rare(where, counts)

    def on_fit_start(self) -> None:
        """Move the arrays to the device; compute features where asked."""
        super().on_fit_start()
        self._cache = None
        if self.options.cached_features:
            self._cache = self._cache_features()

    @property
    def is_augmented(self) -> bool:
        """Tell whether training batches change at random; cached ones have changed before."""
        return self._cache is None and self._changes_images

    def batch(self, rows: Tensor) -> dict[str, Tensor | list[Tensor]]:
        """Take views (or cached features) as ``inputs``, and ``label``, int64 [B]."""
        if self._cache is None:
            inputs = self._take_views(rows)
        else:
            inputs = [self._cache.take(rows, self.current_epoch)]
        label = self.on_device["label"][rows]
        return {"inputs": inputs, "label": label, "target": label}

    def augmented(self, batch: dict) -> dict:
        """Change the images at random; CutMix and MixUp make ``target`` probabilities [B, C]."""
        options, target = self.options.augmentation, batch["target"]
        if self._is_rare is None:
            views = augment(batch["inputs"], options)
        else:
            is_rare = self._is_rare.to(target.device)[batch["label"]]
            views = augment_some(batch["inputs"], is_rare, self.options.rare_augmentation)
            if options is not None:
                views = augment_some(views, ~is_rare, options)
        if options is not None and (options.cutmix or options.mixup):
            target = functional.one_hot(target, len(self.classes)).float()
            views, target = mix(views, target, options)
        return {**batch, "inputs": views, "target": target}

    def losses(self, batch: dict, part: str) -> dict[str, Tensor]:
        """Compute the cross-entropy; what else the options say of it counts in training alone."""
        forward = self.network if self._cache is None else self.network.head
        logits = forward(*batch["inputs"]).float()
        self.metrics[f"{part}_"].update(logits, batch["label"])
        if part == "train":
            return self._class_loss(logits, batch["target"])
        return {"cross_entropy": functional.cross_entropy(logits, batch["target"])}

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

    @property
    def _changes_images(self) -> bool:
        return self.options.augmentation is not None or self._is_rare is not None

    def _count_classes(self) -> Tensor:  # int64 [C]
        labels = self.arrays["label"][self.learnt_rows]
        return torch.bincount(labels[labels >= 0], minlength=len(self.classes))

    def _numbers_of_chain(self, where: str) -> list[int]:
        ordinal = self.options.ordinal
        return [] if ordinal is None else self._numbers(f"{where}.ordinal.chain", ordinal.chain)

    def _find_rare(self, where: str, counts: Tensor) -> Tensor:  # bool [C]
        if self.options.rare_classes is None:
            return is_rare(counts)
        found = torch.zeros(len(self.classes), dtype=torch.bool)
        found[self._numbers(f"{where}.rare_classes", self.options.rare_classes)] = True
        return found

    def _numbers(self, where: str, names: Sequence[str]) -> list[int]:
        for name in names:
            if name not in self.classes:
                raise ValueError(
                    f"{where}: there is no class {name!r}; there are "
                    f"{', '.join(map(str, self.classes))}."
                )
        return [self.classes.index(name) for name in names]

    def _cache_features(self) -> FeatureCache:
        """Compute features of the validation part, and of each pass over the training part."""
        stage, known = self.stage, self.rows.get("validation", self.learnt_rows[:0])
        self.network.eval()
        if self._features_of(self.learnt_rows[:2]).requires_grad:
            raise ValueError(
                f"stages.{stage.name}.cached_features: weights before the head of "
                f"{type(self.network).__name__} are trained; freeze all but the head."
            )
        with torch.no_grad():
            validation = self._plain_features(known)
            passes = []
            for number in range(self.options.cached_passes):
                if not self._changes_images:
                    passes.append(self._plain_features(self.learnt_rows))
                    continue
                # five numbers, as no epoch's seed has; all processes cache the same
                seed = derive_seed(stage.seed, stage.number, number, 0, 0)
                lightning.seed_everything(seed, verbose=False)
                passes.append(self._all_features(self.learnt_rows, changed=True))
        self.network.train()
        return FeatureCache(
            {"validation": known.to(self.device), "train": self.learnt_rows.to(self.device)},
            validation=validation,
            passes=passes,
            images=len(self.arrays["label"]),
        )

    def _plain_features(self, rows: Tensor) -> Tensor | None:
        if not len(rows):
            return None
        return remember_features(
            partial(self._all_features, rows),
            network=self.network,
            arrays=[self.arrays[name].numpy() for name in self.network.views],
            rows=rows.cpu().numpy(),
            context=f"{self.device} {self.trainer.precision} {self.stage.channels_last}",
        )

    def _all_features(self, rows: Tensor, *, changed: bool = False) -> Tensor:  # [M, F]
        chunks = rows.split(VALIDATION_BATCH)
        return torch.cat([self._features_of(chunk, changed=changed) for chunk in chunks])

    def _features_of(self, rows: Tensor, *, changed: bool = False) -> Tensor:  # [B, F]
        batch = self.batch(rows.to(self.device))
        if changed:
            batch = self.augmented(batch)
        with self.trainer.precision_plugin.forward_context():
            return self.network.features(*batch["inputs"])
