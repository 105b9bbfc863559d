"""Results that are kept: each in a folder named by the digest of all that it depends on.

A node does not do expensive work; it describes it as a `Task` and returns that. The dataset
that keeps the result runs the task only if no folder of that digest is there. Kedro itself looks
at most at whether a file exists.
"""

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset, DatasetError

from wbc_pipeline.keys import Key, digest, explain_change
from wbc_pipeline.processes import FollowerError, first_process, process_rank
from wbc_pipeline.provenance import provenance

if TYPE_CHECKING:
    import pandas as pd
    from filelock import FileLock

KEY_FILE = "key.json"
PROVENANCE_FILE = "provenance.json"
NEW = "new"  # why a result is made that has no earlier one of its name
LATEST_FILE = "latest.json"  # which results the last command asked for, for those that begin later
_POLL_SECONDS = 0.2
_FULL = 65536  # bytes: on a disk with less room, nothing can be written
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """Work described, not done.

    Attributes
    ----------
    key
        Everything that the result depends on.
    compute
        Writes the files of the result into the folder that it is given.
    collective
        Whether all processes of a distributed run take part in it, as in training; they share the
        folder, and only the first writes the result.
    resumes
        Whether ``compute`` goes on from what an interrupted one of the same key left in its folder.
    instead
        Key of a result that is taken where it is there, as it is better than what can be made here.
    finding
        Says in a few words what came of it, from its folder; the log has a line for each such task,
        and one for all others of a step together.
    """

    key: Key
    compute: Callable[[Path], None]
    collective: bool = False
    resumes: bool = False
    instead: Key | None = None
    finding: Callable[[Path], str] | None = None


@dataclass(frozen=True)
class Result:
    """A finished task's folder."""

    folder: Path

    @cached_property
    def key(self) -> dict[str, dict[str, Any]]:
        """The key of the task that made it: ``params``, ``data`` and ``code``."""
        return json.loads((self.folder / KEY_FILE).read_text())

    @property
    def digest(self) -> str:
        """Short digest of the key, for the keys of what is made from this."""
        return digest(self.key)

    @property
    def provenance(self) -> dict[str, Any]:
        """Where, when and with which versions it was made; no part of the key."""
        return self.json(PROVENANCE_FILE.removesuffix(".json"))

    def table(self, name: str) -> "pd.DataFrame":
        """Read the parquet table of that name."""
        import pandas as pd

        return pd.read_parquet(self.folder / f"{name}.parquet")

    def json(self, name: str) -> dict:
        """Read the JSON object of that name."""
        return json.loads((self.folder / f"{name}.json").read_text())


@dataclass
class Policy:
    """How one command treats results.

    Attributes
    ----------
    rerun
        Groups of a key whose change makes a result anew.
    kept
        Folders that were used in spite of a change in another group, with the reasons.
    """

    rerun: tuple[str, ...] = ("params", "data", "code")
    kept: dict[str, list[str]] = field(default_factory=dict)


current_policy: ContextVar[Policy] = ContextVar("current_policy")


def policy() -> Policy:
    """Give the policy of the running command, the strictest where none is set."""
    return current_policy.get(None) or Policy()


def result_folder(parent: Path, name: str, key: Key) -> Path:
    """Name the folder of a result: ``<name>-<digest>``, or the digest alone."""
    return parent / (f"{name}-{key.digest}" if name else key.digest)


def find_result(parent: Path, name: str, task: Task) -> Result | None:
    """Find a task's finished result, or the one that is taken instead of it."""
    found = _find(parent, name, task.key)
    return found if found or task.instead is None else _find(parent, name, task.instead)


def _find(parent: Path, name: str, key: Key) -> Result | None:
    """Find a finished result, under the current policy also one made by other code."""
    folder = result_folder(parent, name, key)
    if (folder / KEY_FILE).is_file():
        return Result(folder)
    if "code" in policy().rerun:
        return None
    wanted = key.as_dict()
    for other in _siblings(folder, name):
        if all(other.key[group] == wanted[group] for group in policy().rerun):
            policy().kept[str(other.folder)] = explain_change(other.key, wanted)
            return other
    return None


def explain_task(parent: Path, name: str, key: Key) -> str:
    """Say why a result that is not there has to be made."""
    siblings = _siblings(result_folder(parent, name, key), name)
    if not siblings:
        return NEW
    reasons = explain_change(siblings[0].key, key.as_dict())
    return "; ".join(reasons[:5]) + (f" and {len(reasons) - 5} more" if len(reasons) > 5 else "")


def describe_key(name: str, key: Key) -> str:
    """Name a result for a person: the variant, protocol and seed of a training, else its name.

    >>> run = {"variant": "normal", "protocol": "domain", "seed": 0, "fold": 2}
    >>> describe_key("normal/domain-0-2", Key(run))
    'normal · domain · seed 0 · fold 2'
    """
    run = key.params
    if not {"variant", "protocol", "seed"} <= run.keys():
        return name.replace("/", " · ") or "result"
    fold = [f"fold {run['fold']}"] if run.get("fold") else []
    return " · ".join([run["variant"], run["protocol"], f"seed {run['seed']}", *fold])


def describe_seconds(seconds: float) -> str:
    """Write a duration for a person.

    >>> describe_seconds(0.4), describe_seconds(12.3), describe_seconds(200), describe_seconds(7320)
    ('0.4 s', '12 s', '3 min 20 s', '2 h 2 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _log_finding(name: str, task: Task, result: Result) -> None:
    if task.finding is None:
        return
    took = describe_seconds(result.provenance["seconds"])
    _log.info("%s · %s · %s", describe_key(name, task.key), took, task.finding(result.folder))


def run_task(parent: Path, name: str, task: Task) -> Result:
    """Give the task's result, doing the work if no earlier command has done it.

    The work goes on in a hidden folder beside, which is moved into place once it is complete:
    readers never see partial output. A command that wants what another one is making waits for it.
    """
    found = find_result(parent, name, task)
    if found is not None:
        return found
    folder = result_folder(parent, name, task.key)
    if process_rank() > 0:
        _follow(folder, task)
        return Result(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = folder.with_name(f".{folder.name}.lock")
    with _waiting_lock(lock, folder):
        if not (folder / KEY_FILE).is_file():  # else another command was faster
            reason = explain_task(parent, name, task.key)
            if reason != NEW:
                _log.info("%s is made anew: %s", describe_key(name, task.key), reason)
            _make(folder, task)
            _log_finding(name, task, Result(folder))
        lock.unlink(missing_ok=True)
    return Result(folder)


def _make(folder: Path, task: Task) -> None:
    making = working_folder(folder)
    if not task.resumes:
        shutil.rmtree(making, ignore_errors=True)
    making.mkdir(exist_ok=True)
    start = time.perf_counter()
    try:
        task.compute(making)
    except BaseException as error:
        is_full = (
            getattr(error, "errno", None) == errno.ENOSPC or shutil.disk_usage(making).free < _FULL
        )
        if not task.resumes:
            shutil.rmtree(making, ignore_errors=True)
        if is_full and isinstance(error, Exception):  # libraries say so in a dozen ways
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder)) from error
        raise
    facts = {**provenance(), "seconds": round(time.perf_counter() - start, 3)}
    (making / PROVENANCE_FILE).write_text(json.dumps(facts, indent=2))
    (making / KEY_FILE).write_text(json.dumps(task.key.as_dict(), indent=2, default=str))
    shutil.rmtree(folder, ignore_errors=True)  # no key in it: not a result
    os.replace(making, folder)


def working_folder(folder: Path) -> Path:
    """Name the hidden folder in which a result is made; an interrupted job is resumed there."""
    return folder.with_name(f".{folder.name}.making")


def _waiting_lock(path: Path, folder: Path) -> "FileLock":
    """Take the lock; say so if that means waiting for another command."""
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        _log.info("Waiting for another command that is making %s", folder)
        return lock.acquire()


def _siblings(folder: Path, name: str) -> list[Result]:
    """List the finished results of that name, the newest first."""
    digits = len(digest(0))
    prefix = f"{name.rpartition('/')[2]}-" if name else ""
    keys = folder.parent.glob(f"[!.]*/{KEY_FILE}") if folder.parent.is_dir() else ()
    found = [
        path
        for path in keys
        if path.parent.name.startswith(prefix) and len(path.parent.name) == len(prefix) + digits
    ]
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [Result(path.parent) for path in found]


def _follow(folder: Path, task: Task) -> None:
    """Take part in what needs all processes, then wait for the first one's result."""
    if task.collective:
        making = working_folder(folder)
        making.mkdir(parents=True, exist_ok=True)
        with suppress(FollowerError):
            task.compute(making)
    first = first_process()
    while not (folder / KEY_FILE).is_file():
        if not first.is_alive():
            raise RuntimeError(
                f"The first process of this job stopped before it finished {folder}; its own "
                "messages say why. Start the job again: it goes on where it was."
            )
        time.sleep(_POLL_SECONDS)


class ResultsDataset(AbstractDataset[dict[str, Task], dict[str, Result]]):
    """Kept results by name: saving a dictionary of tasks makes what is missing.

    They finish one by one and stay; an interrupted command goes on with the next. Loading gives
    those that this command asked for or, where it begins later in the pipeline, those that the last
    command asked for.

    Parameters
    ----------
    filepath
        The folder of their folders; a name with ``/`` in it lies deeper.
    """

    def __init__(self, *, filepath: str, metadata: dict | None = None):
        self.folder = Path(filepath)
        self.metadata = metadata
        self._asked: dict[str, Result] | None = None

    def save(self, data: dict[str, Task]) -> None:
        """Run the tasks whose results are not there, in order."""
        missing = [name for name, task in data.items() if not find_result(self.folder, name, task)]
        if missing and process_rank() == 0:
            _log.info("%d of %d results to make below %s", len(missing), len(data), self.folder)
        start = time.perf_counter()
        self.ask_for({name: run_task(self.folder, name, task) for name, task in data.items()})
        if missing and process_rank() == 0 and data[missing[0]].finding is None:
            _log.info("%d made in %s", len(missing), describe_seconds(time.perf_counter() - start))

    def missing(self, data: dict[str, Task]) -> dict[str, str]:
        """Give the names of tasks that would have to be run, and why."""
        return {
            name: explain_task(self.folder, name, task.key)
            for name, task in data.items()
            if find_result(self.folder, name, task) is None
        }

    def find(self, data: dict[str, Task]) -> dict[str, Result]:
        """Give the finished results of tasks, all of which must be there."""
        return {name: find_result(self.folder, name, task) for name, task in data.items()}

    def remember(self, results: dict[str, Result]) -> None:
        """Remember results for later nodes of this command."""
        self._asked = results

    def ask_for(self, results: dict[str, Result]) -> None:
        """Remember results for later nodes, and on disk for later commands."""
        self.remember(results)
        if process_rank() > 0:
            return
        names = {
            name: result.folder.relative_to(self.folder).as_posix()
            for name, result in results.items()
        }
        latest, text = self.folder / LATEST_FILE, json.dumps(names, indent=2)
        if latest.is_file() and latest.read_text() == text:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = latest.with_name(f".{os.getpid()}.{latest.name}")
        beside.write_text(text)
        os.replace(beside, latest)

    def load(self) -> dict[str, Result]:
        """Give the results by name."""
        if self._asked is not None:
            return dict(self._asked)
        try:
            names = json.loads((self.folder / LATEST_FILE).read_text())
        except FileNotFoundError:
            raise DatasetError(f"{self.folder} holds no finished result.") from None
        return {name: Result(self.folder / place) for name, place in names.items()}

    def _exists(self) -> bool:
        return self._asked is not None or (self.folder / LATEST_FILE).is_file()

    def _release(self) -> None:
        self._asked = None

    def _describe(self) -> dict:
        return {"filepath": str(self.folder)}


class ResultDataset(ResultsDataset):
    """One kept result: saving a `Task` makes it, loading gives its `Result`.

    Parameters
    ----------
    filepath
        The folder of its folder, which is named by the digest alone.
    """

    def save(self, data: Task) -> None:
        """Run the task unless its result is there."""
        super().save({"": data})

    def load(self) -> Result:
        """Give the result."""
        return super().load()[""]


def all_results(folder: Path) -> list[Result]:
    """List every finished result below a folder."""
    return [Result(path.parent) for path in sorted(folder.rglob(KEY_FILE))]


def interrupted_folders(root: Path) -> list[Path]:
    """List the hidden folders below, in which no process is at work any more."""
    return [path for path in sorted(root.rglob(".*.making")) if not _is_worked_in(path)]


def result_of_working_folder(making: Path) -> Path:
    """Name the result's folder that a hidden folder was to become; see `working_folder`."""
    return making.with_name(making.name.removeprefix(".").removesuffix(".making"))


def _is_worked_in(making: Path) -> bool:
    from filelock import FileLock, Timeout

    folder = result_of_working_folder(making)
    lock = folder.with_name(f".{folder.name}.lock")
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


class RemovedDataset(AbstractDataset[list[Path], None]):
    """What is no longer asked for: saving a list of folders removes them.

    Parameters
    ----------
    filepath
        The data folder; nothing outside it is removed.
    """

    def __init__(self, *, filepath: str, metadata: dict | None = None):
        self._data = Path(filepath)
        self.metadata = metadata

    def save(self, data: list[Path]) -> None:
        """Remove the folders."""
        for folder in data:
            if not folder.is_relative_to(self._data):
                raise DatasetError(f"{folder} is not in {self._data}; nothing there is removed.")
            shutil.rmtree(folder)
            _log.info("Removed %s", folder)

    def load(self) -> None:
        """Give nothing: it is gone."""

    def _describe(self) -> dict:
        return {"filepath": str(self._data)}
