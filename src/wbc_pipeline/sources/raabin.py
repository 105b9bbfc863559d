"""Five classes of cells cut out of photographs of two microscopes (Raabin-WBC).

The three archives of ``Cropped_double_labeled`` unpack to ``Train``, ``TestA`` and ``TestB``, each
with a folder per class. ``TestB`` was taken with another microscope and camera than the first two,
and has lymphocytes and neutrophils only.

Files have two kinds of name. ``95-8-27-1_100_2.jpg`` is a cell of photograph 100 of the slide
95-8-27-1, the first of a day of the Iranian calendar. ``20190526_163055_1.jpg`` is a cell of the
photograph taken on that day at that time, of a slide that is not told.

The names in ``TestA`` were seen, in a list of them. That those of the other two are alike, and what
their numbers mean, is assumed: nothing published says it. A name of another kind tells nothing.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from wbc_pipeline.sources.folders import folder_named, folders_in, unwrap
from wbc_pipeline.sources.listing import LayoutError, as_listing, relative_files, require_folder

PUBLIC_NAME = (
    "Raabin-WBC, Cropped_double_labeled (Kouzehkanan et al., Scientific Reports 2022; "
    "raabindata.com)"
)
FOLDER = "Raabin-WBC"
LICENCE = "not stated"
CAVEATS = (
    "A slide is taken for a person, though a person may have several slides, and for images named "
    "after the time of their photograph the slide is not published: under every protocol one "
    "person may be on both sides of the split.",
    "The second microscope shows lymphocytes and neutrophils only.",
)
ONE_IMAGE_PER_CELL = True  # a cell has one image, unless near-duplicates say otherwise

CLASSES = ("Basophil", "Eosinophil", "Lymphocyte", "Monocyte", "Neutrophil")


class Part(NamedTuple):
    """What a folder of the download is: its part, its microscope and the classes it must have."""

    published_part: str
    domain: str
    classes: tuple[str, ...] = CLASSES


FOLDERS = {
    "Train": Part("train", "first_microscope"),
    "TestA": Part("test", "first_microscope"),
    "TestB": Part("test", "second_microscope", ("Lymphocyte", "Neutrophil")),
}

_SLIDE = re.compile(r"(\d+-\d+-\d+-\d+)_\d+_\d+\.\w+")  # slide, photograph, cell
_TIME = re.compile(r"(\d{8})_\d{6}_\d+\.\w+")  # day, time, cell


def list_images(raw: Path) -> pd.DataFrame:
    """List the cells of all three folders; labels are the names of the classes in lower case.

    Folders are found in any case, and below a further folder that an archive was unpacked into.
    Other folders beside the three are not looked at.

    Parameters
    ----------
    raw
        Folder that holds ``FOLDER``.

    Returns
    -------
    A listing (``sources.listing``) without ``source_id``, boxes or masks. ``domain`` is
    ``first_microscope`` or ``second_microscope``. ``patient`` is the slide, which holds the blood
    of one person, and missing where the name tells only a time; ``filename_group`` is the slide or
    the day.

    Raises
    ------
    MissingDataError
        If the folder is not there.
    LayoutError
        If one of the three, or a class of it, is not there, occurs twice, or is no known class.
    """
    home = Path(raw) / FOLDER
    require_folder(home, PUBLIC_NAME, home)
    inner = unwrap(home, [name.lower() for name in FOLDERS])
    return as_listing(
        _row(home, folder / name, label=label, part=part)
        for name_of_part, part in FOLDERS.items()
        for label, folder in _class_folders(folder_named(name_of_part, inner, PUBLIC_NAME), part)
        for name in relative_files(folder)
    )


def _class_folders(folder: Path, part: Part) -> Iterator[tuple[str, Path]]:
    known = [name.lower() for name in CLASSES]
    folder = unwrap(folder, known)
    for name in part.classes:
        folder_named(name, folder, PUBLIC_NAME)
    for label, path in folders_in(folder).items():
        if label not in known:
            raise LayoutError(
                f"The folder {path} is no class of {PUBLIC_NAME}; its classes: "
                f"{', '.join(CLASSES)}. Move that folder elsewhere."
            )
        yield label, path


def _row(home: Path, file: Path, *, label: str, part: Part) -> dict[str, str | None]:
    slide, day = _SLIDE.fullmatch(file.name), _TIME.fullmatch(file.name)
    return {
        "image_id": file.relative_to(home).as_posix(),
        "path": str(file.absolute()),
        "label": label,
        "patient": slide[1] if slide else None,
        "filename_group": slide[1] if slide else day[1] if day else None,
        "domain": part.domain,
        "published_part": part.published_part,
    }
