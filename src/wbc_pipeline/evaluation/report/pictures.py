"""Pictures in a page: photographs small, charts sharp."""

import base64
from dataclasses import dataclass
from io import BytesIO

from PIL import Image

PIXELS_A_POINT = 1.6  # of a figure's file on the page; the rest is for sharp screens and print
LARGE = 200_000  # bytes of a PNG: photographs, or charts of very many marks
QUALITY = 88  # of WebP, at which small text stays sharp
LONGEST_SIDE = 16383  # pixels that WebP can have


@dataclass(frozen=True)
class Picture:
    """A drawn figure: the bytes of its PNG, with `PIXELS_A_POINT` pixels for each on the page."""

    png: bytes
    heading: str = ""
    caption: str = ""


def embed(png: bytes) -> dict[str, object]:
    """Give the address and the size at which a page shows a PNG, a large one as WebP.

    Parameters
    ----------
    png
        The file.

    Returns
    -------
    dict
        ``address`` (a ``data:`` address), ``width`` and ``height`` in pixels of the page.
    """
    with Image.open(BytesIO(png)) as image:
        width, height = image.size
        kind, content = "png", png
        if len(png) > LARGE and max(image.size) <= LONGEST_SIDE:
            kind, content = "webp", as_webp(image)
    return {
        "address": f"data:image/{kind};base64,{base64.b64encode(content).decode()}",
        "width": round(width / PIXELS_A_POINT),
        "height": round(height / PIXELS_A_POINT),
    }


def as_webp(image: Image.Image) -> bytes:
    """Encode an image as WebP."""
    buffer = BytesIO()
    image.convert("RGB").save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()
