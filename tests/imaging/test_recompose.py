import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wbc_pipeline.imaging.composites import composite_sheet, write_composites
from wbc_pipeline.imaging.recompose import recompose
from wbc_pipeline.imaging.recompose_options import RecomposeOptions
from wbc_pipeline.imaging.red_cells import draw_red_cells
from wbc_pipeline.sources.smears import render_cell

UNKNOWN, WHOLE, NUCLEUS = 255, 3, 2
INGREDIENTS = sorted(RecomposeOptions.model_fields)
NOTHING = RecomposeOptions(**dict.fromkeys(INGREDIENTS, 0))
EVERYTHING = RecomposeOptions(**dict.fromkeys(INGREDIENTS, 1))
OF_THE_CELL = {"recolour", "tint", "grain", "granules", "vacuoles"}
BEHIND = {"fade", "red_cells", "debris"}
SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))
PAIRS = SIDES.flatmap(
    lambda shape: st.tuples(
        arrays(np.uint8, (*shape, 3)),
        arrays(np.uint8, shape, elements=st.sampled_from([0, 1, NUCLEUS, WHOLE, UNKNOWN])),
    )
)


@pytest.fixture(scope="module")
def cell():
    return render_cell("seg_neutrophil", seed=1, image_size=96, domain="giemsa/laboratory_a")


def alone(name):
    return NOTHING.model_copy(update={name: 1.0})


def changed(cell, name, mask=None, seed=3):
    """Where an ingredient by itself changes a rendered cell."""
    mask = cell.mask if mask is None else mask
    composite = recompose(cell.image, mask, np.random.default_rng(seed), alone(name))
    return np.abs(composite.astype(int) - cell.image).max(axis=-1) > 3


@settings(max_examples=60, deadline=None)
@given(PAIRS, st.sampled_from([RecomposeOptions(), EVERYTHING, NOTHING]), st.integers(0, 99))
def test_a_composite_is_an_image_of_that_shape_and_changes_neither_input(pair, options, seed):
    image, mask = pair
    before = image.copy(), mask.copy()
    composite = recompose(image, mask, np.random.default_rng(seed), options)
    assert composite.dtype == np.uint8
    assert composite.shape == image.shape
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


@settings(max_examples=25, deadline=None)
@given(PAIRS)
def test_without_any_ingredient_the_image_stays_as_it_is(pair):
    image, mask = pair
    composite = recompose(image, mask, np.random.default_rng(0), NOTHING)
    np.testing.assert_allclose(composite.astype(int), image, atol=1)


def test_the_same_draws_give_the_same_bytes_and_others_give_others(cell):
    one, again, other = (
        recompose(cell.image, cell.mask, np.random.default_rng(seed), EVERYTHING)
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.5


@pytest.mark.parametrize("name", INGREDIENTS)
def test_each_ingredient_changes_the_image_by_itself(cell, name):
    assert any(changed(cell, name, seed=seed).any() for seed in range(5))


@pytest.mark.parametrize("name", sorted(OF_THE_CELL | BEHIND))
def test_what_is_drawn_stays_on_its_side_of_the_rim(cell, name):
    import cv2

    inside = cv2.erode((cell.mask > 0).astype(np.uint8), np.ones((9, 9))) > 0
    outside = cv2.dilate((cell.mask > 0).astype(np.uint8), np.ones((9, 9))) == 0
    kept = outside if name in OF_THE_CELL else inside
    assert not any(changed(cell, name, seed=seed)[kept].any() for seed in range(5))


def test_nucleus_and_cytoplasm_take_a_stain_each_in_its_own_way(cell):
    composite = recompose(cell.image, cell.mask, np.random.default_rng(3), alone("recolour"))
    ratios = [
        np.log((composite[cell.mask == part] + 4.0) / (cell.image[cell.mask == part] + 4.0)).mean(0)
        for part in (1, NUCLEUS)
    ]
    assert np.abs(ratios[0] - ratios[1]).max() > 0.05


def test_a_cell_whose_parts_are_not_known_takes_one_stain(cell):
    whole = np.where(cell.mask > 0, WHOLE, 0).astype(np.uint8)
    assert changed(cell, "recolour", whole)[cell.mask > 0].any()
    assert not changed(cell, "tint", whole).any()  # that of a cytoplasm, which is not known
    assert changed(cell, "red_cells", whole)[cell.mask == 0].any()


def test_nothing_is_drawn_on_an_image_without_a_mask(cell):
    unknown = np.full_like(cell.mask, UNKNOWN)
    for name in BEHIND:
        assert not changed(cell, name, unknown).any(), name
    assert changed(cell, "recolour", unknown).any()
    assert changed(cell, "ground", unknown).any()


def test_red_cells_are_drawn_on_an_image_without_a_cell(cell):
    assert changed(cell, "red_cells", np.zeros_like(cell.mask)).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(2, 60))
def test_red_cells_are_a_layer_of_finite_thickness_with_gaps_for_the_ground(seed, diameter):
    layer = draw_red_cells((48, 64), diameter=diameter, rng=np.random.default_rng(seed))
    assert layer.shape == (48, 64)
    assert layer.dtype == np.float32
    assert 0 <= layer.min() <= layer.max() < 3


def test_an_unknown_ingredient_and_a_chance_above_one_are_refused():
    with pytest.raises(ValueError, match="platelets"):
        RecomposeOptions(platelets=0.5)
    with pytest.raises(ValueError, match="less than or equal to 1"):
        RecomposeOptions(red_cells=1.5)


def test_composites_stand_behind_their_images_whatever_the_number_of_threads(cell, tmp_path):
    images, masks = np.stack([cell.image] * 3), np.stack([cell.mask] * 3)
    arguments = {"count": 2, "options": RecomposeOptions(), "progress": False}
    for workers in (1, 3):
        target = tmp_path / f"{workers}.npy"
        write_composites(images, masks, target, seed=4, workers=workers, **arguments)
    written, again = (np.load(tmp_path / f"{workers}.npy") for workers in (1, 3))
    np.testing.assert_array_equal(written, again)
    assert written.shape == (9, 96, 96, 3)
    np.testing.assert_array_equal(written[:3], images)
    for one in range(9):
        for other in range(max(one + 1, 3), 9):
            assert (written[one] != written[other]).any()
    assert composite_sheet(written, count=2).shape == (3 * 96, 3 * 96, 3)
    write_composites(images, masks, tmp_path / "other.npy", seed=5, **arguments)
    assert (np.load(tmp_path / "other.npy")[3:] != written[3:]).any()


def test_a_set_without_masks_has_composites_too(cell, tmp_path):
    write_composites(
        cell.image[None], None, tmp_path / "a.npy", count=1, options=EVERYTHING, seed=0
    )
    assert np.load(tmp_path / "a.npy").shape == (2, 96, 96, 3)
