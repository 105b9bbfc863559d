"""Brings masks and annotations to the rows of a listing."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import pandas as pd

from wbc_pipeline.sources.annotations import coco, csv_boxes, voc, yolo
from wbc_pipeline.sources.annotations.common import Annotation, plain_name, unreadable
from wbc_pipeline.sources.listing import (
    IMAGE_SUFFIXES,
    LayoutError,
    MissingDataError,
    relative_files,
)

Side = Literal["file", "upright"]
Levels = Mapping[str, int | str | list[int]]

_SIDES = ["xmin", "ymin", "xmax", "ymax"]
COLUMNS = ["image_id", "name", *_SIDES, "is_share", "problem", "annotation"]

_REMEDY = (
    "Give a COCO file (.json), a table (.csv) with a row per box, or a folder of VOC (.xml) or "
    "YOLO (.txt) files."
)
_DECIMALS = 4  # that tell boxes apart: the rest of a share is rounding
_VALUE = re.compile("#[0-9a-f]{6}|rest", re.IGNORECASE)
_HIGHEST = 2**16 - 1
_PARTS = ("background", "cytoplasm", "nucleus", "cell")
# What the categories of outlined objects are called where `mask_levels` does not say.
_NAMES = {
    "nucleus": {"nucleus", "nuclei"},
    "cytoplasm": {"cytoplasm"},
    "cell": {"cell", "wbc", "white blood cell", "leukocyte", "leucocyte"},
}


def read_annotations(place: Path, names_file: Path | None = None) -> list[Annotation]:
    """Read annotations of any of the formats; the file's suffix, or those in the folder, tell it.

    Raises
    ------
    LayoutError
        If it is none of them, or a folder holds two.
    """
    if place.suffix.lower() == ".json":
        return coco.read(place)
    if place.suffix.lower() == ".csv":
        return csv_boxes.read(place)
    if not place.is_dir():
        raise unreadable(place, "is no annotation that is read here", _REMEDY)
    names = (PurePosixPath(name) for name in relative_files(place))
    suffixes = {name.suffix.lower() for name in names if name.name not in yolo.NAMES_FILES}
    if {".xml", ".txt"} <= suffixes:
        raise unreadable(place, "holds both .xml and .txt files", "Keep one kind there.")
    if ".xml" in suffixes:
        return voc.read(place)
    if ".txt" in suffixes:
        return yolo.read(place, names_file)
    raise unreadable(place, "holds no annotations", _REMEDY)


class Names:
    """Paths among which one is looked for by its path, or by as much of it as tells it apart.

    A path fits if it is the same; else if it is the same without an image's suffix; else by its
    last part; at last by that without suffix.
    """

    def __init__(self, paths: Iterable[str]):
        self._by_key: list[dict[str, list[str]]] = [defaultdict(list) for _ in range(4)]
        for path in paths:
            for known, key in zip(self._by_key, _keys(path), strict=True):
                known[key].append(path)

    def find(self, name: str) -> list[str]:
        """Give the paths that fit best: none, one, or several that cannot be told apart."""
        return self.best(name)[1]

    def best(self, name: str) -> tuple[int, list[str]]:
        """Give what `find` gives, behind the rank of the fit: 0 if it is the same path."""
        keys = enumerate(zip(self._by_key, _keys(name), strict=True))
        fits = ((rank, known[key]) for rank, (known, key) in keys if key in known)
        return next(fits, (len(self._by_key), []))


def _keys(path: str) -> tuple[str, str, str, str]:
    name = PurePosixPath(path).name
    suffix = PurePosixPath(path).suffix
    has_suffix = suffix.lower() in IMAGE_SUFFIXES  # `cell.1` has none
    bare = path.removesuffix(suffix) if has_suffix else path
    return path, bare, name, PurePosixPath(bare).name


def _folders_differ(one: str, other: str) -> bool:
    """Tell whether both paths name folders, and neither goes on with those of the other."""
    ends = zip(PurePosixPath(one).parts[-2::-1], PurePosixPath(other).parts[-2::-1], strict=False)
    return any(folder != another for folder, another in ends)


def find_masks(folder: Path, image_ids: Iterable[str]) -> dict[str, str]:
    """Find the mask file of each image in a folder of masks.

    A mask in another folder than its image is not taken: ``A/000.png`` is no mask of ``B/000.png``.

    Raises
    ------
    LayoutError
        If none fits any image, two fit one, or one fits two.
    """
    image_ids = list(image_ids)
    masks, images = Names(relative_files(folder)), Names(image_ids)
    found = {}
    for image in image_ids:
        fitting = masks.find(image)
        if len(fitting) > 1:
            raise LayoutError(
                f"Several masks in {folder} fit the image {image!r}: {', '.join(fitting[:3])}. Put "
                "masks into sub-folders called as those of the images."
            )
        if not fitting or _folders_differ(fitting[0], image):
            continue
        sharing = images.find(fitting[0])
        if len(sharing) > 1:
            raise LayoutError(
                f"The mask {folder / fitting[0]} fits several images: {', '.join(sharing[:3])}. "
                "Put masks into sub-folders called as those of the images."
            )
        if sharing == [image]:
            found[image] = str(folder / fitting[0])
    if not found:
        raise LayoutError(
            f"No mask in {folder} is called as an image, such as {image_ids[0]!r}. Give each mask "
            "the name of its image, in sub-folders as the images or in none; its suffix may be "
            "another."
        )
    return found


def _add_annotations(
    rows: pd.DataFrame, annotations: Iterable[Annotation], levels: Levels | None
) -> pd.DataFrame:
    """Add to a listing what annotations say of size and masks; a mask of its own goes first."""
    rows = rows.astype(object)
    by_image, _ = match(annotations, rows["image_id"])
    names = _part_names(levels, rows["label"])
    for row, image in zip(rows.index, rows["image_id"], strict=True):
        annotation = by_image.get(image)
        if annotation is None or annotation.problem:
            continue
        if _folders_differ(annotation.image, image):
            found = f"annotation found under another folder: {annotation.image}"
            said = rows.at[row, "warning"]
            rows.at[row, "warning"] = found if pd.isna(said) else f"{said}; {found}"
        if annotation.size:
            said = rows.at[row, "annotated"]
            size = f"{annotation.size[0]} x {annotation.size[1]}"
            rows.at[row, "annotated"] = size if pd.isna(said) else f"{size}, {said}"
        if annotation.mask is None or pd.notna(rows.at[row, "mask_path"]):
            continue
        unknown = annotation.outlined - {name for of in names.values() for name in of}
        if unknown and levels is None and pd.isna(rows.at[row, "problem"]):
            rows.at[row, "problem"] = (
                f"outlined objects that may be no cells: {', '.join(sorted(unknown))}; say with "
                "`mask_levels` which are nucleus, cytoplasm and cell"
            )
        rows.at[row, "mask_path"] = annotation.mask
        rows.at[row, "mask_levels"] = json.dumps({part: sorted(of) for part, of in names.items()})
    return rows


def list_boxes(rows: pd.DataFrame, annotations: Iterable[Annotation]) -> pd.DataFrame:
    """List the boxes of a listing's images, sorted; and annotations that cannot be used.

    Returns
    -------
    ``image_id``, ``name``, ``xmin``, ``ymin``, ``xmax``, ``ymax``, ``is_share``; or, without a box,
    ``problem`` and ``annotation``, the file.
    """
    by_image, unfit = match(annotations, rows["image_id"])
    table = [
        (image, *box, one.is_share, None, None)
        for image, one in by_image.items()
        for box in one.boxes
    ]
    broken = [one._replace(image=image) for image, one in by_image.items() if one.problem]
    table += [(one.image, *[None] * 5, False, one.problem, one.file) for one in [*broken, *unfit]]
    boxes = pd.DataFrame(table, columns=COLUMNS).astype(dict.fromkeys(_SIDES, float))
    order = boxes[COLUMNS[:6]].round(_DECIMALS).sort_values(COLUMNS[:6], kind="stable").index
    return boxes.loc[order].reset_index(drop=True)


def list_own_boxes(
    options: str,
    raw: Path,
    *,
    listing: pd.DataFrame,
    boxes: str | None = None,
    box_names: str | None = None,
    **_: Any,
) -> pd.DataFrame:
    """List the boxes that a user's own data set has, see `list_boxes`.

    Parameters
    ----------
    options
        Name of the parameters of the data set, for messages.
    listing
        Its images.
    raw, boxes, box_names
        See `read_own`; the data set's other options are not looked at.
    """
    return list_boxes(listing, read_own(raw, boxes, box_names, options))


def match(
    annotations: Iterable[Annotation], image_ids: Iterable[str]
) -> tuple[dict[str, Annotation], list[Annotation]]:
    """Find the image of each annotation; of several for one image, the one that fits best.

    Returns
    -------
    The annotation of each image that has one; and those of no image, with the problem.

    Raises
    ------
    LayoutError
        If no annotation fits any image.
    """
    images, by_image, unfit = Names(image_ids), {}, []
    best = [(*images.best(one.image), one) for one in annotations]
    for _, fitting, one in sorted(best, key=lambda fit: fit[0]):
        if len(fitting) == 1 and fitting[0] not in by_image:
            by_image[fitting[0]] = one
            continue
        problem = one.problem if not one.image else "annotation without an image: none is called so"
        if fitting:
            problem = f"annotation fits several images: {', '.join(fitting[:3])}"
        if len(fitting) == 1:
            problem = f"second annotation of an image: {fitting[0]}"
        unfit.append(one._replace(problem=problem))
    if unfit and not by_image:
        first = next((one for one in unfit if one.image), unfit[0])
        raise unreadable(
            first.file,
            f"is not about the listed images, its first is {first.image!r}",
            "Name images in it as the data set does; suffixes and folders may be left out.",
        )
    return by_image, unfit


def levels_text(levels: Levels | None) -> str | None:
    """Write levels of mask files as a listing has them (``imaging.mask_levels``).

    Parameters
    ----------
    levels
        A value by part: a grey level, a colour as ``#rrggbb`` or ``[red, green, blue]``, or the
        word ``rest``. None to have them recognised.

    Raises
    ------
    LayoutError
        If there are not background and cell, or background, cytoplasm and nucleus; a value is none
        of these, or no grey level of 16 bits; or two parts have one value.

    Examples
    --------
    >>> levels_text({"background": 0, "cell": [0, 0, 255]})
    '{"background": 0, "cell": "#0000ff"}'
    """
    if levels is None:
        return None
    plain = {
        part: "#{:02x}{:02x}{:02x}".format(*value) if isinstance(value, list) else value
        for part, value in levels.items()
    }
    for value in plain.values():
        if isinstance(value, str) and not _VALUE.fullmatch(value):
            raise LayoutError(
                f"`mask_levels` gives {value!r} for a value of masks: give a number, a colour as "
                "'#rrggbb', or the word rest."
            )
        if isinstance(value, int) and not 0 <= value <= _HIGHEST:
            raise LayoutError(
                f"`mask_levels` gives {value} for a value of masks: grey levels are 0 to "
                f"{_HIGHEST}."
            )
    if not ({"background", "cell"} <= set(plain) or set(_PARTS[:3]) <= set(plain)):
        raise LayoutError(
            f"`mask_levels` names {', '.join(plain) or 'nothing'}: give the values of background "
            "and cell, or of background, cytoplasm and nucleus."
        )
    if len({str(value).lower() for value in plain.values()}) < len(plain):
        raise LayoutError(f"`mask_levels` gives two parts one value: {plain}. Give each its own.")
    return json.dumps(plain)


def _part_names(levels: Levels | None, labels: pd.Series) -> dict[str, set[str]]:
    """Names of the outlined objects that are a part; where not said, a class of cells is a cell."""
    if levels is not None:
        return {part: {plain_name(value)} for part, value in levels.items() if part != "background"}
    return _NAMES | {"cell": _NAMES["cell"] | {plain_name(label) for label in labels.dropna()}}


def annotate(
    rows: pd.DataFrame,
    annotations: Iterable[Annotation],
    *,
    levels: Levels | None,
    side: Side | None,
) -> pd.DataFrame:
    """Complete the rows of a listing, of which some have a ``mask_path``.

    Parameters
    ----------
    rows
        ``image_id``, ``label``, ``problem`` and perhaps ``mask_path``.
    annotations
        Of :func:`read_own`.
    levels
        See :func:`levels_text`; of outlined objects the values are their names.
    side
        What the user says that masks and boxes belong to where an EXIF tag turns an image.
    """
    fields = dict.fromkeys(("mask_path", "mask_levels", "annotated", "warning"))
    rows = rows.assign(**{name: rows.get(name, none) for name, none in fields.items()})
    rows = rows.astype(object)
    rows["annotated"] = side
    has_mask = rows["mask_path"].notna()
    if has_mask.any():
        rows.loc[has_mask, "mask_levels"] = levels_text(levels)
    return _add_annotations(rows, annotations, levels)


def read_own(raw: Path, boxes: str | None, box_names: str | None, options: str) -> list[Annotation]:
    """Read the annotations that a user names; none if they name none.

    Parameters
    ----------
    raw
        Folder that the paths are relative to.
    boxes, box_names
        See :func:`read_annotations`.
    options
        Name of the parameters that hold these, for the message.

    Raises
    ------
    MissingDataError, LayoutError
        If they are not there, or are no annotations.
    """
    place = own_place(raw, boxes, f"{options}.boxes")
    names_file = own_place(raw, box_names, f"{options}.box_names")
    return [] if place is None else read_annotations(place, names_file)


def own_place(raw: Path, place: str | None, option: str) -> Path | None:
    """Make a path of the user's absolute, and check that it is there."""
    if place is None:
        return None
    path = Path(raw, Path(place).expanduser()).absolute()
    if not path.exists():
        raise MissingDataError(
            f"No {path}, which `{option}` names. Say where it lies, absolute or below raw, or "
            "leave it out."
        )
    return path
