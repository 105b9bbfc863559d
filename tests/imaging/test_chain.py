import hashlib
from pkgutil import resolve_name

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline.imaging.chain import build_chain, chain_code, chain_data, fitted_on
from wbc_pipeline.imaging.edges import canny_foreground
from wbc_pipeline.imaging.enhance import clahe
from wbc_pipeline.imaging.registry import STEPS, register_step
from wbc_pipeline.imaging.roi import Region, colour_region, square_region
from wbc_pipeline.imaging.stain import fit_macenko, fit_reinhard, reinhard
from wbc_pipeline.imaging.stained_reference import drawn_reference
from wbc_pipeline.imaging.steps import find_step, resize, settle

CANNY = [{"canny_mask": {"sigma": 2.0}}, {"resize": {"size": 24}}]


def cell(height=96, width=128, centre=(70, 40), radius=15):
    ground = np.full((height, width, 3), 230, np.uint8)
    return cv2.circle(ground, centre, radius, (110, 80, 190), -1)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 200))
def test_resize_gives_the_size_and_keeps_a_flat_colour(height, width, size):
    image = np.full((height, width, 3), (10, 120, 250), np.uint8)
    small = resize(image, size=size)
    assert small.shape == (size, size, 3)
    assert small.dtype == np.uint8
    assert (small == (10, 120, 250)).all()


def test_steps_run_in_order():
    by_hand = resize(clahe(cell()), size=24)
    np.testing.assert_array_equal(
        build_chain([{"clahe": {}}, {"resize": {"size": 24}}])(cell()), by_hand
    )


def test_a_chain_without_steps_leaves_the_image_as_it_is():
    np.testing.assert_array_equal(build_chain([])(cell()), cell())


def test_a_mask_blackens_what_is_outside_it():
    by_hand = resize(canny_foreground(cell(), sigma=2.0), size=24)
    np.testing.assert_array_equal(build_chain(CANNY)(cell()), by_hand)


def test_a_region_is_cut_out_before_the_image_is_scaled():
    region = square_region(colour_region(cell()), shape=cell().shape)
    by_hand = resize(cell()[region.ymin : region.ymax, region.xmin : region.xmax], size=32)
    steps = [{"colour_region": {}}, {"square_region": {}}, {"resize": {"size": 32}}]
    np.testing.assert_array_equal(build_chain(steps)(cell()), by_hand)


def test_a_frame_knows_the_box_that_was_found_and_the_part_that_is_shown():
    steps = [{"colour_region": {"padding": 0}}, {"pad_region": {"padding": 0.5}}, {"clahe": {}}]
    frame = settle(build_chain(steps).run(cell()))
    assert frame.box == Region(55, 25, 86, 56)
    assert frame.place == Region(39, 9, 102, 72)  # 16 pixels more on each side
    assert frame.image.shape == (63, 63, 3)


def test_places_of_a_region_in_a_region_add_up():
    steps = [
        {"colour_region": {"padding": 0.4}},
        {"gaussian_filter": {}},
        {"colour_region": {"padding": 0, "cytoplasm": None}},
    ]
    frame = settle(build_chain(steps).run(cell()))
    np.testing.assert_allclose(frame.box[:4], (55, 25, 86, 56), atol=2)
    assert frame.place == frame.box


def test_a_mask_has_a_box_too():
    frame = settle(build_chain([{"violet_mask_hsv": {}}]).run(cell()))
    assert frame.box == Region(55, 25, 86, 56)
    assert (frame.image[40, 70] == (110, 80, 190)).all()
    assert not frame.image[5, 5].any()


@pytest.mark.parametrize(
    "steps",
    [
        [{"violet_mask_hsv": {}}],
        [{"canny_mask": {}}],
        [{"colour_region": {}}, {"pad_region": {"padding": 0.2}}, {"square_region": {}}],
    ],
)
def test_an_image_where_nothing_is_found_stays_whole_and_is_flagged(steps):
    blank = np.full((64, 96, 3), 230, np.uint8)
    frame = settle(build_chain(steps).run(blank))
    np.testing.assert_array_equal(frame.image, blank)
    assert frame.place == Region(0, 0, 96, 64, found=False)


def test_what_is_looked_for_next_is_looked_for_in_what_was_found():
    image = cell()
    image[60:90, 5:60] = 90, 40, 150  # larger than the cell, but outside the first mask
    steps = [{"violet_mask_rgb": {"lower": [100, 70, 0], "upper": [120, 90, 255]}}]
    frame = settle(build_chain([*steps, {"colour_region": {"padding": 0}}]).run(image))
    np.testing.assert_allclose(frame.place[:4], (55, 25, 86, 56), atol=2)


def test_a_mask_found_after_a_resize_has_its_box_in_pixels_of_the_image_as_it_came():
    frame = settle(build_chain([{"resize": {"size": 64}}, {"violet_mask_hsv": {}}]).run(cell()))
    np.testing.assert_allclose(frame.box[:4], (55, 25, 86, 56), atol=2)


GUIDED = [
    CANNY,
    [{"clahe": {}}, {"violet_mask_hsv": {}}, {"largest_component": {}}, {"resize": {"size": 24}}],
    [
        {"gaussian_filter": {}},
        {"colour_region": {"padding": 0.4}},
        {"square_region": {}},
        {"clahe": {}},
        {"colour_region": {"cytoplasm": None}},
        {"pad_region": {"padding": 0.2}},
    ],
]


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(GUIDED), st.integers(20, 100), st.integers(20, 70), st.integers(0, 20))
def test_an_image_that_guides_itself_is_run_as_without_a_guide(steps, x, y, radius):
    chain, image = build_chain(steps), cell(centre=(x, y), radius=radius)
    alone, guided = chain.run(image), chain.run(image, guide=image.copy())
    for one, other in zip(alone, guided, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("steps", GUIDED)
def test_what_is_found_in_the_guide_is_cut_out_of_the_image(steps):
    clean, dark = cell(), cell() // 4  # nothing violet is bright enough to be found in the latter
    chain = build_chain(steps)
    guided, found = settle(chain.run(dark, guide=clean)), settle(chain.run(clean))
    assert (guided.box, guided.place) == (found.box, found.place)
    assert found.place.found
    assert guided.image.shape == found.image.shape
    assert guided.image.max() < found.image.max() / 2


def test_a_guided_mask_lets_the_image_through_pixel_by_pixel():
    noisy = np.random.default_rng(0).integers(0, 255, cell().shape, np.uint8)
    guided = settle(build_chain([{"violet_mask_hsv": {}}]).run(noisy, guide=cell()))
    mask = build_chain([{"violet_mask_hsv": {}}]).run(cell()).mask
    np.testing.assert_array_equal(guided.image, cv2.copyTo(noisy, mask))


def test_a_guide_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"a guide of shape .* so give both one shape"):
        build_chain(CANNY).run(cell(), guide=cell(height=90))


def test_a_chain_says_where_it_begins_and_whether_it_looks_for_something():
    assert build_chain([{"full_resolution": {}}, {"colour_region": {}}]).full_resolution
    assert not build_chain([{"clahe": {}}]).full_resolution
    assert build_chain([{"otsu_mask": {}}]).finds
    assert not build_chain([{"clahe": {}}]).finds


def test_every_step_names_a_function_and_most_work_with_their_defaults():
    with_value = {"resize", "pad_region", "square_region", "reinhard", "macenko"}
    with_value |= {"largest_component", "fill_holes"}  # these need a mask
    with_value |= {"detector_region"}  # needs a trained model
    with_value |= {"random_degradation"}  # needs to be told how bad
    for name in STEPS:
        assert callable(resolve_name(find_step(name).function))
        if name not in with_value:
            assert build_chain([{name: {}}])(cell()).dtype == np.uint8


def test_a_stain_is_normalised_to_a_reference_image_file(tmp_path):
    reference = np.random.default_rng(0).integers(100, 200, (32, 32, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "reference.png"), reference[..., ::-1])
    steps = [{"reinhard": {"reference": str(tmp_path / "reference.png")}}]
    noisy = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    np.testing.assert_array_equal(build_chain(steps)(noisy), reinhard(noisy, reference=reference))
    before = chain_data(steps)
    cv2.imwrite(str(tmp_path / "reference.png"), reference)
    assert chain_data(steps) != before
    with pytest.raises(ValueError, match=r"the reference image \S+nowhere.png cannot"):
        build_chain([{"reinhard": {"reference": str(tmp_path / "nowhere.png")}}])


@pytest.mark.parametrize("name", ["reinhard", "macenko"])
def test_a_stain_may_be_normalised_to_a_drawn_cell_which_is_no_image_of_a_set(name):
    steps = [{name: {"reference": "drawn"}}]
    noisy = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    normalised = build_chain(steps)(noisy)
    fitted = {"reinhard": fit_reinhard, "macenko": fit_macenko}[name](drawn_reference())
    np.testing.assert_array_equal(normalised, fitted(noisy))
    assert (normalised != noisy).any()
    (row,) = fitted_on(steps)
    assert row["image_id"] is None


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"rezise": {"size": 8}}], r"'rezise'\. Did you mean 'resize'\? Known: bilateral_filter"),
        ([{"resize": {"sise": 8}}], r"step 'resize' .*'sise'\. Did you mean 'size'\? Known: size"),
        ([{"canny_mask": {"simga": 1}}], r"'simga'\. Did you mean 'sigma'\?.*margin, pale"),
        ([{"resize": None}], "step 'resize' needs a value for size"),
        ([{"resize": {"size": -3}}], "step 'resize' fails with {'size': -3}"),
        ([{"canny_mask": {"channel": "gren"}}], "no grey channel 'gren'; known: .*green"),
        ([{"resize": 64}], "step 'resize' takes {parameter: value}, not 64"),
        ([{"resize": {"size": 8}, "canny_mask": {}}], "a step is written"),
        (["resize"], "a step is written"),
        ([{"reinhard": {}}], "step 'reinhard' needs a value for reference"),
        ([{"fill_holes": {}}], "changes a mask; put a step that finds one before it"),
        ([{"square_region": {}}], "changes a region; put a step that finds one before it"),
        ([{"resize": {"size": 64}}, {"colour_region": {}}], "put it before any resize"),
        ([{"clahe": {}}, {"full_resolution": {}}], "says where a chain begins; put it first"),
        ([{"full_resolution": {"size": 8}}], "has no parameters"),
    ],
)
def test_a_wrong_step_is_refused_before_any_image_and_says_why(steps, message):
    with pytest.raises(ValueError, match=message):
        build_chain(steps)


def test_the_code_of_a_chain_is_that_of_its_steps():
    code = chain_code(CANNY)
    assert {"imaging/chain.py", "imaging/edges.py"} <= code.keys()
    assert "imaging/edges.py" not in chain_code(CANNY[1:])
    assert code == chain_code([{"canny_mask": {"sigma": 9.0}}, {"resize": {"size": 99}}])


def test_a_chain_says_which_reference_image_it_was_fitted_on(tmp_path):
    reference = np.random.default_rng(0).integers(100, 200, (32, 32, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "reference.png"), reference)
    sha256 = hashlib.sha256((tmp_path / "reference.png").read_bytes()).hexdigest()
    steps = [{"macenko": {"reference": str(tmp_path / "reference.png")}}, {"resize": {"size": 8}}]
    (row,) = fitted_on(steps)
    assert (row["step"], row["sha256"], row["image_id"]) == ("macenko", sha256, None)


def test_another_package_may_register_a_step_but_not_replace_one(monkeypatch):
    monkeypatch.setitem(STEPS, "half", None)
    del STEPS["half"]
    register_step("half", "change_image", f"{__name__}:half")
    assert build_chain([{"half": {"of": 6}}])(cell()).max() == 230 // 6
    register_step("half", "change_image", f"{__name__}:half")
    with pytest.raises(ValueError, match="'clahe' is registered already"):
        register_step("clahe", "change_image", f"{__name__}:half")


def half(image, *, of=2):
    return image // of
