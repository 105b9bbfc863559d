"""What is written while a model is asked: tables by a few rows, and some cells of each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

TILES = "tiles"


class Table:
    """A parquet file that is written a few rows at a time."""

    def __init__(self, path: Path, schema: pa.Schema):
        self._writer, self._schema = pq.ParquetWriter(path, schema), schema

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def write(self, rows: list[dict]) -> None:
        """Append rows."""
        if rows:
            self._writer.write_table(pa.Table.from_pylist(rows, self._schema))


class Samples:
    """So many cells of each class, drawn at random as they come (Vitter's algorithm R)."""

    def __init__(self, most: int):
        self._most, self._random = most, np.random.default_rng(0)
        self._kept: dict[str, list[tuple[dict, np.ndarray]]] = {}
        self._counts: dict[str, int] = {}

    def add(self, row: dict, tile: np.ndarray) -> None:
        """Offer a cell: its row, and RGB, uint8 ``[S, S, 3]``."""
        kept = self._kept.setdefault(row["class"], [])
        count = self._counts[row["class"]] = self._counts.get(row["class"], 0) + 1
        if len(kept) < self._most:
            kept.append((row, tile))
        elif (place := int(self._random.integers(count))) < self._most:
            kept[place] = (row, tile)

    def save(self, folder: Path) -> None:
        """Write ``tiles.npy`` and ``tiles.parquet``."""
        kept = [each for name in sorted(self._kept) for each in self._kept[name]]
        columns = ["image_id", "cell", "class", "confidence", "flags"]
        table = pd.DataFrame([row for row, _ in kept], columns=columns)
        table.to_parquet(folder / f"{TILES}.parquet")
        np.save(folder / f"{TILES}.npy", np.array([tile for _, tile in kept], np.uint8))


UNREADABLE_SCHEMA = pa.schema([(name, pa.string()) for name in ("image_id", "path", "reason")])


def cell_schema(classes: Sequence[str]) -> pa.Schema:
    """Give the columns of the table of cells."""
    numbers = ("xmin", "ymin", "xmax", "ymax", "width", "height")
    return pa.schema(
        [
            ("image_id", pa.string()),
            ("cell", pa.int32()),
            ("class", pa.string()),
            ("confidence", pa.float64()),
            ("unlikeness", pa.float64()),
            ("flags", pa.string()),
            *((name, pa.int32()) for name in numbers),
            ("overlay", pa.string()),
            ("warning", pa.string()),
            *((f"p_{name}", pa.float64()) for name in classes),
        ]
    )
