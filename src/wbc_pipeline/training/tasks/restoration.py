"""Restoration: the clean image behind a degraded one."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MetricCollection
from torchmetrics.image import PeakSignalNoiseRatio

from wbc_pipeline.training.augmentation import augment
from wbc_pipeline.training.options import OF_CLASSES, OF_CLASSIFIERS, switched_on
from wbc_pipeline.training.tasks.base import Stage, Task
from wbc_pipeline.training.views import as_tensor, take_views

#: Changes of an image that the degraded and the clean one undergo alike.
FOLLOWED = ("flip", "rotation", "shift", "zoom")


class RestorationTask(Task):
    """Trains a restorer on pairs, by the mean absolute difference.

    Parameters
    ----------
    network
        Takes degraded images, float [B, 3, H, W] in 0…1, and gives restored ones.
    degraded, clean
        The same images, uint8 [N, H, W, 3], RGB.
    parts
        Row numbers of ``train`` and ``validation``; not needed to restore.
    """

    monitors = ("val_loss",)

    def __init__(
        self,
        network: nn.Module,
        *,
        degraded: np.ndarray,
        clean: np.ndarray,
        parts: Mapping[str, np.ndarray] | None = None,
    ):
        super().__init__(
            network,
            arrays={"degraded": degraded, "clean": clean},
            parts=parts or {},
            groups={},
            metrics={
                "train": MetricCollection({}),
                "val": MetricCollection({"psnr": PeakSignalNoiseRatio(data_range=1.0)}),
            },
        )

    def begin(self, stage: Stage) -> None:
        """Prepare for a stage; see `Task.begin`.

        Raises
        ------
        ValueError
            Also if an option does not apply to restorers.
        """
        super().begin(stage)
        options, augmentation = stage.options, stage.options.augmentation
        unfit = switched_on(options, [*OF_CLASSES, *OF_CLASSIFIERS])
        if augmentation is not None:
            asked = augmentation.model_dump(exclude={"cutmix_alpha", "mixup_alpha"})
            unfit += [
                f"augmentation.{name}" for name in asked if asked[name] and name not in FOLLOWED
            ]
        if unfit:
            raise ValueError(
                f"stages.{stage.name}: restorers know no {', '.join(unfit)}; leave it out."
            )

    def batch(self, rows: Tensor) -> dict[str, Tensor | list[Tensor]]:
        """Take degraded and clean images as ``pair``, float [B, 3, H, W] each."""
        arrays = [self.on_device[name] for name in ("degraded", "clean")]
        return {"pair": take_views(arrays, rows, channels_last=self.stage.channels_last)}

    def augmented(self, batch: dict) -> dict:
        """Flip, turn, move and scale both images of a pair alike."""
        return {"pair": augment(batch["pair"], self.options.augmentation)}

    def losses(self, batch: dict, part: str) -> dict[str, Tensor]:
        """Compute the mean absolute difference from the clean images."""
        degraded, clean = batch["pair"]
        restored = self.network(degraded).float()
        if part != "train":
            self.metrics[f"{part}_"].update(restored.clamp(0, 1), clean)
        return {"difference": functional.l1_loss(restored, clean)}

    def predict(
        self, rows: np.ndarray, *, device: torch.device, batch_size: int = 64
    ) -> pd.DataFrame:
        """Give ``psnr`` of each restored image, in dB; infinite where it equals the clean one."""
        restored = restore(
            self.network,
            self.arrays["degraded"].numpy(),
            rows,
            device=device,
            batch_size=batch_size,
        )
        gap = restored.astype(np.float64) - self.arrays["clean"].numpy()[rows]
        with np.errstate(divide="ignore"):
            psnr = 10 * np.log10(255**2 / np.square(gap).mean(axis=(1, 2, 3)))
        return pd.DataFrame({"psnr": psnr})


@torch.inference_mode()
def restore(
    network: nn.Module,
    images: np.ndarray,
    rows: np.ndarray,
    *,
    device: torch.device,
    batch_size: int = 64,
) -> np.ndarray:
    """Restore images by a trained network, in float32.

    Parameters
    ----------
    network
        Takes degraded images, float [B, 3, H, W] in 0…1, and gives restored ones.
    images
        uint8 [N, H, W, 3], RGB.
    rows
        Row numbers of those to restore, int [M].
    device
        Where to work.
    batch_size
        Images at a time.

    Returns
    -------
    np.ndarray
        RGB, uint8, [M, H, W, 3].
    """
    network = network.to(device).eval()
    tensor = as_tensor(images)
    restored = np.empty((len(rows), *images.shape[1:]), np.uint8)
    for start in range(0, len(rows), batch_size):
        chosen = torch.as_tensor(rows[start : start + batch_size])
        batch = tensor[chosen].to(device)
        [view] = take_views([batch], torch.arange(len(batch), device=device), channels_last=False)
        light = network(view).clamp(0, 1).mul(255).round().to(torch.uint8)
        restored[start : start + batch_size] = light.permute(0, 2, 3, 1).cpu().numpy()
    return restored
