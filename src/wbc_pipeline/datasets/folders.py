"""Folders of files beside a report, and models that are carried away or exported."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from wbc_pipeline.datasets.results import PROVENANCE_FILE
from wbc_pipeline.errors import UserError
from wbc_pipeline.models import DESCRIPTION_FILE
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
        with replacing_folder(self._folder) as beside:
            shutil.copytree(data, beside, copy_function=_link)

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
        if not data:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        with replacing_folder(self._folder) as beside:
            beside.mkdir(parents=True)
            for name, content in data.items():
                _write(beside / name, content)

    def load(self) -> None:
        """Give nothing: it is read by people, and by MLflow."""

    def _exists(self) -> bool:
        return self._folder.is_dir()

    def _describe(self) -> dict:
        return {"filepath": str(self._folder)}


class PortableModelDataset(AbstractDataset[dict[str, Path], None]):
    """A model that is carried away: saving says from where and whereto, or nothing.

    A folder of an earlier model is replaced as a whole, so that nothing of that stays beside this
    one; any other folder that is not empty is refused.
    """

    def save(self, data: dict[str, Path]) -> None:
        """Copy network, confidence and all files that the network's views read."""
        from wbc_pipeline.models import RESTORER
        from wbc_pipeline.models.confidence import CONFIDENCE_FILES
        from wbc_pipeline.models.portable import pack_network

        if not data or process_rank() > 0:
            return
        target, fitted = data["target"], data.get("confidence")
        _refuse_foreign(target)
        files = [fitted / name for name in CONFIDENCE_FILES] if fitted else []
        with replacing_folder(target) as beside:
            # It could be asked, and so no restorer stands before it.
            pack_network(data["network"], beside, beside=files, known={RESTORER: None})

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


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Name a hidden folder beside the target, which takes its place if nothing fails."""
    beside = target.with_name(f".{os.getpid()}.{target.name}")
    before = beside.with_name(f"{beside.name}.old")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        yield beside
        while True:
            with suppress(FileNotFoundError):
                os.rename(target, before)
            try:
                os.rename(beside, target)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise  # else another command was faster: its folder goes, too
            shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(before, ignore_errors=True)
        shutil.rmtree(beside, ignore_errors=True)


def _refuse_foreign(target: Path) -> None:
    """Refuse a place that holds anything else than a model that was carried there."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    is_model = (target / DESCRIPTION_FILE).is_file()
    if not is_model or (target / PROVENANCE_FILE).is_file():
        held = "a training" if is_model else "other files"
        raise UserError(
            f"predict.portable={target} holds {held}, which a model that is copied there would "
            "replace: name a folder that does not exist yet, or one of an earlier portable model."
        )


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
