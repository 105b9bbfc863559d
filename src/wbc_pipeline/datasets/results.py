"""Results that are kept until something that they depend on changes.

A node does not do expensive work; it describes it as a `Task` and returns that. The dataset
that keeps the result runs the task only if what is on disk was made from other parameters,
data or code. Kedro itself looks at most at whether a file exists.
"""

import glob
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from kedro.io import AbstractDataset

from wbc_pipeline.keys import digest
from wbc_pipeline.processes import FollowerError, process_rank

KEY_FILE = "key.json"
_LOCK = ".lock"  # beside a hidden folder
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
    with _folder_to_work_in(folder, task) as making:
        task.compute(making)
        (making / KEY_FILE).write_text(json.dumps(task.key, indent=2, default=str))
        _replace(folder, making)


def _is_up_to_date(folder: Path, task: Task) -> bool:
    try:
        return Result(folder).digest == digest(task.key)
    except (FileNotFoundError, json.JSONDecodeError):
        return False


@contextmanager
def _folder_to_work_in(folder: Path, task: Task) -> Iterator[Path]:
    """Give a hidden folder beside the result's, locked while this process works in it.

    What an interrupted process left of a task that can go on from there is taken over.
    """
    begun = f"{_hidden_prefix(folder)}{digest(task.key)}."
    with ExitStack() as stack:
        making = None
        for leftover in _leftovers(folder):
            if not (task.resumes and making is None and leftover.name.startswith(begun)):
                _remove_leftover(leftover)
                continue
            with suppress(Timeout):  # another process was faster
                making = stack.enter_context(_locked(leftover))
        if making is None:
            making = folder.with_name(f"{begun}{secrets.token_hex(4)}")
            stack.enter_context(_locked(making))
            making.mkdir()
        try:
            yield making
        finally:
            if not task.resumes:
                shutil.rmtree(making, ignore_errors=True)


def _hidden_prefix(folder: Path) -> str:
    return f".{folder.name}.making."


@contextmanager
def _locked(hidden: Path) -> Iterator[Path]:
    """Hold the lock that tells others that a process is alive and at work in a hidden folder."""
    path = Path(f"{hidden}{_LOCK}")
    with FileLock(path, timeout=0):
        try:
            yield hidden
        finally:
            path.unlink(missing_ok=True)


def _leftovers(folder: Path) -> list[Path]:
    """List the hidden folders in which no process is at work any more."""
    found = folder.parent.glob(f"{glob.escape(_hidden_prefix(folder))}*")
    return [path for path in sorted(found) if path.is_dir() and not _is_worked_in(path)]


def _is_worked_in(hidden: Path) -> bool:
    lock = Path(f"{hidden}{_LOCK}")
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def _remove_leftover(hidden: Path) -> None:
    shutil.rmtree(hidden, ignore_errors=True)
    Path(f"{hidden}{_LOCK}").unlink(missing_ok=True)


def _replace(folder: Path, made: Path) -> None:
    if folder.exists():
        old = folder.with_name(f"{_hidden_prefix(folder)}old.{secrets.token_hex(4)}")
        os.replace(folder, old)
        os.replace(made, folder)
        shutil.rmtree(old, ignore_errors=True)
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
            begun = {
                path.name[1:].split(".making.")[0] for path in self._folder.glob(".*.making.*")
            }
            for name in self._finished().keys() - data.keys():
                shutil.rmtree(self._folder / name)
            for name in begun - data.keys():
                for leftover in _leftovers(self._folder / name):
                    _remove_leftover(leftover)

    def load(self) -> dict[str, Result]:
        """Give the finished results by name."""
        return self._finished()

    def _finished(self) -> dict[str, Result]:
        return {
            path.parent.name: Result(path.parent)
            for path in sorted(self._folder.glob(f"[!.]*/{KEY_FILE}"))
        }

    def _exists(self) -> bool:
        return bool(self._finished())
