import hashlib
import io
import os
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from wbc_pipeline.imaging.deep import scale_to_eight_bits, used_bits
from wbc_pipeline.imaging.orientation import turn_upright
from wbc_pipeline.imaging.reading import read_image
from wbc_pipeline.imaging.refusals import UnreadableImageError

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
    "32-bit integers": (encode(Image.new("I", (9, 9)), "TIFF"), "signed samples"),
}


@pytest.mark.parametrize("kind", READABLE)
def test_every_kind_of_file_becomes_8_bit_rgb(kind, tmp_path):
    data, expected = READABLE[kind]
    path = tmp_path / "image.txt"  # the name says nothing
    path.write_bytes(data)
    pixels, sha256, *_ = read_image(path)
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
        pixels = read_image(path, max_pixels=1_000_000).pixels
    except UnreadableImageError as reason:
        assert str(reason)
    else:
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3


def deep(largest):
    """16-bit RGB whose largest value is ``largest``, and what it should look like."""
    return (PIXELS.astype(np.uint32) * largest // PIXELS.max()).astype(np.uint16)


def tiff(samples, **options):
    file = io.BytesIO()
    tifffile.imwrite(file, samples, **options)
    return file.getvalue()


DEEP = {
    "grey png": lambda samples: encode_cv2(".png", samples[..., 0]),
    "grey tiff": lambda samples: tiff(samples[..., 0]),
    "big-endian grey tiff": lambda samples: tiff(samples[..., 0], byteorder=">"),
    "rgb png": lambda samples: encode_cv2(".png", samples[..., ::-1]),
    "rgb tiff": lambda samples: tiff(samples, photometric="rgb"),
    "big-endian rgb tiff": lambda samples: tiff(samples, photometric="rgb", byteorder=">"),
    "compressed rgb tiff": lambda samples: tiff(samples, photometric="rgb", compression="zlib"),
}


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", DEEP)
def test_sixteen_bits_are_scaled_by_those_that_are_used(kind, bits, tmp_path):
    samples = deep(2**bits - 1)
    (tmp_path / "deep").write_bytes(DEEP[kind](samples))
    image = read_image(tmp_path / "deep")
    expected = np.rint(samples / (2**bits - 1) * 255)
    if kind.split()[-2] == "grey":
        samples[..., 1:] = samples[..., :1]
        bits = used_bits(samples)
        expected = np.repeat(np.rint(samples[..., :1] / (2**bits - 1) * 255), 3, axis=2)
    assert np.abs(image.pixels - expected).max() <= 1
    warning = f"fewer than 16 bits used: {bits}, scaled by these" if bits < 16 else None
    assert image.warning == warning


@settings(deadline=None)
@given(st.integers(0, 65535))
def test_the_largest_of_the_used_bits_is_white_and_nothing_turns_black(largest):
    samples = np.uint16([0, largest])
    scaled = scale_to_eight_bits(samples, used_bits(samples))
    assert scaled[0] == 0 and scaled[1] >= min(largest, 63)


def test_sixteen_bits_with_transparency_lie_on_white(tmp_path):
    samples = np.dstack([deep(4095), np.full((48, 64), 32768, np.uint16)])
    (tmp_path / "deep.png").write_bytes(encode_cv2(".png", samples[..., [2, 1, 0, 3]]))
    expected = samples[..., :3] / 4095 * 255 / 2 + 127.5
    assert np.abs(read_image(tmp_path / "deep.png").pixels - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "tiff", "16-bit tiff", "16-bit png"])
def test_every_orientation_is_turned_upright_and_told(kind, orientation, tmp_path):
    exif = Image.Exif()
    exif[0x112] = orientation
    upright = turn_upright(PIXELS, orientation)
    if kind == "16-bit tiff":
        tag = (274, "H", 1, orientation, True)
        data = tiff(PIXELS.astype(np.uint16) * 257, photometric="rgb", extratags=[tag])
    elif kind == "16-bit png":
        png = encode_cv2(".png", PIXELS[..., ::-1].astype(np.uint16) * 257)
        body = b"eXIf" + exif.tobytes().removeprefix(b"Exif\0\0")
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        data = png[:33] + chunk + png[33:]
    else:
        data = encode(RGB, kind, exif=exif, **({"quality": 95} if kind == "jpeg" else {}))
    (tmp_path / "image").write_bytes(data)
    image = read_image(tmp_path / "image")
    assert image.orientation == orientation
    assert image.pixels.shape == upright.shape
    assert np.abs(image.pixels.astype(int) - upright).mean() < 3


NAMED = {
    "16-bit planes": (
        tiff(np.moveaxis(deep(65535), 2, 0).copy(), photometric="rgb", planarconfig="separate"),
        "16-bit colours in separate planes: save them interleaved",
    ),
    "16-bit white is zero": (
        tiff(deep(65535)[..., 0], photometric="miniswhite"),
        "16-bit samples whose zero is white: save",
    ),
    "signed 16 bits": (tiff(GREY.astype(np.int16)), "signed samples, .*: 16 bits, save unsigned"),
    "signed 8 bits": (tiff(GREY.astype(np.int8)), "signed samples, .*: 8 bits"),
    "float 16": (tiff(GREY.astype(np.float16)), "floating-point samples, .*: 16 bits"),
    "float 32": (tiff(GREY.astype(np.float32)), "floating-point samples, .*: 32 bits"),
    "float 64": (tiff(GREY.astype(np.float64)), "floating-point samples, .*: 64 bits"),
    "float rgb": (tiff(PIXELS.astype(np.float32), photometric="rgb"), "floating-point samples"),
    "unsigned 32": (tiff(GREY.astype(np.uint32)), "32-bit samples"),
    "heic": (b"\0\0\0\x18ftypheic\0\0\0\0" + b"\0" * 99, "HEIC, .*convert it to PNG or JPEG"),
    "heif": (b"\0\0\0\x18ftypmif1\0\0\0\0" + b"\0" * 99, "HEIC, .*convert it to PNG or JPEG"),
    "broken avif": (b"\0\0\0\x18ftypavif\0\0\0\0" + b"\0" * 99, "AVIF, .*convert it to PNG or"),
    "over the cap": (with_size(PNG, 60000, 60000), "cap of 50,000,000 that `ingestion.max_pixels`"),
}


@pytest.mark.parametrize("kind", NAMED)
def test_a_refusal_names_the_kind_of_file_and_the_remedy(kind, tmp_path):
    data, reason = NAMED[kind]
    (tmp_path / "image").write_bytes(data)
    with pytest.raises(UnreadableImageError, match=reason):
        read_image(tmp_path / "image")


def test_8_bit_planes_are_read_right(tmp_path):
    planes = np.moveaxis(PIXELS, 2, 0).copy()
    (tmp_path / "a.tif").write_bytes(tiff(planes, photometric="rgb", planarconfig="separate"))
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, PIXELS)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_avif_is_read(tmp_path):
    RGB.save(tmp_path / "a.avif", quality=95)
    assert np.abs(read_image(tmp_path / "a.avif").pixels.astype(int) - PIXELS).mean() < 4
