"""Any network as a table of layers, to compare with the table that a paper prints."""

import copy
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import nn


class Layer(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    name
        Where the network keeps the layer, such as ``features.0.1``.
    shape
        Of its output for one image: channels, height, width; or units.
    parameters
        Weights and moving statistics: batch normalisation has four numbers a channel, as Keras
        counts.
    """

    name: str
    shape: tuple[int, ...]
    parameters: int


def describe_layers(network: "nn.Module", *, image_size: int) -> list[Layer]:
    """List the layers that hold parameters or change the shape, in the order in which they run.

    Parameters
    ----------
    network
        One of this project's; it stays as it is.
    image_size
        Height and width of the image that is sent through.

    Returns
    -------
    list of Layer
        Without activations and dropout, which do neither, and without numbers that belong to
        the network itself, such as a blend's ``alpha``.

    Examples
    --------
    >>> from wbc_pipeline.models import build_network
    >>> network = build_network("mixed_separable_cnn", {"classes": 4, "image_size": 64}, seed=0)
    >>> layers = describe_layers(network, image_size=64)
    >>> layers[0]
    Layer(name='convolution_1', shape=(128, 62, 62), parameters=3584)
    """
    import torch

    layers = []

    def listen(name: str, part: "nn.Module") -> None:
        parameters = _parameters(part)

        def note(part, inputs, output) -> None:
            if parameters or inputs[0].shape != output.shape:
                layers.append(Layer(name, tuple(output.shape[1:]), parameters))

        part.register_forward_hook(note)

    probe = copy.deepcopy(network).cpu().eval()
    for name, part in probe.named_modules():
        if not any(part.children()):
            listen(name, part)
    with torch.no_grad():
        probe(*(torch.zeros(1, 3, image_size, image_size) for _ in probe.views))
    return layers


def _parameters(part: "nn.Module") -> int:
    statistics = [buffer for buffer in part.buffers() if buffer.is_floating_point()]
    return sum(numbers.numel() for numbers in [*part.parameters(), *statistics])
