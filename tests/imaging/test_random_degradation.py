import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wbc_pipeline.imaging.degrade import degrade
from wbc_pipeline.imaging.padding import background_colour, pad_square
from wbc_pipeline.imaging.random_degradation import KINDS, random_degradation

SIDES = st.integers(8, 40)
IMAGES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))
FEW = settings(max_examples=25, deadline=None)
MIXED = [2, 1, 1, 1, 1, 1]


def photographs(count=60, side=24):
    return np.random.default_rng(0).integers(60, 200, (count, side, side, 3), np.uint8)


@FEW
@given(IMAGES, st.integers(0, 99))
def test_any_image_keeps_shape_and_dtype_and_is_degraded_alike_each_time(image, seed):
    before = image.copy()
    once = random_degradation(image, severities=MIXED, seed=seed)
    assert (once.shape, once.dtype) == (image.shape, np.uint8)
    np.testing.assert_array_equal(once, random_degradation(image, severities=MIXED, seed=seed))
    np.testing.assert_array_equal(image, before)


def test_the_draw_depends_on_neither_batch_nor_order_nor_memory():
    images = photographs()
    together = random_degradation(images, severities=MIXED)
    backwards = random_degradation(images[::-1], severities=MIXED)[::-1]
    np.testing.assert_array_equal(together, backwards)
    np.testing.assert_array_equal(together[7], random_degradation(images[7], severities=MIXED))


def test_another_seed_draws_anew():
    images = photographs()
    first, second = (random_degradation(images, severities=MIXED, seed=seed) for seed in (0, 1))
    assert (first != second).any(axis=(1, 2, 3)).mean() > 0.5


def test_severities_come_as_often_as_their_weights_say():
    images = photographs(count=600, side=8)
    degraded = random_degradation(images, severities=[3, 0, 0, 0, 0, 1], kinds=["gaussian_noise"])
    untouched = (degraded == images).all(axis=(1, 2, 3)).mean()
    assert 0.69 < untouched < 0.81  # 0.75, SD 0.018


def test_every_kind_comes_and_only_those_that_are_named():
    images = photographs(count=120)
    degraded = random_degradation(images, severities=[0, 0, 1, 0, 0, 0], kinds=["jpeg"])
    import torch

    batch = torch.tensor(images).permute(0, 3, 1, 2)
    by_hand = degrade(batch, "jpeg", severity=2, seed=0, rows=range(len(images)))
    np.testing.assert_array_equal(degraded, by_hand.permute(0, 2, 3, 1).numpy())
    alone = {
        kind: random_degradation(images, severities=[0, 0, 0, 0, 0, 1], kinds=[kind])
        for kind in ("jpeg", "defocus_blur")  # those without chance
    }
    mixed = random_degradation(images, severities=[0, 0, 0, 0, 0, 1])
    for kind, expected in alone.items():
        share = (mixed == expected).all(axis=(1, 2, 3)).mean()
        assert 0.05 < share < 0.32, (kind, share)  # one in six
    assert len(KINDS) == 6


def test_worse_weights_make_no_image_better():
    images = photographs(count=80, side=32)
    errors = [
        np.abs(
            random_degradation(images, severities=weights, kinds=["gaussian_noise"]).astype(int)
            - images
        ).mean(axis=(1, 2, 3))
        for weights in ([4, 2, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 2])
    ]
    assert (errors[0] <= errors[1]).all() and (errors[1] <= errors[2]).all()
    assert errors[0].mean() < errors[1].mean() < errors[2].mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"severities": [1, 1]}, "give six weights"),
        ({"severities": [0] * 6}, "one of them above 0"),
        ({"severities": [1, -1, 0, 0, 0, 0]}, "zero or more"),
        ({"severities": MIXED, "kinds": ["fog"]}, "no degradation 'fog'; known: gaussian_noise"),
        ({"severities": MIXED, "kinds": []}, "kinds names no degradation"),
        ({"severities": MIXED, "seed": -1}, "seed -1: use 0 or more"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        random_degradation(photographs(1)[0], **options)


@FEW
@given(IMAGES)
def test_a_padded_image_is_square_and_holds_the_image_unchanged(image):
    padded = pad_square(image)
    height, width = image.shape[:2]
    side = max(height, width)
    assert padded.shape == (side, side, 3)
    above, left = (side - height) // 2, (side - width) // 2
    np.testing.assert_array_equal(padded[above : above + height, left : left + width], image)


def test_what_is_added_has_the_colour_of_the_background_though_a_cell_touches_the_rim():
    image = np.full((60, 90, 3), (235, 215, 225), np.uint8)
    image[30:, 30:60] = (90, 40, 150)
    padded = pad_square(image)
    assert (padded[:15] == image[0, 0]).all() and (padded[-15:] == image[0, 0]).all()
    assert background_colour(image).tolist() == [235, 215, 225]
