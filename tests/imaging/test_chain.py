import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wbc_pipeline import keys
from wbc_pipeline.imaging import chain as module
from wbc_pipeline.imaging.chain import apply_chain, build_chain, chain_digest, resize

STEPS = [{"canny_foreground": {"sigma": 2.0}}, {"resize": {"size": 24}}]


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (150, 40, 40, 3), np.uint8)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 200))
def test_resize_gives_the_size_and_keeps_a_flat_colour(height, width, size):
    image = np.full((height, width, 3), (10, 120, 250), np.uint8)
    small = resize(image, size=size)
    assert small.shape == (size, size, 3)
    assert small.dtype == np.uint8
    assert (small == (10, 120, 250)).all()


def test_steps_run_in_order(images):
    by_hand = resize(module.canny_foreground(images[0], sigma=2.0), size=24)
    np.testing.assert_array_equal(build_chain(STEPS)(images[0]), by_hand)


def test_a_chain_without_steps_leaves_the_image_as_it_is(images):
    np.testing.assert_array_equal(build_chain([])(images[0]), images[0])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"rezise": {"size": 8}}, r"'rezise'; did you mean 'resize'\? Known: canny_foreground, re"),
        ({"resize": {"sise": 8}}, r"step 'resize' .*'sise'; did you mean 'size'\? Known: size"),
        ({"canny_foreground": {"simga": 1}}, r"'simga'; did you mean 'sigma'\?.*margin, pale"),
        ({"resize": None}, "step 'resize' needs a value for size"),
        ({"resize": {"size": -3}}, "step 'resize' fails with {'size': -3}"),
        ({"canny_foreground": {"channel": "gren"}}, "no grey channel 'gren'; known: .*green"),
        ({"resize": 64}, "step 'resize' takes {parameter: value}, not 64"),
        ({"resize": {"size": 8}, "canny_foreground": {}}, "a step is written"),
        ("resize", "a step is written"),
    ],
)
def test_a_wrong_step_is_refused_before_any_image_and_says_why(step, message):
    with pytest.raises(ValueError, match=message):
        build_chain([step])


def test_the_digest_changes_with_the_code_of_a_step(monkeypatch):
    before = chain_digest(STEPS)
    source = keys.inspect.getsource
    monkeypatch.setattr(keys.inspect, "getsource", lambda item: source(item) + "# changed")
    assert chain_digest(STEPS) != before


@pytest.mark.parametrize("workers", [1, 3])
def test_a_view_of_a_memory_map_equals_the_chain_image_by_image(tmp_path, images, workers):
    np.save(tmp_path / "images.npy", images)
    packed = np.load(tmp_path / "images.npy", mmap_mode="r")
    chain = build_chain(STEPS)
    path = apply_chain(chain, packed, tmp_path / "new" / "view.npy", workers=workers)
    view = np.load(path, mmap_mode="r")
    assert view.dtype == np.uint8
    np.testing.assert_array_equal(view, np.stack([chain(image) for image in images]))


def test_an_interrupted_view_leaves_the_old_one_and_nothing_half_written(tmp_path, images):
    target = tmp_path / "view.npy"
    target.write_bytes(b"old")

    def fails_late(image):
        if (image == images[-1]).all():
            raise KeyboardInterrupt
        return image

    with pytest.raises(KeyboardInterrupt):
        apply_chain(fails_late, images, target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_results_of_different_shapes_are_refused(tmp_path, images):
    def grows(image):
        return image[: 10 + int((image == images[7]).all())]

    with pytest.raises(ValueError, match=r"image 7 became .* end the view with a resize step"):
        apply_chain(grows, images, tmp_path / "view.npy")


def test_no_images_are_refused(tmp_path, images):
    with pytest.raises(ValueError, match="no images"):
        apply_chain(build_chain(STEPS), images[:0], tmp_path / "view.npy")
