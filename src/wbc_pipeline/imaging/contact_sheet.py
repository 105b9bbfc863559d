"""Contact sheets: some images before and after a chain, side by side."""

from collections.abc import Sequence

import cv2
import numpy as np

from wbc_pipeline.imaging.chain import Chain
from wbc_pipeline.imaging.roi import Region
from wbc_pipeline.imaging.steps import settle

_GAP = 4
_HEADLINE = 24
_PAPER = 255
_FOUND, _NOT_FOUND = (0, 160, 60), (220, 0, 0)


def contact_sheet(
    chain: Chain,
    images: Sequence[np.ndarray],
    *,
    title: str,
    columns: int = 10,
    bands: int = 2,
    tile: int = 112,
) -> np.ndarray:
    """Draw evenly sampled images above their results.

    Parameters
    ----------
    chain
        From `chain.build_chain`.
    images
        RGB, uint8, ``[H, W, 3]`` each.
    title
        Written above; ASCII.
    columns, bands
        How many pairs beside and below each other; fewer where there are not as many images.
    tile
        Side of a thumbnail in pixels; images keep their proportions.

    Returns
    -------
    np.ndarray
        RGB, uint8. Where the chain cuts out a region, a green box is drawn around it in the image
        above; a red box around the whole image where it found nothing.
    """
    count = min(columns * bands, len(images))
    pairs = []
    for row in np.linspace(0, len(images) - 1, count).astype(int):
        image = images[row]
        frame = settle(chain.run(image))
        before = _thumbnail(outline(image, frame.place), tile)
        pairs.append(np.vstack([before, _thumbnail(frame.image, tile)]))
    missing = -count % columns if count > columns else 0
    pairs += [np.full_like(pairs[0], _PAPER)] * missing
    width = min(columns, count)
    rows = [np.hstack(pairs[start : start + width]) for start in range(0, len(pairs), width)]
    return np.vstack([_headline(title, rows[0].shape[1]), *rows])


def _headline(text: str, width: int) -> np.ndarray:
    line = np.full((_HEADLINE, width, 3), _PAPER, np.uint8)
    place, font = (_GAP, _HEADLINE - 8), cv2.FONT_HERSHEY_SIMPLEX
    return cv2.putText(line, text, place, font, 0.5, (0, 0, 0), 1, cv2.LINE_AA)


def outline(image: np.ndarray, place: Region) -> np.ndarray:
    """Draw a box around a part of an RGB uint8 image: green, or red if nothing was found."""
    height, width = image.shape[:2]
    if place.found and place[:4] == (0, 0, width, height):
        return image
    thickness = max(2, round(0.02 * min(height, width)))
    corners = (place.xmin, place.ymin), (place.xmax - 1, place.ymax - 1)
    return cv2.rectangle(image.copy(), *corners, _FOUND if place.found else _NOT_FOUND, thickness)


def _thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(image.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    height, width = (max(1, round(scale * length)) for length in image.shape[:2])
    page = np.full((side + _GAP, side + _GAP, 3), _PAPER, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    page[top : top + height, left : left + width] = cv2.resize(
        image, (width, height), interpolation=method
    )
    return page
