"""Why a file cannot be used: the error, and words for kinds of files that are not read here."""

import io

from PIL import TiffImagePlugin

from wbc_pipeline.errors import UserError

_BITS, _WHITE_IS, _PLANES, _FORMAT = 258, 262, 284, 339  # tags of TIFF 6.0
_TIFF_HEADS = {b"II*\0": 8, b"MM\0*": 8, b"II+\0": 16, b"MM\0+": 16}  # bytes; long: BigTIFF
_SIGNED, _FLOAT = 2, 3
_BRANDS = {  # of ISO base media files, behind ``ftyp``
    "AVIF": (b"avif", b"avis"),
    "HEIC": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
}


class UnreadableImageError(UserError):
    """A file that cannot be used; the message is the reason.

    A reason is a short fixed sentence, then, where it helps, a colon and the particulars of the
    file: reasons can be counted by what stands before the colon.
    """


def unknown_kind(data: bytes) -> str:
    r"""Say why Pillow finds no image in the bytes of a file, naming its kind where it is known.

    Examples
    --------
    >>> unknown_kind(b"\0\0\0\x18ftypheic")
    'HEIC, which is not read here: convert it to PNG or JPEG'
    >>> unknown_kind(b"label,file")
    'not an image'
    """
    for kind, brands in _BRANDS.items():
        if data[4:8] == b"ftyp" and data[8:12] in brands:
            return f"{kind}, which is not read here: convert it to PNG or JPEG"
    return odd_tiff(data) or "not an image"


def odd_tiff(data: bytes) -> str | None:
    """Say what is odd about the samples of a TIFF file, None if nothing or it is no TIFF."""
    head = _TIFF_HEADS.get(data[:4])
    if head is None:
        return None
    tags = TiffImagePlugin.ImageFileDirectory_v2(data[:head])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    bits = max(_numbers(tags.get(_BITS, 1)))
    formats = _numbers(tags.get(_FORMAT, 1))
    if _FLOAT in formats:
        return f"floating-point samples, which have no fixed range: {bits} bits, save 8 or 16 bits"
    if _SIGNED in formats:
        return f"signed samples, which have no fixed range: {bits} bits, save unsigned ones"
    if bits == 16 and tags.get(_WHITE_IS) == 0:
        return "16-bit samples whose zero is white: save them with black as zero"
    if bits == 16 and tags.get(_PLANES) == 2:
        return "16-bit colours in separate planes: save them interleaved (contiguous)"
    return None


def _numbers(value: object) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)
