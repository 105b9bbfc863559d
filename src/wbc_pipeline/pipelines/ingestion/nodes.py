"""Nodes that list, decode and describe raw images."""

from pathlib import Path

import pandas as pd

from wbc_pipeline.datasets.images import ImageArray, image_files
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.datasets.source import Source
from wbc_pipeline.keys import source_digest
from wbc_pipeline.pipelines.ingestion.options import IngestionOptions, SourcesOptions


def list_images(source: Source, options: SourcesOptions) -> pd.DataFrame:
    """List the raw images of the run's data set, without opening them.

    Returns
    -------
    DataFrame
        See ``wbc_pipeline.sources.listing``.

    Raises
    ------
    MissingDataError
        If the data set is not where it was looked for.
    """
    return source.list_images(options.model_dump(exclude_none=True))


def pack_images(listing: pd.DataFrame, options: IngestionOptions) -> Task:
    """Describe the decoding of every listed file into one array.

    Beside the array stands the table ``outcome``: a row per listed file with its status.
    """
    from wbc_pipeline.imaging import packing
    from wbc_pipeline.sources.listing import listing_digest

    def compute(folder: Path) -> None:
        pixels, masks = image_files(folder)
        outcome = packing.pack_images(
            listing,
            pixels,
            masks_target=masks,
            image_size=options.image_size,
            max_pixels=options.max_pixels,
        )
        outcome.to_parquet(folder / "outcome.parquet")

    key = {
        "listing": listing_digest(listing),
        "options": options.model_dump(include={"image_size", "max_pixels"}),
        "code": source_digest(packing),
    }
    return Task(key, compute)


def find_duplicates(images: ImageArray, options: IngestionOptions) -> Task:
    """Describe the search for images that show one cell: the table ``groups``, a row per image."""
    from wbc_pipeline.imaging import duplicates

    def compute(folder: Path) -> None:
        groups = duplicates.group_duplicates(images.pixels, similarity=options.duplicate_similarity)
        pd.DataFrame({"group": groups}).to_parquet(folder / "groups.parquet")

    key = {
        "images": images.content_digest,
        "similarity": options.duplicate_similarity,
        "code": source_digest(duplicates),
    }
    return Task(key, compute)


def build_manifest(
    source: Source,
    listing: pd.DataFrame,
    images: ImageArray,
    duplicates: Result,
    options: IngestionOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join what was listed with what came of it and with the near-duplicates among it.

    Returns
    -------
    manifest
        See ``design``: manifest; the rows of status ``ok`` are in the order of the array.
    rejects
        The rows of another status, with their reason.

    Raises
    ------
    RejectedImagesError
        If more than the set share of files was refused, or a whole class.
    """
    from wbc_pipeline.imaging import packing
    from wbc_pipeline.imaging.duplicates import complete_source_ids
    from wbc_pipeline.sources.listing import load_source

    manifest = packing.build_manifest(listing, images.result.table("outcome"))
    packing.check_rejected_share(manifest, options.max_rejected)
    manifest["source_id"] = complete_source_ids(
        manifest,
        duplicates.table("groups")["group"].to_numpy(),
        one_image_per_cell=load_source(source.name).ONE_IMAGE_PER_CELL,
    )
    return manifest, packing.rejected(manifest)
