import warnings

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_joint import TinyJoint
from torch import nn

from wbc_pipeline.models.joint import ClassHead, JointOutput
from wbc_pipeline.training import joint
from wbc_pipeline.training.fit import fit
from wbc_pipeline.training.options import JointLosses, StageOptions, TrainerOptions
from wbc_pipeline.training.predict import predict_parts, predict_probabilities
from wbc_pipeline.training.tasks.base import Stage
from wbc_pipeline.training.tasks.joint import JointTask

CPU = torch.device("cpu")
SCHEDULE = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-2}
UNKNOWN, WHOLE, NUCLEUS = 255, 3, 2


class Constant(nn.Module):
    """Finds the same masks, and looks at the same places, in every image."""

    task, views = "joint", ("image",)

    def __init__(self, masks, saliency):
        super().__init__()
        self.output = masks, saliency
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, image):
        masks, saliency = (each.expand(len(image), -1, -1, -1) for each in self.output)
        return JointOutput(self.weight.expand(len(image), -1), masks, saliency)


@pytest.fixture
def cells():
    """Arguments of a task: bright discs with a brighter nucleus, of three sizes and classes."""
    random, labels = np.random.default_rng(0), np.arange(48) % 3
    down, across = np.mgrid[:16, :16] - 7.5
    away = np.hypot(down, across)
    masks = np.stack([(away < 3 + label) * 1 + (away < 2 + label / 2) for label in labels])
    images = 60 * masks[..., None] + random.integers(0, 40, (48, 16, 16, 3))
    return {
        "views": {"image": images.astype(np.uint8)},
        "classes": ["small", "middle", "large"],
        "labels": labels,
        "masks": masks.astype(np.uint8),
        "parts": {"train": np.arange(32), "validation": np.arange(32, 48)},
    }


@pytest.fixture
def train(cells, tmp_path):
    def train(network=None, *, losses=None, **changes):
        torch.manual_seed(0)
        network = network or TinyJoint()
        fitted = fit(
            JointTask(network, **cells, losses=losses),
            stages={"main": StageOptions.model_validate(SCHEDULE | changes)},
            trainer=TrainerOptions(precision="32-true", channels_last=False),
            device=CPU,
            seed=0,
            folder=tmp_path / "work",
        )
        return network, fitted

    return train


def started(task, **changes):
    """A task within a stage, its arrays on the device."""
    task.begin(Stage("main", 0, StageOptions.model_validate(SCHEDULE | changes), seed=0))
    task.on_fit_start()
    return task


def one_step(task, rows):
    """Losses of a training batch, and the gradients of the network."""
    losses = task.losses(task.batch(torch.as_tensor(rows)), "train")
    sum(losses.values()).backward()
    return losses, [weight.grad for weight in task.network.parameters()]


def test_a_network_learns_masks_and_classes(train):
    _, fitted = train(epochs=60, monitor="val_iou")
    history = fitted.history
    assert {"val_loss", "val_macro_f1", "val_accuracy", "val_iou"} <= set(history)
    assert history["val_iou"].max() > 0.85 > history["val_iou"].iloc[0]
    assert history["val_accuracy"].max() > 0.9
    assert set(fitted.paths["name"]) == {"cross_entropy", "bce", "dice", "alignment"}


def test_a_loss_without_weight_is_left_out_and_weights_scale_the_others(cells):
    plain, other = (
        started(JointTask(TinyJoint(), **cells, losses=losses))
        for losses in (JointLosses(alignment=1), JointLosses(alignment=0, dice=3))
    )
    other.network.load_state_dict(plain.network.state_dict())
    (one, _), (two, _) = (one_step(task, range(8)) for task in (plain, other))
    assert set(one) - set(two) == {"alignment"}
    torch.testing.assert_close(two["dice"], 3 * one["dice"])
    torch.testing.assert_close(two["bce"], one["bce"])


masks_of_parts = st.sampled_from([0, 1, NUCLEUS, WHOLE, UNKNOWN])


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    levels=st.lists(st.tuples(masks_of_parts, masks_of_parts), min_size=2, max_size=2),
    labels=st.lists(st.sampled_from([-1, 0, 2]), min_size=2, max_size=2),
    brightness=st.sampled_from([0, 255, None]),
    has_prior=st.booleans(),
    weights=st.sampled_from(["none", "balanced"]),
)
def test_losses_and_gradients_are_finite_whatever_is_known(
    levels, labels, brightness, has_prior, weights
):
    masks = np.zeros((2, 16, 16), np.uint8)
    for mask, (left, right) in zip(masks, levels, strict=True):
        mask[:, :8], mask[:, 8:] = left, right
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    if brightness is not None:
        images[:] = brightness
    views = {"image": images} | ({"prior": images} if has_prior else {})
    parts = {"train": np.arange(2)}
    task = JointTask(
        TinyJoint(), views=views, classes=list("abc"), masks=masks, labels=labels, parts=parts
    )
    started(task, keep="last", class_weights=weights, label_smoothing=0.1)
    losses, gradients = one_step(task, [0, 1])
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_pixels_along_the_rim_of_a_region_count_more(cells):
    masks = torch.zeros(1, 16, 16, dtype=torch.uint8)
    masks[:, :, 8:] = 1
    regions = joint.regions_of(masks)
    wrong = torch.where(regions.inside > 0, 9.0, -9.0)
    at_rim, far = wrong.clone(), wrong.clone()
    at_rim[:, 0, :, 6], far[:, 0, :, 5] = 9.0, 9.0  # 2 and 3 pixels outside the cell
    plain, weighted = (
        [joint.bce_loss(logits, regions, rim=rim) for logits in (at_rim, far)] for rim in (0, 1)
    )
    torch.testing.assert_close(plain[0], plain[1])
    torch.testing.assert_close(weighted[1], plain[1], atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(weighted[0], 2 * plain[0], atol=1e-4, rtol=1e-3)
    none, some = (
        one_step(
            started(
                JointTask(
                    Constant(wrong[:, :, :16, :16], torch.zeros(1, 1, 4, 4)),
                    **cells,
                    losses=JointLosses(rim=rim),
                )
            ),
            range(8),
        )[0]["bce"]
        for rim in (0, 2)
    )
    assert some > none


def test_a_region_has_no_rim_where_it_borders_on_what_is_not_known():
    masks = torch.full((1, 16, 16), UNKNOWN, dtype=torch.uint8)
    masks[:, :, :8] = 1
    regions = joint.regions_of(masks)
    logits = torch.randn(1, 2, 16, 16)
    torch.testing.assert_close(
        joint.bce_loss(logits, regions, rim=1), joint.bce_loss(logits, regions, rim=0)
    )


def test_losses_that_teach_nothing_are_refused(cells):
    with pytest.raises(ValueError, match="one of cross_entropy, bce and dice"):
        JointLosses(cross_entropy=0, bce=0, dice=0)
    without_classes = {"losses": JointLosses(cross_entropy=0)}
    task = started(JointTask(TinyJoint(segments=False), **cells, **without_classes))
    with pytest.raises(ValueError, match=r"predicts no mask.*set cross_entropy above 0"):
        one_step(task, range(8))
    cells["masks"] = None
    with pytest.raises(ValueError, match="no training image has a mask"):
        started(JointTask(TinyJoint(), **cells, **without_classes))


def test_images_without_masks_train_the_class_head_alone(cells):
    cells["masks"] = None
    task = started(JointTask(TinyJoint(), **cells))
    losses, _ = one_step(task, range(8))
    assert losses["cross_entropy"] > 0
    assert all(losses[name] == 0 for name in ("bce", "dice", "alignment"))
    heads = (task.network.masks, task.network.attention)
    assert all(not weight.grad.any() for head in heads for weight in head.parameters())
    assert task.network.head.weight.grad.any()


def test_images_without_a_label_train_masks_alone(cells):
    cells["labels"] = np.full(48, -1)
    task = started(JointTask(TinyJoint(), **cells))
    losses, _ = one_step(task, range(8))
    assert losses["cross_entropy"] == 0
    assert losses["bce"] > 0
    assert not task.network.head.weight.grad.any()
    assert task.network.masks.weight.grad.any()


def test_what_is_not_known_changes_no_loss(cells):
    known = cells["masks"][:4]
    hidden = known.copy()
    hidden[:, :6] = UNKNOWN
    logits = torch.randn(4, 2, 16, 16)
    other = logits.clone()
    other[:, :, :6] = 7.0
    regions = joint.regions_of(torch.from_numpy(hidden))
    for loss in (joint.bce_loss, joint.dice_loss):
        torch.testing.assert_close(loss(logits, regions), loss(other, regions))
        everything = joint.regions_of(torch.from_numpy(known))
        assert not torch.isclose(loss(logits, everything), loss(other, everything))


def test_a_cell_whose_parts_are_not_known_says_nothing_of_the_nucleus():
    mask = torch.zeros(2, 4, 4, dtype=torch.uint8)
    mask[0, 1:3], mask[1, 1:3] = WHOLE, 1
    inside, known = joint.regions_of(mask)
    assert inside[:, 0].sum(dim=(1, 2)).tolist() == [8, 8]
    assert known[:, 0].all()
    assert not known[0, 1].any()
    assert known[1, 1].all()


def test_saliency_is_drawn_to_the_mask_and_to_the_prior_where_there_is_no_mask():
    masks = torch.full((2, 8, 8), UNKNOWN, dtype=torch.uint8)
    masks[0] = 0
    masks[0, :4, :4] = 1
    prior = torch.zeros(2, 8, 8)
    prior[:, 4:] = 0.5
    regions = joint.regions_of(masks)
    corner, below = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    corner[..., 0, 0], below[..., 1, :] = 1, 0.5
    aligned = torch.cat([corner, below])
    assert joint.alignment_loss(aligned, regions, prior) == 0
    assert joint.alignment_loss(aligned.flip(0), regions, prior) > 0.3
    alone = joint.alignment_loss(torch.cat([corner, 1 - below]), regions, None)
    assert alone == 0  # an image with neither does not count


@pytest.mark.parametrize("views", [("image",), ("image", "prior")])
def test_masks_and_priors_move_with_images_and_keep_their_values(cells, views):
    masks = np.random.default_rng(1).choice([0, 1, 2, 3, 255], (48, 16, 16)).astype(np.uint8)
    cells["masks"] = masks
    cells["views"] |= {"image": masks[..., None].repeat(3, axis=-1)}
    cells["views"]["prior"] = 255 - cells["views"]["image"]
    task = started(
        JointTask(TinyJoint(views=views), **cells),
        augmentation={"flip": True, "rotation": 180, "shift": 0.2},
    )
    torch.manual_seed(0)
    batch = task.batch(torch.arange(8))
    moved = task.augmented(batch)
    assert not torch.equal(moved["mask"], batch["mask"])
    assert torch.equal(moved["mask"], 255 - moved["prior"])
    assert moved["mask"].dtype == moved["prior"].dtype == torch.uint8
    coloured = started(
        JointTask(TinyJoint(views=views), **cells),
        augmentation={"flip": False, "brightness": 0.5, "stain": 0.5, "noise": 0.1},
    )
    changed = coloured.augmented(batch)
    assert torch.equal(changed["mask"], batch["mask"])
    assert torch.equal(changed["prior"], batch["prior"])
    assert not torch.equal(changed["inputs"][0], batch["inputs"][0])


def test_a_network_may_look_at_the_prior(cells, train):
    cells["views"]["prior"] = cells["views"]["image"].max(axis=-1, keepdims=True).repeat(3, axis=-1)
    network, _ = train(TinyJoint(views=("prior", "image")), augmentation={})
    table = predict_parts(JointTask(network, **cells), {"test": np.arange(3)}, device=CPU)
    assert np.isfinite(table["saliency_inside"]).all()


def test_overlaps_are_counted_in_pixels_of_known_regions(cells):
    found = torch.full((1, 2, 16, 16), -1.0)
    found[0, 0, 4:12, 4:12], found[0, 1, 6:10, 6:10] = 1, 1
    saliency = torch.zeros(1, 1, 4, 4)
    saliency[..., 1:3, 1:3] = 0.5
    masks = np.zeros((5, 16, 16), np.uint8)
    masks[0, 4:12, 4:12], masks[0, 6:10, 6:12] = 1, 2  # divided
    masks[1, 4:12, 8:16] = WHOLE
    masks[2] = UNKNOWN
    masks[4] = 1
    masks[4, :, :8] = UNKNOWN
    views = {"image": np.zeros((5, 16, 16, 3), np.uint8)}
    task = JointTask(Constant(found, saliency), views=views, classes=list("abc"), masks=masks)
    table = task.predict(np.arange(5), device=CPU, batch_size=2)
    expected = {
        "intersection_cell": [64, 32, None, 0, 32],
        "union_cell": [64, 96, None, 64, 128],
        "intersection_nucleus": [16, None, None, 0, 0],
        "union_nucleus": [24, None, None, 16, 8],
        "mask_pixels": [256, 256, None, 256, 128],
    }
    for name, values in expected.items():
        assert table[name].dtype == "Int64"
        assert table[name].astype(object).where(table[name].notna(), None).tolist() == values, name
    np.testing.assert_allclose(table["saliency_inside"], [1, 0.5, np.nan, np.nan, 1])


def test_probabilities_are_those_of_the_class_head(cells):
    network = TinyJoint()
    table = JointTask(network, **cells).predict(np.arange(5), device=CPU)
    alone, _ = predict_probabilities(
        ClassHead(network), [cells["views"]["image"]], np.arange(5), device=CPU
    )
    np.testing.assert_allclose(table.filter(regex="^p_"), alone, atol=1e-6)
    assert (table["inference_ms"] > 0).all()


def test_without_known_masks_there_are_no_columns_of_masks(cells):
    cells["masks"][:5] = UNKNOWN
    task = JointTask(TinyJoint(), **cells)
    assert not task.predict(np.arange(5), device=CPU).filter(regex="^(inter|union|sal)").size
    assert len(task.predict(np.arange(9), device=CPU).filter(regex="^union").dropna()) == 4


def test_a_network_without_masks_is_measured_by_its_saliency_alone(cells, train):
    network, fitted = train(TinyJoint(segments=False), monitor="val_macro_f1")
    assert fitted.history["val_iou"].isna().all()
    table = JointTask(network, **cells).predict(np.arange(5), device=CPU)
    assert {"saliency_inside"} == set(table) - {"p_small", "p_middle", "p_large", "inference_ms"}


def test_validation_iou_is_that_of_the_predictions(train, cells):
    network, fitted = train(monitor="val_iou")
    table = JointTask(network, **cells).predict(cells["parts"]["validation"], device=CPU)
    ious = [table[f"intersection_{name}"] / table[f"union_{name}"] for name in ("cell", "nucleus")]
    assert fitted.history["val_iou"].max() == pytest.approx(np.mean(ious), abs=1e-6)


def test_a_monitor_that_the_masks_cannot_give_is_refused(cells, train):
    with pytest.raises(ValueError, match=r"TinyJoint predicts no mask.*use val_loss or"):
        train(TinyJoint(segments=False), monitor="val_iou")
    cells["masks"][32:] = UNKNOWN
    with pytest.raises(ValueError, match="no image of the validation part has a mask for val_iou"):
        train(monitor="val_iou")


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"augmentation": {"cutmix": 0.5}}, "augmentation.cutmix"),
        ({"cached_features": True}, "cached_features"),
    ],
)
def test_options_that_masks_do_not_follow_are_refused(train, changes, name):
    with pytest.raises(ValueError, match=rf"networks that segment know no {name}"):
        train(**changes)


def test_masks_on_disk_are_read_and_never_written(cells, tmp_path):
    np.save(tmp_path / "masks.npy", cells["masks"])
    cells["masks"] = np.load(tmp_path / "masks.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one_step(started(JointTask(TinyJoint(), **cells)), range(8))
