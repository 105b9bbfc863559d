"""Restorers: their trainings, and the views that they restore, one of each for every run."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from wbc_pipeline.datasets.images import SHEET_FILE, ImageArray, image_files
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.errors import UserError
from wbc_pipeline.keys import digest
from wbc_pipeline.models import load_network
from wbc_pipeline.pipelines.experiment.inputs import PartedArray
from wbc_pipeline.pipelines.experiment.runs import Run
from wbc_pipeline.pipelines.experiment.trainings import PRECISION, Training
from wbc_pipeline.pipelines.preprocessing.options import PAIRS, PART_MARK, Restorers
from wbc_pipeline.training.devices import choose_device
from wbc_pipeline.training.options import TrainerOptions
from wbc_pipeline.training.tasks.restoration import RestorationTask, restore

_SHOWN = 8  # columns of a contact sheet


@dataclass(frozen=True)
class RestorerTraining(Training):
    """The training of a restorer; its views are ``degraded`` and ``clean``."""

    def own_data(self) -> dict[str, str]:
        """Nothing else flows into it: images need no label."""
        return {}

    def own_code(self) -> tuple:
        """Give the code of restoration."""
        return (RestorationTask,)

    def task(self, network: torch.nn.Module) -> RestorationTask:
        """Build the restoration."""
        pixels = {name: view.pixels for name, view in self.views.items()}
        return RestorationTask(network, **pixels, parts=self.run.rows)

    def choose_precision(self, folder: Path) -> TrainerOptions:
        """Train in float32 unless YAML says otherwise: corrections are often of few grey levels."""
        plain = dict(zip(PRECISION, ("32-true", False), strict=True))
        asked = self.trainer.model_dump(include=set(PRECISION))
        settled = {name: plain[name] if value == "auto" else value for name, value in asked.items()}
        return self.trainer.model_copy(update=settled)


def pairs_of(view: str, views: Mapping[str, ImageArray]) -> dict[str, ImageArray]:
    """Give what a restorer learns from: the view under the training part's shift, and as it is.

    The best epoch is chosen by such pairs of the validation part, which may be shifted otherwise,
    or not at all.

    Raises
    ------
    UserError
        If the images of the training part are nowhere degraded.
    """
    for name in (PAIRS, "train"):
        if f"{view}{PART_MARK}{name}" in views:
            return {"degraded": views[f"{view}{PART_MARK}{name}"], "clean": views[view]}
    raise UserError(
        f"A restorer learns from degraded images beside the same as they are, and the training "
        f"part of {view} is not degraded: say under shift.train how to degrade it, or take the "
        "restorer out of the variants."
    )


def write_restored(
    folder: Path,
    *,
    training: Result,
    view: ImageArray | PartedArray,
    run: Run,
    device: torch.device,
) -> None:
    """Restore what a run shows of a view; write ``images.npy``, masks and a contact sheet.

    Parameters
    ----------
    folder
        Where to write.
    training
        Of the restorer, of the same run.
    view
        As the run shows it.
    run
        Whose rows are restored; other rows stay black.
    device
        Where to work.
    """
    import cv2

    network, _ = load_network(training.folder)
    pixels, masks = image_files(folder)
    degraded = view.pixels
    restored = np.lib.format.open_memmap(pixels, "w+", np.uint8, degraded.shape)
    for rows in run.rows.values():
        restored[rows] = restore(network, degraded, rows, device=device)
    restored.flush()
    if view.masks is not None:
        np.save(masks, view.masks)
    shown = run.rows["test" if "test" in run.rows else "train"][:_SHOWN]
    sheet = np.vstack([np.hstack(list(images[shown])) for images in (degraded, restored)])
    cv2.imwrite(str(folder / SHEET_FILE), sheet[..., ::-1])


@dataclass(frozen=True)
class RestoredArray:
    """A view that a restorer restores when its images are asked for; stands in for an `ImageArray`.

    Attributes
    ----------
    plain
        The view.
    training
        Of the restorer.
    device
        Where to work.
    rows
        Numbers of the rows that are restored, others stay black; None for all. They stand beside
        the digest in every key.
    """

    plain: ImageArray
    training: Result
    device: torch.device
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.plain)

    @property
    def pixels(self) -> np.ndarray:
        """Restored images, uint8 [N, H, W, 3], RGB, a new array."""
        network, _ = load_network(self.training.folder)
        degraded = self.plain.pixels
        rows = np.arange(len(degraded)) if self.rows is None else self.rows
        restored = np.zeros(degraded.shape, np.uint8)
        restored[rows] = restore(network, degraded, rows, device=self.device)
        return restored

    @property
    def masks(self) -> np.ndarray | None:
        """Masks of the view, which stay as they are."""
        return self.plain.masks

    @cached_property
    def digest(self) -> str:
        """Digest of the view and the restorer."""
        return digest([self.plain.digest, self.training.digest])

    @property
    def result(self) -> Result:
        """Where the view lies."""
        return self.plain.result

    @property
    def steps(self) -> list[dict]:
        """The chain that made the view."""
        return self.plain.steps


def restore_later(
    views: Mapping[str, ImageArray],
    restorers: Restorers,
    trained: Mapping[str, Result],
    device: str,
    rows: np.ndarray | None = None,
) -> dict[str, RestoredArray]:
    """Put views behind the restorers of the runs, which restore them when they are looked at.

    Parameters
    ----------
    views
        By name; a restorer whose view is not among them is left out.
    restorers
        The paper's, which say what they restore.
    trained
        Their trainings, by ``<restorer>/<run>``.
    device
        ``auto``, ``cpu`` or ``cuda``.
    rows
        Numbers of the rows that are looked at; None for all.

    Returns
    -------
    dict of str to RestoredArray
        By ``<restorer>/<run>``.
    """
    return {
        place: RestoredArray(views[view], training, choose_device(device), rows)
        for place, training in trained.items()
        if (view := restorers.root[place.partition("/")[0]].view) in views
    }
