"""Export of a trained classifier to ONNX, to run it without torch and without this project."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.arrays import unfinished
from wbc_pipeline.imaging.registry import FULL_RESOLUTION
from wbc_pipeline.imaging.steps import parse_step
from wbc_pipeline.models import TRAINED_AS, load_network
from wbc_pipeline.models.joint import as_classifier
from wbc_pipeline.models.portable import CARRIED, carried_views
from wbc_pipeline.training.predict import SMALLEST_PROBABILITY
from wbc_pipeline.training.turns import Turned

# Of network.json, what goes with the file beside `resizes` and `image_size`, each as JSON.
FACTS = ("classes", "views", "packed_size", "turns", "prior_correction", "class_counts")


class Answering(nn.Module):
    """A classifier from the pixels of its views to probabilities, as `Classifier` answers.

    Scaling, turns and the correction of the prior are inside.

    Parameters
    ----------
    network
        Gives logits [B, C] of views, float [B, 3, S, S] in 0…1.
    description
        What is in ``network.json``.
    """

    def __init__(self, network: nn.Module, description: dict):
        super().__init__()
        self.views = network.views
        self.network = Turned(network) if description.get("turns") else network
        self.is_corrected = bool(description.get("prior_correction"))
        if self.is_corrected:
            counts = np.maximum(description["class_counts"], 1)
            factors = (counts / counts.sum()) ** -description["prior_correction"]
            self.register_buffer("factors", torch.tensor(factors, dtype=torch.float32))

    def forward(self, *views: Tensor) -> Tensor:  # uint8 [B, S, S, 3] each, RGB
        """Answer: float32 [B, C], rows sum to 1."""
        inputs = [view.permute(0, 3, 1, 2).to(torch.float32) / 255 for view in views]
        found = _normalised(self.network(*inputs).float().softmax(dim=1))
        return _normalised(found * self.factors) if self.is_corrected else found


def export_onnx(folder: Path, target: Path) -> None:
    """Write a saved classifier as one ONNX file.

    Its inputs are the network's views by name, uint8 [B, S, S, 3], RGB, of any batch size; its
    output ``probabilities`` is float32 [B, C], classes in the order of ``classes``. Scaling, turns
    and the correction of the prior are inside; a joint network's masks are left out. The metadata
    of the file are `FACTS` of ``network.json``, `TRAINED_AS`, the side S as ``image_size`` and, of
    each view that is made by resizing alone, the sides through which it goes as ``resizes``: all
    of them as JSON.

    Parameters
    ----------
    folder
        Holds ``weights.safetensors`` and ``network.json``.
    target
        The file to write; the extra ``export`` must be installed.

    Raises
    ------
    UserError
        If the extra ``export`` is not installed, or the network segments inside
        (``learnable_canny``): OpenCV has no place in ONNX.
    """
    if find_spec("onnxscript") is None:
        raise UserError('ONNX export needs further packages: pip install -e ".[export]"')
    network, description = load_network(folder)
    if description["name"] == "learnable_canny_cnn":
        raise UserError(
            f"The network in {folder} runs OpenCV's Canny inside, which ONNX cannot express; "
            "export a blend variant and make its foreground with imaging.edges.canny_foreground."
        )
    answering = Answering(as_classifier(network), description).eval()
    size = description["arguments"]["image_size"]
    batch = {0: torch.export.Dim("batch")}
    program = torch.onnx.export(
        answering,
        tuple(torch.zeros(2, size, size, 3, dtype=torch.uint8) for _ in answering.views),
        input_names=list(answering.views),
        output_names=["probabilities"],
        dynamic_shapes=(tuple(batch for _ in answering.views),),  # of *views
        dynamo=True,
        verbose=False,
    )
    program.model.metadata_props.update(describe_export(description, answering.views))
    with unfinished(target) as beside:
        program.save(beside)


def describe_export(description: dict, views: list[str] | tuple[str, ...]) -> dict[str, str]:
    """Say what whoever runs the file has to know, with no path of this machine in it.

    Parameters
    ----------
    description
        What is in ``network.json``.
    views
        Names of the network's.

    Returns
    -------
    dict of str to str
        JSON by name; see `export_onnx`. What chains read is named as in a portable folder.
    """
    chains = description.get("views") or {}
    if not description.get(CARRIED):  # else they are named so already
        chains, _ = carried_views(chains)
    sides = {name: _sides(chains.get(name, []), description["packed_size"]) for name in views}
    described = description | ({"views": chains} if "views" in description else {})
    facts = {name: described[name] for name in (*FACTS, TRAINED_AS) if name in described}
    facts["image_size"] = description["arguments"]["image_size"]
    facts["resizes"] = {name: found for name, found in sides.items() if found is not None}
    return {name: json.dumps(value) for name, value in facts.items()}


def _sides(steps: list[dict], packed_size: int) -> list[int] | None:
    """List the sides to which a chain resizes an image, in turn; None if it does anything else."""
    parsed = [parse_step(step) for step in steps]
    begins_whole = bool(parsed) and parsed[0][0] == FULL_RESOLUTION
    resizes = parsed[1:] if begins_whole else parsed
    if any(name != "resize" for name, _ in resizes):
        return None
    first = [] if begins_whole else [packed_size]
    return first + [parameters["size"] for _, parameters in resizes]


def _normalised(probabilities: Tensor) -> Tensor:
    kept = probabilities.clamp(min=SMALLEST_PROBABILITY)
    return kept / kept.sum(dim=1, keepdim=True)
