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
BFLOAT16 = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")  # instructions of x86 and Arm


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


def has_bfloat16(device: torch.device) -> bool:
    """Tell whether a device multiplies bfloat16 itself, as far as torch knows."""
    found = getattr(torch.cpu, "get_capabilities", dict)()  # which older ones lack
    return device.type != "cpu" or not found or any(found.get(name) for name in BFLOAT16)


def probe_precision(
    build: Callable[[], nn.Module],
    *,
    image_size: int,
    batch_size: int,
    device: torch.device,
    steps: int = 3,
) -> dict:
    """Time training steps in both precisions and layouts, and choose the fastest.

    A processor without bfloat16 emulates it, ten times slower, and is not asked.

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
        ``images_per_second`` of the combinations. Plain float32 unless another is faster
        by a tenth.
    """
    speeds = {}
    for precision in ("32-true", *(["bf16-mixed"] if has_bfloat16(device) else [])):
        for channels_last in (False, True):
            speeds[precision, channels_last] = _images_per_second(
                build(),
                precision=precision,
                channels_last=channels_last,
                shape=(batch_size, 3, image_size, image_size),
                device=device,
                steps=steps,
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
) -> float:
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
    return len(images) / min(seconds[1:])
