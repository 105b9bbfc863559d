import numpy as np
import pytest

from wbc_pipeline.training.options import TrainerOptions, TrainOptions


@pytest.fixture
def toy():
    """Three classes told apart by brightness: arrays, labels and rows of a small training."""
    random = np.random.default_rng(0)
    labels = np.arange(96) % 3
    images = random.integers(0, 60, (96, 16, 16, 3)) + 80 * labels[:, None, None, None]
    return {
        "arrays": [images.astype(np.uint8)],
        "labels": labels,
        "train_rows": np.arange(64),
        "validation_rows": np.arange(64, 96),
    }


@pytest.fixture
def schedule():
    return {
        "train": TrainOptions(epochs=2, patience=2, batch_size=16, learning_rate=1e-3),
        "trainer": TrainerOptions(precision="32-true", channels_last=False),
    }
