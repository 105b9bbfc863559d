import pytest
import torch
from torch import nn

from wbc_pipeline.errors import UserError
from wbc_pipeline.models import build_network
from wbc_pipeline.models.kan_transformer import REACH, KANLinear, cubic_b_spline


def build(**arguments):
    given = {"classes": 3, "image_size": 32, "width": 32, "depth": 2, **arguments}
    return build_network("kan_transformer", given, seed=0)


def test_splines_sum_to_one_between_the_knots():
    places = torch.linspace(2, 5, 50)[:, None]
    assert torch.allclose(cubic_b_spline(places - torch.arange(8)).sum(1), torch.ones(50))


def test_edge_learns_a_function_that_no_weight_is():
    torch.manual_seed(0)
    layer = KANLinear(1, 1, splines=12)
    values = torch.linspace(-REACH, REACH, 100)[:, None]
    wanted = torch.sin(4 * values)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    for _ in range(200):
        loss = (layer(values) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.01


def test_far_from_all_knots_only_the_base_is_left():
    layer = KANLinear(2, 3)
    nn.init.zeros_(layer.base)
    assert not layer(torch.tensor([[50.0, -50.0]])).any()


def test_gradient_reaches_every_weight():
    network = build()
    network(torch.rand(8, 3, 32, 32)).square().sum().backward()
    assert [name for name, weight in network.named_parameters() if not weight.grad.any()] == []


def test_place_of_a_cell_counts():
    network = build().eval()
    nn.init.normal_(network.positions)
    image = torch.rand(1, 3, 32, 32)
    assert not torch.allclose(network(image), network(image.flip(-1)), atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 36}, "multiple of 8"),
        ({"width": 40}, "multiple of 4 times heads"),
        ({"splines": 3}, "at least 4"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        build(**arguments)
