import numpy as np
import pytest
import torch
from torch.nn import functional

from wbc_pipeline.training.class_losses import (
    ClassLoss,
    class_weights,
    focal_cross_entropy,
    is_rare,
    log_shares,
    ordinal_loss,
)
from wbc_pipeline.training.options import StageOptions

COUNTS = torch.tensor([900, 90, 10])
LOGITS = torch.randn(16, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(16) % 3
MIXED = torch.rand(16, 3, generator=torch.Generator().manual_seed(1)).softmax(dim=1)


def loss_of(**options):
    return ClassLoss(StageOptions(epochs=1, batch_size=1, learning_rate=1, **options), COUNTS)


@pytest.mark.parametrize("how", ["balanced", "effective"])
def test_rare_classes_weigh_more_and_the_mean_over_images_is_one(how):
    weights = class_weights(COUNTS, how=how)
    assert (weights.diff() > 0).all()
    assert (weights * COUNTS).sum() / COUNTS.sum() == pytest.approx(1)


def test_effective_numbers_lie_between_no_weights_and_balanced_ones():
    plain, effective, near = (
        class_weights(COUNTS, how="effective", beta=beta) for beta in (0.0, 0.99, 0.999999)
    )
    torch.testing.assert_close(plain, torch.ones(3))
    torch.testing.assert_close(near, class_weights(COUNTS, how="balanced"), rtol=1e-3, atol=0)
    assert 1 < effective[2] / effective[0] < 90
    # 1 - 0.99^90 and 1 - 0.99^10, worked out by hand
    assert (effective[2] / effective[1]).item() == pytest.approx(0.59527 / 0.09562, rel=1e-3)


def test_a_class_without_images_has_a_finite_weight():
    for how in ("balanced", "effective"):
        assert class_weights(torch.tensor([5, 0]), how=how).isfinite().all()


@pytest.mark.parametrize("target", [LABELS, MIXED], ids=["labels", "mixed labels"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_focal_loss_of_hardly_any_focus_is_cross_entropy(target, smoothing):
    weight = torch.tensor([0.5, 1.0, 2.0])
    how = {"weight": weight, "label_smoothing": smoothing}
    torch.testing.assert_close(
        focal_cross_entropy(LOGITS, target, gamma=1e-9, **how),
        functional.cross_entropy(LOGITS, target, **how),
    )


def test_a_focal_loss_counts_what_is_sure_less():
    logits = torch.tensor([[2.0, 0.0]], requires_grad=True)
    right = torch.tensor([0])
    share = logits.softmax(dim=1)[0, 0]
    expected = -((1 - share) ** 2) * share.log()
    torch.testing.assert_close(focal_cross_entropy(logits, right, gamma=2), expected)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_a_focal_loss_has_a_finite_gradient_where_the_network_is_sure(gamma):
    logits = torch.tensor([[200.0, 0.0], [-200.0, 0.0]], requires_grad=True)
    focal_cross_entropy(logits, torch.tensor([0, 0]), gamma=gamma).backward()
    assert logits.grad.isfinite().all()


def test_adjusted_logits_are_those_of_even_classes_plus_the_share_of_each():
    adjusted = loss_of(logit_adjustment=1.0).cross_entropy(LOGITS, LABELS)
    expected = functional.cross_entropy(LOGITS + (COUNTS / 1000).log(), LABELS)
    torch.testing.assert_close(adjusted, expected)
    assert log_shares(torch.tensor([5, 0])).isfinite().all()


def test_without_options_the_loss_is_torchs_own_to_the_bit():
    assert loss_of()(LOGITS, LABELS)["cross_entropy"] == functional.cross_entropy(LOGITS, LABELS)


def test_an_answer_farther_along_the_chain_costs_more():
    chain, sure = [3, 1, 2], 50 * torch.eye(4)
    costs = [ordinal_loss(sure[[answer]], torch.tensor([3]), chain) for answer in chain]
    assert [round(cost.item(), 4) for cost in costs] == [0, 1, 2]


def test_what_stands_outside_the_chain_costs_and_learns_nothing():
    logits = LOGITS.clone().requires_grad_()
    cost = ordinal_loss(logits, torch.full((16,), 0), [1, 2])
    cost.backward()
    assert cost == 0
    assert logits.grad.isfinite().all()
    assert not logits.grad.any()
    both = ordinal_loss(LOGITS[:2], torch.tensor([1, 0]), [1, 2])
    torch.testing.assert_close(both, ordinal_loss(LOGITS[:1], torch.tensor([1]), [1, 2]))


def test_a_mixed_label_counts_by_its_share_of_the_chain():
    target = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    each = [ordinal_loss(LOGITS[[row]], torch.tensor([row + 1]), [1, 2]) for row in range(2)]
    expected = (each[0] + 0.5 * each[1]) / 1.5
    torch.testing.assert_close(ordinal_loss(LOGITS[:2], target, [1, 2]), expected)


def test_rare_classes_have_less_than_half_the_mean():
    assert is_rare(torch.from_numpy(np.array([100, 51, 49, 0]))).tolist() == [
        *(False, False, False),
        True,
    ]
    assert not is_rare(torch.full((5,), 20)).any()
