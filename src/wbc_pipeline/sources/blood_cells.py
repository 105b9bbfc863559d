"""Four classes, 12,444 augmented copies of 348 photographs (Kaggle ``blood-cells``, ``dataset2``).

Copies were made by rotation, shift, shear, zoom and mirroring, about 36 of each photograph, so a
random split puts copies of one cell on both sides. The first number in ``_17_1234.jpeg`` is NOT the
photograph it was made from: it is a position in a shuffled batch. It tempts, as each part and class
has just as many numbers as photographs, 348 in all; but one number within a part and class covers
up to 31 photographs. It is listed as ``filename_group`` to show what trusting it costs. Which
photograph a file shows is recovered from its pixels (``imaging.recovery``).
"""

import re
from pathlib import Path

import pandas as pd

from wbc_pipeline.sources import blood_cells_originals
from wbc_pipeline.sources.listing import as_listing, relative_files, require_folder

PUBLIC_NAME = "Kaggle paultimothymooney/blood-cells"
DOWNLOAD = "blood-cells"
FOLDER = f"{DOWNLOAD}/dataset2-master/dataset2-master/images"
LICENCE = "MIT"
CAVEATS = (
    "The files are augmented copies of 348 photographs: a random split puts copies of one cell on "
    "both sides, and its scores are inflated.",
    "TRAIN and TEST share no photograph, but some white cells were photographed twice, and a few "
    "of these stand in both (the audit names them).",
)
ONE_IMAGE_PER_CELL = False  # copies: an unknown source stays unknown

CLASSES = ("EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL")
# TEST_SIMPLE is not listed: its 71 files are the photographs that TEST's copies were made from, so
# they would add no cell, only weight a few of them more.
PARTS = ("TRAIN", "TEST")


def list_images(raw: Path) -> pd.DataFrame:
    """List the augmented copies; ``published_part`` is the folder ``TRAIN`` or ``TEST``.

    Parameters
    ----------
    raw
        Folder that holds ``DOWNLOAD``.

    Returns
    -------
    A listing (``sources.listing``) with lower-case labels, without ``source_id``, domain, boxes or
    masks; ``image_id`` starts with the part, as in ``TRAIN/EOSINOPHIL/_0_1169.jpeg``, and
    ``filename_group`` is the part, the class and the number, here ``TRAIN/EOSINOPHIL/0``.

    Raises
    ------
    MissingDataError
        If the download, or the folder of one of its parts or classes, is not there.
    """
    home, download = Path(raw) / FOLDER, Path(raw) / DOWNLOAD
    require_folder(download, PUBLIC_NAME, download)
    folders = {
        (part, label): require_folder(home / part / label, PUBLIC_NAME, download)
        for part in PARTS
        for label in CLASSES
    }
    return as_listing(
        {
            "image_id": f"{part}/{label}/{name}",
            "path": f"{folder}/{name}",
            "label": label.lower(),
            "filename_group": _filename_group(f"{part}/{label}", name),
            "published_part": part.lower(),
        }
        for (part, label), folder in folders.items()
        for name in relative_files(folder)
    )


def list_originals(raw: Path) -> pd.DataFrame:
    """List the photographs that the copies were made from; see ``blood_cells_originals``."""
    return blood_cells_originals.list_images(raw)


def _filename_group(folder: str, name: str) -> str | None:
    match = re.match(r"_(\d+)_", name)
    return match and f"{folder}/{match[1]}"
