"""How many floating-point operations a network takes for one image."""

from wbc_pipeline.models import network_class


def count_operations(name: str, arguments: dict) -> int:
    """Count the floating-point operations of one image's way through a network.

    The network is built without memory for its weights, so that one of any size is counted in a
    moment; one whose way depends on what an image shows is built in full.

    Parameters
    ----------
    name
        Its name in ``wbc_pipeline.models``.
    arguments
        Of its constructor, ``image_size`` in pixels among them: all its views are of that size.

    Returns
    -------
    int
        As torch counts them: of convolutions, products of matrices and attention, a multiplication
        and an addition as two. Activations, norms and pooling count for nothing.

    Examples
    --------
    >>> count_operations("le_net", {"classes": 5, "image_size": 32})
    1302600
    """
    try:
        return _count(name, arguments, "meta")
    except (NotImplementedError, RuntimeError):  # asks for a pixel's value, which meta has none of
        return _count(name, arguments, "cpu")


def _count(name: str, arguments: dict, device: str) -> int:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    size = arguments["image_size"]
    with torch.random.fork_rng(devices=[]), torch.device(device):
        network = network_class(name)(**arguments).eval()
        views = [torch.zeros(1, 3, size, size) for _ in network.views]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(*views)
    return int(counter.get_total_flops())
