"""The built-in data set: smears rendered on the spot (:mod:`.smears`), under three stains.

The stains come from two laboratories. Everything is deterministic and exactly labelled.
"""

import json
import os
import tempfile
import zlib
from itertools import chain, product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from rich.progress import track

from wbc_pipeline.keys import code_digest, digest
from wbc_pipeline.sources.morphology import CLASSES
from wbc_pipeline.sources.smears import DOMAINS, prepare_slide, render_view, require

PUBLIC_NAME = "demo smears, rendered by this project"
LICENCE = "MIT, as the code that draws them"
CAVEATS = ("The images are drawn by a program; scores on them say nothing about real smears.",)
ONE_IMAGE_PER_CELL = True  # every image names its cell

BOX = ["xmin", "ymin", "xmax", "ymax"]
_TABLE = "cells.csv"

# Of a mask file: background, cytoplasm and nucleus, as in segmentation_WBC.
_FILE_LEVELS = np.uint8([0, 128, 255])
MASK_LEVELS = json.dumps({"background": 0, "cytoplasm": 128, "nucleus": 255})


def list_images(
    raw: Path,
    *,
    cells_per_class: int = 24,
    views_per_cell: int = 4,
    image_size: int = 96,
    classes: tuple[str, ...] | list[str] = CLASSES,
    seed: int = 0,
) -> pd.DataFrame:
    """List the demo images; render them first if they are not there yet.

    A set lies in ``<raw>/<digest of the options and the code that renders>``. So sets made with
    other options or by other code stay as they are, also while another process reads them.

    Parameters
    ----------
    raw
        Folder of all demo sets; created if missing.
    cells_per_class, views_per_cell, image_size, classes, seed
        What to render. More cells or other classes never change the cells that were there.

    Returns
    -------
    pandas.DataFrame
        A row per image, sorted by ``image_id`` (path below the folder of the set): ``path``,
        ``label``, ``source_id`` (the physical cell), ``domain``, ``published_part`` (``train`` or
        ``test``, by cell, 3 to 1), ``box`` (``[xmin, ymin, xmax, ymax]``, half open) and
        ``mask_path`` and ``mask_levels``.

    Raises
    ------
    ValueError
        If a class is unknown or there is nothing to render.
    FileExistsError
        If the folder of the set is there, but is not complete.
    """
    for label in classes:
        require("class", label, CLASSES)
    if not classes or cells_per_class < 1 or views_per_cell < 1:
        raise ValueError("A demo set needs at least one class, one cell and one view.")
    options = {
        "cells_per_class": cells_per_class,
        "views_per_cell": views_per_cell,
        "image_size": image_size,
        "classes": sorted(set(classes)),
        "seed": seed,
    }
    folder = Path(raw).resolve() / digest([options, code_digest(_render_set)])
    if not _is_complete(folder):
        _add_set(folder, options)
    cells = pd.read_csv(folder / _TABLE, dtype={"label": str, "source_id": str})
    return pd.DataFrame(
        {
            "image_id": cells["image_id"],
            "path": [str(folder / image_id) for image_id in cells["image_id"]],
            "label": cells["label"],
            "source_id": cells["source_id"],
            "domain": cells["domain"],
            "published_part": cells["published_part"],
            "box": cells[BOX].to_numpy().tolist(),
            "mask_path": [str(folder / mask_id) for mask_id in cells["mask_id"]],
            "mask_levels": MASK_LEVELS,
        }
    )


def _is_complete(folder: Path) -> bool:
    return (folder / _TABLE).is_file()


def _add_set(folder: Path, options: dict[str, Any]) -> None:
    """Render beside the folder and move there at the end: readers never see partial output."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as workshop:
        rendered = Path(workshop) / "rendered"
        _render_set(rendered, options)
        try:
            rendered.rename(folder)
        except OSError as error:
            if _is_complete(folder):  # another process was faster with the same set
                return
            if not folder.exists():
                raise
            raise FileExistsError(
                f"Looked for {_TABLE} of a demo set in {folder} and found other files: they stay "
                "untouched; move them elsewhere and run again."
            ) from error


def _render_set(folder: Path, options: dict[str, Any]) -> None:
    for kind, label in product(("images", "masks"), options["classes"]):
        (folder / kind / label).mkdir(parents=True)
    jobs = list(product(options["classes"], range(options["cells_per_class"])))
    parallel = Parallel(
        min(os.cpu_count() or 1, 8), require="sharedmem", return_as="generator"
    )  # threads
    finished = parallel(delayed(_render_source)(folder, options, *job) for job in jobs)
    rows = list(chain.from_iterable(track(finished, "Rendering demo smears", len(jobs))))
    cells = pd.DataFrame(rows).sort_values("image_id")
    cells.to_csv(folder / _TABLE, index=False)
    (folder / "demo.json").write_text(json.dumps(options, indent=2))


def _render_source(
    folder: Path, options: dict[str, Any], label: str, index: int
) -> list[dict[str, Any]]:
    """Render and write every view of one cell; a row of the table per view."""
    identity = np.random.SeedSequence((options["seed"], zlib.crc32(label.encode()), index))
    cell, *views = identity.spawn(1 + options["views_per_cell"])
    source = f"{label}_{index:04d}"
    domain = _domain_of(label, index)
    slide = prepare_slide(label, seed=cell, image_size=options["image_size"], domain=domain)
    rows = []
    for view, view_seed in enumerate(views):
        rendered = render_view(slide, seed=view_seed)
        image_id, mask_id = (f"{kind}/{label}/{source}_{view}.png" for kind in ("images", "masks"))
        cv2.imwrite(str(folder / image_id), cv2.cvtColor(rendered.image, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(folder / mask_id), _FILE_LEVELS[rendered.mask])
        rows.append(
            {
                "image_id": image_id,
                "mask_id": mask_id,
                "label": label,
                "source_id": source,
                "domain": domain,
                "published_part": "test" if index % 4 == 1 else "train",
                **dict(zip(BOX, rendered.box, strict=True)),
            }
        )
    return rows


def _domain_of(label: str, index: int) -> str:
    """Deal the domains: every three cells of a class see each once, from a start of its own.

    So the domain tells neither the class nor the published part (one cell in four), and adding
    cells moves nothing.
    """
    return DOMAINS[(index + CLASSES.index(label)) % len(DOMAINS)]
