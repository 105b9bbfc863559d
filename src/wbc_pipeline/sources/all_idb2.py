"""Single lymphoblasts and healthy cells, with masks (ALL-IDB2, 260 images).

The masks are coloured: nucleus cyan, cytoplasm blue, background white.
"""

import json
import re
from pathlib import Path

import pandas as pd

from wbc_pipeline.sources.listing import as_listing, relative_files, require_folder

PUBLIC_NAME = "ALL-IDB2 (Labati et al.) with the masks of Loddo and Putzu"
FOLDER = "ALL_IDB2"
LICENCE = "of the images not stated; of the masks MIT"
CAVEATS = (
    "The cells were cut out of fewer photographs of fewer people, and which from which is not "
    "published: under every protocol one person may be on both sides of the split.",
)
ONE_IMAGE_PER_CELL = True  # a cell has one image, unless near-duplicates say otherwise

CLASSES = {"0": "healthy", "1": "blast"}
MASK_LEVELS = json.dumps({"background": "#ffffff", "cytoplasm": "#0000ff", "nucleus": "#00ffff"})


def list_images(raw: Path) -> pd.DataFrame:
    """List the data set; the label is ``blast`` or ``healthy``, as the file's name ends in 1 or 0.

    Parameters
    ----------
    raw
        Folder that holds ``FOLDER``.

    Returns
    -------
    A listing (``sources.listing``) with masks, without ``source_id``, domain, ``published_part`` or
    boxes. A name that tells no label and an image without mask have a ``problem``.

    Raises
    ------
    MissingDataError
        If the folder, or its ``img`` or ``masks``, is not there.
    """
    home = Path(raw) / FOLDER
    images, masks = (require_folder(home / name, PUBLIC_NAME, home) for name in ("img", "masks"))
    names = set(relative_files(masks))
    return as_listing(_row(images, masks, name, name in names) for name in relative_files(images))


def _row(images: Path, masks: Path, name: str, has_mask: bool) -> dict[str, str | None]:
    match = re.fullmatch(r"Im\d+_([01])\.\w+", name, re.IGNORECASE)
    problem = None
    if not match:
        problem = f"file name tells no label: {name!r} does not end in _0 or _1"
    elif not has_mask:
        problem = f"mask is missing: masks/{name}"
    return {
        "image_id": f"img/{name}",
        "path": f"{images}/{name}",
        "label": CLASSES[match[1]] if match else None,
        "mask_path": f"{masks}/{name}" if has_mask else None,
        "mask_levels": MASK_LEVELS if has_mask else None,
        "problem": problem,
    }
