"""What SG-CLDFF costs: a training step at its published size against ResNet-50 and Swin-T."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

SIZE, BATCH, CLASSES = 224, 32, 5
NETWORKS = ("full", "resnet50", "swin_t")
ALONE = "from test_saliency import report_step; report_step({!r})"


def build(name):
    """Build SG-CLDFF as in ``--env=paper``, whose sizes are its defaults, or torchvision's."""
    if name == "full":
        from wbc_pipeline.models import build_network

        return build_network("saliency_fusion", {"classes": CLASSES, "image_size": SIZE}, seed=0)
    import torchvision

    return torchvision.models.get_model(name, weights=None, num_classes=CLASSES)


def training_step(network, images):
    """Forward and backward; a joint network's masks and saliency map count."""
    output = network(images)
    outputs = [output] if isinstance(output, torch.Tensor) else output
    sum(each.square().mean() for each in outputs).backward()


def peak_memory():
    """Read the most memory that this program has held, in MB.

    Linux alone has it; ``ru_maxrss`` would count what the program that started this one held.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def report_step(name):
    """Take one step, and write the memory that it takes beyond what torch takes, in MB."""
    torch.set_num_threads(1)
    network = build(name).to(memory_format=torch.channels_last)
    images = torch.rand(BATCH, 3, SIZE, SIZE).to(memory_format=torch.channels_last)
    before = peak_memory()
    training_step(network, images)
    sys.stdout.write(str(peak_memory() - before))


def step_memory(name):
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(name)],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


@pytest.mark.benchmark(group="forward and backward at 224 px, batches of 32")
@pytest.mark.parametrize("name", NETWORKS)
def test_a_training_step_at_the_published_size(name, benchmark):
    network = build(name).to(memory_format=torch.channels_last)
    images = torch.rand(BATCH, 3, SIZE, SIZE).to(memory_format=torch.channels_last)
    step = partial(training_step, network, images)
    benchmark.pedantic(step, rounds=2, warmup_rounds=1)
    parameters = sum(weights.numel() for weights in network.parameters())
    benchmark.extra_info |= {
        "network": name,
        "parameters (M)": round(parameters / 1e6, 2),
        "images per second": round(BATCH / benchmark.stats["min"], 1),
        "memory of a step (MB)": round(step_memory(name)),
    }
    assert all(weights.grad is not None for weights in network.parameters())
