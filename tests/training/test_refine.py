import numpy as np
import pytest
import torch
from tiny_joint import TinyJoint
from torch import nn

from wbc_pipeline.models.joint import JointOutput
from wbc_pipeline.training.options import RefineOptions
from wbc_pipeline.training.refine import Refined, average_turns, keep_cell
from wbc_pipeline.training.tasks.joint import JointTask


class Corner(nn.Module):
    """Finds what is bright, but surer in the upper left corner: turning tells."""

    task, views = "joint", ("image",)

    def forward(self, image):
        masks = 8 * image[:, :2] - 4
        masks[..., :4, :4] *= 2
        saliency = image[:, :1, ::4, ::4]
        return JointOutput(image.mean((2, 3)), masks, saliency)


@pytest.fixture
def images():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def discs(*places, side=64):
    """Probabilities of cell and nucleus: discs of (x, y, radius, has a nucleus)."""
    down, across = np.mgrid[:side, :side]
    found = np.full((2, side, side), 0.1, np.float32)
    for x, y, radius, has_nucleus in places:
        away = np.hypot(across - x, down - y)
        found[0][away < radius] = 0.9
        if has_nucleus:
            found[1][away < radius / 2] = 0.9
    return found


def test_averaged_turns_turn_with_the_image(images):
    network = Corner()
    straight = average_turns(network, images)
    turned = average_turns(network, images.flip(3).rot90(1, (2, 3)))
    torch.testing.assert_close(turned.logits, straight.logits)
    for one, other in ((straight.masks, turned.masks), (straight.saliency, turned.saliency)):
        torch.testing.assert_close(other, one.flip(3).rot90(1, (2, 3)))
    assert not torch.allclose(straight.masks, network(images).masks)


def test_averaged_classes_are_log_probabilities(images):
    logits = average_turns(TinyJoint(), images).logits
    torch.testing.assert_close(logits.exp().sum(dim=1), torch.ones(3))


def test_a_network_that_turning_does_not_tell_stays_as_it_is(images):
    class Plain(Corner):
        def forward(self, image):
            return JointOutput(image.mean((2, 3)), 8 * image[:, :2] - 4)

    straight, averaged = Plain()(images), average_turns(Plain(), images)
    torch.testing.assert_close(averaged.masks, straight.masks, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(averaged.logits.softmax(1), straight.logits.softmax(1))
    assert averaged.saliency is None


def test_the_component_around_the_central_nucleus_is_kept():
    cell, nucleus = keep_cell(discs((32, 32, 10, True), (56, 8, 6, True)), opening=0)
    assert cell[32, 32] and nucleus[32, 32]
    assert not cell[8, 56] and not nucleus[8, 56]


def test_a_nucleus_counts_more_than_size_and_a_nucleus_outside_the_cell_goes():
    found = discs((40, 40, 9, True), (18, 18, 12, False))
    found[1][60:, 60:] = 0.9
    cell, nucleus = keep_cell(found, opening=0)
    assert cell[40, 40] and not cell[18, 18]
    assert nucleus[40, 40] and not nucleus[62, 62]


def test_a_neighbour_that_a_bridge_connects_is_cut_off_by_the_opening():
    found = discs((24, 32, 9, True), (50, 32, 9, False))
    found[0][31:34, 24:50] = 0.9
    joined, cut = (keep_cell(found, opening=opening)[0] for opening in (0, 0.08))
    assert joined[32, 50] and not cut[32, 50]
    assert cut[32, 24]


@pytest.mark.parametrize("opening", [0.04, 0.06, 0.08, 0.1])
def test_an_opening_shifts_nothing(opening):
    found = discs((32, 32, 14, True))
    cell, _ = keep_cell(found, opening=opening)
    rows, columns = np.nonzero(cell)
    truth = np.nonzero(found[0] > 0.5)
    assert (rows.mean(), columns.mean()) == (truth[0].mean(), truth[1].mean())


def test_holes_are_filled():
    found = discs((32, 32, 14, True))
    found[:, 30:34, 30:34] = 0.1
    cell, nucleus = keep_cell(found, opening=0.05)
    assert cell[32, 32] and nucleus[32, 32]


@pytest.mark.parametrize("opening", [0, 0.08])
def test_where_nothing_is_found_nothing_is_kept(opening):
    assert not keep_cell(discs(), opening=opening).any()


def test_refined_masks_are_logits_of_what_is_kept():
    class Fixed(Corner):
        def forward(self, image):
            found = discs((32, 32, 10, True), (56, 8, 6, True))
            masks = torch.from_numpy(found).logit().expand(len(image), -1, -1, -1)
            return JointOutput(image.mean((2, 3)), masks)

    options = RefineOptions(turns=False, opening=0)
    masks = Refined(Fixed(), options)(torch.rand(2, 3, 64, 64)).masks
    assert masks.shape == (2, 2, 64, 64)
    expected = keep_cell(discs((32, 32, 10, True), (56, 8, 6, True)), opening=0)
    np.testing.assert_array_equal(masks[1].numpy() > 0, expected)


def test_a_task_predicts_with_a_refined_network():
    views = {"image": np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3)).astype(np.uint8)}
    masks = np.zeros((5, 16, 16), np.uint8)
    masks[:, 4:12, 4:12] = 1
    plain, refined = (
        JointTask(network, views=views, classes=list("abc"), masks=masks)
        for network in (TinyJoint(), Refined(TinyJoint(), RefineOptions()))
    )
    one, other = (
        task.predict(np.arange(5), device=torch.device("cpu")) for task in (plain, refined)
    )
    assert list(one) == list(other)
    np.testing.assert_allclose(other.filter(regex="^p_").sum(axis=1), 1)
    assert (other["intersection_cell"] <= other["union_cell"]).all()


def test_a_network_without_masks_is_refined_by_its_turns_alone():
    output = Refined(TinyJoint(segments=False), RefineOptions())(torch.rand(2, 3, 16, 16))
    assert output.masks is None
    assert output.logits.shape == (2, 3)
