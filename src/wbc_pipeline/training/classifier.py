"""A saved classifier with all that stands around its network: from an image to an answer."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from wbc_pipeline.imaging.chain import Chain, build_chain
from wbc_pipeline.imaging.steps import Frame, resize, settle
from wbc_pipeline.models import load_network
from wbc_pipeline.models.features import WithFeatures, find_last_layers
from wbc_pipeline.models.joint import as_classifier
from wbc_pipeline.models.portable import portable_views
from wbc_pipeline.training.predict import SMALLEST_PROBABILITY, correct_prior
from wbc_pipeline.training.turns import Turned
from wbc_pipeline.training.views import as_tensor, take_views

CPU = torch.device("cpu")


class Answers(NamedTuple):
    """What a classifier answers of N images."""

    probabilities: np.ndarray  # float64 [N, C], each at least 1e-12, rows sum to 1
    features: np.ndarray  # float32 [N, F], what the last layer looks at


class Classifier:
    """A network, the chains of its views, and what is done to its answers.

    It answers as its variant did when it was trained: by ``turns``, and with ``prior_correction``,
    where its description has them. It may be asked from several threads at once.

    Parameters
    ----------
    folder
        Holds ``weights.safetensors`` and ``network.json``; see `models.save_network`.
    device
        Where it runs.

    Attributes
    ----------
    network
        Gives logits, in evaluation mode.
    description
        What is in ``network.json``.
    classes
        In the order of the probabilities.
    chains
        By the name of a view, in the order of the network's.
    maps
        The layer that Grad-CAM explains; None if the network has no such layer.

    Raises
    ------
    UserError
        If the folder holds no saved network, or a chain reads what is not there.
    """

    def __init__(self, folder: Path, *, device: torch.device = CPU):
        network, self.description = load_network(folder)
        network = as_classifier(network).eval()
        self.device = device
        self.network = network.to(device, memory_format=torch.channels_last)
        self.classes: list[str] = self.description["classes"]
        steps = portable_views(self.description, Path(folder))
        self.chains: dict[str, Chain] = {name: build_chain(steps[name]) for name in network.views}
        last = find_last_layers(network, self.description["arguments"]["image_size"])
        self.maps = _cam_layer(network) or last.maps
        self._with_features = WithFeatures(copy.deepcopy(network), last.head)
        self._turned = Turned(network) if self.description.get("turns") else None

    def look(self, image: np.ndarray) -> dict[str, Frame]:
        """Make the network's views of an image.

        Parameters
        ----------
        image
            RGB, uint8, ``[H, W, 3]``, of any size.

        Returns
        -------
        dict of str to Frame
            By the name of the view; ``place`` and ``box`` are in pixels of what the chain begins
            with: the image, or its packed square.
        """
        packed = None
        seen = {}
        for name, chain in self.chains.items():
            if not chain.full_resolution and packed is None:
                packed = resize(image, size=self.description["packed_size"])
            seen[name] = settle(chain.run(image if chain.full_resolution else packed))
        return seen

    @torch.inference_mode()
    def answer(self, views: Sequence[np.ndarray], *, batch_size: int = 64) -> Answers:
        """Answer, in float32.

        Parameters
        ----------
        views
            uint8 [N, S, S, 3], RGB, one for each of the network's views; N is at least 1.
        batch_size
            Images at a time.
        """
        tensors = [as_tensor(array) for array in views]
        logits, features = [], []
        for rows in torch.arange(len(views[0])).split(batch_size):
            batch = [tensor[rows].to(self.device) for tensor in tensors]
            everything = torch.arange(len(rows), device=self.device)
            inputs = take_views(batch, everything, channels_last=True)
            answered, seen = self._with_features(*inputs)
            logits.append(answered if self._turned is None else self._turned(*inputs))
            features.append(seen.float().cpu())
        probabilities = torch.cat(logits).float().cpu().double().softmax(dim=1)
        probabilities = probabilities.clamp(min=SMALLEST_PROBABILITY)
        found = (probabilities / probabilities.sum(dim=1, keepdim=True)).numpy()
        power = self.description.get("prior_correction")
        if power:
            found = correct_prior(found, self.description["class_counts"], power=power)
        return Answers(found, torch.cat(features).numpy())


def _cam_layer(network: torch.nn.Module) -> str | None:
    """Name the layer that a network, or the joint one inside, says should be explained."""
    inner = getattr(network, "network", None)
    if hasattr(network, "cam_layer"):
        return network.cam_layer
    return f"network.{inner.cam_layer}" if hasattr(inner, "cam_layer") else None
