import numpy as np
import pytest
import torch

from wbc_pipeline.models import build_network
from wbc_pipeline.training.fit import fit, remove_checkpoints
from wbc_pipeline.training.options import StageOptions, TrainerOptions
from wbc_pipeline.training.tasks.classification import ClassificationTask

TRAINER = TrainerOptions(precision="32-true", channels_last=False)
SCHEDULE = {"epochs": 2, "patience": 2, "batch_size": 16, "learning_rate": 1e-3}


@pytest.fixture
def toy():
    """Three classes told apart by brightness: arguments of a small task."""
    random = np.random.default_rng(0)
    labels = np.arange(96) % 3
    images = random.integers(0, 60, (96, 16, 16, 3)) + 80 * labels[:, None, None, None]
    images = images.astype(np.uint8)
    return {
        "views": {"image": images, "foreground": 255 - images},
        "classes": ["dark", "grey", "light"],
        "labels": labels,
        "parts": {"train": np.arange(64), "validation": np.arange(64, 96)},
    }


@pytest.fixture
def build():
    """Build a small network that tells the classes of `toy` apart."""

    def build(name="normal_cnn", **arguments):
        sizes = {"classes": 3, "image_size": 16, "filters": (8, 16), "dense": 32}
        return build_network(name, sizes | arguments, seed=0)

    return build


@pytest.fixture
def train(toy, build, tmp_path):
    """Train a network on `toy`; gives the fit. Changes of one stage, or several stages."""

    def train(
        network=None,
        *,
        stages=None,
        seed=0,
        trainer=TRAINER,
        callbacks=(),
        keep_checkpoints=False,
        **changes,
    ):
        task = ClassificationTask(network or build(), **toy)
        stages = {"main": {}} if stages is None else stages
        stages = {
            name: StageOptions.model_validate({**SCHEDULE, **changes, **stage})
            for name, stage in stages.items()
        }
        fitted = fit(
            task,
            stages=stages,
            trainer=trainer,
            device=torch.device("cpu"),
            seed=seed,
            folder=tmp_path / "work",
            callbacks=callbacks,
        )
        if not keep_checkpoints:
            remove_checkpoints(tmp_path / "work", stages)
        return fitted

    return train
