"""Folders of files beside a report, and models that are carried away or exported."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from wbc_pipeline.errors import UserError
from wbc_pipeline.processes import process_rank


class LinkedFolderDataset(AbstractDataset[Path, Path]):
    """The files of a kept result's folder, once more beside a report: they take no space twice.

    Parameters
    ----------
    filepath
        The folder; files of an earlier command are replaced.
    """

    def __init__(self, *, filepath: str, metadata: dict | None = None):
        self._folder = Path(filepath)
        self.metadata = metadata

    def save(self, data: Path) -> None:
        """Link every file, or copy it where the file system has no links."""
        if process_rank() > 0:
            return
        beside = self._folder.with_name(f".{os.getpid()}.{self._folder.name}")
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(data, beside, copy_function=_link)
        with suppress(FileNotFoundError):
            shutil.rmtree(self._folder)
        os.replace(beside, self._folder)

    def load(self) -> Path:
        """Give the folder."""
        return self._folder

    def _exists(self) -> bool:
        return self._folder.is_dir()

    def _describe(self) -> dict:
        return {"filepath": str(self._folder)}


class CardDataset(AbstractDataset[dict[str, Any], None]):
    """A few files beside a report: texts, tables, figures and JSON objects by the name of the file.

    Parameters
    ----------
    filepath
        The folder, which is replaced as a whole; without any file it is removed.
    """

    def __init__(self, *, filepath: str, metadata: dict | None = None):
        self._folder = Path(filepath)
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Write the files."""
        if process_rank() > 0:
            return
        beside = self._folder.with_name(f".{os.getpid()}.{self._folder.name}")
        shutil.rmtree(beside, ignore_errors=True)
        try:
            if data:
                beside.mkdir(parents=True)
            for name, content in data.items():
                _write(beside / name, content)
            shutil.rmtree(self._folder, ignore_errors=True)
            if data:
                os.replace(beside, self._folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def load(self) -> None:
        """Give nothing: it is read by people, and by MLflow."""

    def _exists(self) -> bool:
        return self._folder.is_dir()

    def _describe(self) -> dict:
        return {"filepath": str(self._folder)}


class PortableModelDataset(AbstractDataset[dict[str, Path], None]):
    """A model that is carried away: saving says from where and whereto, or nothing."""

    def save(self, data: dict[str, Path]) -> None:
        """Copy network, confidence and all files that the network's views read."""
        from wbc_pipeline.models.confidence import CONFIDENCE_FILES
        from wbc_pipeline.models.portable import pack_network

        if not data or process_rank() > 0:
            return
        target, fitted = data["target"], data.get("confidence")
        beside = target.with_name(f".{os.getpid()}.{target.name}")
        try:
            files = [fitted / name for name in CONFIDENCE_FILES] if fitted else []
            pack_network(data["network"], beside, beside=files)
            shutil.copytree(beside, target, dirs_exist_ok=True)
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    def load(self) -> None:
        """Give nothing: it is for elsewhere."""

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict:
        return {}


class OnnxDataset(AbstractDataset[Path, None]):
    """A model as an ONNX file: saving says which folder holds the network.

    Parameters
    ----------
    filepath
        The file; None where nobody named it.
    """

    def __init__(self, *, filepath: str | None, metadata: dict | None = None):
        self._file = None if filepath is None else Path(filepath)
        self.metadata = metadata

    def save(self, data: Path) -> None:
        """Export the network."""
        from wbc_pipeline.training.export import export_onnx

        if self._file is None:
            raise UserError(
                'Nothing says where to write the model: --params="model=…,onnx=model.onnx" names '
                "the file; a relative path begins in the project's folder."
            )
        if process_rank() == 0:
            export_onnx(data, self._file)

    def load(self) -> None:
        """Give nothing: it is for elsewhere."""

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict:
        return {"filepath": str(self._file)}


def _write(file: Path, content: Any) -> None:
    """Write a file of the kind that its name says."""
    kind = file.suffix
    if kind == ".csv":
        content.to_csv(file, index=False)
    elif kind == ".png":
        content.savefig(file, dpi=160)
    else:
        file.write_text(json.dumps(content, indent=2) if kind == ".json" else content)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
