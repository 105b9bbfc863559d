import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from wbc_pipeline.imaging.roi import SIDES
from wbc_pipeline.models import build_network
from wbc_pipeline.training.detection import add_scenes, detect, make_targets
from wbc_pipeline.training.fit import fit
from wbc_pipeline.training.options import StageOptions, TrainerOptions
from wbc_pipeline.training.predict import predict_parts
from wbc_pipeline.training.tasks.detection import DetectionTask

CPU = torch.device("cpu")
TRAINER = TrainerOptions(precision="32-true", channels_last=False)
SCHEDULE = {
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 1e-3,
    "keep": "last",
    "augmentation": {"flip": True},
}


@pytest.fixture
def smears():
    """Frames of files of 128 x 96 with a violet cell each, but for the last, which has none."""
    random = np.random.default_rng(0)
    pixels, boxes = np.full((9, 64, 64, 3), 230, np.uint8), []
    for row in range(8):
        x, y = random.integers(16, 48, 2)
        cv2.circle(pixels[row], (int(x), int(y)), 12, (110, 80, 190), -1)
        box = np.array([x - 12, y - 12, x + 13, y + 13]) * [2, 1.5, 2, 1.5]
        boxes.append([f"{row}.jpg", *box])
    images = pd.DataFrame({"image_id": [f"{row}.jpg" for row in range(9)]})
    truth = pd.DataFrame(boxes, columns=["image_id", *SIDES])
    return pixels, images.assign(width=128, height=96), truth


def light():
    return build_network("light_detector", {"image_size": 64}, seed=0)


@pytest.fixture
def train(smears, tmp_path):
    def train(network, rows=range(9), *, parts=None, trainer=TRAINER, seed=0, **changes):
        targets = make_targets(*smears, list(rows), masks=network.learns_masks)
        return fit(
            DetectionTask(network, frames=smears[0], targets=targets, parts=parts),
            stages={"main": StageOptions.model_validate(SCHEDULE | changes)},
            trainer=trainer,
            device=CPU,
            seed=seed,
            folder=tmp_path / "work",
        )

    return train


def test_targets_are_in_pixels_of_the_frame_in_the_order_of_the_rows(smears):
    targets = make_targets(*smears, [3, 8, 1])
    truth = smears[2].set_index("image_id").loc[["3.jpg", "1.jpg"], SIDES] / [2, 1.5, 2, 1.5]
    assert targets.counts.tolist() == [1, 0, 1]
    np.testing.assert_allclose(targets.boxes, truth)
    assert targets.boxes_without_violet == 0
    for mask, (left, top, right, bottom) in zip(targets.masks, targets.boxes.int(), strict=True):
        assert mask[top:bottom, left:right].sum() == mask.sum() > 300
        assert mask.max() == 1


def test_a_box_over_no_violet_is_counted(smears):
    pixels, images, truth = smears
    targets = make_targets(pixels, images, truth.assign(xmin=0, ymin=0, xmax=4, ymax=3), [0, 1])
    assert targets.boxes_without_violet == 2
    assert targets.masks.flatten(1).sum(1).tolist() == [4, 4]


def test_a_box_outside_its_image_is_named(smears):
    pixels, images, truth = smears
    truth.loc[2, ["xmin", "xmax"]] = 200, 220
    with pytest.raises(ValueError, match=r"no area inside their image, such as in 2\.jpg"):
        make_targets(pixels, images, truth, [1, 2])


def test_targets_of_a_crop_are_what_it_shows_of_them(smears):
    pixels, images, _ = smears
    truth = pd.DataFrame(
        [["0.jpg", 20, 20, 60, 60], ["0.jpg", 70, 10, 90, 30], ["1.jpg", 10, 10, 30, 30]],
        columns=["image_id", *SIDES],
    )
    crops = np.tile([0, 0, 128, 96], (9, 1))
    crops[0], crops[1] = (
        (16, 16, 80, 80),
        (64, 32, 128, 96),
    )  # a third of the second, nothing of the last
    targets = make_targets(pixels, images, truth, [0, 1], crops=crops, masks=False)
    assert targets.counts.tolist() == [1, 0]
    assert targets.boxes.tolist() == [[4, 4, 44, 44]]


def test_scenes_stand_behind_the_images(smears):
    pixels = np.concatenate([smears[0], smears[0]])  # as if the second half were scenes
    scenes = pd.DataFrame(
        [[9, 1, 2, 3, 4], [11, 5, 6, 7, 8], [10, 9, 9, 9, 9], [11, 1, 1, 2, 2]],
        columns=["row", *SIDES],
    )
    for masks in (False, True):
        targets = make_targets(*smears, [3, 8], masks=masks)
        both = add_scenes(targets, scenes, [11, 9], pixels=pixels)
        assert both.rows.tolist() == [3, 8, 11, 9]
        assert both.counts.tolist() == [1, 0, 2, 1]
        assert both.boxes[1:].tolist() == [[5, 6, 7, 8], [1, 1, 2, 2], [1, 2, 3, 4]]
    inside = torch.zeros_like(both.masks[1])
    inside[6:8, 5:7] = 1
    assert both.masks[1].any() and not (both.masks[1] & ~inside).any()


def test_light_detector_learns_where_the_cells_are(train, smears):
    network = light()
    schedule = {"epochs": 40, "batch_size": 8, "learning_rate": 3e-3, "schedule": "one_cycle"}
    fitted = train(network, range(8), **schedule, optimizer="adamw", augmentation=None)
    assert fitted.history["train_loss"].iloc[-1] < fitted.history["train_loss"].iloc[0] / 2
    found, milliseconds = detect(network, smears[0], range(8), device=CPU, batch_size=4)
    best = found.groupby("row").head(1)
    centres = best[["xmin", "ymin"]].to_numpy() + best[["xmax", "ymax"]].to_numpy()
    true = smears[2][SIDES].to_numpy() / [2, 1.5, 2, 1.5]
    assert np.abs(centres - true[:, :2] - true[:, 2:]).max() < 8
    assert (milliseconds > 0).all()


def test_mask_rcnn_trains_a_step_with_an_image_without_a_cell(train):
    network = build_network("mask_rcnn", {"image_size": 64}, seed=0)
    fitted = train(network, [7, 8], epochs=1, batch_size=2, learning_rate=1e-4)
    assert {"loss_mask", "loss_box_reg"} <= set(fitted.paths["name"])


def test_history_has_a_row_per_epoch_and_no_gap(train):
    fitted = train(light())
    assert fitted.history["epoch"].tolist() == [0, 1]
    assert fitted.history.notna().all().all()
    assert fitted.summary["epochs"] == 2


def test_a_validation_part_is_scored_by_the_overlap_of_its_boxes(train):
    network = light()
    parts = {"train": range(6), "validation": range(6, 9)}
    fitted = train(network, parts=parts, keep="best", monitor="val_iou")
    assert fitted.history["val_iou"].between(0, 1).all()
    assert fitted.summary["best_epoch"] == fitted.history["val_iou"].idxmax()


def test_the_best_epoch_of_a_detector_is_not_that_of_a_loss(train):
    with pytest.raises(ValueError, match="no val_loss; use val_iou"):
        train(light(), parts={"train": range(6), "validation": range(6, 9)}, keep="best")


def test_options_that_boxes_cannot_follow_are_refused(train):
    with pytest.raises(ValueError, match=r"detectors know no .*augmentation\.rotation"):
        train(light(), label_smoothing=0.1, augmentation={"rotation": 10})


def test_same_seed_gives_the_same_weights(train):
    networks = [light(), light()]
    for network in networks:
        train(network, seed=3, augmentation={"flip": True, "brightness": 0.1})
    one, other = (network.state_dict() for network in networks)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_bfloat16_trains_too(train):
    fitted = train(light(), trainer=TrainerOptions(precision="bf16-mixed", channels_last=True))
    assert np.isfinite(fitted.history["train_loss"]).all()


def test_diverged_training_says_what_to_do(train):
    with pytest.raises(FloatingPointError, match=r"seed 0.*lower train\.learning_rate"):
        train(light(), learning_rate=1e30)


def test_frames_of_another_size_are_refused(train):
    network = build_network("light_detector", {"image_size": 96}, seed=0)
    with pytest.raises(ValueError, match=r"64 x 64 pixels, and the detector .* image_size 96"):
        train(network)


def test_targets_without_masks_are_refused_where_masks_are_learnt(smears):
    network = build_network("mask_rcnn", {"image_size": 64}, seed=0)
    targets = make_targets(*smears, [0], masks=False)
    with pytest.raises(ValueError, match="masks=True"):
        DetectionTask(network, frames=smears[0], targets=targets)


class TwoFound(nn.Module):
    """Finds a fixed box, and a larger one that it is less sure of."""

    image_size = 64
    learns_masks = False

    def __init__(self, box):
        super().__init__()
        self.boxes = torch.tensor([box, [0.0, 0.0, 64.0, 64.0]])

    def forward(self, images):
        return [{"boxes": self.boxes, "scores": torch.tensor([0.9, 0.5])} for _ in images]


def test_the_overlap_of_the_surest_box_is_predicted(smears):
    targets = make_targets(*smears, [0, 8], masks=False)
    xmin, ymin, xmax, ymax = targets.boxes[0].tolist()
    network = TwoFound([xmin, ymin, xmax, (ymin + ymax) / 2])  # the upper half
    task = DetectionTask(network, frames=smears[0], targets=targets)
    table = predict_parts(task, {"test": [0, 8, 3]}, device=CPU)
    assert table["box_iou"].iloc[0] == pytest.approx(0.5)
    assert table["box_iou"].iloc[1:].isna().all()  # no cell, and not among the targets
    assert (table["inference_ms"] > 0).all()


class NothingFound(nn.Module):
    image_size = 64

    def forward(self, images):
        return [{"boxes": torch.empty(0, 4), "scores": torch.empty(0)} for _ in images]


def test_images_where_nothing_is_found_have_a_time_and_no_row(smears):
    found, milliseconds = detect(NothingFound(), smears[0], [0, 4, 5], device=CPU, batch_size=2)
    assert len(found) == 0
    assert len(milliseconds) == 3
    assert found.columns.tolist() == ["row", *SIDES, "score"]
