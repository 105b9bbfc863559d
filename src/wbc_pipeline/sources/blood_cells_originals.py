"""The 367 photographs that the copies of ``blood_cells`` were made from, with boxes around cells.

364 of them have an annotation file (372 white cells, 4,153 red ones, 361 platelets; two more red
cells are mere points and have no box). ``labels.csv`` names every white cell of a photograph, so
some labels are of several cells, such as ``neutrophil, eosinophil``, and one is empty. 44 of its
411 rows are of photographs that are not in the download; they are ignored.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from wbc_pipeline.sources.annotations.common import AnnotationError, Box
from wbc_pipeline.sources.annotations.voc import read_annotation
from wbc_pipeline.sources.csv_rows import read_rows
from wbc_pipeline.sources.listing import (
    IMAGE_SUFFIXES,
    as_listing,
    relative_files,
    require_file,
    require_folder,
)

PUBLIC_NAME = "Kaggle paultimothymooney/blood-cells"
DOWNLOAD = "blood-cells"
FOLDER = f"{DOWNLOAD}/dataset-master/dataset-master"
LICENCE = "MIT"
CAVEATS = (
    "A photograph may show several white cells; its label then names them all, and is a class of "
    "its own.",
)
ONE_IMAGE_PER_CELL = True  # every photograph is its own source

BOX_COLUMNS = ("image_id", *Box._fields)


def list_images(raw: Path) -> pd.DataFrame:
    """List the photographs; ``source_id`` is the name of each, such as ``BloodImage_00010``.

    Parameters
    ----------
    raw
        Folder that holds ``DOWNLOAD``.

    Returns
    -------
    A listing (``sources.listing``) without domain, ``published_part`` or masks. Labels are in lower
    case with ``", "`` between those of several cells, in the order of the file; an empty one is
    missing. ``box`` is that of the white cell where just one is annotated. A photograph that
    ``labels.csv`` does not mention, or whose annotation file cannot be used, has a ``problem``; one
    without an annotation file has no box.

    Raises
    ------
    MissingDataError
        If the photographs, the annotations or the labels are not there.
    LayoutError
        If the labels are no table, or lack a column.
    """
    home = _home(raw)
    labels = _read_labels(home / "labels.csv")
    return as_listing(_row(home, name, labels) for name in _photographs(home))


def list_boxes(raw: Path) -> pd.DataFrame:
    """List every annotated cell of every photograph.

    Returns
    -------
    DataFrame
        ``image_id`` (as in :func:`list_images`), ``name`` (``wbc``, ``rbc`` or ``platelets``),
        ``xmin``, ``ymin``, ``xmax``, ``ymax`` (float64, pixels of the file); a row per box.
        Photographs whose annotation file is missing or cannot be used have none.

    Raises
    ------
    MissingDataError
        As :func:`list_images`.
    """
    home = _home(raw)
    boxes = pd.DataFrame(
        [
            (f"JPEGImages/{name}", *found)
            for name in _photographs(home)
            for found in _annotated(home, name)[1]
        ],
        columns=list(BOX_COLUMNS),
    )
    return boxes.astype({"image_id": "str", "name": "str"} | dict.fromkeys(BOX_COLUMNS[2:], float))


def _home(raw: Path) -> Path:
    home, download = Path(raw) / FOLDER, Path(raw) / DOWNLOAD
    for name in ("JPEGImages", "Annotations"):
        require_folder(home / name, PUBLIC_NAME, download)
    return require_file(home / "labels.csv", PUBLIC_NAME, download).parent


def _photographs(home: Path) -> list[str]:
    """List the image files, whatever the case of their suffix; reading tells whether they are."""
    files = relative_files(home / "JPEGImages")
    return sorted(name for name in files if Path(name).suffix.lower() in IMAGE_SUFFIXES)


def _row(home: Path, name: str, labels: dict[str, str | None]) -> dict[str, Any]:
    stem = Path(name).stem
    size, objects, problem = _annotated(home, name)
    white = [found for found in objects if found.name == "wbc"]
    if stem not in labels:
        problem = "label is missing: no row in labels.csv"
    return {
        "image_id": f"JPEGImages/{name}",
        "path": f"{home}/JPEGImages/{name}",
        "label": labels.get(stem),
        "source_id": stem,
        "box": list(white[0][1:]) if len(white) == 1 else None,
        "annotated": size and f"{size[0]} x {size[1]}",
        "problem": problem,
    }


def _annotated(home: Path, name: str) -> tuple[tuple[int, int] | None, list[Box], str | None]:
    """Read declared size and objects of a photograph, or say why its file cannot be used."""
    file = home / "Annotations" / f"{Path(name).stem}.xml"
    try:
        size, objects = read_annotation(file) if file.exists() else (None, [])
    except AnnotationError as error:
        return None, [], f"annotation unusable: {error}"
    return size, objects, None


def _read_labels(file: Path) -> dict[str, str | None]:
    """Label by stem of the photograph; row ``n`` belongs to ``BloodImage_`` and five digits."""
    return {
        f"BloodImage_{cells['Image'].strip().zfill(5)}": _normal(cells["Category"])
        for _, cells in read_rows(file, ["Image", "Category"])
    }


def _normal(label: str) -> str | None:
    return ", ".join(filter(None, map(str.strip, label.lower().split(",")))) or None
