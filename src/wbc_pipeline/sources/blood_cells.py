"""Four classes, 12,444 augmented copies of 348 photographs (Kaggle ``blood-cells``, ``dataset2``).

Copies were made by rotation, shift, shear, zoom and mirroring, about 36 of each photograph, so a
random split puts copies of one cell on both sides. The number in ``_17_1234.jpeg`` is NOT the
photograph it was made from: it is a position in a shuffled batch, and one number covers up to 31
photographs. Which one a file shows must be recovered from its pixels, so ``source_id`` is missing
here rather than wrong.
"""

from pathlib import Path

import pandas as pd

from wbc_pipeline.sources.listing import as_listing, relative_files, require_folder

PUBLIC_NAME = "Kaggle paultimothymooney/blood-cells"
DOWNLOAD = "blood-cells"
FOLDER = f"{DOWNLOAD}/dataset2-master/dataset2-master/images"
CAVEATS = (
    "The files are augmented copies of 348 photographs: a random split puts copies of one cell on "
    "both sides, and its scores are inflated.",
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
    masks; ``image_id`` starts with the part, as in ``TRAIN/EOSINOPHIL/_0_1169.jpeg``.

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
            "published_part": part.lower(),
        }
        for (part, label), folder in folders.items()
        for name in relative_files(folder)
    )
