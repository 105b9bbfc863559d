"""One image file -> RGB pixels, or a reason why not.

What a file is, is told by its first bytes, never by its name. Its size is read before it is
decoded, so a small file cannot unpack into gigabytes. Plain 8-bit JPEG, PNG and BMP are decoded by
OpenCV, which is fast but returns full-looking pixels for half a file and turns rare kinds (16-bit,
CMYK, palette, transparency) into something else without a word: so these files are checked for
completeness first, and the rare kinds go through Pillow.
"""

import hashlib
import io
import os
import stat
import struct
import zlib
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

from wbc_pipeline.errors import UserError

MAX_PIXELS = 50_000_000

_PILLOW_FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000", "PPM")
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 … SOF15
_BYTES_PER_PIXEL = 16  # no format read here needs more, so a larger file is no such image


class UnreadableImageError(UserError):
    """A file that cannot be used; the message is the reason.

    A reason is a short fixed sentence, then, where it helps, a colon and the particulars of the
    file: reasons can be counted by what stands before the colon.
    """


class FileImage(NamedTuple):
    """Pixels of a file and the digest of its bytes."""

    pixels: np.ndarray  # [H, W, 3] uint8, RGB
    sha256: str


def read_image(path: str | os.PathLike, *, max_pixels: int = MAX_PIXELS) -> FileImage:
    """Read an image file as 8-bit RGB.

    Grey is replicated, palettes are resolved, CMYK is converted, 16 bits are scaled to 8 (65535
    becomes 255), transparent pixels are laid over white, as the background of a slide is white, and
    the EXIF orientation is applied.

    Parameters
    ----------
    path
        The file; its extension does not matter.
    max_pixels
        Refuse images of more pixels than this, before decoding them.

    Returns
    -------
    ``pixels``, uint8 ``[H, W, 3]`` in RGB order, 0 to 255; ``sha256`` of the bytes of the file.

    Raises
    ------
    UnreadableImageError
        If the file is missing, not permitted, no image, incomplete, animated or over the cap; the
        message is the reason.
    """
    data = _read_bytes(path, max_pixels)
    return FileImage(_decode(data, max_pixels), hashlib.sha256(data).hexdigest())


def read_mask(path: str | os.PathLike, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read a mask file as one 8-bit channel, values as stored.

    Colours and palettes are turned grey, transparency is ignored, the EXIF orientation is applied.

    Returns
    -------
    uint8 ``[H, W]``.

    Raises
    ------
    UnreadableImageError
        As :func:`read_image`.
    """
    image = _open_with_pillow(_read_bytes(path, max_pixels), max_pixels)
    if image.mode.startswith("I;16"):
        return _eight_bit(image)
    return np.array(image.convert("RGB").convert("L"))  # exact for grey, drops transparency


def _read_bytes(path: str | os.PathLike, max_pixels: int) -> bytes:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableImageError("a folder, not a file")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImageError("not a regular file")
        if status.st_size > _BYTES_PER_PIXEL * max_pixels + 1_000_000:
            raise UnreadableImageError(f"file too large: {status.st_size:,} bytes")
        with open(path, "rb", buffering=0) as file:
            data = file.read()
    except FileNotFoundError:
        reason = "broken link" if os.path.islink(path) else "file is missing"
        raise UnreadableImageError(reason) from None
    except PermissionError:
        raise UnreadableImageError("no permission to read") from None
    except OSError as error:
        raise UnreadableImageError(f"cannot be read: {error.strerror}") from None
    if not data:
        raise UnreadableImageError("empty file")
    return data


def _decode(data: bytes, max_pixels: int) -> np.ndarray:
    if _is_plain(data, max_pixels):
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error:
            pixels = None
        if pixels is None:
            raise UnreadableImageError("cannot be decoded")
        return pixels
    return _rgb(_open_with_pillow(data, max_pixels))


def _is_plain(data: bytes, max_pixels: int) -> bool:
    """Whether OpenCV reads this file right: complete, within the cap, 8-bit grey or RGB."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _is_plain_jpeg(data, max_pixels)
        if data.startswith(_PNG_SIGNATURE):
            return _is_plain_png(data, max_pixels)
        if data.startswith(b"BM"):
            return _is_plain_bmp(data, max_pixels)
    except (struct.error, IndexError):  # the header itself is cut off
        raise UnreadableImageError("incomplete file") from None
    return False


def _is_plain_jpeg(data: bytes, max_pixels: int) -> bool:
    at, plain = 2, False
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _JPEG_FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, at + 4)
            _check_size(height, width, max_pixels)
            plain = bits == 8 and channels in (1, 3)
        if marker == 0xDA:  # the pixels start here; 0xFFD9 cannot occur in them but as the end
            if not data.endswith(b"\xff\xd9") and data.rfind(b"\xff\xd9", at) < 0:
                raise UnreadableImageError("incomplete file")
            return plain
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _is_plain_png(data: bytes, max_pixels: int) -> bool:
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    _check_size(height, width, max_pixels)
    plain = bits == 8 and colour == 2
    at, kind = len(_PNG_SIGNATURE), b""
    while kind != b"IEND":
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        (checksum,) = struct.unpack_from(">I", data, end)
        if zlib.crc32(memoryview(data)[at + 4 : end]) != checksum:
            raise UnreadableImageError("damaged file")
        if kind == b"acTL":
            raise UnreadableImageError("more than one picture in the file")
        plain = plain and kind not in (b"tRNS", b"eXIf")
        at = end + 4
    return plain


def _is_plain_bmp(data: bytes, max_pixels: int) -> bool:
    reserved, start, header, width, height, planes, bits, packing = struct.unpack_from(
        "<IIIiiHHI", data, 6
    )
    if reserved != 0 or header not in (40, 108, 124) or planes != 1:
        return False  # an old or odd kind, or no bitmap at all: Pillow tells
    _check_size(abs(height), max(width, 0), max_pixels)
    if bits != 24 or packing != 0:
        return False
    row = (3 * width + 3) // 4 * 4
    if len(data) < start + row * abs(height):
        raise UnreadableImageError("incomplete file")
    return True


def _open_with_pillow(data: bytes, max_pixels: int) -> Image.Image:
    """Open, check and fully load an image of any format, turned upright."""
    try:
        image = Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS)
        _check_size(image.height, image.width, max_pixels)
        if getattr(image, "is_animated", False) and image.format != "MPO":
            raise UnreadableImageError("more than one picture in the file")
        if image.mode in ("I", "F"):
            raise UnreadableImageError("32-bit samples, which have no fixed range")
        image.load()
        return ImageOps.exif_transpose(image)
    except UnreadableImageError:
        raise
    except Image.UnidentifiedImageError:
        raise UnreadableImageError("not an image") from None
    except Image.DecompressionBombError:
        raise UnreadableImageError("more pixels than Pillow's own cap") from None
    except MemoryError:
        raise UnreadableImageError("more pixels than fit into memory") from None
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        reason = "incomplete file" if "truncated" in str(error) else "cannot be decoded"
        raise UnreadableImageError(reason) from None


def _rgb(image: Image.Image) -> np.ndarray:
    """[H, W, 3] uint8 of a Pillow image of any mode."""
    if image.mode.startswith("I;16"):
        return np.repeat(_eight_bit(image)[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        opaque = Image.new("RGB", image.size, "white")
        opaque.paste(image, mask=image.getchannel("A"))
        return np.array(opaque)
    return np.array(image.convert("RGB"))


def _eight_bit(image: Image.Image) -> np.ndarray:
    """16-bit grey scaled to 8 bits; Pillow's own conversion would clip at 255."""
    return ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)


def _check_size(height: int, width: int, max_pixels: int) -> None:
    if height < 1 or width < 1:
        raise UnreadableImageError("no pixels")
    if height * width > max_pixels:
        raise UnreadableImageError(
            f"more pixels than the cap: {height * width:,} ({width} x {height}), "
            f"over the cap of {max_pixels:,}"
        )
