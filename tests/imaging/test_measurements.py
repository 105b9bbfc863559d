import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.color import rgb2hed

from wbc_pipeline.imaging.measurements import (
    MEASUREMENTS,
    black_border,
    measure_files,
    measure_image,
)
from wbc_pipeline.imaging.reading import MAX_PIXELS, UnreadableImageError, read_image

SIDES = st.integers(1, 40)
IMAGES = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, (*size, 3)))


def edge(sigma, low=80, high=180):
    """A vertical edge, blurred by a Gaussian."""
    image = np.full((200, 200, 3), low, np.float32)
    image[:, 100:] = high
    return cv2.GaussianBlur(image, (0, 0), sigma).round().astype(np.uint8)


def photograph(real_data):
    folder = real_data / "blood-cells/dataset-master/dataset-master/JPEGImages"
    return read_image(folder / "BloodImage_00000.jpg").pixels


def recompressed(pixels):
    return cv2.imdecode(cv2.imencode(".jpg", pixels)[1], cv2.IMREAD_COLOR)


@settings(max_examples=50, deadline=None)
@given(IMAGES)
def test_any_image_has_every_measurement_in_its_range_and_no_warning(image):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured = measure_image(image)
    assert measured.keys() == MEASUREMENTS.keys()
    values = np.array(list(measured.values()))
    assert np.all(np.isnan(values) | ((values >= 0) & (values <= 255)))
    assert 0 <= measured["black_border"] <= 1


def test_nothing_but_its_border_is_said_of_a_black_image():
    measured = measure_image(np.zeros((50, 60, 3), np.uint8))
    assert measured.pop("black_border") == 1
    assert np.isnan(list(measured.values())).all()


def test_a_flat_image_has_no_sharpness():
    assert np.isnan(measure_image(np.full((30, 30, 3), 90, np.uint8))["sharpness"])


def test_a_black_spot_is_border_only_if_it_reaches_the_edge():
    image = np.full((40, 40, 3), 200, np.uint8)
    image[10:20, 10:20] = 0
    image[30:, 30:] = 0
    border = black_border(image)
    assert border[30:, 30:].all()
    assert np.count_nonzero(border) == 100


def test_black_corners_after_jpeg_change_no_other_measurement(real_data):
    whole = photograph(real_data)
    cornered = whole.copy()
    for corner in ([(0, 0), (90, 0), (0, 60)], [(639, 479), (560, 479), (639, 400)]):
        cv2.fillPoly(cornered, [np.array(corner)], (0, 0, 0))
    before, after = measure_image(recompressed(whole)), measure_image(recompressed(cornered))
    assert after.pop("black_border") == pytest.approx(0.019, abs=0.001)
    del before["black_border"]
    assert after == pytest.approx(before, rel=0.04)


def test_the_sharpness_of_a_blurred_edge_tells_its_width():
    for sigma in (1, 3, 5):
        sharpness = measure_image(edge(sigma))["sharpness"]
        assert sharpness == pytest.approx(1 / (2 * (sigma**2 + 1.5**2)), rel=0.05)


def test_sharpness_depends_neither_on_contrast_nor_on_brightness(real_data):
    pixels = photograph(real_data).astype(float)
    sharp = [
        measure_image((gain * pixels + offset).round().astype(np.uint8))["sharpness"]
        for gain, offset in ((1, 0), (0.7, 0), (0.7, 70))
    ]
    assert sharp == pytest.approx([sharp[0]] * 3, rel=0.02)


def test_blurred_photographs_are_less_sharp(real_data):
    pixels = photograph(real_data)
    blurred = [cv2.GaussianBlur(pixels, (0, 0), sigma) for sigma in (1, 2, 4)]
    sharp = [measure_image(image)["sharpness"] for image in (pixels, *blurred)]
    assert sharp == sorted(sharp, reverse=True)
    assert sharp[0] > 3 * sharp[-1]


def test_stain_densities_are_those_of_scikit_image(real_data):
    pixels = photograph(real_data)
    expected = 6 * rgb2hed(pixels)[..., :2].clip(0).mean(axis=(0, 1))
    measured = measure_image(pixels)
    assert [measured["haematoxylin"], measured["eosin"]] == pytest.approx(expected, rel=1e-3)


def test_the_background_colour_is_found_between_cells():
    image = np.full((100, 100, 3), (240, 230, 215), np.uint8)
    cv2.circle(image, (30, 30), 25, (200, 160, 160), -1)
    cv2.circle(image, (65, 65), 30, (90, 40, 150), -1)
    measured = measure_image(image)
    assert [measured[f"background_{name}"] for name in ("red", "green", "blue")] == [240, 230, 215]


def test_files_are_measured_in_order_by_any_number_of_threads(tmp_path):
    paths = [tmp_path / f"{level}.png" for level in range(250, 150, -1)]
    for path in paths:
        cv2.imwrite(str(path), np.full((20, 30, 3), int(path.stem), np.uint8))
    tables = [measure_files(paths, max_pixels=MAX_PIXELS, workers=n) for n in (1, 3)]
    assert tables[0].equals(tables[1])
    assert list(tables[0]) == list(MEASUREMENTS)
    assert tables[0]["background_red"].tolist() == list(range(250, 150, -1))


def test_no_files_give_an_empty_table_with_all_columns():
    table = measure_files([], max_pixels=MAX_PIXELS)
    assert table.empty
    assert list(table) == list(MEASUREMENTS)


def test_a_file_that_cannot_be_measured_is_named(tmp_path):
    (tmp_path / "cell.png").write_text("no image")
    with pytest.raises(UnreadableImageError, match=r"cell\.png cannot be measured: not an image"):
        measure_files([tmp_path / "cell.png"], max_pixels=MAX_PIXELS)


def test_the_background_colour_tells_the_laboratories_of_leukemia5(real_data):
    home = real_data / "blood-cell-images-for-cancer-detection"
    yellow = {}
    for name in ("basophil", "erythroblast", "monocyte", "myeloblast", "seg_neutrophil"):
        paths = sorted((home / name).iterdir())[::50]
        measured = measure_files(paths, max_pixels=MAX_PIXELS)
        yellow[name] = (measured["background_red"] - measured["background_blue"]).median()
    assert min(yellow["basophil"], yellow["erythroblast"], yellow["monocyte"]) > 40
    assert max(yellow["myeloblast"], yellow["seg_neutrophil"]) < 15
