"""Results that are kept until something that they depend on changes.

A node does not do expensive work; it describes it as a `Task` and returns that. The dataset
that keeps the result runs the task only if what is on disk was made from other parameters,
data or code. Kedro itself looks at most at whether a file exists.
"""

import glob
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

import pandas as pd
import psutil
from kedro.io import AbstractDataset

from wbc_pipeline.keys import digest
from wbc_pipeline.processes import FollowerError, process_rank

KEY_FILE = "key.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """Work described, not done.

    Attributes
    ----------
    key
        Everything that the result depends on, JSON-able: parameters, digests of data and code.
    compute
        Writes the files of the result into the empty folder that it is given.
    collective
        Whether all processes of a distributed run take part in it, as in training.
    resumes
        Whether ``compute`` goes on from what an interrupted one of the same key left in its folder.
    """

    key: dict[str, Any]
    compute: Callable[[Path], None]
    collective: bool = False
    resumes: bool = False


@dataclass(frozen=True)
class Result:
    """A finished task's folder."""

    folder: Path

    @cached_property
    def key(self) -> dict[str, Any]:
        """The key of the task that made it."""
        return json.loads((self.folder / KEY_FILE).read_text())

    @property
    def digest(self) -> str:
        """Short digest of the key, for the keys of what is made from this."""
        return digest(self.key)

    def table(self, name: str) -> pd.DataFrame:
        """Read the parquet table of that name."""
        return pd.read_parquet(self.folder / f"{name}.parquet")

    def json(self, name: str) -> dict:
        """Read the JSON object of that name."""
        return json.loads((self.folder / f"{name}.json").read_text())


def run_task(folder: Path, task: Task) -> None:
    """Make a folder hold the task's result, doing no work if it already does.

    The work goes on in a hidden folder beside, which takes the place of the old result once
    it is complete: whoever looks never finds a half.
    """
    if _is_up_to_date(folder, task):
        _log.info("%s is up to date.", folder)
        return
    if process_rank() > 0:
        _follow(folder, task)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = _folder_to_work_in(folder, task)
    try:
        task.compute(making)
        (making / KEY_FILE).write_text(json.dumps(task.key, indent=2, default=str))
        _replace(folder, making)
    finally:
        if not task.resumes:
            shutil.rmtree(making, ignore_errors=True)


def _is_up_to_date(folder: Path, task: Task) -> bool:
    try:
        return Result(folder).digest == digest(task.key)
    except (FileNotFoundError, json.JSONDecodeError):
        return False


def _folder_to_work_in(folder: Path, task: Task) -> Path:
    """Take over what an interrupted process left of this task, if it can go on from there."""
    made_for = digest(task.key)
    making = _hidden_folder(folder, made_for)
    for leftover, its_digest in _leftovers(folder, other_than=making):
        if task.resumes and its_digest == made_for and not any(making.iterdir()):
            with suppress(FileNotFoundError):  # another process was faster
                os.replace(leftover, making)
        else:
            shutil.rmtree(leftover, ignore_errors=True)
    return making


def _hidden_folder(folder: Path, made_for: str) -> Path:
    name = f"{_hidden_prefix(folder)}{os.getpid()}.{made_for}."
    hidden = Path(mkdtemp(prefix=name, dir=folder.parent))
    hidden.chmod(0o755)  # mkdtemp hides it from everybody else
    return hidden


def _hidden_prefix(folder: Path) -> str:
    return f".{folder.name}.making.{socket.gethostname()}."


def _leftovers(folder: Path, *, other_than: Path) -> Iterator[tuple[Path, str]]:
    """List what killed processes of this machine left; a live one may be at work in its own."""
    prefix = _hidden_prefix(folder)
    for leftover in folder.parent.glob(f"{glob.escape(prefix)}*"):
        process, made_for = leftover.name.removeprefix(prefix).split(".")[:2]
        ours = int(process) == os.getpid() and leftover != other_than
        if ours or not psutil.pid_exists(int(process)):
            yield leftover, made_for


def _replace(folder: Path, made: Path) -> None:
    if folder.exists():
        old = _hidden_folder(folder, "old")
        os.replace(folder, old / "old")
        os.replace(made, folder)
        shutil.rmtree(old)
    else:
        os.replace(made, folder)


def _follow(folder: Path, task: Task, patience: float = 86_400.0) -> None:
    """Take part in what needs all processes, then wait for the first one's result."""
    if task.collective:
        with TemporaryDirectory() as nowhere, suppress(FollowerError):
            task.compute(Path(nowhere))
    deadline = time.monotonic() + patience
    while not _is_up_to_date(folder, task):
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"The first process did not finish {folder} within {patience:.0f} s."
            )
        time.sleep(0.2)


class ResultDataset(AbstractDataset[Task, Result]):
    """One kept result: saving a `Task` makes it, loading gives its `Result`.

    Parameters
    ----------
    filepath
        The result's folder.
    """

    def __init__(self, *, filepath: str, metadata: dict | None = None):
        self._folder = Path(filepath)
        self.metadata = metadata

    def save(self, data: Task) -> None:
        """Run the task unless its result is there."""
        run_task(self._folder, data)

    def load(self) -> Result:
        """Give the folder's result."""
        return Result(self._folder)

    def _exists(self) -> bool:
        return (self._folder / KEY_FILE).is_file()

    def _describe(self) -> dict:
        return {"filepath": str(self._folder)}


class ResultsDataset(ResultDataset):
    """Kept results by name, a folder each: saving a dictionary of tasks makes what is missing.

    They finish one by one and stay; an interrupted command goes on with the next. Loading
    gives a dictionary of all that are finished, also those of earlier commands.

    Parameters
    ----------
    filepath
        The folder of their folders.
    prune
        Remove the results of earlier commands that this one does not ask for.
    """

    def __init__(self, *, filepath: str, prune: bool = False, metadata: dict | None = None):
        super().__init__(filepath=filepath, metadata=metadata)
        self._prune = prune

    def save(self, data: dict[str, Task]) -> None:
        """Run the tasks whose results are not there, in order."""
        for number, (name, task) in enumerate(data.items(), start=1):
            _log.info("%s: %d of %d, %s", self._folder, number, len(data), name)
            run_task(self._folder / name, task)
        if self._prune and process_rank() == 0:
            for name in self.load().keys() - data.keys():
                shutil.rmtree(self._folder / name)

    def load(self) -> dict[str, Result]:
        """Give the finished results by name."""
        return {
            path.parent.name: Result(path.parent)
            for path in sorted(self._folder.glob(f"[!.]*/{KEY_FILE}"))
        }

    def _exists(self) -> bool:
        return bool(self.load())
