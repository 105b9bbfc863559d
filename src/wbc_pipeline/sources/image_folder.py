"""Any folder of class folders, with or without ``train``, ``val`` and ``test`` above them."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wbc_pipeline.sources.annotations import attach
from wbc_pipeline.sources.annotations.attach import Levels, Side
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


def list_images(
    raw: Path,
    *,
    folder: str,
    classes: Sequence[str] | None = None,
    masks: str | None = None,
    mask_levels: Levels | None = None,
    boxes: str | None = None,
    box_names: str | None = None,
    annotations: Side | None = None,
) -> pd.DataFrame:
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
    masks
        Folder of masks, each called as its image, in sub-folders as the images or in none; beside
        the class folders it is no class.
    mask_levels, boxes, box_names, annotations
        See `table.list_images`; a folder of annotations beside the class folders is no class.

    Returns
    -------
    A listing (``sources.listing``) without ``source_id``, domain or ``box``. Files of a class
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
    mask_home = attach.own_place(raw, masks, "sources.image_folder.masks")
    found = attach.read_own(raw, boxes, box_names, "sources.image_folder")
    beside = {mask_home, attach.own_place(raw, boxes, "sources.image_folder.boxes")} - {None}
    parts = _part_folders(home, beside)
    rows = [
        {
            "image_id": f"{class_folder.relative_to(home).as_posix()}/{name}",
            "path": f"{class_folder}/{name}",
            "label": class_folder.name,
            "published_part": PARTS.get(part),
        }
        for part, part_folder in parts.items()
        for class_folder in _class_folders(part_folder, beside)
        for name in _files(class_folder)
    ]
    labels = [row["label"] for row in rows]
    problems = label_problems(labels, classes=classes, option="sources.image_folder.classes")
    for row, problem in zip(rows, problems, strict=True):
        row["problem"], row["label"] = problem, None if problem else row["label"]
    _check_classes(home, {row["label"] for row in rows} - {None})
    if mask_home is not None:
        of_image = attach.find_masks(mask_home, [row["image_id"] for row in rows])
        for row in rows:
            row["mask_path"] = of_image.get(row["image_id"])
            row["warning"] = None if row["mask_path"] else "mask missing: none is called so"
    table = pd.DataFrame(rows, dtype=object)
    return as_listing(attach.annotate(table, found, levels=mask_levels, side=annotations))


def list_boxes(
    raw: Path, *, boxes: str | None = None, box_names: str | None = None, **options: Any
) -> pd.DataFrame:
    """List the boxes of the folder's images, see `annotations.attach.list_boxes`.

    Parameters
    ----------
    raw, boxes, box_names, options
        See `list_images`.
    """
    rows = list_images(raw, boxes=boxes, box_names=box_names, **options)
    return attach.list_boxes(rows, attach.read_own(raw, boxes, box_names, "sources.image_folder"))


def _check_classes(home: Path, labels: set[str]) -> None:
    if len(labels) == 1:
        raise LayoutError(
            f"Only one class, {labels.pop()!r}, in {home}; there must be two or more to tell apart."
            " Give the folder above it, or add a sub-folder per class."
        )


def _part_folders(home: Path, beside: Collection[Path]) -> dict[str | None, Path]:
    folders = _sub_folders(home, beside)
    names = {folder.name.lower(): folder for folder in folders}
    parts = {part: names[part] for part in PARTS if part in names}
    if parts and len(parts) < len(folders):
        raise LayoutError(
            f"{home} mixes the parts {', '.join(parts)} with other folders: "
            f"{', '.join(sorted(set(names) - set(parts)))}. Keep only part folders there, or only "
            "class folders under other names."
        )
    return parts or {None: home}


def _class_folders(folder: Path, beside: Collection[Path]) -> list[Path]:
    folders = _sub_folders(folder, beside)
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


def _sub_folders(folder: Path, beside: Collection[Path]) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir() and is_visible(entry.name)]
    folders = [folder / name for name in sorted(names)]
    return [one for one in folders if one.absolute() not in beside]
