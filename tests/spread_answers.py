"""Untrained networks whose answers depend on the image, as those of trained ones do."""

import torch

from wbc_pipeline.models.features import find_last_layers

SPREAD = 1.5  # standard deviation of each logit over the images
PASSES = 20  # until the statistics of batch normalisation stand


@torch.no_grad()
def spread_answers(network, views, *, size):
    """Fit the normalisation and the last layer of a classifier of one view to images.

    Fresh weights answer alike whatever they see, so that comparing them would show nothing.
    """
    inputs = torch.from_numpy(views).permute(0, 3, 1, 2).float() / 255
    network.train()
    for _ in range(PASSES):
        network(inputs)
    network.eval()
    logits = network(inputs)
    head = network.get_submodule(find_last_layers(network, size).head)
    factor = SPREAD / logits.std(dim=0)
    head.weight.mul_(factor[:, None])
    head.bias.copy_((head.bias - logits.mean(dim=0)) * factor)
    return network
