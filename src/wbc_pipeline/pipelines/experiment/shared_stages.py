"""Stages with which several trainings of a command begin: the first trains them for all."""

import os
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import mkdtemp
from weakref import finalize

import torch
from filelock import FileLock

from wbc_pipeline.keys import Key, digest
from wbc_pipeline.training.fit import checkpoint_files

_VARIANT = "shared_by"  # entry of a kept state: whose training it was


def beginning_of(key: Key, stages: Iterable[str]) -> dict[str, str]:
    """Digest all that the outcome of each stage of a training depends on.

    Parameters
    ----------
    key
        Of the training.
    stages
        Names of its stages, in order.

    Returns
    -------
    dict of str to str
        By stage, a digest of the key without later stages and the variant's name.

    Examples
    --------
    >>> stages = {"head": {"epochs": 2}, "all": {"epochs": 1}}
    >>> plain = Key({"variant": "plain", "stages": {**stages}})
    >>> longer = Key({"variant": "longer", "stages": {**stages, "all": {"epochs": 9}}})
    >>> one, other = beginning_of(plain, stages), beginning_of(longer, stages)
    >>> one["head"] == other["head"], one["all"] == other["all"]
    (True, False)
    """
    known, names, found = key.as_dict(), list(stages), {}
    params = {name: value for name, value in known["params"].items() if name != "variant"}
    for number, name in enumerate(names, start=1):
        begun = [(each, params["stages"][each]) for each in names[:number]]
        found[name] = digest({**known, "params": {**params, "stages": begun}})
    return found


class SharedStages:
    """Finished stages, each for as long as another training of the command may begin with it.

    Many variants differ from the baseline by what comes after some stages, or by nothing but what
    is done to their answers. What a stage ends with depends on all that stands in the key of its
    training but the variant's name and later stages; where that is the same, so are the weights.

    Parameters
    ----------
    beginnings
        Of each training, a digest by stage of all that the stage depends on, in order.
    """

    def __init__(self, beginnings: Iterable[Mapping[str, str]]):
        self._waiting = Counter(stage for stages in beginnings for stage in stages.values())
        self._has_best: dict[str, bool] = {}  # of each stage that is kept
        self._place: Path | None = None

    def bring(self, beginning: Mapping[str, str], folder: Path) -> dict[str, str]:
        """Put what earlier trainings have finished where `fit.fit` resumes.

        Parameters
        ----------
        beginning
            Of the training.
        folder
            Its working folder; a stage that it has begun itself stays as it is.

        Returns
        -------
        dict of str to str
            By stage, the variant that trained it.
        """
        taken = {}
        for stage, known in beginning.items():
            state, best = checkpoint_files(folder, stage)
            if not (state.exists() or self._bring(known, state, best)):
                break
            variant = _read(state).get(_VARIANT)  # an interrupted command may have brought it
            if variant is None:
                break
            taken[stage] = variant
        return taken

    def keep(self, beginning: Mapping[str, str], folder: Path, variant: str) -> None:
        """Keep a finished training's stages for those that wait for them, and forget the others.

        Parameters
        ----------
        beginning, folder
            As of `bring`.
        variant
            Whose training it is.
        """
        for stage, known in beginning.items():
            self._waiting[known] -= 1
            if self._waiting[known] <= 0:
                self._forget(known)
            elif known not in self._has_best:
                self._keep(known, *checkpoint_files(folder, stage), variant)

    def _bring(self, known: str, state: Path, best: Path) -> bool:
        """Put a kept stage in place; False if none is kept, or somebody has removed it."""
        if known not in self._has_best:
            return False
        kept_state, kept_best = self._files(known)
        if self._has_best[known] and not _link(kept_best, best):
            return False
        return _link(kept_state, state)  # last, as it says that the stage is finished

    def _keep(self, known: str, state: Path, best: Path, variant: str) -> None:
        if self._place is None:
            self._place, lock = _own_place(state.parents[2])
            finalize(self, _clear, self._place, lock)
        kept_state, kept_best = self._files(known)
        kept_state.parent.mkdir(exist_ok=True)
        has_best = best.exists() and _link(best, kept_best)
        saved = _read(state)
        needed = ("callbacks",) if has_best else ("callbacks", "state_dict")  # no optimizer
        kept = {name: saved[name] for name in needed}
        torch.save({**kept, _VARIANT: saved.get(_VARIANT, variant)}, kept_state)
        self._has_best[known] = has_best

    def _forget(self, known: str) -> None:
        if self._has_best.pop(known, None) is not None:
            for file in self._files(known):
                file.unlink(missing_ok=True)

    def _files(self, known: str) -> tuple[Path, Path]:
        return checkpoint_files(self._place, known)


def _own_place(parent: Path) -> tuple[Path, FileLock]:
    """Make a folder that `prune` finds should the command be killed, and no sooner."""
    place = Path(mkdtemp(dir=parent, prefix=".stages-", suffix=".making"))
    lock = FileLock(place.with_suffix(".lock"))
    lock.acquire()
    return place, lock


def _clear(place: Path, lock: FileLock) -> None:
    shutil.rmtree(place, ignore_errors=True)
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)


def _read(state: Path) -> dict:
    return torch.load(state, map_location="cpu", weights_only=True, mmap=True)


def _link(file: Path, link: Path) -> bool:
    """Link a file, or copy it where the file system has no links; False if it is gone."""
    partial = link.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(file, partial)
    except FileNotFoundError:
        return False
    except OSError:
        shutil.copy(file, partial)
    os.replace(partial, link)
    return True
