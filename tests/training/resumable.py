"""Run as a script by test_resume: train whole, then killed at random moments and resumed.

One process imports the libraries and forks before any of their threads starts, as imports take
longer than these trainings.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from wbc_pipeline.imaging.roi import SIDES
from wbc_pipeline.models import build_network, save_network
from wbc_pipeline.training.detection import make_targets
from wbc_pipeline.training.fit import fit
from wbc_pipeline.training.options import StageOptions, TrainerOptions
from wbc_pipeline.training.tasks.classification import ClassificationTask
from wbc_pipeline.training.tasks.detection import DetectionTask

SCHEDULE = {"batch_size": 8, "learning_rate": 1e-2, "augmentation": {}}
STAGES = {
    "best": {
        "main": {"epochs": 10, "patience": 9, "schedule": "one_cycle", "sampling": "class"},
    },
    "average": {
        "head": {"epochs": 4, "freeze": ["cnn.features"], "optimizer": "sgd", "schedule": "step"},
        "all": {"epochs": 6, "keep": "average", "schedule": "cosine", "rates": {"cnn.head": 2.0}},
    },
    "detection": {"main": {"epochs": 10, "keep": "last", "augmentation": {"flip": True}}},
}


def classification():
    images = np.random.default_rng(0).integers(0, 255, (160, 32, 32, 3)).astype(np.uint8)
    sizes = {"classes": 4, "image_size": 32, "filters": (8, 16), "dense": 16}
    return ClassificationTask(
        build_network("blend_cnn", sizes, seed=0),
        views={"image": images, "foreground": images // 2},
        classes=list("abcd"),
        labels=np.arange(160) % 4,
        parts={"train": np.arange(120), "validation": np.arange(120, 160)},
    )


def detection():
    pixels = np.random.default_rng(0).integers(0, 255, (24, 64, 64, 3)).astype(np.uint8)
    images = pd.DataFrame({"image_id": range(24), "width": 64, "height": 64})
    truth = images[["image_id"]].assign(**dict(zip(SIDES, (8, 8, 40, 40), strict=True)))
    return DetectionTask(
        build_network("light_detector", {"image_size": 64}, seed=0),
        frames=pixels,
        targets=make_targets(pixels, images, truth, range(24), masks=False),
    )


def train(case, folder):
    torch.set_num_threads(1)
    task = detection() if case == "detection" else classification()
    fitted = fit(
        task,
        stages={
            name: StageOptions.model_validate(SCHEDULE | stage)
            for name, stage in STAGES[case].items()
        },
        trainer=TrainerOptions(precision="32-true", channels_last=True),
        device=torch.device("cpu"),
        seed=1,
        folder=folder / "work",
    )
    save_network(folder, task.network, {})
    fitted.history.drop(columns="seconds").to_csv(folder / "history.csv")
    fitted.paths.to_csv(folder / "paths.csv")


def start(case, folder):
    """Train in a forked process."""
    folder.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            train(case, folder)
            status = 0
        finally:
            os._exit(status)
    return child


def finish(case, folder):
    _, status = os.waitpid(start(case, folder), 0)
    if status:
        sys.exit(f"the training in {folder} failed")


def kill(case, folder, seconds_per_epoch):
    """Train for up to one and a half epochs, then kill; tells whether there was something to kill.

    That leaves room for a machine that becomes faster: five kills must fall into ten epochs.
    """
    child = start(case, folder)
    for _ in range(random.randint(0, 1)):
        wait_for_checkpoint(folder / "work", child)
    time.sleep(random.uniform(0, seconds_per_epoch / 2))
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def wait_for_checkpoint(folder, child):
    def written():
        return {file.stat().st_mtime_ns for file in folder.glob("*.state.ckpt")}

    before = written()
    while written() == before and os.waitid(os.P_PID, child, STILL) is None:
        time.sleep(0.001)


STILL = os.WEXITED | os.WNOHANG | os.WNOWAIT


def main(case, folder):
    began = time.monotonic()
    finish(case, folder / "whole")
    seconds_per_epoch = (time.monotonic() - began) / 10
    resumed = 0
    for _ in range(5):
        if not kill(case, folder / "killed", seconds_per_epoch):
            sys.exit("a training was over before it could be killed five times")
        resumed += any((folder / "killed/work").glob("*.state.ckpt"))
    finish(case, folder / "killed")
    sys.stdout.write(f"5 kills, {resumed} with a checkpoint")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
