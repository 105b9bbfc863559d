import inspect
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import rgb_from_hed

from wbc_pipeline.imaging import degrade as module
from wbc_pipeline.imaging.degrade import (
    DEGRADATIONS,
    SEVERITIES,
    defocus_blur,
    degrade,
    gaussian_noise,
    illumination_gradient,
    jpeg,
    motion_blur,
    salt_and_pepper,
    shot_noise,
    stain_shift,
)
from wbc_pipeline.sources.smears import render_cell

KINDS = sorted(DEGRADATIONS)
RANDOM = sorted(set(KINDS) - {"defocus_blur", "jpeg"})
SIDES = st.integers(1, 24)
SHAPES = st.tuples(st.integers(1, 3), st.just(3), SIDES, SIDES)
IMAGES = SHAPES.flatmap(lambda shape: arrays(np.uint8, shape))
#: Each kind's amount that leaves the image as it is.
NOTHING = {
    "gaussian_noise": 0,
    "salt_and_pepper": 0,
    "motion_blur": 0,
    "defocus_blur": 0,
    "illumination_gradient": 0,
    "stain_shift": 0,
}


@pytest.fixture(scope="module")
def cells():
    labels = ("seg_neutrophil", "lymphocyte", "eosinophil")
    domain = "giemsa/laboratory_a"
    images = [render_cell(label, seed=1, image_size=64, domain=domain).image for label in labels]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def grey(value, side=256):
    return torch.full((1, 3, side, side), value, dtype=torch.uint8)


def standard_deviation(images):
    return images.double().std().item() / 255


def distances(image, name, row):
    ladder = [degrade(image, name, severity=s, seed=0, rows=[row]) for s in range(1, 6)]
    return np.array([(each.float() - image.float()).abs().mean().item() for each in ladder])


@settings(max_examples=40, deadline=None)
@given(IMAGES, st.sampled_from(KINDS), st.integers(1, 5))
def test_shape_and_type_are_kept_and_the_images_stay_as_they_were(array, name, severity):
    images = torch.from_numpy(array)
    before = images.clone()
    degraded = degrade(images, name, severity=severity, seed=0, rows=range(len(images)))
    assert degraded.dtype == torch.uint8
    assert degraded.shape == images.shape
    assert degraded.device == images.device
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", KINDS)
def test_the_same_seed_gives_the_same_bytes(cells, name):
    once, again = (degrade(cells, name, severity=3, seed=7, rows=[4, 5, 6]) for _ in range(2))
    assert torch.equal(once, again)


@pytest.mark.parametrize("name", RANDOM)
def test_another_seed_or_another_row_gives_other_bytes(cells, name):
    first = degrade(cells, name, severity=3, seed=0, rows=[4, 5, 6])
    for other in (
        degrade(cells, name, severity=3, seed=1, rows=[4, 5, 6]),
        degrade(cells, name, severity=3, seed=0, rows=[7, 8, 9]),
    ):
        assert not any(torch.equal(one, two) for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("severity", [1, 5])
def test_an_image_does_not_depend_on_its_batch(cells, name, severity):
    whole = degrade(cells, name, severity=severity, seed=0, rows=[4, 5, 6])
    turned = degrade(cells.flip(0), name, severity=severity, seed=0, rows=torch.tensor([6, 5, 4]))
    alone = degrade(cells[1:2], name, severity=severity, seed=0, rows=np.array([5]))
    assert torch.equal(whole, turned.flip(0))
    assert torch.equal(whole[1:2], alone)


@pytest.mark.parametrize("name", KINDS)
def test_memory_layout_does_not_matter(cells, name):
    contiguous = degrade(cells, name, severity=3, seed=0, rows=[0, 1, 2])
    layout = cells.contiguous(memory_format=torch.channels_last)
    assert torch.equal(contiguous, degrade(layout, name, severity=3, seed=0, rows=[0, 1, 2]))


@pytest.mark.parametrize("name", KINDS)
def test_a_rendered_cell_is_further_from_clean_at_each_severity(cells, name):
    for row, cell in enumerate(cells.split(1)):
        assert (np.diff(distances(cell, name, row), prepend=0) > 0).all()


@pytest.mark.parametrize("name", KINDS)
def test_a_real_cell_is_further_from_clean_at_each_severity(real_data, name):
    path = min(real_data.glob("PBC_dataset_normal_DIB/neutrophil/*.jpg"))
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    image = cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA)
    cell = torch.from_numpy(image).permute(2, 0, 1)[None]
    assert (np.diff(distances(cell, name, row=0), prepend=0) > 0).all()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_bytes_of_the_cpu(cells, name):
    many = cells.repeat(8, 1, 1, 1)
    for severity in range(1, 6):
        options = {"severity": severity, "seed": 0, "rows": range(len(many))}
        there = degrade(many.cuda(), name, **options)
        assert there.is_cuda
        assert torch.equal(there.cpu(), degrade(many, name, **options))


@settings(max_examples=20, deadline=None)
@given(IMAGES, st.sampled_from(sorted(NOTHING)))
def test_an_amount_of_nothing_changes_nothing(array, name):
    images = torch.from_numpy(array)
    same = DEGRADATIONS[name](images, NOTHING[name], seed=0, rows=range(len(images)))
    assert torch.equal(same, images)


@pytest.mark.parametrize("alpha", [0.05, 0.10, 0.15])
def test_gaussian_noise_on_mid_grey_has_the_standard_deviation_alpha(alpha):
    noisy = gaussian_noise(grey(128), alpha, seed=0, rows=[0])
    assert standard_deviation(noisy) == pytest.approx(alpha, rel=0.01)
    assert noisy.double().mean().item() == pytest.approx(128, abs=0.5)


def test_strong_gaussian_noise_is_the_published_formula_clipped():
    noise = (gaussian_noise(grey(128), 0.1, seed=0, rows=[0]).double() - 128) / 0.1
    strong = gaussian_noise(grey(128), 0.35, seed=0, rows=[0]).double()
    expected = (128 + 0.35 * noise).clamp(0, 255)
    assert (strong - expected).abs().max() <= 0.5 + 0.5 * 0.35 / 0.1  # both were rounded
    assert strong.min() == 0
    assert strong.max() == 255


def test_an_alpha_out_of_a_numpy_sweep_gives_the_same_bytes(cells):
    plain, numpy = (
        gaussian_noise(cells, alpha, seed=0, rows=range(3)) for alpha in (0.35, np.float64(0.35))
    )
    assert torch.equal(plain, numpy)


@pytest.mark.parametrize("level", [64, 128])
def test_shot_noise_grows_with_the_root_of_the_light(level):
    noisy = shot_noise(grey(level), 200, seed=0, rows=[0])
    assert standard_deviation(noisy) == pytest.approx((level / 255 / 200) ** 0.5, rel=0.02)
    assert noisy.double().mean().item() == pytest.approx(level, abs=0.5)


def test_salt_and_pepper_turn_equal_shares_of_whole_pixels_white_and_black():
    spotted = salt_and_pepper(grey(128), 0.2, seed=0, rows=[0])
    assert torch.equal(spotted[:, 0], spotted[:, 2])
    for value in (0, 255):
        assert (spotted == value).double().mean().item() == pytest.approx(0.1, abs=0.005)


@pytest.mark.parametrize("blur", [motion_blur, defocus_blur])
@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_blurred_even_image_stays_as_it_was(blur, value):
    assert torch.equal(blur(grey(value, 64), 0.2, seed=0, rows=[0]), grey(value, 64))


@pytest.mark.parametrize("row", range(5))
def test_motion_smears_a_point_to_a_line_of_the_length_asked_for(row):
    point = torch.zeros(1, 3, 101, 101, dtype=torch.uint8)
    point[..., 50, 50] = 255
    line = motion_blur(point, 0.3, seed=0, rows=[row])[0, 0]
    spots = torch.nonzero(line).double() - 50
    assert 2 * spots.norm(dim=1).max().item() == pytest.approx(30, abs=3)
    assert torch.linalg.svdvals(spots)[1] / len(spots) ** 0.5 < 1  # thin


def test_defocus_smears_a_point_to_a_disc_of_the_radius_asked_for():
    point = torch.zeros(1, 3, 100, 100, dtype=torch.uint8)
    point[..., 50, 50] = 255
    disc = torch.nonzero(defocus_blur(point, 0.05)[0, 0]).double() - 50
    assert len(disc) == pytest.approx(np.pi * 5**2, rel=0.15)
    assert disc.norm(dim=1).max() <= 5.5


def test_lengths_mean_the_same_share_of_a_small_and_a_large_image():
    edge = torch.zeros(1, 3, 128, 128, dtype=torch.uint8)
    edge[..., 64:, :] = 255
    large = defocus_blur(edge, 0.06)[..., ::2, ::2].float()
    small = defocus_blur(edge[..., ::2, ::2], 0.06).float()
    assert (large - small).abs().mean() < 2


@pytest.mark.parametrize("row", range(4))
def test_the_light_falls_off_evenly_from_full_to_the_strength_lost(row):
    shaded = illumination_gradient(grey(200, 64), 0.5, seed=0, rows=[row])[0, 0].double()
    assert shaded.max() == 200
    assert shaded.min() == 100
    assert shaded.mean().item() == pytest.approx(150, abs=0.5)


def test_stain_shift_moves_the_density_along_the_two_dyes_alone(cells):
    stained = stain_shift(cells, 0.2, seed=0, rows=[0, 1, 2])
    moved = torch.log((stained.double() + 1) / (cells.double() + 1))
    normal = torch.from_numpy(np.cross(rgb_from_hed[0], rgb_from_hed[1]))
    unclipped = (stained > 60) & (stained < 255)  # where rounding to uint8 weighs little
    along = torch.einsum("nchw,c->nhw", moved, normal)[unclipped.all(1)]
    assert along.abs().max() < 0.02
    assert moved.abs().max() > 0.05


def test_a_black_frame_stays_nearly_black_under_another_stain():
    assert stain_shift(grey(0, 16).repeat(20, 1, 1, 1), 0.1, seed=0, rows=range(20)).max() <= 2


def test_jpeg_at_full_quality_is_nearly_the_image(cells):
    assert (jpeg(cells, 100).float() - cells.float()).abs().mean() < 3


def test_every_kind_has_five_severities_and_its_function_by_name():
    assert list(SEVERITIES) == list(DEGRADATIONS)
    assert {len(amounts) for amounts in SEVERITIES.values()} == {5}
    for name, function in DEGRADATIONS.items():
        assert function is getattr(module, name)
        assert list(inspect.signature(function).parameters)[2:] == ["seed", "rows"]


@pytest.mark.parametrize("severity", [0, 6, -1, 2.5])
def test_only_severities_1_to_5_exist(severity):
    with pytest.raises(ValueError, match="use 1 to 5"):
        degrade(grey(0, 8), "jpeg", severity=severity, seed=0, rows=[0])


def test_an_unknown_kind_is_named_beside_those_there_are():
    with pytest.raises(ValueError, match=r"'fog'; known: gaussian_noise"):
        degrade(grey(0, 8), "fog", severity=1, seed=0, rows=[0])


@pytest.mark.parametrize(
    ("name", "amount"),
    [
        ("gaussian_noise", -0.1),
        ("gaussian_noise", float("nan")),
        ("shot_noise", 0),
        ("salt_and_pepper", 1.1),
        ("motion_blur", 0.6),
        ("defocus_blur", -0.1),
        ("jpeg", 0),
        ("illumination_gradient", 1.1),
        ("stain_shift", -0.1),
    ],
)
def test_an_amount_out_of_range_is_named(name, amount):
    with pytest.raises(ValueError, match=rf"{amount} of {name}: use"):
        DEGRADATIONS[name](grey(0, 8), amount, seed=0, rows=[0])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(1, 3, 8, 8),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(1, 1, 8, 8, dtype=torch.uint8),
        torch.zeros(0, 3, 8, 8, dtype=torch.uint8),
    ],
)
def test_anything_but_a_batch_of_rgb_bytes_is_refused(name, images):
    with pytest.raises(ValueError, match=r"use uint8 \[N, 3, H, W\]"):
        degrade(images, name, severity=1, seed=0, rows=range(len(images)))


@pytest.mark.parametrize(
    ("seed", "rows", "message"),
    [(0, [0, 1], "2 rows for 1 images"), (0, [], "0 rows"), (-1, [0], "seed -1"), (0, [-1], "-1")],
)
def test_a_missing_row_or_a_negative_key_is_refused(seed, rows, message):
    with pytest.raises(ValueError, match=message):
        gaussian_noise(grey(0, 8), 0.1, seed=seed, rows=rows)


def test_the_package_of_imaging_comes_without_torch():
    code = "import sys, wbc_pipeline.imaging; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
