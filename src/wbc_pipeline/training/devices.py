"""Where networks run, and in which precision they run fastest there."""

import platform
import time
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from wbc_pipeline.models.joint import is_joint
from wbc_pipeline.provenance import usable_cores
from wbc_pipeline.training.options import TrainerOptions

# A change of precision or layout must gain this much; timing noise alone decides nothing.
WORTHWHILE = 1.1
# Processors without bfloat16 emulate it ten times slower: a first step that takes this many
# seconds, and this many times as long as the fastest, is enough.
LONG_STEP, HOPELESS = 1.0, 8.0


def choose_device(device: str) -> torch.device:
    """Find the device that ``auto``, ``cpu`` or ``cuda`` stands for.

    Raises
    ------
    ValueError
        If ``cuda`` is asked for and torch finds no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device is 'cuda', but torch finds no CUDA GPU on this machine; "
            "say device=auto or device=cpu, or mend the driver (nvidia-smi should list the GPU)."
        )
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def check_devices(trainer: TrainerOptions, device: torch.device) -> None:
    """Refuse more devices than this machine has; on the CPU, its usable cores count.

    Raises
    ------
    ValueError
        If more are asked for; the message names both numbers.
    """
    on_gpu = device.type == "cuda"
    available = torch.cuda.device_count() if on_gpu else usable_cores()
    if trainer.devices > available:
        raise ValueError(
            f"trainer.devices asks for {trainer.devices} devices, but this machine has "
            f"{available} {'GPUs' if on_gpu else 'CPU cores'}; set it to at most {available}."
        )


def describe_hardware(device: torch.device) -> str:
    """Name the processor, and the GPU where one is used, in a line."""
    cores = f"{_processor()}, {usable_cores()} cores"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({cores})"
    return cores


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def probe_precision(
    build: Callable[[], nn.Module],
    *,
    image_size: int,
    batch_size: int,
    device: torch.device,
    steps: int = 3,
) -> dict:
    """Time training steps in both precisions and layouts, and choose the fastest.

    Parameters
    ----------
    build
        Makes the network, whose inputs are all float [B, 3, image_size, image_size].
    image_size, batch_size
        Shape of the random input.
    device
        Where to run.
    steps
        Timed steps after one that warms up; the fastest counts.

    Returns
    -------
    dict
        ``precision`` and ``channels_last`` as Lightning and torch name them, and
        ``images_per_second`` of all four combinations. Plain float32 unless another is faster
        by a tenth.
    """
    speeds: dict[tuple[str, bool], float] = {}
    for precision in ("32-true", "bf16-mixed"):
        for channels_last in (False, True):
            speeds[precision, channels_last] = _images_per_second(
                build(),
                precision=precision,
                channels_last=channels_last,
                shape=(batch_size, 3, image_size, image_size),
                device=device,
                steps=steps,
                fastest=max(speeds.values(), default=0.0),
            )
    best = max(speeds, key=speeds.get)
    if speeds[best] < WORTHWHILE * speeds["32-true", False]:
        best = ("32-true", False)
    return {
        "precision": best[0],
        "channels_last": best[1],
        "images_per_second": {
            f"{precision}, {'channels last' if last else 'channels first'}": round(speed, 1)
            for (precision, last), speed in speeds.items()
        },
    }


def _images_per_second(
    network: nn.Module,
    *,
    precision: str,
    channels_last: bool,
    shape: tuple[int, ...],
    device: torch.device,
    steps: int,
    fastest: float,
) -> float:
    """Time training steps; one on a CPU that warms up hopelessly slowly is not repeated."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(device, memory_format=layout).train()
    optimizer = torch.optim.Adam(network.parameters())
    images = torch.rand(shape, device=device).contiguous(memory_format=layout)
    labels = torch.zeros(len(images), dtype=torch.long, device=device)
    seconds = []
    for _ in range(steps + 1):
        start = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16-mixed"):
            output = network(*[images] * len(network.views))
            logits, *maps = output if is_joint(network) else (output,)
            loss = functional.cross_entropy(logits, labels)
            loss = loss + sum(each.mean() for each in maps if each is not None)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - start)
        slower = fastest * seconds[0] / len(images)
        if device.type == "cpu" and seconds[0] > LONG_STEP and slower > HOPELESS:
            return len(images) / seconds[0]
    return len(images) / min(seconds[1:])
