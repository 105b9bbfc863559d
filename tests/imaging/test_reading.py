import hashlib
import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from wbc_pipeline.imaging.reading import UnreadableImageError, read_image, read_mask

# Smooth, so that lossy formats keep it; every channel, row and column differs, so that swapped
# channels or a wrong turn show.
ROWS, COLUMNS = np.mgrid[0:48, 0:64]
PIXELS = np.stack([COLUMNS * 3, ROWS * 4, 180 - COLUMNS], axis=-1).astype(np.uint8)
GREY = PIXELS[..., 0]


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def encode_cv2(extension, pixels):
    return cv2.imencode(extension, pixels)[1].tobytes()


def with_size(png, width, height):
    header = png[12:16] + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def turned_exif():
    exif = Image.Exif()
    exif[0x112] = 6
    return exif


RGB = Image.fromarray(PIXELS)
JPEG, PNG, BMP = encode(RGB, "JPEG", quality=95), encode(RGB, "PNG"), encode(RGB, "BMP")
SCALED = GREY.astype(np.uint16) * 257
HALF = Image.fromarray(np.dstack([PIXELS, np.full((48, 64), 128, np.uint8)]))
FRAMES = {"save_all": True, "append_images": [RGB.rotate(180)]}

READABLE = {
    "jpeg": (JPEG, PIXELS),
    "progressive jpeg": (encode(RGB, "JPEG", quality=95, progressive=True), PIXELS),
    "jpeg with trailing bytes": (JPEG + b"trailer", PIXELS),
    "grey jpeg": (encode(Image.fromarray(GREY), "JPEG", quality=95), np.dstack([GREY] * 3)),
    "cmyk jpeg": (encode(RGB.convert("CMYK"), "JPEG", quality=95), PIXELS),
    "png": (PNG, PIXELS),
    "grey png": (encode(Image.fromarray(GREY), "PNG"), np.dstack([GREY] * 3)),
    "16-bit grey png": (encode_cv2(".png", SCALED), np.dstack([GREY] * 3)),
    "16-bit rgb png": (encode_cv2(".png", PIXELS[..., ::-1].astype(np.uint16) * 257), PIXELS),
    "16-bit grey tiff": (encode_cv2(".tif", SCALED), np.dstack([GREY] * 3)),
    "palette png": (encode(RGB.quantize(255), "PNG"), PIXELS),
    "half transparent png": (encode(HALF, "PNG"), PIXELS // 2 + 127),
    "bmp": (BMP, PIXELS),
    "tiff": (encode(RGB, "TIFF"), PIXELS),
    "webp": (encode(RGB, "WEBP", lossless=True), PIXELS),
    "gif of one frame": (encode(RGB.quantize(255), "GIF"), PIXELS),
    "turned jpeg": (encode(RGB, "JPEG", quality=95, exif=turned_exif()), np.rot90(PIXELS, -1)),
    "turned png": (encode(RGB, "PNG", exif=turned_exif()), np.rot90(PIXELS, -1)),
}

REFUSED = {
    "empty": (b"", "empty file"),
    "text": (b"label,file\n", "not an image"),
    "zeros": (b"\0" * 5000, "not an image"),
    "cut jpeg": (JPEG[:-20], "incomplete file"),
    "cut jpeg header": (JPEG[:60], "incomplete file"),
    "jpeg ending in zeros": (JPEG[:-200] + b"\0" * 200, "incomplete file"),
    "cut cmyk jpeg": (encode(RGB.convert("CMYK"), "JPEG")[:-20], "incomplete file"),
    "cut png": (PNG[:-20], "incomplete file"),
    "flipped bits in png": (PNG[:60] + bytes([PNG[60] ^ 255]) + PNG[61:], "damaged file"),
    "cut bmp": (BMP[:-100], "incomplete file"),
    "cut tiff": (encode(RGB, "TIFF")[:-2000], "incomplete file"),
    "animated gif": (encode(RGB, "GIF", **FRAMES), "more than one picture"),
    "animated png": (encode(RGB, "PNG", **FRAMES), "more than one picture"),
    "tiff of pages": (encode(RGB, "TIFF", **FRAMES), "more than one picture"),
    "bomb": (with_size(PNG, 60000, 60000), "more pixels than the cap: 3,600,000,000"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "32-bit float": (encode(Image.new("F", (9, 9)), "TIFF"), "32-bit samples"),
}


@pytest.mark.parametrize("kind", READABLE)
def test_every_kind_of_file_becomes_8_bit_rgb(kind, tmp_path):
    data, expected = READABLE[kind]
    path = tmp_path / "image.txt"  # the name says nothing
    path.write_bytes(data)
    pixels, sha256 = read_image(path)
    assert (pixels.dtype, pixels.shape) == (np.uint8, expected.shape)
    assert np.abs(pixels.astype(int) - expected).mean() < 3
    assert sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_whole_image_is_refused_with_the_reason(kind, tmp_path):
    data, reason = REFUSED[kind]
    path = tmp_path / "image.png"
    path.write_bytes(data)
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(path)


def test_clear_pixels_become_white(tmp_path):
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read_image(tmp_path / "clear.png").pixels == 255).all()


def test_paths_without_a_file_behind_them_are_refused(tmp_path):
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    reasons = {
        "broken.png": "broken link",
        "folder.png": "a folder",
        "pipe.png": "not a regular file",
        "gone.png": "missing",
    }
    for name, reason in reasons.items():
        with pytest.raises(UnreadableImageError, match=reason):
            read_image(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(UnreadableImageError, match="no permission"):
        read_image(tmp_path / "a.png")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), start=st.sampled_from([JPEG, PNG, BMP, b"\xff\xd8\xff", b"BM", b"GIF89a"]))
def test_damage_never_raises_anything_but_the_refusal(data, start, tmp_path_factory):
    damaged = bytearray(start + data.draw(st.binary(max_size=40)))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), max_size=6)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        pixels, _ = read_image(path, max_pixels=1_000_000)
    except UnreadableImageError as reason:
        assert str(reason)
    else:
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "1"])
def test_a_mask_of_any_mode_keeps_its_grey_levels(mode, tmp_path):
    levels = np.zeros((20, 30), np.uint8)
    levels[5:15] = 255
    Image.fromarray(levels).convert(mode).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png"), levels)


def test_the_masks_of_a_real_set_keep_their_three_levels(real_data):
    folder = real_data / "segmentation_WBC" / "Dataset 1"
    mask, image = read_mask(folder / "001.png"), read_image(folder / "001.bmp").pixels
    assert mask.shape == image.shape[:2]
    assert len(np.unique(mask)) == 3
