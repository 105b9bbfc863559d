"""Files found by the names that tables give them, which are not always quite those of the files."""

import difflib
import os
import posixpath
import re
from bisect import bisect
from collections import defaultdict
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

from wbc_pipeline.sources.listing import relative_files
from wbc_pipeline.sources.spelling import fold

# Only these are taken for a suffix: in "slide.17" the last part is a number of its own.
_SUFFIXES = {
    **{name: name for name in ("png", "bmp", "gif", "webp", "jp2", "ppm", "pgm", "xml", "txt")},
    **{"jpg": "jpg", "jpeg": "jpg", "tif": "tif", "tiff": "tif"},
}
_ANNOTATIONS = {"xml", "txt"}  # of VOC and YOLO, called as their images
_SHOWN = 3
_NEIGHBOURS = 4  # names before and after the missing one that are measured against it


class Found(NamedTuple):
    """What a name in a table leads to.

    Attributes
    ----------
    path
        Of the file, posix and relative to the folder; the name itself where there is none.
    problem
        Why there is no such file; None if there is.
    warning
        What had to be assumed to find it; None if nothing.
    """

    path: str
    problem: str | None = None
    warning: str | None = None


class FileFinder:
    """The files below a folder, looked up by the names in a table.

    Parameters
    ----------
    folder
        Absolute; listed once, and only if some name is not a file's as it stands.
    suffix
        Appended to each name.
    what
        What the files are, for the messages.
    suffix_option
        Name of the parameter that sets ``suffix``, for the messages.
    """

    def __init__(
        self,
        folder: Path,
        *,
        suffix: str = "",
        what: str = "file",
        suffix_option: str | None = None,
    ):
        self._folder = folder
        self._real = os.path.realpath(folder)
        self._suffix = suffix
        self._what = what
        self._suffix_option = suffix_option

    def find(self, name: str) -> Found:
        r"""Find the file that a name means.

        The name is a path relative to the folder, or an absolute one inside it; ``/`` and ``\``
        both part folders. If no file is called so, that one is taken whose name differs only by
        what `.spelling.fold` levels, by ``_``, ``-`` or blanks for each other, or by a suffix that
        is missing, doubled or spelled otherwise (``jpeg``, ``jpg``); with a warning, and only if
        exactly one does, files of annotations apart. Otherwise the problem names those that fit, or
        the nearest.
        """
        spelled = name + self._suffix
        if "\0" in name:
            return Found(spelled, f"path that no file can have: {name!r}")
        path = self._inside(spelled)
        if path is None:
            problem = f"path leads out of the folder: {name!r}; give it relative to {self._folder}"
            return Found(posixpath.normpath(spelled), problem)
        if _is_file(self._folder / path):
            return Found(path)
        fitting = self._fitting(path)
        if len(fitting) == 1:
            return Found(fitting[0], None, f"found under another name: {path!r} is {fitting[0]!r}")
        if fitting:
            told = ", ".join(map(repr, fitting[:_SHOWN]))
            problem = (
                f"{self._what} is not clear: {path!r} may be {told}; write its name in full"
                f"{self._suffix_hint(path, fitting[0])}"
            )
        else:
            problem = f"{self._what} is missing: {path!r}{self._nearest(path)}"
        return Found(path, problem)

    def _inside(self, name: str) -> str | None:
        """Give the path relative to the folder; None if it leads out."""
        if not _is_file(os.path.join(self._folder, name)):
            name = name.replace("\\", "/")
            if PureWindowsPath(name).drive and not os.path.isabs(name):
                return None  # a table from Windows, read on another system
        path = Path(os.path.normpath(name))
        if not path.is_absolute() and path.parts[:1] != ("..",):
            return path.as_posix()
        full = Path(os.path.normpath(os.path.join(self._real, path)))
        for root in (os.path.normpath(self._folder), self._real):
            if full.is_relative_to(root):
                return full.relative_to(root).as_posix()
        return None

    @cached_property
    def _files(self) -> list[str]:
        return sorted(relative_files(self._folder))

    @cached_property
    def _by_key(self) -> dict[str, list[str]]:
        found = defaultdict(list)
        for file in self._files:
            key, suffix = _key(file)
            if suffix not in _ANNOTATIONS:
                found[key].append(file)
        return found

    @cached_property
    def _by_name(self) -> dict[str, str]:
        return {_key(file)[0].rpartition("/")[2]: file for file in reversed(self._files)}

    def _fitting(self, path: str) -> list[str]:
        key, suffix = _key(path)
        return [
            file
            for file in self._by_key.get(key, [])
            if not suffix or _key(file)[1] in ("", suffix)
        ]

    def _suffix_hint(self, path: str, file: str) -> str:
        suffix = PurePosixPath(file).suffix
        if self._suffix_option is None or _key(path)[1] or not _key(file)[1]:
            return ""
        return f", or the suffix of all with `{self._suffix_option}={suffix}`"

    def _nearest(self, path: str) -> str:
        """Name the nearest file: of that name in another folder, else spelled most alike."""
        elsewhere = self._by_name.get(_key(path)[0].rpartition("/")[2])
        if elsewhere is None:
            place = bisect(self._files, path)
            around = self._files[max(place - _NEIGHBOURS, 0) : place + _NEIGHBOURS]
            elsewhere = next(iter(difflib.get_close_matches(path, around, n=1)), None)
        return f"; the nearest is {elsewhere!r}" if elsewhere else f" in {self._folder}"


def _is_file(path: str | Path) -> bool:
    """Whether something is there to be read; what it is, reading says."""
    return os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path))


def _key(path: str) -> tuple[str, str]:
    """Split what two spellings of a path have in common from its suffix, in one spelling."""
    *folders, stem = map(fold, path.split("/"))
    suffix = ""
    while True:
        rest, dot, last = stem.rpartition(".")
        known = _SUFFIXES.get(last)
        if not (dot and rest and known and suffix in ("", known)):
            break
        stem, suffix = rest.strip(), known
    return re.sub(r"[ \t_-]", "_", "/".join([*folders, stem])), suffix
