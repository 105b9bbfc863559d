"""Five classes of single cells from two laboratories (Kaggle, 5 x 1,000 images).

Basophils, erythroblasts and monocytes come from PBC (Hospital Clinic Barcelona), myeloblasts and
segmented neutrophils from AML-LMU (Munich): the laboratory is confounded with the class, so a
network may tell classes apart by the camera. No two files are known to show one cell; the
near-duplicates among them are found from the pixels (``imaging.duplicates``).
"""

from pathlib import Path

import pandas as pd

from wbc_pipeline.sources.listing import as_listing, relative_files, require_folder

PUBLIC_NAME = "Kaggle sumithsingh/blood-cell-images-for-cancer-detection"
FOLDER = "blood-cell-images-for-cancer-detection"
LICENCE = "not stated; its files out of PBC_dataset_normal_DIB are under CC BY 4.0"
CAVEATS = (
    "Basophils, erythroblasts and monocytes come from one laboratory, myeloblasts and segmented "
    "neutrophils from another: a network may tell laboratories apart instead of cells, under every "
    "protocol.",
)
ONE_IMAGE_PER_CELL = True  # a cell has one image, unless near-duplicates say otherwise

CLASSES = ("basophil", "erythroblast", "monocyte", "myeloblast", "seg_neutrophil")
LABORATORIES = {"BA": "PBC", "ERB": "PBC", "MO": "PBC", "MYO": "AML-LMU", "NGS": "AML-LMU"}


def list_images(raw: Path) -> pd.DataFrame:
    """List the data set; ``domain`` is the laboratory, as the prefix of the file name tells.

    Parameters
    ----------
    raw
        Folder that holds ``FOLDER``.

    Returns
    -------
    A listing (``sources.listing``) without ``source_id``, ``published_part``, boxes or masks.

    Raises
    ------
    MissingDataError
        If the folder, or that of one of the classes, is not there.
    """
    home = Path(raw) / FOLDER
    require_folder(home, PUBLIC_NAME, home)
    folders = [require_folder(home / label, PUBLIC_NAME, home) for label in CLASSES]
    return as_listing(
        {
            "image_id": f"{folder.name}/{name}",
            "path": f"{folder}/{name}",
            "label": folder.name,
            "domain": LABORATORIES.get(name.rpartition("/")[2].split("_")[0].upper()),
        }
        for folder in folders
        for name in relative_files(folder)
    )
