"""Files that are replaced as a whole, never half-written, and remembered for the command."""

import filecmp
import gzip
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets.pandas import CSVDataset, ParquetDataset
from kedro_datasets.plotly import JSONDataset as PlotlyDataset
from kedro_datasets.text import TextDataset

from wbc_pipeline.processes import process_rank

SUFFIXES = {"table": ".csv", "figure": ".png", "explorer": ".json"}  # of a report's items
_log = logging.getLogger(__name__)


@contextmanager
def replacing(target: PurePath) -> Iterator[PurePath]:
    """Name a hidden file beside the target, which takes its place if nothing fails.

    A target of the same content stays, with its time: newer is only what has changed.
    """
    beside = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        yield beside
        if not (Path(target).is_file() and filecmp.cmp(beside, target, shallow=False)):
            os.replace(beside, target)
    except Exception as error:
        cause = error.__cause__ or error  # Kedro wraps it
        if isinstance(cause, OSError) and cause.errno and not cause.filename:
            cause.filename = str(target)  # a failed write does not say where
        raise
    finally:
        Path(beside).unlink(missing_ok=True)


class _Atomic:
    """Save beside the file's place, then move there; load what this command saved.

    Another command may replace the file at any time: what a command reads is what it wrote. This
    also keeps what CSV does not: types, and the difference between empty and missing.
    """

    _saved: Any = None

    def save(self, data: Any) -> None:
        """Save as the wrapped dataset does, but to a hidden file that takes the old one's place."""
        if process_rank() == 0:
            target = self._filepath
            try:
                with replacing(target) as self._filepath:
                    super().save(data)
            finally:
                self._filepath = target
        self._saved = data

    def load(self) -> Any:
        """Give what this command saved, else read the file."""
        if self._saved is None:
            return super().load()
        return self._saved.copy() if isinstance(self._saved, pd.DataFrame) else self._saved

    def _exists(self) -> bool:
        return self._saved is not None or super()._exists()

    def _release(self) -> None:
        self._saved = None
        super()._release()


class AtomicCSVDataset(_Atomic, CSVDataset):
    """A table as CSV."""


class _GzipCSVDataset(CSVDataset):
    """A table as compressed CSV: the same table gives the same bytes, whatever file and time."""

    def save(self, data: pd.DataFrame) -> None:
        content = data.to_csv(index=False, lineterminator="\n").encode()
        file = Path(self._filepath)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content, mtime=0))


class AtomicGzipCSVDataset(_Atomic, _GzipCSVDataset):
    """A table as compressed CSV."""


class RejectsDataset(AtomicCSVDataset):
    """Refused images and boxes, ``status`` the reason; counted in the log, with where they lie."""

    def save(self, data: pd.DataFrame) -> None:
        """Save as `AtomicCSVDataset` does, and say what was refused."""
        super().save(data)
        if len(data) and process_rank() == 0:
            from wbc_pipeline.imaging.packing import count_reasons

            counts = count_reasons(data["status"])
            _log.warning("%d refused: %s. %s lists them.", len(data), counts, self._filepath)


class AtomicParquetDataset(_Atomic, ParquetDataset):
    """A table as parquet."""

    def preview(self, nrows: int = 20) -> dict:
        """Show the first rows; boxes and lists as text, which JSON can say."""
        head = self.load().head(nrows)
        return json.loads(head.map(_plain).to_json(orient="split", index=False))


class AtomicTextDataset(_Atomic, TextDataset):
    """A text, such as a page of HTML."""


class AtomicPlotlyDataset(_Atomic, PlotlyDataset):
    """A Plotly figure as JSON, which kedro-viz draws."""


def _plain(value: Any) -> Any:
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return value
    return str(value.tolist() if hasattr(value, "tolist") else list(value))


class ReportItemsDataset(AbstractDataset[dict[str, Any], dict[str, Any]]):
    """Tables and figures of a report by name, with heading and caption, as files of one folder.

    A table becomes ``<name>.csv``, a figure ``<name>.png``, which loads as a `Picture`, an
    `Explorer` ``<name>.json``: a report shows what is on disk. Files of items that an earlier
    command had, and this one has not, go.

    Parameters
    ----------
    filepath
        The folder.
    group
        Name of the list of what belongs together; several groups may share a folder.
    dpi
        Resolution of figures.
    """

    def __init__(self, *, filepath: str, group: str, dpi: int = 160, metadata: dict | None = None):
        self._folder = Path(filepath)
        self._index = self._folder / f".{group}.json"
        self._dpi = dpi
        self.metadata = metadata
        self._saved: dict[str, Any] | None = None

    def save(self, data: dict[str, Any]) -> None:
        """Write every item, then the list of them."""
        from wbc_pipeline.evaluation.report.described import caption_of, heading_of

        saved = {name: self._write(name, item) for name, item in data.items()}
        index = {
            name: {
                "kind": _kind(item),
                "heading": heading_of(item),
                "caption": caption_of(item),
            }
            for name, item in data.items()
        }
        earlier = self._listed(self._index)
        self._replace(self._index, json.dumps(index, indent=2).encode())
        self._remove(earlier)
        self._saved = saved

    def load(self) -> dict[str, Any]:
        """Give what this command saved, else read the files."""
        if self._saved is not None:
            return dict(self._saved)
        return {
            name: self._read(name, **entry)
            for name, entry in json.loads(self._index.read_text()).items()
        }

    def _listed(self, index: Path) -> set[Path]:
        if not index.is_file():
            return set()
        entries = json.loads(index.read_text()).items()
        return {self._file(name, entry["kind"]) for name, entry in entries}

    def _remove(self, earlier: set[Path]) -> None:
        """Remove files that no group of the folder lists any more."""
        if process_rank() > 0 or not earlier:
            return
        for group in self._folder.glob(".*.json"):
            earlier -= self._listed(group)
        for file in earlier:
            file.unlink(missing_ok=True)

    def _file(self, name: str, kind: str) -> Path:
        return self._folder / f"{name}{SUFFIXES[kind]}"

    def _write(self, name: str, item: Any) -> Any:
        from wbc_pipeline.evaluation.report.described import caption_of, heading_of
        from wbc_pipeline.evaluation.report.pictures import Picture

        if isinstance(item, pd.DataFrame):
            self._replace(self._file(name, "table"), item.to_csv(index=False).encode())
            return item
        if _kind(item) == "explorer":
            self._replace(self._file(name, "explorer"), json.dumps(item.content).encode())
            return item
        png = _as_png(item, self._dpi)
        self._replace(self._file(name, "figure"), png)
        return Picture(png, heading_of(item), caption_of(item))

    def _read(self, name: str, kind: str, heading: str, caption: str) -> Any:
        from wbc_pipeline.evaluation.report.described import describe
        from wbc_pipeline.evaluation.report.explorer import Explorer
        from wbc_pipeline.evaluation.report.pictures import Picture

        file = self._file(name, kind)
        if kind == "figure":
            return Picture(file.read_bytes(), heading, caption)
        if kind == "explorer":
            return Explorer(json.loads(file.read_text()), heading, caption)
        return describe(pd.read_csv(file), heading, caption)

    def _replace(self, target: Path, content: bytes) -> None:
        if process_rank() > 0:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as beside:
            beside.write_bytes(content)

    def _exists(self) -> bool:
        return self._saved is not None or self._index.is_file()

    def _release(self) -> None:
        self._saved = None

    def _describe(self) -> dict:
        return {"filepath": str(self._folder)}


def _kind(item: Any) -> str:
    from wbc_pipeline.evaluation.report.explorer import Explorer

    if isinstance(item, pd.DataFrame):
        return "table"
    return "explorer" if isinstance(item, Explorer) else "figure"


def _as_png(figure: Any, dpi: int) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
