"""Any folder of class folders, with or without ``train``, ``val`` and ``test`` above them."""

import logging
import os
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import pandas as pd

from wbc_pipeline.sources.annotations import attach
from wbc_pipeline.sources.annotations.attach import Levels, Side
from wbc_pipeline.sources.labels import label_problems
from wbc_pipeline.sources.listing import (
    IMAGE_SUFFIXES,
    LayoutError,
    as_listing,
    is_visible,
    not_given,
    part_warning,
    published_part,
    relative_files,
)
from wbc_pipeline.warning_texts import join_warnings

_log = logging.getLogger(__name__)

PUBLIC_NAME = "your own images, in a folder with one sub-folder per class"
FOLDER = "."  # the option ``folder`` says which
LICENCE = "not stated"
CAVEATS = (
    "A folder of images does not say which show the same cell: only near-duplicates are kept "
    "together by the source protocol.",
)
ONE_IMAGE_PER_CELL = True  # a cell has one image, unless near-duplicates say otherwise

_SHOWN = 3


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

    A class is a sub-folder, and its name the label. Where all sub-folders are called as parts are
    (``train``, ``Validation``, ``TestA``, …, see `.listing.published_part`), they are published
    parts and the class folders are below them. Files beside the class folders belong to no class
    and are not listed; that is warned of, and an empty class folder too.

    Parameters
    ----------
    raw
        Folder that ``folder`` is relative to.
    folder
        The folder of class folders, relative to ``raw`` or absolute.
    classes
        The labels that are allowed; None for all but those that look misspelt.
    masks
        Folder of masks, each called as its image, in sub-folders as the images or in none.
    mask_levels, boxes, box_names, annotations
        See `table.list_images`. What is called masks or boxes is no image, and a folder that holds
        no images beside them is no class, wherever it lies.

    Returns
    -------
    A listing (``sources.listing``) without ``source_id``, domain or ``box``. Files of a class
    that is not allowed or looks misspelt have a ``problem``, and no label, so that it does not
    count as a class. Files of ``TestA`` and ``TestB``, which both are ``test``, have a ``warning``.

    Raises
    ------
    MissingDataError
        If the folder is not there.
    LayoutError
        If it has no class folders, no files, or only one class; part folders mixed with others or
        within each other; or if it lies in the folder of masks.
    """
    home = Path(raw) / Path(folder).expanduser()
    if not home.is_dir():
        raise not_given(
            f"folder {home.absolute()}",
            PUBLIC_NAME,
            "dataset=image_folder,sources.image_folder.folder=/your/folder",
        )
    mask_home = attach.own_place(raw, masks, "sources.image_folder.masks")
    own = attach.read_own(raw, boxes, box_names, "sources.image_folder")
    box_places = [
        attach.own_place(raw, boxes, "sources.image_folder.boxes"),
        attach.own_place(raw, box_names, "sources.image_folder.box_names"),
    ]
    beside = _places_beside(home, mask_home, box_places)
    class_folders = _class_folders(home, beside)
    files = {class_folder: _files(class_folder, beside) for class_folder in class_folders}
    rows = [
        {
            "image_id": f"{class_folder.relative_to(home).as_posix()}/{name}",
            "path": f"{class_folder}/{name}",
            "label": class_folder.name,
            "published_part": part and published_part(part),
            "warning": part and part_warning(part),
        }
        for class_folder, part in class_folders.items()
        for name in files[class_folder]
    ]
    labels = [row["label"] for row in rows]
    problems = label_problems(labels, classes=classes, option="sources.image_folder.classes")
    for row, problem in zip(rows, problems, strict=True):
        row["problem"], row["label"] = problem, None if problem else row["label"]
    empty = [str(class_folder) for class_folder, names in files.items() if not names]
    _check_classes(home, {row["label"] for row in rows} - {None}, empty)
    if empty:
        _log.warning("Class folders without any file: %s.", ", ".join(empty))
    for class_folder in class_folders:
        if _inside(class_folder, beside):
            _log.warning(
                "Masks or boxes lie in %s: every other file in it counts as an image of class %r.",
                class_folder,
                class_folder.name,
            )
    _warn_of_files_beside({home, *(class_folder.parent for class_folder in class_folders)})
    if mask_home is not None:
        of_image = attach.find_masks(mask_home, [row["image_id"] for row in rows])
        for row in rows:
            row["mask_path"] = of_image.get(row["image_id"])
            missing = None if row["mask_path"] else "mask missing: none is called so"
            row["warning"] = join_warnings(row["warning"], missing)
    table = pd.DataFrame(rows, dtype=object)
    return as_listing(attach.annotate(table, own, levels=mask_levels, side=annotations))


list_boxes = partial(attach.list_own_boxes, "sources.image_folder")


def _warn_of_files_beside(folders: set[Path]) -> None:
    beside = [
        entry.path
        for folder in sorted(folders)
        for entry in os.scandir(folder)
        if is_visible(entry.name) and not entry.is_dir()
    ]
    if beside:
        _log.warning(
            "%d files beside the class folders belong to no class and are left out, such as %s.",
            len(beside),
            min(beside),
        )


def _check_classes(home: Path, labels: set[str], empty: list[str]) -> None:
    emptied = f" Without any file: {', '.join(empty)}." if empty else ""
    if len(labels) == 1:
        (label,) = labels
        raise LayoutError(
            f"Only one class, {label!r}, in {home}; there must be two or more to tell apart."
            f"{emptied} {_advice(home, label)}"
        )
    if not labels and empty:
        raise LayoutError(f"No images in {home}.{emptied} Put the images of each class there.")


def _advice(home: Path, label: str) -> str:
    """Say what to do about one class: give the folder below where that wraps others."""
    inside = _sub_folders(home / label) if (home / label).is_dir() else []
    if len(inside) > 1:
        names = ", ".join(folder.name for folder in inside[:_SHOWN])
        more = ", …" if len(inside) > _SHOWN else ""
        return (
            f"If the folders in it ({names}{more}) are the classes or parts, set "
            f"`sources.image_folder.folder` to {home / label}; else add a sub-folder per class."
        )
    return "Give the folder above it, or add a sub-folder per class."


def _class_folders(home: Path, beside: Collection[Path]) -> dict[Path, str | None]:
    """Find the class folders, each with the name of the part folder that it lies in."""
    folders = _sub_folders(home, beside)
    parts = [folder for folder in folders if published_part(folder.name)]
    if not parts:
        return dict.fromkeys(_required(home, folders))
    if len(parts) < len(folders):
        others = [folder.name for folder in folders if folder not in parts]
        raise LayoutError(
            f"{home} mixes the parts {', '.join(part.name for part in parts)} with other folders: "
            f"{', '.join(others)}. Keep only part folders there, or only class folders under other "
            "names."
        )
    found = {}
    for part in parts:
        for folder in _required(part, _sub_folders(part, beside)):
            if published_part(folder.name):
                raise LayoutError(
                    f"{folder} is a part within a part, where class folders are expected. Move "
                    f"what is in it up, or set `sources.image_folder.folder` to {part}."
                )
            found[folder] = part.name
    return found


def _required(folder: Path, folders: list[Path]) -> list[Path]:
    if not folders:
        raise LayoutError(
            f"No class folders in {folder}. Put the images of each class into a sub-folder named "
            "after the class."
        )
    return folders


def _sub_folders(folder: Path, beside: Collection[Path] = ()) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir() and is_visible(entry.name)]
    folders = [folder / name for name in sorted(names)]
    return [one for one in folders if _may_hold_images(one, beside)]


def _places_beside(home: Path, masks: Path | None, boxes: Sequence[Path | None]) -> frozenset[Path]:
    """Resolve the places of masks and boxes, without those that the images lie in."""
    real = home.resolve()
    if masks is not None and real.is_relative_to(masks.resolve()):
        raise LayoutError(
            f"The images in {home} lie in {masks}, which `sources.image_folder.masks` names: they "
            "would be their own masks. Name a folder that holds masks alone."
        )
    places = {place.resolve() for place in [masks, *boxes] if place is not None}
    return frozenset(place for place in places if not real.is_relative_to(place))


def _may_hold_images(folder: Path, beside: Collection[Path]) -> bool:
    """Whether a folder is more than one of masks and boxes."""
    if not _inside(folder, beside):
        return True
    others = _files(folder, beside)
    if any(PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES for name in others):
        return True
    if others:
        _log.warning(
            "%s holds masks or boxes and no images, so that it is no class: %d other files in it "
            "are left out, such as %s.",
            folder,
            len(others),
            min(others),
        )
    return False


def _inside(folder: Path, beside: Collection[Path]) -> list[str]:
    """Name the places of masks and boxes in a folder, relative to it."""
    if not beside:
        return []
    real = folder.resolve()
    return [place.relative_to(real).as_posix() for place in beside if place.is_relative_to(real)]


def _files(folder: Path, beside: Collection[Path]) -> list[str]:
    """List the files below a folder that are no masks or boxes."""
    inside = _inside(folder, beside)
    return [
        name
        for name in relative_files(folder)
        if not any(PurePosixPath(name).is_relative_to(place) for place in inside)
    ]
