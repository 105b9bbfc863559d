import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.training.augmentation import augment
from wbc_pipeline.training.options import AugmentationOptions

STRONG = AugmentationOptions(rotation=180, shift=0.2, zoom=0.3, brightness=0.5)


@settings(deadline=None, max_examples=25)
@given(
    rotation=st.floats(0, 180),
    shift=st.floats(0, 0.9),
    zoom=st.floats(0, 0.9),
    brightness=st.floats(0, 0.9),
    noise=st.floats(0, 0.9),
    flip=st.booleans(),
)
def test_keeps_shape_dtype_and_range(**options):
    images = torch.rand(3, 3, 16, 16)
    (changed,) = augment([images], AugmentationOptions(**options))
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_no_change_asked_for_changes_nothing():
    images = torch.rand(2, 3, 16, 16)
    (same,) = augment([images], AugmentationOptions(flip=False))
    assert torch.allclose(same, images, atol=1e-5)


def test_views_of_an_image_change_alike():
    images = torch.rand(4, 3, 16, 16)
    one, other = augment([images, images.clone()], STRONG)
    assert torch.equal(one, other)


def test_images_of_a_batch_change_differently():
    image = torch.rand(1, 3, 16, 16)
    (changed,) = augment([image.repeat(2, 1, 1, 1)], STRONG)
    assert not torch.allclose(changed[0], changed[1])


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_memory_layout_is_kept(layout):
    images = torch.rand(4, 3, 16, 16).contiguous(memory_format=layout)
    (changed,) = augment([images], STRONG)
    assert changed.is_contiguous(memory_format=layout)


def test_flip_alone_mirrors_pixels_exactly():
    image = torch.rand(1, 3, 16, 16)
    mirrors = [image, image.flip(2), image.flip(3), image.flip(2, 3)]
    for seed in range(8):
        torch.manual_seed(seed)
        (changed,) = augment([image], AugmentationOptions(flip=True))
        assert any(torch.allclose(changed, mirror, atol=1e-5) for mirror in mirrors)


def test_noise_differs_from_pixel_to_pixel_and_not_from_nothing_on_average():
    torch.manual_seed(0)
    grey = torch.full((64, 3, 32, 32), 0.5)
    (noisy,) = augment([grey], AugmentationOptions(flip=False, noise=0.2))
    deviations = (noisy - grey).flatten(1).std(dim=1)
    assert deviations.max() == pytest.approx(0.2, rel=0.1)  # each image draws its own, up to it
    assert deviations.min() < 0.05
    assert (noisy - grey).mean().abs() < 0.005
