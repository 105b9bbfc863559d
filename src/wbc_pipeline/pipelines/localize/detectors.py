"""A detector's training and what it then finds, as folders of files."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.imaging.roi import SIDES
from wbc_pipeline.keys import digest
from wbc_pipeline.models import load_network
from wbc_pipeline.models.detect import TRAINING_IMAGES_FILE
from wbc_pipeline.pipelines.experiment.trainings import Training
from wbc_pipeline.training import detection
from wbc_pipeline.training.tasks.detection import DetectionTask


@dataclass(frozen=True)
class DetectorTraining(Training):
    """One training of one detector; its one view, ``image``, is what it sees.

    Attributes
    ----------
    images
        The manifest's ``ok`` rows, in the order of the array.
    truth
        The annotated boxes; see ``wbc_pipeline.evaluation.localization.regions.true_boxes``.
    """

    images: pd.DataFrame
    truth: pd.DataFrame

    @property
    def shown(self) -> pd.DataFrame:
        """Rows of the manifest that train."""
        return self.images.iloc[self.run.rows["train"]]

    def own_data(self) -> dict[str, str]:
        """Digest the annotated boxes."""
        shown = self.shown[["image_id", "width", "height"]]
        boxes = self.truth[self.truth["image_id"].isin(shown["image_id"])]
        return {"boxes": digest([shown.to_numpy().tolist(), boxes.to_numpy().tolist()])}

    def own_code(self) -> tuple:
        """Give the code of detection."""
        return (DetectionTask, detection.make_targets)

    def task(self, network: torch.nn.Module) -> DetectionTask:
        """Build the detection."""
        frames = self.views["image"].pixels
        targets = detection.make_targets(
            frames,
            self.images,
            self.truth,
            self.run.rows["train"],
            masks=network.learns_masks,
        )
        return DetectionTask(network, frames=frames, targets=targets)

    def write_more(self, folder: Path) -> None:
        """Say which images it was trained on: where it is used, none of them may be tested."""
        columns = ["dataset", "image_id", "source_id", "sha256"]
        self.shown[columns].to_parquet(folder / TRAINING_IMAGES_FILE, index=False)


def detect_run(
    folder: Path,
    *,
    result: Result,
    images: pd.DataFrame,
    rows: list[int],
    frame: ImageArray,
    device: torch.device,
) -> None:
    """Run a trained detector; write ``detections`` and ``times``."""
    network, _ = load_network(result.folder)
    found, milliseconds = detection.detect(network, frame.pixels, rows, device=device)
    found = detection.to_file_pixels(found, images, frame.pixels.shape[1])
    found[["image_id", *SIDES, "score"]].to_parquet(folder / "detections.parquet", index=False)
    times = pd.DataFrame({"image_id": images.loc[rows, "image_id"], "inference_ms": milliseconds})
    times.to_parquet(folder / "times.parquet", index=False)
