"""Five classes of white cells, each image with a mask of the cell (KRD-WBC, 600 images).

``class labels.csv`` has the columns ``Image ID`` and ``Categoriy``. Its ids are those of the files
but for case and spelling (``Image1``, ``image99`` and three such as ``Imaeg405``), so the number
alone is read: row 405, ``image405.jpg`` and ``mask405.jpg`` belong together.

Assumed, as the users of the set take them and not seen in the files: the masks are white on black
and show the whole cell, not its nucleus. They are JPEG files, so their edges have grey levels in
between, which are cut at the middle.
"""

import json
import re
from pathlib import Path

import pandas as pd

from wbc_pipeline.sources.csv_rows import column_beginning, read_rows
from wbc_pipeline.sources.folders import folder_named, unwrap
from wbc_pipeline.sources.listing import as_listing, relative_files, require_file, require_folder

PUBLIC_NAME = "KRD-WBC (Taha, Alizadeh and Mohammad, Mendeley Data jzdj6h7gms)"
FOLDER = "KRD-WBC dataset"
LICENCE = "not stated"
CAVEATS = (
    "The images come from two laboratories, and which from which, or from which person, is not "
    "published: under every protocol one person may be on both sides of the split.",
)
ONE_IMAGE_PER_CELL = True  # a cell has one image, unless near-duplicates say otherwise

CLASSES = ("basophil", "eosinophil", "lymphocyte", "monocyte", "neutrophil")
MASK_LEVELS = json.dumps({"background": 0, "cell": 255})
TABLE = "class labels.csv"


def list_images(raw: Path) -> pd.DataFrame:
    """List the data set; labels are the names of the classes in lower case.

    Parameters
    ----------
    raw
        Folder that holds ``FOLDER``. Below that lie ``class labels.csv`` and, beside it or in a
        folder ``Dataset``, the folders ``image`` and ``mask``, in any case.

    Returns
    -------
    A listing (``sources.listing``) with masks, without ``source_id``, domain, ``published_part`` or
    boxes. An image without a mask or with several, without a class, with several or with an unknown
    one, and a row of the table without an image have a ``problem``.

    Raises
    ------
    MissingDataError
        If the folder or the table is not there.
    LayoutError
        If one of the folders is not there, or the table is no table or has no column of images or
        of classes.
    """
    home = Path(raw) / FOLDER
    require_folder(home, PUBLIC_NAME, home)
    home_of_table = unwrap(home, ("dataset", "image", "mask"))
    classes = _classes(require_file(home_of_table / TABLE, PUBLIC_NAME, home))
    inner = unwrap(home_of_table, ("image", "mask"))
    images, masks = (folder_named(name, inner, PUBLIC_NAME) for name in ("image", "mask"))
    files, mask_files = _by_number(images), _by_number(masks)
    return as_listing(
        _row(home, file, classes.get(number, set()), mask_files.get(number, []), number in files)
        for number in files.keys() | classes.keys()
        for file in files.get(number, [images / f"image{number}.jpg"])
    )


def _row(
    home: Path, file: Path, classes: set[str], masks: list[Path], present: bool
) -> dict[str, str | list | None]:
    problem = None
    if not classes:
        problem = f"class is missing: no row in {TABLE}"
    elif len(classes) > 1:
        problem = f"several classes: {', '.join(sorted(classes))} in {TABLE}"
    elif not classes <= {*CLASSES}:
        problem = f"unknown class: {min(classes)!r} in {TABLE}, known are {', '.join(CLASSES)}"
    elif not present:
        problem = f"image is missing: {file.name}, listed in {TABLE}"
    elif not masks:
        problem = f"mask is missing: no mask has the number of {file.name}"
    elif len(masks) > 1:
        problem = f"several masks: {', '.join(mask.name for mask in masks)}"
    known = len(classes) == 1 and classes <= {*CLASSES}
    return {
        "image_id": file.relative_to(home).as_posix(),
        "path": str(file.absolute()),
        "label": min(classes) if known else None,
        "mask_path": str(masks[0].absolute()) if len(masks) == 1 else None,
        "mask_levels": MASK_LEVELS if len(masks) == 1 else None,
        "problem": problem,
    }


def _classes(table: Path) -> dict[str, set[str]]:
    """Classes by number of the image."""
    rows = read_rows(table)
    image, label = (column_beginning(start, table, rows) for start in ("image", "categor"))
    classes: dict[str, set[str]] = {}
    for _, cells in rows:
        classes.setdefault(_number(cells[image]), set()).add(cells[label].strip().lower())
    return classes


def _by_number(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for name in sorted(relative_files(folder)):
        files.setdefault(_number(Path(name).stem), []).append(folder / name)
    return files


def _number(name: str) -> str:
    """Give the number after a word, such as ``Image12``; a name of another kind as it is."""
    match = re.fullmatch(r"[A-Za-z]+0*(\d+)", name.strip())
    return match[1] if match else name
