"""Nodes that describe the making of views."""

from __future__ import annotations

from pathlib import Path

import lazy_loader as lazy

from wbc_pipeline.datasets.images import SHEET_FILE, ImageArray, image_files
from wbc_pipeline.datasets.results import Task
from wbc_pipeline.errors import UserError
from wbc_pipeline.keys import Key
from wbc_pipeline.pipelines.preprocessing.options import PreprocessingOptions, Views

pd = lazy.load("pandas")


def make_views(
    images: ImageArray, manifest: pd.DataFrame, chains: Views, options: PreprocessingOptions
) -> dict[str, Task]:
    """Describe views by name; see `make_view`."""
    return {
        name: make_view(images, manifest, steps, options) for name, steps in chains.root.items()
    }


def make_view(
    images: ImageArray,
    manifest: pd.DataFrame,
    steps: list[dict],
    options: PreprocessingOptions,
    *,
    begun: ImageArray | None = None,
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
    begun
        What the first of these steps make of the images, if that is kept: the work goes on there,
        and the result is the same.

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
    UserError
        If images that have masks would be padded.
    """
    from wbc_pipeline.imaging import contact_sheet, views
    from wbc_pipeline.imaging.chain import build_chain, chain_code, chain_data
    from wbc_pipeline.imaging.packing import accepted

    chain = build_chain(steps)
    reader = views.FileImages if chain.full_resolution else views.PackedImages
    rows = accepted(manifest)
    if chain.full_resolution and any("pad_square" in step for step in steps):
        _refuse_masks(rows)
    title = ", ".join(name for step in steps for name in step) or "as packed"

    def compute(folder: Path) -> None:
        import cv2

        pixels, _ = image_files(folder)
        inputs = (
            views.FileImages(
                rows["path"],
                max_pixels=images.max_pixels,
                mask_paths=rows["mask_path"],
                mask_levels=rows["mask_levels"],
                orientations=rows["orientation"],
                annotated=rows["annotated"],
                sha256=rows["sha256"],
            )
            if chain.full_resolution
            else views.PackedImages(images.pixels, images.masks)
        )
        rest, source = chain, inputs
        if begun is not None:
            rest = build_chain(steps[len(begun.steps) :])
            source = views.PackedImages(begun.pixels, begun.masks)
        where = options.model_dump(include={"backend", "workers", "scheduler"})
        regions = views.write_view(rest, source, pixels, **where, title=f"Making a view ({title})")
        if regions is not None:
            regions.insert(0, "image_id", rows["image_id"])
            regions.to_parquet(folder / "regions.parquet")
        sheet = contact_sheet.contact_sheet(chain, inputs, title=f"before; after {title}")
        _, png = cv2.imencode(".png", sheet[..., ::-1])
        (folder / SHEET_FILE).write_bytes(png)

    key = Key(
        params={"steps": steps},
        data={
            "images": images.digest_files(rows) if chain.full_resolution else images.content_digest,
            "fitted": chain_data(steps),
        },
        code=chain_code(steps, views.write_view, reader),
    )
    return Task(key, compute, resumes=True)


def _refuse_masks(rows: pd.DataFrame) -> None:
    """Refuse to pad images that have masks, which would no longer lie on their cells."""
    padded = rows[rows["mask_path"].notna() & (rows["height"] != rows["width"])]
    if len(padded):
        raise UserError(
            f"pad_square pads images, and not their masks: {len(padded)} images that are not "
            f"square have one, such as {padded['image_id'].iloc[0]!r}. Take pad_square out of the "
            "view, or cut squares around cells, as stain_region and square_region do."
        )
