"""Five classes under two stains, with masks of nucleus and cytoplasm (segmentation_WBC, 300 + 100).

Data set 1 was stained with a rapid reagent (yellow ground), data set 2 comes from CellaVision
(purple): a real test across stains. The masks have the grey levels 255 nucleus, 128 cytoplasm and 0
background; five masks of data set 2 have a few pixels in between, which count for the nearest.
"""

import json
from pathlib import Path

import pandas as pd

from wbc_pipeline.sources.csv_rows import column_beginning, read_rows
from wbc_pipeline.sources.listing import (
    as_listing,
    relative_files,
    require_file,
    require_folder,
)

PUBLIC_NAME = "segmentation_WBC (Zheng et al., Micron 2018; github.com/zxaoyou/segmentation_WBC)"
FOLDER = "segmentation_WBC"
LICENCE = "GPL-3.0, that of the repository"
CAVEATS = (
    "The shares of the classes differ between the two stains, and one has 1 basophil, the other 3.",
)
ONE_IMAGE_PER_CELL = True  # a cell has one image, unless near-duplicates say otherwise

MASK_LEVELS = json.dumps({"background": 0, "cytoplasm": 128, "nucleus": 255, "nearest": True})
DOMAINS = {"Dataset 1": "rapid_stain", "Dataset 2": "cellavision"}
CLASSES = {
    "1": "neutrophil",
    "2": "lymphocyte",
    "3": "monocyte",
    "4": "eosinophil",
    "5": "basophil",
}


def list_images(raw: Path) -> pd.DataFrame:
    """List both data sets; ``domain`` is the stain, ``rapid_stain`` or ``cellavision``.

    Parameters
    ----------
    raw
        Folder that holds ``FOLDER``.

    Returns
    -------
    A listing (``sources.listing``) with masks, without ``source_id``, ``published_part`` or boxes.
    An image without a mask, without a class or of an unknown one, and a row of the table of classes
    without an image have a ``problem``.

    Raises
    ------
    MissingDataError
        If the folder, or a data set or its table of classes, is not there.
    LayoutError
        If a table of classes is no table or has no column of images or of classes.
    """
    home = Path(raw) / FOLDER
    require_folder(home, PUBLIC_NAME, home)
    return as_listing(row for name in DOMAINS for row in _list_one(home, name))


def _list_one(home: Path, name: str) -> list[dict[str, str | None]]:
    folder = require_folder(home / name, PUBLIC_NAME, home)
    numbers = _class_numbers(require_file(home / f"Class Labels of {name}.csv", PUBLIC_NAME, home))
    files = set(relative_files(folder))
    images = {file.removesuffix(".bmp") for file in files if file.endswith(".bmp")}
    return [
        _row(folder, stem, numbers.get(stem, set()), files) for stem in sorted(images | {*numbers})
    ]


def _row(folder: Path, stem: str, numbers: set[str], files: set[str]) -> dict[str, str | None]:
    image, mask = f"{stem}.bmp", f"{stem}.png"
    table = f"Class Labels of {folder.name}.csv"
    number = min(numbers, default=None)
    problem = None
    if number is None:
        problem = f"class is missing: no row in {table}"
    elif len(numbers) > 1:
        problem = f"several classes: {', '.join(sorted(numbers))} in {table}"
    elif number not in CLASSES:
        problem = f"unknown class number: {number!r} in {table}, known are {', '.join(CLASSES)}"
    elif image not in files:
        problem = f"image is missing: {folder.name}/{image}, listed in {table}"
    elif mask not in files:
        problem = f"mask is missing: {folder.name}/{mask}"
    return {
        "image_id": f"{folder.name}/{image}",
        "path": f"{folder}/{image}",
        "label": CLASSES.get(number) if len(numbers) == 1 else None,
        "domain": DOMAINS[folder.name],
        "mask_path": f"{folder}/{mask}" if mask in files else None,
        "mask_levels": MASK_LEVELS if mask in files else None,
        "problem": problem,
    }


def _class_numbers(table: Path) -> dict[str, set[str]]:
    """Class numbers by stem of the file; the tables name their columns differently."""
    rows = read_rows(table)
    image, label = (column_beginning(start, table, rows) for start in ("image", "class"))
    numbers: dict[str, set[str]] = {}
    for _, cells in rows:
        numbers.setdefault(cells[image].strip().zfill(3), set()).add(cells[label].strip())
    return numbers
