"""Datasets of kedro-datasets whose files are replaced as a whole, never half-written."""

import os
from pathlib import Path
from typing import Any

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
    """A table as CSV."""


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
