"""Any folder of class folders, with or without ``train``, ``val`` and ``test`` above them."""

import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from wbc_pipeline.sources.labels import label_problems
from wbc_pipeline.sources.listing import (
    PARTS,
    LayoutError,
    as_listing,
    is_visible,
    not_given,
    relative_files,
)

PUBLIC_NAME = "your own images, in a folder with one sub-folder per class"
FOLDER = "."  # the option ``folder`` says which
CAVEATS = (
    "A folder of images does not say which show the same cell: only near-duplicates are kept "
    "together by the source protocol.",
)
ONE_IMAGE_PER_CELL = True  # a cell has one image, unless near-duplicates say otherwise


def list_images(raw: Path, *, folder: str, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """List every file below the class folders of ``folder``, whatever its extension.

    A class is a sub-folder, and its name the label. Where all sub-folders are called ``train``,
    ``val``, ``valid``, ``validation`` or ``test`` (in any case), they are published parts and the
    class folders are below them. Files beside the class folders belong to no class and are not
    listed.

    Parameters
    ----------
    raw
        Folder that ``folder`` is relative to.
    folder
        The folder of class folders, relative to ``raw`` or absolute.
    classes
        The labels that are allowed; None for all but those that look misspelt.

    Returns
    -------
    A listing (``sources.listing``) without ``source_id``, domain, boxes or masks. Files of a class
    that is not allowed or looks misspelt have a ``problem``, and no label, so that it does not
    count as a class.

    Raises
    ------
    MissingDataError
        If the folder is not there.
    LayoutError
        If it has no class folders, an empty one, or only one class; or part folders mixed with
        others.
    """
    home = Path(raw) / Path(folder).expanduser()
    if not home.is_dir():
        raise not_given(
            f"folder {home.absolute()}",
            PUBLIC_NAME,
            "dataset=image_folder,sources.image_folder.folder=/your/folder",
        )
    parts = _part_folders(home)
    rows = [
        {
            "image_id": f"{class_folder.relative_to(home).as_posix()}/{name}",
            "path": f"{class_folder}/{name}",
            "label": class_folder.name,
            "published_part": PARTS.get(part),
        }
        for part, part_folder in parts.items()
        for class_folder in _class_folders(part_folder)
        for name in _files(class_folder)
    ]
    labels = [row["label"] for row in rows]
    problems = label_problems(labels, classes=classes, option="sources.image_folder.classes")
    for row, problem in zip(rows, problems, strict=True):
        row["problem"], row["label"] = problem, None if problem else row["label"]
    _check_classes(home, {row["label"] for row in rows} - {None})
    return as_listing(rows)


def _check_classes(home: Path, labels: set[str]) -> None:
    if len(labels) == 1:
        raise LayoutError(
            f"Only one class, {labels.pop()!r}, in {home}; there must be two or more to tell apart."
            " Give the folder above it, or add a sub-folder per class."
        )


def _part_folders(home: Path) -> dict[str | None, Path]:
    names = {folder.name.lower(): folder for folder in _sub_folders(home)}
    parts = {part: names[part] for part in PARTS if part in names}
    if parts and len(parts) < len(_sub_folders(home)):
        raise LayoutError(
            f"{home} mixes the parts {', '.join(parts)} with other folders: "
            f"{', '.join(sorted(set(names) - set(parts)))}. Keep only part folders there, or only "
            "class folders under other names."
        )
    return parts or {None: home}


def _class_folders(folder: Path) -> list[Path]:
    folders = _sub_folders(folder)
    if not folders:
        raise LayoutError(
            f"No class folders in {folder}. Put the images of each class into a sub-folder named "
            "after the class."
        )
    return folders


def _files(class_folder: Path) -> list[str]:
    files = list(relative_files(class_folder))
    if not files:
        raise LayoutError(
            f"The class folder {class_folder} is empty. Put images into it or remove the folder."
        )
    return files


def _sub_folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir() and is_visible(entry.name)]
    return [folder / name for name in sorted(names)]
