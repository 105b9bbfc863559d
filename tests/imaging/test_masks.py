import cv2
import numpy as np
import pytest

from wbc_pipeline.imaging.masks import label_mask, read_labelled_mask, region_mask, resize_mask
from wbc_pipeline.imaging.reading import UnreadableImageError


def test_grey_levels_become_the_part_whose_level_is_nearest():
    mask = np.uint8([[0, 3, 63], [100, 128, 190], [200, 254, 255]])
    assert label_mask(mask, (0, 128, 255)).tolist() == [[0] * 3, [1] * 3, [2] * 3]
    coloured = np.uint8([[255, 29, 179]])  # as grey: white ground, blue cytoplasm, cyan nucleus
    assert label_mask(coloured, [255, 29, 179]).tolist() == [[0, 1, 2]]


def test_two_levels_are_a_cell_whose_parts_are_not_known():
    assert label_mask(np.uint8([[0, 100, 200]]), (0, 255)).tolist() == [[0, 0, 3]]


def test_regions_are_known_pixels_alone():
    mask = np.uint8([[0, 1, 2, 3, 255]])
    assert region_mask(mask, "nucleus").tolist() == [[0, 0, 255, 0, 0]]
    assert region_mask(mask, "cell").tolist() == [[0, 255, 255, 255, 0]]


@pytest.mark.parametrize("side", [8, 20, 50])
def test_scaling_mixes_no_parts_and_keeps_symmetry(side):
    mask = cv2.circle(np.zeros((32, 32), np.uint8), (15, 15), 12, 3, -1)
    mask = cv2.circle(mask, (15, 15), 5, 2, -1)[:31, :31]
    scaled = resize_mask(mask, (side, side))
    assert set(np.unique(scaled)) == {0, 2, 3}
    np.testing.assert_array_equal(scaled, scaled[::-1, ::-1])


def test_a_mask_file_must_fit_its_image(tmp_path):
    path = tmp_path / "mask.png"
    cv2.imwrite(str(path), np.full((20, 30), 255, np.uint8))
    assert (read_labelled_mask(path, (20, 30, 3), max_pixels=1000) == 2).all()
    with pytest.raises(UnreadableImageError, match="another size than its image: 30 x 20 against"):
        read_labelled_mask(path, (20, 31), max_pixels=1000)
