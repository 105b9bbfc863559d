"""What training costs: of the blend, of all around a network, and of a head on cached features."""

import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from wbc_pipeline.models import build_network
from wbc_pipeline.training.augmentation_options import AugmentationOptions
from wbc_pipeline.training.fit import fit
from wbc_pipeline.training.options import StageOptions, TrainerOptions
from wbc_pipeline.training.tasks.classification import ClassificationTask

IMAGES, SIZE, EPOCHS = 512, 64, 3


@pytest.fixture(scope="module")
def task():
    random = np.random.default_rng(0)
    labels = np.arange(IMAGES) % 5
    image = random.integers(0, 255, (IMAGES, SIZE, SIZE, 3), dtype=np.uint8)
    return {"image": image, "foreground": image // 2, "labels": labels}


def train(network, task, rows, *, classes, device="cpu", **schedule):
    """Train on the first rows and validate on the rest; gives the history."""
    with tempfile.TemporaryDirectory() as folder:
        return fit(
            ClassificationTask(
                network,
                views=task,
                classes=range(classes),
                labels=task["labels"] % classes,
                parts={"train": np.arange(rows), "validation": np.arange(rows, IMAGES)},
            ),
            stages={"main": StageOptions(batch_size=32, learning_rate=1e-3, **schedule)},
            trainer=TrainerOptions(precision="bf16-mixed", channels_last=True),
            device=torch.device(device),
            seed=0,
            folder=Path(folder),
        ).history


def seconds_per_epoch(name, task):
    network = build_network(name, {"classes": 5, "image_size": SIZE}, seed=0)
    augmentation = AugmentationOptions(rotation=180, shift=0.05, zoom=0.1, brightness=0.1)
    history = train(network, task, IMAGES - 64, classes=5, epochs=EPOCHS, augmentation=augmentation)
    return history["seconds"].min()


def test_blend_costs_at_most_a_tenth_more_than_normal(benchmark, task):
    seconds_per_epoch("normal_cnn", task)  # kernels are set up from here on
    pairs = [
        (seconds_per_epoch("normal_cnn", task), seconds_per_epoch("blend_cnn", task))
        for _ in range(3)
    ]
    benchmark.pedantic(seconds_per_epoch, args=("blend_cnn", task), rounds=1)
    ratio = float(np.median([blend / normal for normal, blend in pairs]))
    benchmark.extra_info["blend / normal, seconds per epoch"] = round(ratio, 3)
    benchmark.extra_info["images per second"] = round(IMAGES / min(blend for _, blend in pairs))
    assert ratio <= 1.10


def test_augmentation_is_a_small_part_of_a_step(benchmark, task):
    from wbc_pipeline.training.augmentation import augment
    from wbc_pipeline.training.views import take_views

    arrays = [torch.from_numpy(task[view]) for view in ("image", "foreground")]
    options = AugmentationOptions(rotation=180, shift=0.05, zoom=0.1, brightness=0.1)
    views = take_views(arrays, torch.arange(32), channels_last=True)
    benchmark(augment, views, options)
    start = time.perf_counter()
    seconds_per_epoch("normal_cnn", task)
    step = (time.perf_counter() - start) / EPOCHS / ((IMAGES - 64) // 32)
    benchmark.extra_info["share of a training step"] = round(benchmark.stats["median"] / step, 3)
    assert benchmark.stats["median"] < 0.3 * step


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
        ),
    ],
)
def test_the_separable_network_trains_nearly_as_fast_as_on_one_batch_in_memory(
    benchmark, task, device
):
    """Everything around the network, from row numbers to early stopping, costs a tenth at most."""
    rows, batch = IMAGES - 8, 32
    place = torch.device(device)

    def network():
        return build_network("mixed_separable_cnn", {"classes": 4, "image_size": SIZE}, seed=0)

    def one_batch():
        model = network().to(place, memory_format=torch.channels_last)
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
        images = torch.from_numpy(task["image"][:batch]).to(place).permute(0, 3, 1, 2) / 255
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.from_numpy(task["labels"][:batch] % 4).to(place)
        fastest = float("inf")
        for _ in range(2):
            start = time.perf_counter()
            for _ in range(rows // batch):
                with torch.autocast(device, torch.bfloat16):
                    loss = torch.nn.functional.cross_entropy(model(images).float(), labels)
                adam.zero_grad()
                loss.backward()
                adam.step()
            loss.item()  # waits for a GPU
            fastest = min(fastest, time.perf_counter() - start)
        return rows // batch * batch / fastest

    def training():
        history = train(network(), task, rows, classes=4, device=device, epochs=2)
        return rows // batch * batch / history["seconds"].min()

    one_batch()  # kernels are set up from here on
    pairs = [(one_batch(), training()) for _ in range(3)]
    benchmark.pedantic(training, rounds=1)
    ratio = float(np.median([ours / floor for floor, ours in pairs]))
    benchmark.extra_info["share of one batch's speed"] = round(ratio, 2)
    benchmark.extra_info["images per second"] = round(max(ours for _, ours in pairs))
    assert ratio >= 0.9


def test_a_head_on_cached_features_trains_twenty_times_faster_per_epoch(benchmark):
    """A frozen ImageNet backbone computes each feature once, or in every epoch."""
    random = np.random.default_rng(0)
    images, size = 320, 128
    views = {"image": random.integers(0, 255, (images, size, size, 3), dtype=np.uint8)}

    def seconds(*, cached, epochs):
        network = build_network("imagenet_cnn", {"classes": 11, "image_size": size}, seed=0)
        task = ClassificationTask(
            network,
            views=views,
            classes=range(11),
            labels=np.arange(images) % 11,
            parts={"train": np.arange(256), "validation": np.arange(256, images)},
        )
        stage = {"epochs": epochs, "batch_size": 32, "learning_rate": 1e-4, "freeze": ["backbone"]}
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            history = fit(
                task,
                stages={"head": StageOptions(**stage, cached_features=cached)},
                trainer=TrainerOptions(precision="32-true", channels_last=True),
                device=torch.device("cpu"),
                seed=0,
                folder=Path(folder),
            ).history
        return history["seconds"].median(), time.perf_counter() - start

    frozen, _ = seconds(cached=False, epochs=3)
    cached, whole = benchmark.pedantic(
        seconds, kwargs={"cached": True, "epochs": 20}, rounds=1, warmup_rounds=1
    )
    ratio = frozen / cached
    benchmark.extra_info["times as fast per epoch"] = round(ratio)
    benchmark.extra_info["seconds per epoch, frozen and cached"] = f"{frozen:.2f}, {cached:.4f}"
    benchmark.extra_info["epochs of the frozen one that 20 cached cost"] = round(whole / frozen, 1)
    assert ratio >= 20
