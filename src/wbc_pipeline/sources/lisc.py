"""Five classes of leukocytes in photographs of peripheral blood (LISC, 242 images).

The photographs come from 400 samples of 100 slides of eight people; who is in which is not
published. The experts' masks are not part of the main data set.
"""

from pathlib import Path

import pandas as pd

from wbc_pipeline.sources.listing import as_listing, relative_files, require_folder

PUBLIC_NAME = "LISC, Leukocyte Images for Segmentation and Classification (Rezatofighi et al.)"
DOWNLOAD = "LISC"
FOLDER = f"{DOWNLOAD}/Main Dataset"
LICENCE = "not stated"
CAVEATS = (
    "All images come from eight people, and which from whom is not published: under every protocol "
    "one person may be on both sides of the split.",
)
ONE_IMAGE_PER_CELL = True  # a cell has one image, unless near-duplicates say otherwise

CLASSES = {
    "baso": "basophil",
    "eosi": "eosinophil",
    "lymp": "lymphocyte",
    "mono": "monocyte",
    "neut": "neutrophil",
}


def list_images(raw: Path) -> pd.DataFrame:
    """List the data set; labels are the full names of the classes.

    Parameters
    ----------
    raw
        Folder that holds ``DOWNLOAD``.

    Returns
    -------
    A listing (``sources.listing``) without ``source_id``, domain, ``published_part``, boxes or
    masks.

    Raises
    ------
    MissingDataError
        If the folder, or that of one of the classes, is not there.
    """
    home, download = Path(raw) / FOLDER, Path(raw) / DOWNLOAD
    require_folder(home, PUBLIC_NAME, download)
    folders = [require_folder(home / short, PUBLIC_NAME, download) for short in CLASSES]
    return as_listing(
        {
            "image_id": f"{folder.name}/{name}",
            "path": f"{folder}/{name}",
            "label": CLASSES[folder.name],
        }
        for folder in folders
        for name in relative_files(folder)
    )
