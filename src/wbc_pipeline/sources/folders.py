"""Folders of a download found by name: in any case, below any folder that an archive wrapped."""

import os
from collections.abc import Collection
from pathlib import Path

from wbc_pipeline.sources.listing import LayoutError, is_visible


def folders_in(folder: Path) -> dict[str, Path]:
    """Give the folders directly in ``folder`` by their plain names.

    A plain name has only the letters and digits, in lower case: that of ``Test-A`` is ``testa``.

    Raises
    ------
    LayoutError
        If two folders have the same plain name.
    """
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and is_visible(entry.name))
    found: dict[str, Path] = {}
    for name in names:
        plain = "".join(filter(str.isalnum, name.casefold()))
        if plain in found:
            raise LayoutError(
                f"Two folders for one in {folder}: {found[plain].name} and {name}. Put the files "
                "of both into one of them, or remove one."
            )
        found[plain] = folder / name
    return found


def unwrap(folder: Path, wanted: Collection[str]) -> Path:
    """Go down from ``folder`` as long as it holds one folder alone, and not one of the wanted.

    Links are not followed, as they could lead in circles.

    Parameters
    ----------
    folder
        Where to begin.
    wanted
        Plain names, see :func:`folders_in`.

    Raises
    ------
    LayoutError
        As :func:`folders_in`.
    """
    while True:
        inside = folders_in(folder)
        if len(inside) != 1 or not inside.keys().isdisjoint(wanted):
            return folder
        (only,) = inside.values()
        if only.is_symlink():
            return folder
        folder = only


def folder_named(name: str, folder: Path, public_name: str) -> Path:
    """Find the folder called ``name``, in any case, in ``folder``.

    Parameters
    ----------
    name
        As published, such as ``TestA``.
    folder
        Where it must lie.
    public_name
        Name of the download.

    Raises
    ------
    LayoutError
        If it is not there; the message names what was found in its place.
    """
    inside = folders_in(folder)
    if name.casefold() not in inside:
        found = ", ".join(path.name for path in inside.values()) or "none"
        raise LayoutError(
            f"No folder {name} in {folder}; the folders there: {found}. Unpack {public_name} "
            "again and keep its folders as they are."
        )
    return inside[name.casefold()]
