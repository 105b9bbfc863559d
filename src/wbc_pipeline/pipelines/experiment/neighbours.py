"""Nearest neighbours as a training, which learns nothing."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from wbc_pipeline.pipelines.experiment.trainings import ClassifierTraining
from wbc_pipeline.training.fit import Fit
from wbc_pipeline.training.remember import remember


@dataclass(frozen=True)
class NeighbourTraining(ClassifierTraining):
    """Remembers the training part's features; it has no schedule."""

    def fitting_code(self) -> tuple:
        """Give the code of remembering."""
        return (remember,)

    def learn(self, network: torch.nn.Module, folder: Path, logger: Any) -> Fit:
        """Remember in place of training."""
        known = self.known()
        return remember(
            network,
            views={name: view.pixels for name, view in known["views"].items()},
            labels=known["labels"],
            parts=known["parts"],
            classes=len(self.classes),
            device=self.device,
        )

    def asked_precision(self) -> dict | None:
        """Tell none: in float32 as it is, it settles nothing for other variants."""
        return None

    def description(self) -> dict:
        """Say how many images it remembers, beside all else."""
        memory = len(self.known()["parts"]["train"])
        return {**super().description(), "arguments": {**self.arguments, "memory": memory}}
