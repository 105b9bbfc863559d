import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from skimage.color import rgb2lab, rgb_from_hed

from wbc_pipeline.training import augmentation
from wbc_pipeline.training.augmentation import (
    augment,
    augment_with_masks,
    flip_with_targets,
    mix,
)
from wbc_pipeline.training.augmentation_options import AugmentationOptions

STRONG = AugmentationOptions(rotation=180, shift=0.2, zoom=0.3, brightness=0.5)
MOVES = {"rotation": 170, "shift": 0.4, "zoom": 0.5}
COLOURS = {
    "stain": 0.2,
    "lab": 0.2,
    "hue": 0.3,
    "saturation": 0.8,
    "contrast": 0.7,
    "brightness": 0.7,
}
ALL = MOVES | COLOURS | {"blur": 3, "cutout": 0.8}  # all but noise, which views do not share
LARGEST = {
    "rotation": 180,
    "shift": 0.9,
    "zoom": 0.9,
    "stain": 0.9,
    "lab": 0.9,
    "hue": 0.5,
    "saturation": 1,
    "contrast": 0.9,
    "brightness": 0.9,
    "blur": 20,
    "noise": 0.9,
    "cutout": 0.9,
}


def only(**amounts):
    return AugmentationOptions(**({"flip": False} | amounts))


def photographs(count=4, size=16):
    """Smooth colours, different for each image, and neither black nor white."""
    noise = torch.rand(count, 3, size // 4, size // 4)
    return 0.2 + 0.6 * torch.nn.functional.interpolate(noise, size=size, mode="bilinear")


@settings(deadline=None, max_examples=25)
@given(
    amounts=st.fixed_dictionaries({k: st.floats(0, largest) for k, largest in LARGEST.items()}),
    flip=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    size=st.tuples(st.integers(2, 20), st.integers(2, 20)),
)
def test_keeps_shape_dtype_and_range(amounts, flip, dtype, size):
    images = torch.rand(3, 3, *size).to(dtype)
    (changed,) = augment([images], AugmentationOptions(flip=flip, **amounts))
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert changed.min() >= 0
    assert changed.max() <= 1


def test_no_change_asked_for_changes_nothing():
    images = torch.rand(2, 3, 16, 16)
    (same,) = augment([images], only())
    assert torch.allclose(same, images, atol=1e-5)


@pytest.mark.parametrize("name", LARGEST)
def test_the_smallest_amount_changes_next_to_nothing(name):
    images = photographs()
    (same,) = augment([images], only(**{name: 1e-6}))
    assert torch.allclose(same, images, atol=1e-3)


def test_changes_of_earlier_versions_are_what_they_were():
    torch.manual_seed(0)
    images = torch.rand(4, 3, 8, 8)
    options = AugmentationOptions(rotation=180, shift=0.08, zoom=0.15, brightness=0.2, noise=0.4)
    (changed,) = augment([images], options)
    means = torch.tensor([0.5672234, 0.5301970, 0.4636887, 0.4837334])
    corners = torch.tensor([1.0, 0.5229881, 0.5583711, 0.4075899])
    assert torch.allclose(changed.mean(dim=(1, 2, 3)), means, atol=1e-5)
    assert torch.allclose(changed[:, 0, 0, 0], corners, atol=1e-4)


def test_changes_that_are_off_draw_no_random_numbers():
    images = photographs(5)
    torch.manual_seed(0)
    augment([images], AugmentationOptions())
    mix([images], torch.eye(5), AugmentationOptions())
    after = torch.rand(1)
    torch.manual_seed(0)
    torch.rand(7, 5)  # rotation, zoom, two mirrors, two shifts, brightness
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize("options", [AugmentationOptions(**LARGEST), STRONG])
def test_same_seed_gives_the_same_images(options):
    images = photographs()
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(augment([images], options)[0])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("amounts", [ALL, *({name: ALL[name]} for name in ALL)])
def test_views_of_an_image_change_alike(amounts):
    images = photographs()
    one, other = augment([images, images.clone()], only(**amounts))
    assert torch.equal(one, other)
    assert not torch.allclose(one, images, atol=0.01)


@pytest.mark.parametrize("name", COLOURS)
def test_a_foreground_keeps_the_colours_of_its_image(name):
    images = photographs()
    cell = torch.zeros(4, 1, 16, 16, dtype=torch.bool)
    cell[..., 4:12, 4:12] = True
    image, foreground = augment([images, images * cell], only(**{name: COLOURS[name]}))
    assert torch.allclose(foreground[..., 5:11, 5:11], image[..., 5:11, 5:11], atol=1e-5)


@pytest.mark.parametrize("name", [*ALL, "noise"])
def test_images_of_a_batch_change_differently(name):
    image = photographs(1)
    options = only(**{name: (ALL | {"noise": 0.5})[name]})
    (changed,) = augment([image.repeat(2, 1, 1, 1)], options)
    assert not torch.allclose(changed[0], changed[1], atol=1e-4)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_memory_layout_is_kept(layout):
    images = photographs().contiguous(memory_format=layout)
    options = AugmentationOptions(**LARGEST, cutmix=0.5, mixup=0.5)
    views = augment([images, images], options)
    mixed, _ = mix(views, torch.eye(4), options)
    assert all(view.is_contiguous(memory_format=layout) for view in (*views, *mixed))


def test_colours_under_autocast_are_as_precise_as_without():
    images = photographs()
    results = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            results.append(augment([images], only(**COLOURS, blur=2))[0])
    assert torch.allclose(*results, atol=1e-5)


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


def test_hue_and_saturation_leave_greys_and_intensity_as_they_are():
    images = photographs()
    (changed,) = augment([images], only(hue=0.05, saturation=0.2))
    assert torch.allclose(changed.mean(dim=1), images.mean(dim=1), atol=1e-5)
    grey = images[:, :1].repeat(1, 3, 1, 1)
    (same,) = augment([grey], only(hue=0.5, saturation=1))
    assert torch.allclose(same, grey, atol=1e-5)


def test_a_third_of_the_circle_turns_red_into_green(monkeypatch):
    monkeypatch.setattr(
        augmentation, "_uniform", lambda images, *shape: torch.ones(len(images), *shape)
    )
    red, green = (torch.eye(3)[channel].view(1, 1, 3, 1, 1) for channel in (0, 1))
    turned = augmentation._jitter_hue_and_saturation(red, only(hue=1 / 3))
    assert torch.allclose(turned, green, atol=1e-6)


def test_stain_jitter_changes_density_by_up_to_its_amount():
    torch.manual_seed(0)
    stains = torch.tensor(rgb_from_hed, dtype=torch.float32)
    haematoxylin = stains[0].view(3, 1, 1)
    (changed,) = augment([10 ** -haematoxylin.expand(256, 3, 4, 4)], only(stain=0.05))
    change = (-changed.log10() - haematoxylin).abs()
    largest = 0.05 * (haematoxylin + stains.sum(dim=0).view(3, 1, 1))
    assert (change <= largest + 1e-4).all()
    assert (change.amax(dim=0) > largest / 2).all()


def test_stain_jitter_leaves_black_black():
    (black,) = augment([torch.zeros(2, 3, 4, 4)], only(stain=0.9))
    assert black.max() == 0


def test_lab_is_that_of_scikit_image_and_has_a_way_back():
    images = torch.rand(2, 1, 3, 8, 8)
    lab = augmentation._rgb_to_lab(images)
    known = torch.tensor(rgb2lab(images.numpy(), channel_axis=2))
    assert torch.allclose(lab, known.to(lab), atol=1e-2)
    assert torch.allclose(augmentation._lab_to_rgb(lab), images, atol=1e-4)


def test_blur_spreads_a_point_by_its_sigma_and_keeps_its_sum():
    point = torch.zeros(2, 1, 31, 41)
    point[:, :, 15, 20] = 1
    blurred = augmentation._blur(point, torch.tensor([0.0, 2.0]).view(2, 1, 1, 1))
    assert torch.equal(blurred[0], point[0])
    assert blurred[1].sum() == pytest.approx(1, abs=1e-4)
    distance = torch.arange(41) - 20
    assert (blurred[1, 0].sum(dim=0) * distance**2).sum().sqrt() == pytest.approx(2, abs=0.01)


def test_cutout_fills_a_square_with_the_mean_colour():
    images = torch.rand(32, 3, 20, 20)
    (changed,) = augment([images], only(cutout=0.5))
    cut = (changed - images).abs().amax(dim=1) > 1e-4
    assert torch.equal(cut, cut.any(dim=1, keepdim=True) & cut.any(dim=2, keepdim=True))
    assert cut.float().mean(dim=(1, 2)).max() <= 0.5**2 + 0.05
    filled = torch.where(cut[:, None], images.mean(dim=(2, 3), keepdim=True), images)
    assert torch.allclose(changed, filled, atol=1e-4)


@settings(deadline=None, max_examples=25)
@given(
    axis=st.sampled_from([2, 3]),
    edge=st.integers(1, 15),
    flip=st.booleans(),
    seed=st.integers(0, 1000),
    autocast=st.booleans(),
)
def test_masks_move_with_images(axis, edge, flip, seed, autocast):
    # Interpolating a ramp gives the place that a pixel comes from: its threshold half-way between
    # two pixels is what the nearest neighbour is in the mask.
    ramp = (torch.arange(16) / 15).view(*[16 if dim == axis else 1 for dim in range(4)])
    images = ramp.expand(4, 3, 16, 16)
    masks = (images[:, 0] > (edge - 0.5) / 15).to(torch.uint8) * 255
    torch.manual_seed(seed)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        options = AugmentationOptions(flip=flip, **MOVES)
        (changed,), moved = augment_with_masks([images], masks, options)
    assert moved.dtype == torch.uint8
    away = (changed[:, 0] - (edge - 0.5) / 15).abs() > 1e-4  # ties may round either way
    assert torch.equal(moved[away] == 255, changed[:, 0][away] > (edge - 0.5) / 15)
    assert set(moved.unique().tolist()) <= {0, 255}


def test_masks_change_neither_images_nor_with_colours():
    images, masks = photographs(), torch.randint(0, 4, (4, 16, 16), dtype=torch.uint8)
    options = only(**ALL, noise=0.1)
    torch.manual_seed(0)
    (alone,) = augment([images], options)
    torch.manual_seed(0)
    (changed,), _ = augment_with_masks([images], masks, options)
    assert torch.equal(alone, changed)
    _, same = augment_with_masks([images], masks, only(**COLOURS, blur=2, noise=0.1, cutout=0.5))
    assert torch.equal(same, masks)


def test_a_flipped_box_stays_on_its_cell_and_its_mask():
    torch.manual_seed(0)
    images, masks = torch.zeros(32, 3, 12, 16), torch.zeros(48, 12, 16, dtype=torch.uint8)
    counts = torch.tensor([1, 2, 0, 1] * 8)
    counts[0] += 16
    boxes = torch.tensor([[2.0, 3.0, 7.0, 5.0]]).repeat(48, 1)
    images[:, :, 3:5, 2:7] = 1
    masks[:, 3:5, 2:7] = 1
    images, boxes, masks = flip_with_targets(images, boxes, masks, counts)
    for image, box, mask in zip(
        images.repeat_interleave(counts, dim=0), boxes.int(), masks, strict=True
    ):
        left, top, right, bottom = box
        assert image[:, top:bottom, left:right].sum() == image.sum() == 30
        assert torch.equal(image[0], mask.float())
    assert len(boxes.unique(dim=0)) == 4  # all four ways occur
    assert flip_with_targets(images, boxes, None, counts)[2] is None


def distinct_images(count, size=20):
    return (torch.arange(count) / count).view(-1, 1, 1, 1).expand(count, 3, size, size)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), alpha=st.floats(0.1, 5))
def test_cutmix_gives_a_label_the_share_of_the_pasted_area(seed, alpha):
    images = distinct_images(6)
    torch.manual_seed(seed)
    (mixed,), targets = mix(
        [images], torch.eye(6), AugmentationOptions(cutmix=1, cutmix_alpha=alpha)
    )
    pasted = mixed == images.roll(1, 0)
    assert torch.equal(mixed[~pasted], images[~pasted])
    area = pasted.float().mean(dim=(1, 2, 3))
    assert torch.allclose((targets * torch.eye(6).roll(1, 0)).sum(dim=1), area, atol=1e-6)
    assert torch.allclose(targets.sum(dim=1), torch.ones(6))


def test_mixup_averages_images_as_their_labels():
    images = distinct_images(6)
    options = AugmentationOptions(mixup=1, mixup_alpha=1)
    (one, other), targets = mix([images, 1 - images], torch.eye(6), options)
    expected = torch.einsum("ij,jchw->ichw", targets, images)
    assert torch.allclose(one, expected, atol=1e-6)
    assert torch.allclose(other, 1 - one, atol=1e-6)
    assert len(targets.max(dim=1).values.unique()) > 1  # each image draws its own weight


def test_probabilities_say_how_many_images_are_mixed_and_how():
    torch.manual_seed(0)
    images = distinct_images(2000, size=4)
    options = AugmentationOptions(cutmix=0.2, mixup=0.3, mixup_alpha=1)
    (mixed,), targets = mix([images], torch.eye(2000), options)
    mixed, images = mixed[:, 0].flatten(1), images[:, 0].flatten(1)
    averaged = ((mixed != images) & (mixed != images.roll(1, 0))).all(dim=1)
    assert averaged.float().mean() == pytest.approx(0.3, abs=0.06)
    assert (targets.max(dim=1).values < 1).float().mean() == pytest.approx(0.5, abs=0.06)


def test_an_image_is_mixed_in_one_way():
    with pytest.raises(ValidationError, match="lower one of them"):
        AugmentationOptions(cutmix=0.6, mixup=0.6)


@pytest.mark.parametrize(
    ("name", "amount"),
    [*((name, -0.1) for name in LARGEST), ("hue", 0.6), ("cutout", 1), ("mixup_alpha", 0)],
)
def test_amounts_out_of_range_are_refused(name, amount):
    with pytest.raises(ValidationError, match=name):
        AugmentationOptions(**{name: amount})


def test_reduced_precision_moves_images_as_full_precision_does():
    views = [torch.rand(4, 3, 224, 224, generator=torch.Generator().manual_seed(0))]
    masks = (views[0][:, 0] > 0.5).to(torch.uint8)
    options = AugmentationOptions(rotation=30, shift=0.1, zoom=0.1)
    moved = []
    for reduced in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced):
            moved.append(augment_with_masks(views, masks, options))
    assert torch.equal(moved[0][0][0], moved[1][0][0])
    assert torch.equal(moved[0][1], moved[1][1])
