"""Normal peripheral blood cells, 8 classes by folder, 11 by prefix (PBC, 17,092 images).

The folder ``neutrophil`` holds segmented (``SNE``) and band (``BNE``) neutrophils, ``ig`` immature
granulocytes: metamyelocytes (``MMY``), myelocytes (``MY``) and promyelocytes (``PMY``). In both
some files of the full download have the unspecific prefix ``NEUTROPHIL`` or ``IG``, so they have a
coarse label only. What the number after the prefix stands for is not published.
"""

from pathlib import Path

import pandas as pd

from wbc_pipeline.sources.listing import as_listing, relative_files, require_folder

PUBLIC_NAME = "PBC_dataset_normal_DIB (Acevedo et al., Mendeley Data snkd93bnjr)"
FOLDER = "PBC_dataset_normal_DIB"
LICENCE = "CC BY 4.0"
CAVEATS = (
    "Which images come from one person is not published: under every protocol one person may be on "
    "both sides of the split.",
)
ONE_IMAGE_PER_CELL = True  # a cell has one image, unless near-duplicates say otherwise

FINE = {  # prefix of the file's name -> folder
    "BA": "basophil",
    "BNE": "neutrophil",
    "EO": "eosinophil",
    "ERB": "erythroblast",
    "LY": "lymphocyte",
    "MMY": "ig",
    "MO": "monocyte",
    "MY": "ig",
    "PLATELET": "platelet",
    "PMY": "ig",
    "SNE": "neutrophil",
}
UNSPECIFIC = {"IG": "ig", "NEUTROPHIL": "neutrophil"}
COARSE = tuple(sorted(set(FINE.values())))


def list_images(raw: Path, *, labels: str) -> pd.DataFrame:
    """List the data set.

    Parameters
    ----------
    raw
        Folder that holds ``FOLDER``.
    labels
        ``"coarse"``: the names of the 8 folders; ``"fine"``: the 11 prefixes of the files' names,
        upper case.

    Returns
    -------
    A listing (``sources.listing``) without ``source_id``, ``published_part``, boxes or masks;
    ``domain`` is the laboratory, as in ``leukemia5``. A file whose prefix contradicts its folder
    has a ``problem``, and with fine labels one whose prefix is no fine class.

    Raises
    ------
    ValueError
        If ``labels`` is neither.
    MissingDataError
        If the folder, or that of one of the classes, is not there.
    """
    if labels not in ("coarse", "fine"):
        raise ValueError(
            f"No labels called {labels!r}: set `sources.pbc.labels` to coarse or fine."
        )
    home = Path(raw) / FOLDER
    require_folder(home, PUBLIC_NAME, home)
    folders = [require_folder(home / label, PUBLIC_NAME, home) for label in COARSE]
    return as_listing(
        _row(folder, name, fine=labels == "fine")
        for folder in folders
        for name in relative_files(folder)
    )


def _row(folder: Path, name: str, *, fine: bool) -> dict[str, str | None]:
    prefix = name.rpartition("/")[2].split("_")[0].upper()
    own_folder = (FINE | UNSPECIFIC).get(prefix, folder.name)
    problem = None
    if own_folder != folder.name:
        problem = f"prefix contradicts the folder: {prefix} belongs to {own_folder}"
    elif fine and prefix not in FINE:
        problem = f"no fine label: the prefix {prefix!r} is none of {', '.join(FINE)}"
    label = prefix if prefix in FINE else None
    return {
        "image_id": f"{folder.name}/{name}",
        "path": f"{folder}/{name}",
        "label": label if fine else folder.name,
        "domain": "PBC",
        "problem": problem,
    }
