import cv2
import numpy as np
import pytest

from wbc_pipeline.imaging.masks import CYTOPLASM, UNKNOWN
from wbc_pipeline.imaging.recompose_options import RecomposeOptions
from wbc_pipeline.imaging.scenes import draw_field, draw_scene

PLAIN = RecomposeOptions(**dict.fromkeys(RecomposeOptions.model_fields, 0.0))
KNOWN = {"size": 96, "fill": (0.1, 0.9), "squeeze": 0.2, "options": PLAIN}
BOX = np.array([[50, 30, 90, 80]], float)


def cell(box=BOX[0], shape=(120, 160)):
    """A violet ellipse that fills its box, and its mask."""
    xmin, ymin, xmax, ymax = box
    ellipse = ((xmin + xmax - 1) / 2, (ymin + ymax - 1) / 2), (xmax - xmin - 1, ymax - ymin - 1), 0
    image, mask = np.full((*shape, 3), 230, np.uint8), np.zeros(shape, np.uint8)
    cv2.ellipse(image, ellipse, (90, 40, 150), -1)
    cv2.ellipse(mask, ellipse, CYTOPLASM, -1)
    return image, mask


def seen(image):
    """The box around what is dark."""
    x, y, width, height = cv2.boundingRect(cv2.inRange(image[..., 1], 0, 140))
    return np.array([x, y, x + width, y + height])


@pytest.mark.parametrize("known", [True, False])
def test_the_box_stays_around_the_cell(known):
    image, mask = cell()
    mask = mask if known else np.full_like(mask, UNKNOWN)
    for seed in range(20):
        scene = draw_scene(image, mask, BOX, np.random.default_rng(seed), **KNOWN)
        assert scene.image.shape == (96, 96, 3)
        np.testing.assert_allclose(scene.boxes[0], seen(scene.image), atol=2.5)


def test_the_cell_takes_any_share_of_the_frame_between_the_two():
    image, mask = cell()
    drawn = [
        draw_scene(image, mask, BOX, np.random.default_rng(seed), **KNOWN) for seed in range(100)
    ]
    shares = [(scene.boxes[0, 2:] - scene.boxes[0, :2]).max() / 96 for scene in drawn]
    assert 0.08 < min(shares) < 0.15
    assert 0.75 < max(shares) < 1


def test_a_cell_that_its_image_cuts_is_cut_by_the_frame():
    box = np.array([[0, 30, 40, 80]], float)
    image, mask = cell(np.array([-20.0, 30, 40, 80]))
    for seed in range(10):
        scene = draw_scene(image, mask, box, np.random.default_rng(seed), **KNOWN)
        assert scene.boxes[0, 0] == 0


def test_another_cell_out_of_the_frame_has_no_box():
    image, mask = cell()
    two = np.vstack([BOX, [[1, 1, 20, 20]]])
    counts = {
        len(draw_scene(image, mask, two, np.random.default_rng(seed), **KNOWN).boxes)
        for seed in range(20)
    }
    assert counts == {1, 2}


def test_the_same_seed_draws_the_same_scene_and_another_another():
    image, mask = cell()
    known = KNOWN | {"options": RecomposeOptions()}
    one, same, other = (
        draw_scene(image, mask, BOX, np.random.default_rng(seed), **known) for seed in (1, 1, 2)
    )
    assert np.array_equal(one.image, same.image)
    assert not np.array_equal(one.image, other.image)


def test_a_field_holds_the_cell_small_with_its_box_and_mask():
    image, mask = cell()
    for seed in range(5):
        rng = np.random.default_rng(seed)
        field, boxes, around = draw_field(
            image, 255 * mask, BOX, rng, size=(320, 200), cell=(0.2, 0.4)
        )
        assert field.shape == (200, 320, 3)
        assert 0.19 < (boxes[0, 2:] - boxes[0, :2]).max() / 200 < 0.41
        np.testing.assert_allclose(boxes[0], seen(field), atol=3)
        x, y, width, height = cv2.boundingRect(around)
        np.testing.assert_allclose(boxes[0], [x, y, x + width, y + height], atol=2)
