import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.imaging.random_degradation import random_degradation
from wbc_pipeline.models import build_network
from wbc_pipeline.training.fit import fit
from wbc_pipeline.training.options import StageOptions, TrainerOptions
from wbc_pipeline.training.tasks.restoration import RestorationTask, restore

CPU = torch.device("cpu")
SCHEDULE = {"epochs": 20, "batch_size": 8, "learning_rate": 5e-3}


def unet(image_size=32, **arguments):
    sizes = {"image_size": image_size, "filters": (8, 16)}
    return build_network("restoration_unet", sizes | arguments, seed=0)


def disturbed():
    """A network whose correction is far from 0."""
    network = unet()
    with torch.no_grad():
        network.correction.weight.normal_(generator=torch.Generator().manual_seed(0))
        network.correction.bias.fill_(0.3)
    return network.eval()


@pytest.fixture(scope="module")
def cells():
    """Smooth images with a dark disc, degraded and clean."""
    y, x = np.mgrid[:32, :32]
    random = np.random.default_rng(0)
    clean = np.full((48, 32, 32, 3), (230, 215, 225), np.uint8)
    for image, (row, column) in zip(clean, random.integers(10, 22, (48, 2)), strict=True):
        image[np.hypot(y - row, x - column) < 7] = (110, 60, 150)
    noise = {"severities": [0, 0, 1, 0, 0, 0], "kinds": ["gaussian_noise"]}
    return random_degradation(clean, **noise), clean


def task(cells, network):
    degraded, clean = cells
    parts = {"train": np.arange(32), "validation": np.arange(32, 40)}
    return RestorationTask(network, degraded=degraded, clean=clean, parts=parts)


def train(cells, tmp_path, **changes):
    learning = task(cells, unet())
    fitted = fit(
        learning,
        stages={"main": StageOptions.model_validate(SCHEDULE | changes)},
        trainer=TrainerOptions(precision="32-true", channels_last=False),
        device=CPU,
        seed=0,
        folder=tmp_path / "work",
    )
    return learning, fitted


def test_an_untrained_restorer_changes_nothing(cells):
    restored = restore(unet(), cells[0], np.arange(5), device=CPU)
    np.testing.assert_array_equal(restored, cells[0][:5])


@settings(max_examples=20, deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_a_flat_tile_of_any_colour_stays_as_it_is(colour):
    tile = np.full((1, 32, 32, 3), colour, np.uint8)
    np.testing.assert_array_equal(restore(disturbed(), tile, np.array([0]), device=CPU), tile)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_all_but_black_and_white_tiles_stay_finite_and_keep_their_mean(level):
    tile = torch.full((1, 3, 32, 32), level)
    tile[0, :, 0, 0] = abs(level - 1 / 255)
    restored = disturbed()(tile)
    assert torch.isfinite(restored).all()
    assert abs(restored.mean() - tile.mean()) < 0.01


def test_a_trained_restorer_comes_nearer_to_images_it_has_not_seen(cells, tmp_path):
    learning, fitted = train(cells, tmp_path, augmentation={"flip": True})
    assert {"val_loss", "val_psnr"} <= set(fitted.history)
    unseen = np.arange(40, 48)
    before = task(cells, unet()).predict(unseen, device=CPU)["psnr"]
    after = learning.predict(unseen, device=CPU)["psnr"]
    assert after.mean() > before.mean() + 3  # dB


def test_the_correction_follows_the_contrast_of_the_image(cells):
    network, images = disturbed(), torch.tensor(cells[0][:2]).permute(0, 3, 1, 2) / 255
    mean = images.mean(dim=(2, 3), keepdim=True)
    paler = mean + 0.5 * (images - mean)
    with torch.inference_mode():
        ratio = (network(paler) - paler) / (network(images) - images)
    torch.testing.assert_close(ratio.median(), torch.tensor(0.5), atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augmentation": {"noise": 0.1}}, "restorers know no augmentation.noise; leave it out"),
        ({"augmentation": {"cutmix": 0.5}}, "restorers know no augmentation.cutmix"),
        ({"label_smoothing": 0.1}, "restorers know no label_smoothing"),
        ({"monitor": "val_accuracy"}, "has no val_accuracy; use val_loss"),
    ],
)
def test_options_of_classifiers_are_refused(cells, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train(cells, tmp_path, **changes)


def test_a_size_that_cannot_be_halved_is_refused():
    with pytest.raises(ValueError, match="image_size is 33, but 1 halvings"):
        unet(image_size=33)
