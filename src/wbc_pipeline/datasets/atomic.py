"""Datasets of kedro-datasets whose files are replaced as a whole, never half-written."""

import os
from pathlib import Path
from typing import Any

import pandas as pd
from kedro_datasets.matplotlib import MatplotlibDataset
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from kedro_datasets.plotly import JSONDataset as PlotlyDataset
from kedro_datasets.text import TextDataset


class _Atomic:
    """Save beside the file's place, then move there."""

    def save(self, data: Any) -> None:
        """Save as the wrapped dataset does, but to a hidden file that takes the old one's place."""
        target = self._filepath
        beside = target.with_name(f".{os.getpid()}.{target.name}")
        self._filepath = beside
        try:
            super().save(data)
            os.replace(beside, target)
        finally:
            self._filepath = target
            Path(beside).unlink(missing_ok=True)


class AtomicCSVDataset(_Atomic, CSVDataset):
    """A table as CSV, which a later node of the same run gets as it was saved.

    CSV knows neither types nor the difference between an empty text and a missing one: read back, a
    class called ``1`` would be a number, and one called ``NA`` would be missing.
    """

    _saved: pd.DataFrame | None = None

    def save(self, data: pd.DataFrame) -> None:
        """Save, and remember."""
        super().save(data)
        self._saved = data

    def load(self) -> pd.DataFrame:
        """Give what this run saved, else read the file."""
        return super().load() if self._saved is None else self._saved.copy()


class AtomicParquetDataset(_Atomic, ParquetDataset):
    """A table as parquet."""


class AtomicTextDataset(_Atomic, TextDataset):
    """A text, such as a page of HTML."""


class AtomicMatplotlibDataset(_Atomic, MatplotlibDataset):
    """A figure as PNG, which loads as the file's bytes: a report shows what is on disk."""

    def load(self) -> bytes:
        """Read the PNG."""
        return Path(self._filepath).read_bytes()


class AtomicPlotlyDataset(_Atomic, PlotlyDataset):
    """A Plotly figure as JSON, which kedro-viz draws."""
