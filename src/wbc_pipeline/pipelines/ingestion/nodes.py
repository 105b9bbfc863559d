"""Nodes that list, decode and describe raw images."""

from pathlib import Path

import numpy as np
import pandas as pd

from wbc_pipeline.datasets.images import ImageArray, image_files
from wbc_pipeline.datasets.results import Task
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

    Beside the array stands the table ``outcome``: a row per listed file with its status and,
    where it was decoded, the group of near-duplicates that it belongs to.
    """
    from wbc_pipeline.imaging import duplicates, packing
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
        is_ok = outcome["status"] == "ok"
        outcome["duplicate_group"] = pd.array([pd.NA] * len(outcome), dtype="Int64")
        outcome.loc[is_ok, "duplicate_group"] = duplicates.group_duplicates(
            np.load(pixels, mmap_mode="r"), similarity=options.duplicate_similarity
        )
        outcome.to_parquet(folder / "outcome.parquet")

    key = {
        "listing": listing_digest(listing),
        "options": options.model_dump(exclude={"max_rejected"}),
        "code": source_digest(packing, duplicates),
    }
    return Task(key, compute)


def build_manifest(
    source: Source, listing: pd.DataFrame, images: ImageArray, options: IngestionOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Join what was listed with what came of it.

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
    from wbc_pipeline.imaging import duplicates, packing
    from wbc_pipeline.sources.listing import load_source

    outcome = images.result.table("outcome")
    manifest = packing.build_manifest(listing, outcome)
    packing.check_rejected_share(manifest, options.max_rejected)
    manifest["source_id"] = duplicates.complete_source_ids(
        manifest,
        outcome["duplicate_group"].dropna().to_numpy(dtype=int),
        one_image_per_cell=load_source(source.name).ONE_IMAGE_PER_CELL,
    )
    return manifest, packing.rejected(manifest)
