"""A CSV file with a row per box: image_id, name, xmin, ymin, xmax, ymax in pixels."""

from collections import defaultdict
from pathlib import Path

from wbc_pipeline.sources.annotations.common import (
    Annotation,
    AnnotationError,
    Box,
    finite,
    plain_name,
    plain_path,
)
from wbc_pipeline.sources.csv_rows import CsvRow, read_rows

COLUMNS = ("image_id", "name", "xmin", "ymin", "xmax", "ymax")


def read(file: Path) -> list[Annotation]:
    """Read the boxes of each image; one bad row makes those of its image unusable.

    Raises
    ------
    LayoutError
        If the file is no table, or lacks a column.
    """
    rows = defaultdict(list)
    for row in read_rows(file, COLUMNS):
        rows[plain_path(row.cells["image_id"])].append(row)
    return [_read_image(file, image, found) for image, found in rows.items()]


def _read_image(file: Path, image: str, rows: list[CsvRow]) -> Annotation:
    try:
        boxes = [
            Box(
                plain_name(cells["name"]),
                *finite((cells[side] for side in COLUMNS[2:]), f"{file.name}: line {line}"),
            )
            for line, cells in rows
        ]
    except AnnotationError as error:
        return Annotation(image, str(file), [], problem=f"annotation unusable: {error}")
    return Annotation(image, str(file), boxes)
