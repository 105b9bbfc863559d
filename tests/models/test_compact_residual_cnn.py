import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from wbc_pipeline.models import build_network
from wbc_pipeline.models.compact_residual_cnn import CompactResidualCNN
from wbc_pipeline.models.layer_table import describe_layers

BUDGET = 350_000  # of parameters: the separable paper's network has 340,388
ARGUMENTS = {"classes": 4, "image_size": 64}


def operations(name):
    network = build_network(name, ARGUMENTS, seed=0)
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(2, 3, 64, 64)).sum().backward()
    return counter.get_total_flops()


def test_four_classes_fit_the_papers_budget_of_parameters():
    network = CompactResidualCNN(**ARGUMENTS)
    assert sum(weight.numel() for weight in network.parameters()) == 298_084 < BUDGET


def test_training_step_has_at_most_an_eighth_of_the_papers_operations():
    assert operations("compact_residual_cnn") < operations("mixed_separable_cnn") / 8


def test_only_stem_and_later_stages_halve_the_image():
    network = CompactResidualCNN(**ARGUMENTS)
    shapes = {layer.name: layer.shape for layer in describe_layers(network, image_size=64)}
    assert shapes["stem.0"] == (32, 32, 32)
    blocks = [shapes[f"stages.{block}.second.0"] for block in range(4)]
    assert blocks == [(32, 32, 32), (64, 16, 16), (64, 16, 16), (96, 8, 8)]
    assert shapes["flatten"] == (96,)


@pytest.mark.parametrize("image_size", [8, 48, 72])
def test_other_image_sizes_work(image_size):
    network = CompactResidualCNN(classes=3, image_size=image_size).eval()
    assert network(torch.rand(2, 3, image_size, image_size)).shape == (2, 3)


def test_image_size_that_the_stages_cannot_halve_is_refused():
    with pytest.raises(ValueError, match="multiple of 8"):
        CompactResidualCNN(classes=4, image_size=60)


def test_stages_without_their_number_of_blocks_are_refused():
    with pytest.raises(ValueError, match="same length"):
        CompactResidualCNN(**ARGUMENTS, filters=(8, 16), blocks=(1, 1, 1))


def test_gradient_reaches_every_weight():
    network = build_network("compact_residual_cnn", ARGUMENTS, seed=0)
    network(torch.rand(8, 3, 64, 64)).square().sum().backward()
    still = [name for name, weight in network.named_parameters() if not weight.grad.any()]
    assert still == []


def test_same_seed_trains_the_same():
    def logits_after_a_step(seed):
        network = build_network("compact_residual_cnn", ARGUMENTS, seed=seed)
        torch.manual_seed(0)
        image = torch.rand(8, 3, 64, 64)
        network(image).logsumexp(dim=1).sum().backward()
        torch.optim.Adam(network.parameters()).step()
        return network.eval()(image)

    one, other, another = (logits_after_a_step(seed) for seed in (0, 0, 1))
    assert torch.equal(one, other)
    assert not torch.equal(one, another)
