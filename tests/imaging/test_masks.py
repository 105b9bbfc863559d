import hashlib
import io
import json

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wbc_pipeline.imaging.mask_files import read_mask_file
from wbc_pipeline.imaging.mask_levels import find_clue, levels_from_clues
from wbc_pipeline.imaging.masks import read_labelled_mask, region_mask, resize_mask
from wbc_pipeline.imaging.orientation import turn_upright
from wbc_pipeline.imaging.refusals import UnreadableImageError
from wbc_pipeline.sources.listing import list_source

CELL, NUCLEUS = (slice(4, 20), slice(4, 24)), (slice(8, 14), slice(9, 17))
PARTS = np.zeros((24, 32), np.uint8)  # background, cytoplasm, nucleus
PARTS[CELL], PARTS[NUCLEUS] = 1, 2
WHOLE = np.where(PARTS > 0, 3, 0)  # the same cell, parts not known
COLOURS = np.uint8([(255, 255, 255), (0, 0, 255), (0, 255, 255)])  # white, blue, cyan


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        file, kind, **options
    )
    return file.getvalue()


def coded(*values, dtype=np.uint8):
    return np.array(values, dtype)[PARTS]


def palette(indices, *colours):
    image = Image.fromarray(indices, "P")
    image.putpalette([number for colour in colours for number in colour])
    return image


def in_alpha(values, bands="RGBA"):
    image = Image.new(bands, (32, 24), "black")
    image.putalpha(Image.fromarray(values))
    return image


def tiff(values):
    file = io.BytesIO()
    tifffile.imwrite(file, values)
    return file.getvalue()


def read(tmp_path, data, levels=None, shape=(24, 32), **options):
    (tmp_path / "mask").write_bytes(data)
    levels = levels if levels is None else json.dumps(levels)
    return read_labelled_mask(tmp_path / "mask", shape, levels=levels, max_pixels=10**6, **options)


RECOGNISED = {
    "0/1": (saved(coded(0, 1, 1)), WHOLE),
    "0/1 of 16 bits": (saved(coded(0, 1, 1, dtype=np.uint16)), WHOLE),
    "0/1 in a 16-bit tiff": (tiff(coded(0, 1, 1, dtype=np.uint16)), WHOLE),
    "one bit": (saved(Image.fromarray(coded(0, 255, 255)).convert("1")), WHOLE),
    "0/255": (saved(coded(0, 255, 255)), WHOLE),
    "0/255 bmp": (saved(coded(0, 255, 255), "BMP"), WHOLE),
    "0/255 as rgb": (saved(Image.fromarray(coded(0, 255, 255)).convert("RGB")), WHOLE),
    "0/1/2": (saved(coded(0, 1, 2)), PARTS),
    "0/1/2 of 16 bits": (saved(coded(0, 1, 2, dtype=np.uint16)), PARTS),
    "0/1/2 in 16-bit rgb": (
        cv2.imencode(".png", np.dstack([coded(0, 1, 2, dtype=np.uint16)] * 3))[1].tobytes(),
        PARTS,
    ),
    "0/1/2 in the alpha of rgba": (saved(in_alpha(coded(0, 1, 2))), PARTS),
    "0/1 in the alpha of grey": (saved(in_alpha(coded(0, 1, 1), "LA")), WHOLE),
    "0/128/255": (saved(coded(0, 128, 255)), PARTS),
    "0/128/255 tiff": (saved(coded(0, 128, 255), "TIFF"), PARTS),
    "palette of greys": (saved(palette(PARTS, (0,) * 3, (128,) * 3, (255,) * 3)), PARTS),
    "palette of black and white": (saved(palette(PARTS % 2, (255,) * 3, (0,) * 3)), None),
    "palette of colours": (saved(palette(PARTS, (0, 0, 0), (128, 0, 0), (0, 128, 0))), PARTS),
    "nothing": (saved(coded(0, 0, 0)), np.zeros_like(PARTS)),
}


@pytest.mark.parametrize("kind", RECOGNISED)
def test_the_coding_of_a_mask_is_recognised(kind, tmp_path):
    data, expected = RECOGNISED[kind]
    if expected is None:  # black is background, whatever its index
        expected = np.where(PARTS % 2, 0, 3)
    assert np.array_equal(read(tmp_path, data).parts, expected)


GIVEN = {
    "any greys": (
        saved(coded(9, 7, 200)),
        {"background": 9, "cytoplasm": 7, "nucleus": 200},
        PARTS,
    ),
    "16-bit ids": (
        saved(coded(0, 300, 65535, dtype=np.uint16)),
        {"background": 0, "cytoplasm": 300, "nucleus": 65535},
        PARTS,
    ),
    "16-bit ids of cells": (
        saved(coded(0, 1001, 1002, dtype=np.uint16)),
        {"background": 0, "cell": "rest"},
        WHOLE,
    ),
    "ids in a tiff": (
        tiff(coded(0, 1001, 1002, dtype=np.uint16)),
        {"background": 0, "cell": [1001, 1002]},
        WHOLE,
    ),
    "colours": (
        saved(COLOURS[PARTS]),
        {"background": "#ffffff", "cytoplasm": "#0000ff", "nucleus": "#00ffff"},
        PARTS,
    ),
    "colours of a palette": (
        saved(palette(2 - PARTS, *COLOURS[::-1].tolist())),
        {"background": "#ffffff", "cytoplasm": "#0000ff", "nucleus": "#00ffff"},
        PARTS,
    ),
    "indices of a palette": (
        saved(palette(PARTS, (68, 1, 84), (33, 145, 140), (253, 231, 37))),
        {"background": 0, "cytoplasm": 1, "nucleus": 2},
        PARTS,
    ),
    "the rest of a palette": (
        saved(palette(PARTS, (68, 1, 84), (33, 145, 140), (253, 231, 37))),
        {"background": 0, "cell": "rest"},
        WHOLE,
    ),
    "neighbours of levels": (
        saved(coded(3, 100, 254)),
        {"background": 0, "cytoplasm": 128, "nucleus": 255, "nearest": True},
        PARTS,
    ),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_levels_say_what_the_values_are(kind, tmp_path):
    data, levels, expected = GIVEN[kind]
    assert np.array_equal(read(tmp_path, data, levels).parts, expected)


UNKNOWN = {
    "values": (saved(coded(0, 3, 7)), None, "not recognised: 0, 3, 7; say with `mask_levels`"),
    "colours": (saved(COLOURS[PARTS]), None, "not recognised: 255, #0000ff, #00ffff; say"),
    "a palette without black": (
        saved(palette(PARTS, (68, 1, 84), (33, 145, 140), (253, 231, 37))),
        None,
        "not recognised: 0, 1, 2; say",
    ),
    "many ids": (saved(np.arange(768, dtype=np.uint16).reshape(24, 32)), None, "7 and 760 more;"),
    "other than told": (saved(coded(0, 3, 7)), {"background": 0, "cell": 3}, "in the mask: 7; say"),
    "a soft png": (saved(coded(0, 254, 255)), {"background": 0, "cell": 255}, "in the mask: 254;"),
    "a third level in a jpeg": (saved(coded(0, 128, 255), "JPEG", quality=90), None, "recognised"),
    "an untold level in a jpeg": (
        saved(coded(0, 128, 255), "JPEG", quality=90),
        {"background": 0, "cell": 255},
        "unknown values in the mask: about 12[0-9]; say",
    ),
    "a jpeg of 0/1": (saved(coded(0, 5, 5), "JPEG", quality=90), None, "not recognised"),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_unknown_values_are_refused_and_listed(kind, tmp_path):
    data, levels, reason = UNKNOWN[kind]
    with pytest.raises(UnreadableImageError, match=f"mask unreadable: .*{reason}"):
        read(tmp_path, data, levels)


def cell(shape=(96, 128)):
    """A round cell with a round nucleus inside, some of whose edge is the cell's."""
    parts = np.zeros(shape, np.uint8)
    cv2.circle(parts, (60, 50), 34, 1, -1)
    return cv2.circle(parts, (74, 50), 20, 2, -1)


@pytest.mark.parametrize("quality", [40, 75, 95])
def test_soft_edges_of_a_jpeg_are_cut_at_the_middle_and_said(quality, tmp_path):
    drawn = np.where(cell() > 0, 255, 0).astype(np.uint8)
    mask = read(tmp_path, saved(drawn, "JPEG", quality=quality), shape=drawn.shape)
    assert set(np.unique(mask.parts)) == {0, 3}
    assert ((mask.parts > 0) == (drawn > 0)).mean() > 0.998
    assert mask.warning.startswith("soft edges of a JPEG mask cut at the middle: ")


@pytest.mark.parametrize("quality", [40, 75, 92])
@pytest.mark.parametrize("between", [40, 80, 89, 166, 215])
def test_a_flat_level_near_another_is_not_swallowed_in_a_jpeg(between, quality, tmp_path):
    data = saved(np.uint8([0, between, 255])[cell()], "JPEG", quality=quality)
    with pytest.raises(UnreadableImageError, match="not recognised"):
        read(tmp_path, data, shape=(96, 128))
    with pytest.raises(UnreadableImageError, match="unknown values in the mask: about"):
        read(tmp_path, data, {"background": 0, "cell": 255}, shape=(96, 128))


@pytest.mark.parametrize("quality", [40, 75, 95])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_soft_edges_of_a_jpeg_are_no_third_class(mode, quality, tmp_path):
    parts = cell()
    image = Image.fromarray(np.uint8([0, 128, 255])[parts]).convert(mode)
    levels = {"background": 0, "cytoplasm": 128, "nucleus": 255}
    mask = read(tmp_path, saved(image, "JPEG", quality=quality), levels, shape=parts.shape)
    assert (mask.parts == parts).mean() > 0.99
    far_right = mask.parts[46:54, 90:]  # nucleus meets background there, with no cytoplasm between
    assert 1 not in far_right
    assert mask.warning.startswith("soft edges of a JPEG mask cut at the middle: ")


def test_the_rest_of_a_jpeg_would_be_its_soft_edges(tmp_path):
    data = saved(np.where(cell() > 0, 255, 0).astype(np.uint8), "JPEG", quality=60)
    levels = {"background": 0, "cell": "rest"}
    with pytest.raises(UnreadableImageError, match="soft edges of a JPEG mask: `rest`"):
        read(tmp_path, data, levels, shape=(96, 128))


def test_an_empty_mask_is_said(tmp_path):
    assert read(tmp_path, saved(coded(0, 0, 0))).warning == "mask empty: no pixel of a cell"


def test_a_palette_that_is_read_by_its_indices_is_said(tmp_path):
    listed = saved(palette(PARTS, (0, 0, 0), (128, 0, 0), (0, 128, 0)))
    (tmp_path / "mask").write_bytes(listed)
    mask = read_mask_file(tmp_path / "mask", max_pixels=10**6)
    [(levels, warning)] = levels_from_clues([find_clue(mask)])
    assert json.loads(levels) == {"background": 0, "cytoplasm": 1, "nucleus": 2}
    assert warning.startswith("mask read by the indices of its palette")


LACKING = {
    "0/255": (coded(0, 128, 255), coded(0, 255, 255), "255 taken as nucleus"),
    "0/1": (coded(0, 1, 2), coded(0, 1, 1), "1 taken as cytoplasm"),
}


@pytest.mark.parametrize("kind", LACKING)
def test_a_mask_that_is_taken_as_the_others_of_its_set_is_said(kind, tmp_path):
    *masks, doubt = LACKING[kind]
    clues = []
    for values in (*masks, np.zeros_like(PARTS)):
        (tmp_path / "mask").write_bytes(saved(values))
        clues.append(find_clue(read_mask_file(tmp_path / "mask", max_pixels=10**6)))
    warnings = [warning for _, warning in levels_from_clues(clues)]
    said = f"mask lacks a part: {doubt}, as other masks of the set have nucleus and cytoplasm"
    assert warnings == [None, said, None]
    assert levels_from_clues(clues[1:])[0][1] is None


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 65535), min_size=3, max_size=3, unique=True),
    st.lists(st.integers(0, 2), min_size=12, max_size=12),
)
def test_levels_round_trip(tmp_path_factory, values, drawn):
    folder = tmp_path_factory.getbasetemp()
    parts = np.uint8(drawn).reshape(3, 4)
    levels = dict(zip(("background", "cytoplasm", "nucleus"), values, strict=True))
    data = saved(np.uint16(values)[parts])
    assert np.array_equal(read(folder, data, levels, shape=(3, 4)).parts, parts)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 2**24 - 1), min_size=2, max_size=2, unique=True),
    st.lists(st.integers(0, 1), min_size=12, max_size=12),
)
def test_colours_round_trip(tmp_path_factory, values, drawn):
    folder = tmp_path_factory.getbasetemp()
    bits = np.array(drawn).reshape(3, 4)
    levels = {"background": f"#{values[0]:06x}", "cell": f"#{values[1]:06x}"}
    colours = np.uint8([[value >> shift & 255 for shift in (16, 8, 0)] for value in values])
    mask = read(folder, saved(colours[bits]), levels, shape=(3, 4))
    assert np.array_equal(mask.parts, 3 * bits)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 8), st.booleans(), st.integers(0, 2**32 - 1))
def test_a_turned_mask_lies_on_its_turned_image(tmp_path_factory, orientation, before, seed):
    folder = tmp_path_factory.getbasetemp()
    stored = np.random.default_rng(seed).integers(0, 2, (5, 7), np.uint8)
    upright = turn_upright(stored, orientation)
    data = saved(stored if before else upright)
    said = "file" if before else "upright"
    mask = read(folder, data, shape=upright.shape, orientation=orientation, annotated=said)
    assert np.array_equal(mask.parts, 3 * upright)
    turned = f"mask turned with its image: EXIF orientation {orientation}"
    assert (turned in (mask.warning or "")) == before


def test_a_wrong_size_of_boxes_is_none_of_the_mask(tmp_path):
    data = saved(coded(0, 1, 2))
    assert np.array_equal(read(tmp_path, data, annotated="9 x 9").parts, PARTS)
    mask = read(tmp_path, data, annotated="9 x 9, file", orientation=3)
    assert np.array_equal(mask.parts, np.rot90(PARTS, 2))


def test_a_mask_with_a_tag_of_its_own_is_turned_once(tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    data = saved(coded(0, 1, 2), exif=exif)
    mask = read(tmp_path, data, shape=(32, 24), orientation=6)
    assert np.array_equal(mask.parts, np.rot90(PARTS, -1))


def test_a_mask_file_must_fit_its_image(tmp_path):
    with pytest.raises(UnreadableImageError, match="another size than its image: 32 x 24 against"):
        read(tmp_path, saved(coded(0, 1, 2)), shape=(24, 31))


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


# sha256 of all masks of each set as they were labelled before masks had levels of their own.
PUBLIC = {
    "segmentation_wbc": "5032a6948d7fd56116b92253b4821b8b18b58abc305ba1e66d2d14411950e6ae",
    "all_idb2": "61a54e790eb258c00e8cf52d8843cb848efcb84c2939d218be963fb0f9072df1",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_masks_of_public_sets_stay_as_they_were(name, real_data, tmp_path):
    listing = list_source(name, real_data, data=tmp_path)
    digest = hashlib.sha256()
    for row in listing.itertuples():
        shape = Image.open(row.path).size[::-1]
        mask = read_labelled_mask(row.mask_path, shape, levels=row.mask_levels, max_pixels=10**8)
        assert mask.warning is None
        digest.update(hashlib.sha256(mask.parts.tobytes()).digest())
    assert digest.hexdigest() == PUBLIC[name]
