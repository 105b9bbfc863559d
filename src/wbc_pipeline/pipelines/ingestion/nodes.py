"""Nodes that list, decode and describe raw images."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import lazy_loader as lazy
import numpy as np

from wbc_pipeline.datasets.images import ImageArray, image_files
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.datasets.source import Source
from wbc_pipeline.keys import Key, code_digest, digest
from wbc_pipeline.pipelines.ingestion.options import IngestionOptions, SourcesOptions

if TYPE_CHECKING:
    from wbc_pipeline.sources.pinned import PinnedCopies

pd = lazy.load("pandas")

_log = logging.getLogger(__name__)

_COPIES_AT_A_TIME = 1000  # what an interruption can lose


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

    key = Key(
        params=options.model_dump(include={"image_size", "max_pixels"}),
        data={"listing": listing_digest(listing)},
        code=code_digest(packing.pack_images),
    )
    return Task(key, compute)


def find_duplicates(
    source: Source, listing: pd.DataFrame, images: ImageArray, options: IngestionOptions
) -> Task:
    """Describe the search for images that show one cell.

    The table ``groups``, a row per image, has its ``group``, its ``duplicate_group`` (of images
    that are alike as they lie) and its ``pixel_hash``; the table ``overlaps`` has the pairs that
    show the same spot shifted, turned or zoomed. Augmented copies are traced to their originals
    instead, and thousands of overlaps among them would say nothing.
    """
    from wbc_pipeline.imaging import duplicates, overlaps

    packed = listing[(images.result.table("outcome")["status"] == "ok").to_numpy()]
    rows = np.flatnonzero(~packed["dataset"].isin(source.copied_sets))

    def compute(folder: Path) -> None:
        alike = duplicates.group_duplicates(images.pixels, similarity=options.duplicate_similarity)
        pairs = overlaps.find_overlaps(
            images.pixels, similarity=options.overlap_similarity, rows=rows, scratch=folder
        )
        table = pd.DataFrame(
            {
                "group": duplicates.join_groups(alike, pairs[["first", "second"]].to_numpy()),
                "duplicate_group": alike,
                "pixel_hash": duplicates.hash_pixels(images.pixels),
            }
        )
        table.to_parquet(folder / "groups.parquet")
        pairs.to_parquet(folder / "overlaps.parquet")

    key = Key(
        params=options.model_dump(include={"duplicate_similarity", "overlap_similarity"}),
        data={"images": images.content_digest, "copied_sets": source.copied_sets},
        code=code_digest(
            duplicates.group_duplicates,
            duplicates.join_groups,
            duplicates.hash_pixels,
            overlaps.find_overlaps,
        ),
    )
    return Task(key, compute)


def recover_sources(
    source: Source, listing: pd.DataFrame, images: ImageArray, options: IngestionOptions
) -> dict[str, Task]:
    """Describe the search for the photographs that images of unknown source are copies of.

    Returns
    -------
    dict of str to Task
        ``originals`` makes the table ``overlaps``: pairs of photographs of one field of view.
        ``copies-…``, a thousand images each so that an interrupted search goes on where it was,
        make the tables ``matches``. Nothing for a data set that is not made of copies. Where the
        package has pinned what would be found, nothing is searched: ``copies`` makes one table.
    """
    from wbc_pipeline.imaging import recovery
    from wbc_pipeline.sources.listing import MissingDataError, listing_digest

    if not source.copied_sets:
        return {}
    outcome = images.result.table("outcome")
    copies = listing.assign(sha256=outcome["sha256"])[outcome["status"] == "ok"]
    copies = copies[copies["source_id"].isna() & copies["dataset"].isin(source.copied_sets)]
    pinned = None if options.recover else source.pinned_copies()
    if pinned is not None:
        other = copies[~copies["sha256"].isin(pinned.matches["sha256"])]
        if other.empty:
            return _look_up_sources(copies, pinned)
        _log.info(
            "%d of %d copies, such as %s, are not the published files, whose sources are pinned: "
            "all sources are recovered from the pixels.",
            len(other),
            len(copies),
            other["path"].iloc[0],
        )
    try:
        originals = source.list_originals()
    except MissingDataError as error:
        _log.warning("The sources of the copies stay unknown. %s", error)
        return {}

    @cache
    def index() -> recovery.OriginalIndex:
        return recovery.index_originals(originals["path"], max_pixels=options.max_pixels)

    def find_overlaps(folder: Path) -> None:
        overlaps = index().overlaps.copy()
        for side in ("first", "second"):
            rows = overlaps[side].to_numpy()
            overlaps[f"{side}_box"] = originals["box"].to_numpy()[rows]
            overlaps[side] = originals["source_id"].to_numpy()[rows]
        overlaps.to_parquet(folder / "overlaps.parquet")

    def match(folder: Path, *, copies: pd.DataFrame, title: str) -> None:
        found = recovery.recover_sources(
            copies["path"], index(), max_pixels=options.max_pixels, title=title
        )
        named = originals.rename(columns={"label": "original_label"})
        named = named[["source_id", "original_label"]].reindex(found["original"])
        found = pd.concat(
            [
                copies[["image_id", "label"]].reset_index(drop=True),
                named.reset_index(drop=True),
                found.drop(columns="original"),
            ],
            axis=1,
        )
        found.to_parquet(folder / "matches.parquet")

    key = Key(
        params={"max_pixels": options.max_pixels},
        data={"originals": listing_digest(originals)},
        code=code_digest(recovery.index_originals, recovery.recover_sources),
    )
    tasks = {"originals": Task(key, find_overlaps)}
    for start in range(0, len(copies), _COPIES_AT_A_TIME):
        part = copies.iloc[start : start + _COPIES_AT_A_TIME]
        title = f"Recovering sources {start + 1:,} to {start + len(part):,} of {len(copies):,}"
        tasks[f"copies-{start:06}"] = Task(
            replace(key, data={**key.data, "copies": _content(part)}),
            partial(match, copies=part, title=title),
        )
    return tasks


def _look_up_sources(copies: pd.DataFrame, pinned: PinnedCopies) -> dict[str, Task]:
    """Describe the same tables as `recover_sources`, from what is pinned."""
    from wbc_pipeline.sources.pinned import read_copies

    def write_matches(folder: Path) -> None:
        found = copies[["image_id", "label", "sha256"]].merge(pinned.matches, on="sha256")
        found.drop(columns="sha256").to_parquet(folder / "matches.parquet")

    def write_overlaps(folder: Path) -> None:
        pinned.overlaps.to_parquet(folder / "overlaps.parquet")

    key = Key(params={}, data={"pinned": pinned.digest}, code=code_digest(read_copies))
    return {
        "originals": Task(key, write_overlaps),
        "copies": Task(replace(key, data={**key.data, "copies": _content(copies)}), write_matches),
    }


def _content(copies: pd.DataFrame) -> str:
    return digest(copies[["image_id", "label", "sha256"]].astype(str).to_numpy().tolist())


def describe_images(listing: pd.DataFrame, images: ImageArray) -> pd.DataFrame:
    """Join what was listed with what came of reading it; see `packing.build_manifest`."""
    from wbc_pipeline.imaging import packing

    return packing.build_manifest(listing, images.result.table("outcome"))


def list_boxes(
    source: Source, described: pd.DataFrame, options: SourcesOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List every annotated box, also of images that show several cells.

    Returns
    -------
    boxes
        Those that lie in an image that was not refused, in pixels of the upright image.
    rejects
        A row per refused image, per box that does not lie in its image and per annotation that
        cannot be used, with the reason.
    """
    from wbc_pipeline.imaging import packing
    from wbc_pipeline.imaging.boxes import place_boxes

    annotated = source.list_boxes(options.model_dump(exclude_none=True))
    boxes, unfit = place_boxes(annotated, described)
    return boxes, pd.concat([packing.rejected(described), unfit], ignore_index=True)


def build_manifest(
    *,
    source: Source,
    described: pd.DataFrame,
    rejects: pd.DataFrame,
    duplicates: Result,
    recovery: dict[str, Result],
    options: IngestionOptions,
) -> pd.DataFrame:
    """Accept the images that were read, and join their recovered sources and near-duplicates.

    Parameters
    ----------
    rejects
        An input so that it is on disk by the time that too many refused images stop the run.

    Returns
    -------
    DataFrame
        See ``design``: manifest; the rows of status ``ok`` are in the order of the array. Beside
        ``source_id`` stands ``source_group``: sources that show one cell, or cells of one patient,
        which no split by source parts.

    Raises
    ------
    RejectedImagesError
        If more than the set share of files was refused, or a whole class where none may be lost.
    """
    from wbc_pipeline.imaging import packing
    from wbc_pipeline.imaging.duplicates import group_sources

    manifest = described.copy()
    may_lose = options.lost_classes == "warn"
    packing.check_rejected_share(manifest, options.max_rejected, may_lose_classes=may_lose)
    for label in sorted(packing.lost_classes(manifest)):
        _log.warning("Goes on without class %r: all of its images were refused.", label)
    for warning, count in packing.count_warnings(manifest).items():
        _log.warning("%d x %s, see the column `warning` of the manifest", count, warning)
    manifest["source_id"] = _fill_recovered(manifest, recovered_sources(recovery))
    sources = group_sources(
        manifest,
        duplicates.table("groups")["group"].to_numpy(),
        one_image_per_cell=manifest["dataset"].isin(source.sets_of_one_image_per_cell).to_numpy(),
        same_cell=overlapping_originals(recovery)[["first", "second"]].to_numpy().tolist(),
    )
    manifest["source_id"] = sources["source_id"]
    place = manifest.columns.get_loc("source_id") + 1
    manifest.insert(place, "source_group", sources["source_group"])
    return manifest


def recovered_sources(recovery: dict[str, Result]) -> pd.DataFrame:
    """Put the parts of a recovery into one table, a row per copy; no rows if there was none."""
    parts = [result.table("matches") for name, result in recovery.items() if name != "originals"]
    columns = ["image_id", "source_id", "certain"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


def overlapping_originals(recovery: dict[str, Result]) -> pd.DataFrame:
    """Give the pairs of photographs that show one field of view; no rows if there are none."""
    if "originals" not in recovery:
        return pd.DataFrame(columns=["first", "second"])
    return recovery["originals"].table("overlaps")


def _fill_recovered(manifest: pd.DataFrame, recovered: pd.DataFrame) -> pd.Series:
    """Take the recovered source where it is certain and none was known."""
    certain = recovered[recovered["certain"].astype(bool)].set_index("image_id")["source_id"]
    found = manifest["image_id"].map(certain).astype(object)
    filled = manifest["source_id"].astype(object).where(manifest["source_id"].notna(), found)
    return pd.Series(
        [None if pd.isna(source) else source for source in filled], dtype="str", name="source_id"
    )
