"""A detector's training and what it then finds, as folders of files."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.imaging.roi import SIDES
from wbc_pipeline.keys import digest, source_digest
from wbc_pipeline.models import build_network, load_network, network_class, save_network
from wbc_pipeline.models.pretrained import weights_digest
from wbc_pipeline.pipelines.experiment.options import weights_file
from wbc_pipeline.pipelines.localize.options import DetectorOptions
from wbc_pipeline.tracking import track_run
from wbc_pipeline.training import detection
from wbc_pipeline.training.devices import describe_hardware
from wbc_pipeline.training.options import DetectionOptions, TrainerOptions


@dataclass(frozen=True)
class DetectorTraining:
    """One training of one detector.

    Attributes
    ----------
    name, seed
        Of the detector, and of its weights and the order of images.
    detector, train, trainer
        The network, its schedule, and where it runs.
    dataset
        Name of the data set, for tracking.
    images
        The manifest's ``ok`` rows, in the order of the array.
    rows
        Row numbers of the images to train on.
    truth
        The annotated boxes; see ``wbc_pipeline.evaluation.regions.true_boxes``.
    frame
        What the detector sees.
    device
        Where to train.
    """

    name: str
    seed: int
    detector: DetectorOptions
    train: DetectionOptions
    trainer: TrainerOptions
    dataset: str
    images: pd.DataFrame
    rows: list[int]
    truth: pd.DataFrame
    frame: ImageArray
    device: torch.device

    @cached_property
    def weights(self) -> Path | None:
        """File of the weights that the backbone begins with; None for random ones."""
        return weights_file(self.detector)

    @cached_property
    def arguments(self) -> dict:
        """Arguments that rebuild the detector."""
        return {"image_size": self.frame.pixels.shape[1], **self.detector.arguments}

    @cached_property
    def key(self) -> dict:
        """Everything that the result depends on."""
        shown = self.images.loc[self.rows, ["image_id", "width", "height"]]
        boxes = self.truth[self.truth["image_id"].isin(shown["image_id"])]
        return {
            "paper": "localize",
            "variant": self.name,
            "protocol": "source",
            "seed": self.seed,
            "fold": 0,
            "dataset": self.dataset,
            "network": self.detector.network,
            "arguments": self.arguments,
            "weights": weights_digest(self.weights),
            "train": self.train.model_dump(),
            "trainer": self.trainer.model_dump(),
            "device": self.device.type,
            "views": {"image": self.frame.result.digest},
            "labels": digest(boxes.to_numpy().tolist()),
            "rows": digest([self.rows, shown.to_numpy().tolist()]),
            "code": source_digest(network_class(self.detector.network), build_network, detection),
        }

    def fit(self, folder: Path) -> None:
        """Train, tracked, and write what it leaves behind into the folder."""
        with track_run(self.key) as tracked:
            network = build_network(self.detector.network, self.arguments, seed=self.seed)
            if self.weights is not None:
                network.load_pretrained(self.weights)
            fitted = detection.fit_detector(
                network,
                pixels=self.frame.pixels,
                targets=detection.make_targets(
                    self.frame.pixels,
                    self.images,
                    self.truth,
                    self.rows,
                    masks=network.learns_masks,
                ),
                train=self.train,
                trainer=self.trainer,
                device=self.device,
                seed=self.seed,
                callbacks=tracked.callbacks,
            )
            description = {
                "name": self.detector.network,
                "arguments": self.arguments,
                "views": {"image": self.frame.result.key["steps"]},
            }
            save_network(folder, network, description)
            fitted.history.to_parquet(folder / "history.parquet")
            fitted.paths.to_parquet(folder / "paths.parquet")
            summary = {
                "key": digest(self.key),
                **fitted.summary,
                "images": len(self.rows),
                "weights": self.weights.name if self.weights else "none",
                "weights_asked": self.detector.weights,
                "precision": self.trainer.precision,
                "channels_last": self.trainer.channels_last,
                "device": self.device.type,
                "hardware": describe_hardware(self.device),
            }
            (folder / "summary.json").write_text(json.dumps(summary, indent=2))
            tracked.log_result(folder)


def detect_run(
    folder: Path,
    *,
    result: Result,
    images: pd.DataFrame,
    rows: list[int],
    frame: ImageArray,
    device: torch.device,
) -> None:
    """Let a finished detector look at some images; write ``detections`` and ``times``."""
    network, _ = load_network(result.folder)
    found, milliseconds = detection.detect(network, frame.pixels, rows, device=device)
    found = detection.to_file_pixels(found, images, frame.pixels.shape[1])
    found[["image_id", *SIDES, "score"]].to_parquet(folder / "detections.parquet", index=False)
    times = pd.DataFrame({"image_id": images.loc[rows, "image_id"], "inference_ms": milliseconds})
    times.to_parquet(folder / "times.parquet", index=False)
