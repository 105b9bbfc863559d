"""White cells of a photograph as images of their own."""

import numpy as np

from wbc_pipeline.imaging.roi import Region
from wbc_pipeline.imaging.stained_cells import Cell, stain_cells
from wbc_pipeline.models.detect import Detector, find_cells

_ALIKE = 0.5  # IoU from which on two boxes are around one cell
_SMALLER = 0.5  # of the size of cells in training, below which a file is no image of a cell


def find_field(image: np.ndarray, detector: Detector | None = None, *, score: float) -> list[Cell]:
    """Find every white cell of a photograph.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    detector
        One that looks at whole photographs gives the boxes; None, or one that looks at the
        surroundings of a single cell: they are found by stain.
    score
        Detections below it, 0 to 1, are none.

    Returns
    -------
    list of Cell
        Masks are those by stain; all 0 where stain finds nothing in a detector's box.
    """
    stained = stain_cells(image)
    if detector is None or detector.look.finds:
        return stained
    boxes, scores = find_cells(detector, image)
    height, width = image.shape[:2]
    found = []
    for xmin, ymin, xmax, ymax in boxes[scores >= score].round().astype(int).tolist():
        left, top = min(max(xmin, 0), width - 1), min(max(ymin, 0), height - 1)
        region = Region(left, top, min(max(xmax, left + 1), width), min(max(ymax, top + 1), height))
        found.append(Cell(region, _mask_within(region, stained)))
    return found


def cut_out(cell: Region, *, share: float, aspect: float, shape: tuple[int, ...]) -> Region:
    """Frame a cell as the images of a training set frame theirs.

    Parameters
    ----------
    cell
        Its box.
    share
        Part of the longer side of a training image that its cell takes, above 0.
    aspect
        Width of the training images over their height.
    shape
        Of the photograph.

    Returns
    -------
    Region
        Around the middle of the cell, shifted where the photograph ends and cut to its size; it
        holds the cell.

    Examples
    --------
    >>> cut_out(Region(40, 40, 60, 60), share=0.5, aspect=1.0, shape=(100, 100))
    Region(xmin=30, ymin=30, xmax=70, ymax=70, found=True)
    >>> cut_out(Region(0, 40, 20, 60), share=0.5, aspect=2.0, shape=(100, 100))
    Region(xmin=0, ymin=30, xmax=80, ymax=70, found=True)
    """
    across, down = cell.xmax - cell.xmin, cell.ymax - cell.ymin
    side = max(across / aspect, down) / min(max(share, 0.05), 1.0)
    height, width = shape[:2]
    tall, wide = min(round(side), height), min(round(aspect * side), width)
    tall, wide = max(tall, down), max(wide, across)
    left = min(max((cell.xmin + cell.xmax - wide) // 2, 0), width - wide)
    top = min(max((cell.ymin + cell.ymax - tall) // 2, 0), height - tall)
    return Region(left, top, left + wide, top + tall)


def is_image_of_one(cells: list[Cell], share: float | None, shape: tuple[int, ...]) -> bool:
    """Tell whether a file is an image of one cell as those of a training set are.

    Parameters
    ----------
    cells
        Of the file; none is as good as one.
    share
        See `cut_out`; None if it is not known.
    shape
        Of the file's pixels.
    """
    if not cells:
        return True
    if len(cells) > 1:
        return False
    height, width = shape[:2]
    xmin, ymin, xmax, ymax, _ = cells[0].region
    here = max((xmax - xmin) / width, (ymax - ymin) / height)
    return share is None or here >= _SMALLER * share


def _mask_within(region: Region, cells: list[Cell]) -> np.ndarray:
    """Cut the mask of the cell that fits a box best out to that box."""
    mask = np.zeros((region.ymax - region.ymin, region.xmax - region.xmin), np.uint8)
    best = max(cells, key=lambda cell: _overlap(region, cell.region), default=None)
    if best is None or _overlap(region, best.region) < _ALIKE:
        return mask
    left, top, right, bottom, _ = best.region
    xmin, ymin, xmax, ymax = (
        max(left, region.xmin),
        max(top, region.ymin),
        min(right, region.xmax),
        min(bottom, region.ymax),
    )
    part = best.mask[ymin - top : ymax - top, xmin - left : xmax - left]
    mask[ymin - region.ymin : ymax - region.ymin, xmin - region.xmin : xmax - region.xmin] = part
    return mask


def _overlap(one: Region, other: Region) -> float:
    across = min(one.xmax, other.xmax) - max(one.xmin, other.xmin)
    down = min(one.ymax, other.ymax) - max(one.ymin, other.ymin)
    shared = max(across, 0) * max(down, 0)
    areas = [(box.xmax - box.xmin) * (box.ymax - box.ymin) for box in (one, other)]
    return shared / (sum(areas) - shared)
