"""A detector's training and what it then finds, as folders of files."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.imaging.roi import SIDES
from wbc_pipeline.keys import digest
from wbc_pipeline.models.detect import TRAINING_IMAGES_FILE, find_cells, load_detector
from wbc_pipeline.pipelines.experiment.options import plain_repeats, weights_file
from wbc_pipeline.pipelines.experiment.runs import Run
from wbc_pipeline.pipelines.experiment.trainings import Training
from wbc_pipeline.pipelines.localize.drawn import SCENE_BOXES, open_files
from wbc_pipeline.pipelines.localize.options import LocalizationOptions
from wbc_pipeline.training import detection
from wbc_pipeline.training.devices import check_devices, choose_device
from wbc_pipeline.training.options import merge_stages
from wbc_pipeline.training.tasks.detection import DetectionTask

_REGIONS = "regions"  # table of a view that shows parts of the images


@dataclass(frozen=True)
class DetectorTraining(Training):
    """One training of one detector; its one view, ``image``, is what it sees.

    Attributes
    ----------
    images
        The manifest's ``ok`` rows, in the order of the array.
    truth
        The annotated boxes; see ``wbc_pipeline.evaluation.localization.regions.true_boxes``.
    scenes
        What it learns from beside its frames, see ``drawn.scenes_task``; None for nothing.
    plain
        Share of the frames among what it learns from.
    trust
        In what the look found; see ``models.detect.Detector``.
    """

    images: pd.DataFrame
    truth: pd.DataFrame
    scenes: ImageArray | None = None
    plain: float = 0.0
    trust: float = 0.0

    @property
    def shown(self) -> pd.DataFrame:
        """Rows of the manifest that train."""
        return self.images.iloc[self.run.rows["train"]]

    def own_params(self) -> dict:
        """Say how often the frames are learned from, and what else travels with the network."""
        scenes = {} if self.scenes is None else {"plain": self.plain}
        return scenes | self._more()

    def description(self) -> dict:
        """Add the trust in what the look found."""
        return {**super().description(), **self._more()}

    def _more(self) -> dict:
        return {"trust": self.trust} if self.trust else {}

    def own_data(self) -> dict[str, str]:
        """Digest the annotated boxes, and the scenes."""
        shown = self.shown[["image_id", "width", "height"]]
        boxes = self.truth[self.truth["image_id"].isin(shown["image_id"])]
        found = {"boxes": digest([shown.to_numpy().tolist(), boxes.to_numpy().tolist()])}
        if self.scenes is not None:
            found["scenes"] = self.scenes.result.digest
        return found

    def own_code(self) -> tuple:
        """Give the code of detection."""
        return (DetectionTask, detection.make_targets)

    def task(self, network: torch.nn.Module) -> DetectionTask:
        """Build the detection."""
        frames = self.views["image"]
        targets = detection.make_targets(
            frames.pixels,
            self.images,
            self.truth,
            self.run.rows["train"],
            crops=_crops(frames),
            masks=network.learns_masks,
        )
        if self.scenes is None:
            return DetectionTask(network, frames=frames.pixels, targets=targets)
        return self._task_with_scenes(network, frames.pixels, targets)

    def _task_with_scenes(
        self, network: torch.nn.Module, frames: np.ndarray, targets: detection.Targets
    ) -> DetectionTask:
        """Put the scenes of the training images behind the frames, which repeat."""
        of = self.scenes.result.table("scenes")["image_id"]
        rows = len(frames) + np.flatnonzero(of.isin(self.shown["image_id"]))
        boxes = self.scenes.result.table(SCENE_BOXES)
        boxes["row"] += len(frames)
        plain = self.run.rows["train"]
        times = plain_repeats(len(rows) / len(plain), self.plain)
        both = np.concatenate([frames, self.scenes.pixels])
        return DetectionTask(
            network,
            frames=both,
            targets=detection.add_scenes(targets, boxes, rows, pixels=both),
            parts={"train": np.concatenate([np.tile(plain, times), rows])},
        )

    def write_more(self, folder: Path) -> None:
        """Say which images it was trained on: where it is used, none of them may be tested."""
        columns = ["dataset", "image_id", "source_id", "sha256"]
        self.shown[columns].to_parquet(folder / TRAINING_IMAGES_FILE, index=False)


def describe_training(
    name: str,
    run: Run,
    *,
    options: LocalizationOptions,
    images: pd.DataFrame,
    truth: pd.DataFrame,
    frames: dict[str, ImageArray],
    scenes: ImageArray | None,
    dataset: str,
    device: str,
) -> DetectorTraining:
    """Describe the training of one detector on the rows of a run.

    Parameters
    ----------
    name
        Of the detector.
    run
        Its part ``train`` are row numbers of `images`.
    images
        The annotated manifest's ``ok`` rows.
    scenes
        What it learns from beside its frames; None for nothing.
    options, truth, frames, dataset, device
        As of ``nodes.train_detectors``.
    """
    detector = options.detectors[name]
    place = choose_device(device)
    check_devices(options.trainer, place)
    return DetectorTraining(
        identity={"paper": "localize", "variant": name, "dataset": dataset},
        run=run,
        network=detector.network,
        arguments={"image_size": options.size_of(detector), **detector.arguments},
        weights=weights_file(detector),
        weights_asked=detector.weights,
        stages=merge_stages(options.train, detector.stages),
        trainer=options.trainer,
        device=place,
        views={"image": frames[options.frames_of(detector)]},
        images=images,
        truth=truth,
        scenes=scenes,
        plain=detector.scenes.plain if scenes is not None else 0.0,
        trust=detector.trust,
    )


def detect_run(
    folder: Path,
    *,
    result: Result,
    images: pd.DataFrame,
    max_pixels: int,
    device: torch.device,
) -> None:
    """Run a trained detector; write ``detections`` and ``times``.

    Parameters
    ----------
    folder
        Where to write.
    result
        The training.
    images
        Rows of a manifest to look at.
    max_pixels
        See `FileImages`.
    device
        Where to run.
    """
    detector = load_detector(result.folder)
    detector.network.to(device)
    files = open_files(images, max_pixels)
    found, milliseconds = [], []
    for row, name in enumerate(images["image_id"]):
        pixels = files[row]
        if row == 0:
            find_cells(detector, pixels)  # the first call sets up kernels
        start = time.perf_counter()
        boxes, scores = find_cells(detector, pixels)
        milliseconds.append(1000 * (time.perf_counter() - start))
        found.append(pd.DataFrame(boxes, columns=SIDES).assign(image_id=name, score=scores))
    empty = pd.DataFrame(columns=[*SIDES, "score"], dtype=float).assign(image_id="")
    detections = pd.concat([table for table in found if len(table)] or [empty])
    detections[["image_id", *SIDES, "score"]].to_parquet(folder / "detections.parquet", index=False)
    times = pd.DataFrame({"image_id": images["image_id"], "inference_ms": milliseconds})
    times.to_parquet(folder / "times.parquet", index=False)


def _crops(frames: ImageArray) -> np.ndarray | None:
    """Give the part of its file that each frame shows, [N, 4]; None if that is all of it."""
    if not (frames.result.folder / f"{_REGIONS}.parquet").is_file():
        return None
    return frames.result.table(_REGIONS)[[f"crop_{side}" for side in SIDES]].to_numpy(float)
