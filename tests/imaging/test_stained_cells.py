"""Every white cell of a field, on drawn fields and real ones."""

import warnings
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from wbc_pipeline.imaging.reading import read_image
from wbc_pipeline.imaging.stained_cells import stain_cells

GROUND, RED_CELL = (225, 222, 225), (205, 160, 150)
CYTOPLASM, NUCLEUS = (200, 190, 220), (105, 75, 175)
PLACES = [(80, 70), (240, 90), (160, 200)]


def field(nuclei=PLACES, *, radius=22, ground=GROUND):
    """Draw white cells among red ones."""
    image = np.full((260, 320, 3), ground, np.uint8)
    for x, y in [(30, 30), (150, 40), (290, 40), (40, 150), (290, 170), (60, 230), (250, 230)]:
        cv2.circle(image, (x, y), 17, RED_CELL, -1)
    for x, y in nuclei:
        cv2.circle(image, (x, y), round(1.5 * radius), CYTOPLASM, -1)
        cv2.circle(image, (x, y), radius, NUCLEUS, -1)
    noise = np.random.default_rng(0).normal(0, 2, image.shape)
    return (image + noise).clip(0, 255).astype(np.uint8)


def middles(cells):
    return sorted(
        ((cell.region.xmin + cell.region.xmax) / 2, (cell.region.ymin + cell.region.ymax) / 2)
        for cell in cells
    )


def test_every_cell_of_a_field_is_found_with_its_mask():
    cells = stain_cells(field())
    np.testing.assert_allclose(middles(cells), sorted(PLACES), atol=6)
    for cell in cells:
        left, top, right, bottom, _ = cell.region
        assert cell.mask.shape == (bottom - top, right - left)
        assert 0.5 < (cell.mask > 0).mean() < 0.95


def test_a_platelet_is_no_cell():
    image = field(PLACES[:1])
    cv2.circle(image, (240, 120), 6, NUCLEUS, -1)
    assert len(stain_cells(image)) == 1


def test_the_lobes_of_a_nucleus_are_one_cell():
    image = field([])
    cv2.circle(image, (160, 130), 42, CYTOPLASM, -1)
    for x, y in [(142, 120), (178, 120), (160, 151)]:
        cv2.circle(image, (x, y), 15, NUCLEUS, -1)
    assert len(stain_cells(image)) == 1


def test_black_at_the_edges_is_no_cell():
    turn = cv2.getRotationMatrix2D((160, 130), 12, 1)
    image = cv2.warpAffine(field(PLACES[1:2]), turn, (320, 260))
    assert len(stain_cells(image)) == 1


@pytest.mark.parametrize("ground", [GROUND, (0, 0, 0), (255, 255, 255)])
def test_without_a_white_cell_nothing_is_found(ground):
    assert stain_cells(np.full((90, 120, 3), ground, np.uint8)) == []


def test_noise_of_a_few_pixels_is_no_cell_and_no_error():
    random = np.random.default_rng(0)
    sizes = random.integers(1, 8, (200, 2))
    images = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of nothing
        for image in images:
            for cell in stain_cells(image):
                assert cell.mask.any()


def test_a_share_out_of_range_is_an_error():
    with pytest.raises(ValueError, match="least is a share"):
        stain_cells(field(), least=2)


def test_annotated_cells_of_real_photographs_are_found_and_little_else(real_data):
    home = real_data / "blood-cells/dataset-master/dataset-master"
    true = found = right = 0
    for file in sorted((home / "Annotations").glob("*.xml"))[::24]:
        boxes = [
            [int(each.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
            for each in ElementTree.parse(file).getroot().iter("object")
            if each.findtext("name") == "WBC"
        ]
        places = middles(stain_cells(read_image(home / f"JPEGImages/{file.stem}.jpg").pixels))
        true, found = true + len(boxes), found + len(places)
        right += sum(
            any(left < x < right_ and top < y < bottom for x, y in places)
            for left, top, right_, bottom in boxes
        )
    assert right >= 0.9 * true and right >= 0.9 * found


def test_cells_are_found_where_red_cells_are_as_blue_as_nuclei(real_data):
    files = sorted((real_data / "LISC/Main Dataset").rglob("*.jpg"))[::24]
    counts = [len(stain_cells(read_image(file).pixels)) for file in files]
    assert np.mean(np.array(counts) >= 1) >= 0.9 and max(counts) <= 3
