"""Nodes that describe the making of views."""

from pathlib import Path

import pandas as pd

from wbc_pipeline.datasets.images import SHEET_FILE, ImageArray, digest_files, image_files
from wbc_pipeline.datasets.results import Task
from wbc_pipeline.keys import digest, source_digest
from wbc_pipeline.pipelines.preprocessing.options import PreprocessingOptions


def make_view(
    images: ImageArray,
    manifest: pd.DataFrame,
    steps: list[dict],
    options: PreprocessingOptions,
) -> Task:
    """Describe a view: what a chain of steps makes of every image.

    Parameters
    ----------
    images
        The packed images, where chains begin that do not ask for full resolution.
    manifest
        Names the files, where the others begin.
    steps
        Names of steps with their parameters, in order; see ``wbc_pipeline.imaging.chain``.
    options
        Where the work is done; the result does not depend on it.

    Returns
    -------
    Task
        Makes a folder with the array, ``contact_sheet.png`` (some images before and after), and
        the table ``regions`` if a step looks for something: a row per image, the box that was
        found and the part that is shown, in pixels of the image that the chain began with, and
        whether anything was found.

    Raises
    ------
    ValueError
        If a step or one of its parameters is unknown.
    """
    from wbc_pipeline.imaging import contact_sheet, views
    from wbc_pipeline.imaging.chain import build_chain, chain_digest
    from wbc_pipeline.imaging.packing import accepted

    chain = build_chain(steps)
    rows = accepted(manifest)
    title = ", ".join(name for step in steps for name in step) or "as packed"

    def compute(folder: Path) -> None:
        import cv2

        pixels, _ = image_files(folder)
        inputs = (
            views.FileImages(rows["path"], max_pixels=images.max_pixels)
            if chain.full_resolution
            else views.PackedImages(images.pixels)
        )
        where = options.model_dump(include={"backend", "workers", "scheduler"})
        regions = views.write_view(chain, inputs, pixels, **where, title=f"Making a view ({title})")
        if regions is not None:
            regions.insert(0, "image_id", rows["image_id"])
            regions.to_parquet(folder / "regions.parquet")
        sheet = contact_sheet.contact_sheet(chain, inputs, title=f"before; after {title}")
        if not cv2.imwrite(str(folder / SHEET_FILE), sheet[..., ::-1]):
            raise OSError(f"{folder / SHEET_FILE} could not be written; is the disk full?")

    key = {
        "images": digest_files(rows) if chain.full_resolution else images.content_digest,
        "steps": steps,
        "code": digest([chain_digest(steps), source_digest(views, contact_sheet)]),
    }
    return Task(key, compute, resumes=True)


def make_views(
    images: ImageArray, manifest: pd.DataFrame, options: PreprocessingOptions
) -> dict[str, Task]:
    """Describe the views of the pipeline ``preprocessing``, by name."""
    chains = options.views.root.items()
    return {name: make_view(images, manifest, steps, options) for name, steps in chains}
