"""Export of a trained network to ONNX, to run it without torch."""

import os
from importlib.util import find_spec
from pathlib import Path

import torch

from wbc_pipeline.models import load_network
from wbc_pipeline.models.joint import as_classifier


def export_onnx(folder: Path, target: Path) -> None:
    """Write a saved network as one ONNX file.

    Its inputs are the network's views, float32 [B, 3, H, W], RGB in 0…1, of any batch size; its
    output ``logits`` is float32 [B, classes], classes in the order of ``network.json``; a joint
    network's masks are left out.

    Parameters
    ----------
    folder
        Holds ``weights.safetensors`` and ``network.json``.
    target
        The file to write; the extra ``export`` must be installed.

    Raises
    ------
    ImportError
        If the extra ``export`` is not installed.
    ValueError
        If the network segments inside (``learnable_canny``): OpenCV has no place in ONNX.
    """
    if find_spec("onnxscript") is None:
        raise ImportError('ONNX export needs further packages: pip install -e ".[export]"')
    network, description = load_network(folder)
    if description["name"] == "learnable_canny_cnn":
        raise ValueError(
            f"The network in {folder} runs OpenCV's Canny inside, which ONNX cannot express; "
            "export a blend variant and make its foreground with imaging.edges.canny_foreground."
        )
    network = as_classifier(network)
    size = description["arguments"]["image_size"]
    views = tuple(torch.rand(2, 3, size, size) for _ in network.views)
    batch = {0: torch.export.Dim("batch")}
    beside = target.with_name(f".{os.getpid()}.{target.name}")
    program = torch.onnx.export(
        network,
        views,
        input_names=list(network.views),
        output_names=["logits"],
        dynamic_shapes=_by_argument(network, batch),
        dynamo=True,
        verbose=False,
    )
    program.save(beside)
    os.replace(beside, target)


def _by_argument(network: torch.nn.Module, batch: dict) -> tuple:
    # A forward(*views) takes its views as one argument.
    is_one_argument = network.forward.__code__.co_argcount == 1
    shapes = tuple(batch for _ in network.views)
    return (shapes,) if is_one_argument else shapes
