"""Nodes that say which sources were found, and write them down for others."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.datasets.source import Source
from wbc_pipeline.pipelines.audit.options import PinOptions
from wbc_pipeline.pipelines.ingestion.nodes import overlapping_originals, recovered_sources
from wbc_pipeline.pipelines.splitting.nodes import SplitError, split_images
from wbc_pipeline.pipelines.splitting.options import SplittingOptions

pd = lazy.load("pandas")

_log = logging.getLogger(__name__)

SHEET_ROWS, SHEET_COPIES = 12, 7  # of the contact sheet of copies under their originals


def trace_sources(
    source: Source,
    manifest: pd.DataFrame,
    images: ImageArray,
    recovery: dict[str, Result],
    dataset: str,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Say where sources were recovered from pixels, and which of them show one cell.

    Returns
    -------
    copies
        A row per copy: its original, how sure that is, and whether their labels agree.
    items
        ``originals``: how many originals the copies of each published part show. ``overlaps``: the
        pairs of originals of one field of view, with their labels and parts. Three figures.
    """
    from wbc_pipeline.evaluation.audit import tracing
    from wbc_pipeline.evaluation.figures import copies as figures
    from wbc_pipeline.imaging.reading import read_image

    def read(paths: Iterable[str]) -> list:
        return [read_image(path, max_pixels=images.max_pixels).pixels for path in paths]

    copies = recovered_sources(recovery)
    if len(copies):
        copies["label_agrees"] = tracing.check_labels(copies)
    overlaps = tracing.describe_overlaps(manifest, overlapping_originals(recovery))
    files = _files_of_originals(source, images.max_pixels) if len(copies) else {}
    known = copies[copies["source_id"].isin(files.keys())]  # where the sources are pinned, not all
    shown = known.sample(frac=1, random_state=0).groupby("source_id").head(SHEET_COPIES)
    names = sorted(shown["source_id"].unique()) if len(shown) else []
    names = names[:: max(len(names) // SHEET_ROWS, 1)][:SHEET_ROWS]
    path_of = manifest.set_index("image_id")["path"]
    rows = [shown[shown["source_id"] == name] for name in names]
    return copies, {
        "originals": tracing.count_originals(manifest, copies),
        "recovery_sheet": figures.recovery_sheet(
            read([files[name] for name in names]),
            [read(path_of[row["image_id"]]) for row in rows],
            [row["score"].tolist() for row in rows],
            names,
            dataset=dataset,
        ),
        "recovery_scores": figures.recovery_scores(copies, dataset=dataset),
        "overlaps": overlaps,
        "overlap_sheet": figures.overlap_sheet(
            overlaps[overlaps[["first", "second"]].isin(files.keys()).all(axis=1)],
            lambda name: read([files[name]])[0],
            dataset=dataset,
        ),
    }


def _files_of_originals(source: Source, max_pixels: int) -> dict[str, str]:
    """Find the files of the originals by name; pinned sources are known without them."""
    from wbc_pipeline.imaging.reading import UnreadableImageError, read_image
    from wbc_pipeline.sources.listing import MissingDataError

    try:
        originals = source.list_originals()
    except MissingDataError as error:
        _log.warning("Copies are shown without their originals. %s", error)
        return {}
    files = {}
    for original in originals.itertuples():
        try:
            read_image(original.path, max_pixels=max_pixels)
        except UnreadableImageError as reason:
            _log.warning("%s is not shown beside its copies: %s.", original.path, reason)
        else:
            files[original.source_id] = original.path
    return files


def pin_sources(
    manifest: pd.DataFrame,
    recovery: dict[str, Result],
    splitting: SplittingOptions,
    options: PinOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Write down what others need to split these images as this project does.

    Returns
    -------
    sources
        A row per image, see `tabulate_sources`: part and fold are those of ``source`` and seed 0,
        missing where these images cannot be split so.
    overlaps
        A row per pair of originals that show one field of view.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.sources.pinned import tabulate_overlaps, tabulate_sources

    five_folds = _parts_of_source(manifest, splitting.model_copy(update={"folds": 5}))
    one_split = _parts_of_source(manifest, splitting.model_copy(update={"folds": 1}))
    sources = tabulate_sources(
        accepted(manifest),
        recovered_sources(recovery),
        fold=five_folds.loc[five_folds["part"] == "test", "fold"],
        part=one_split["part"],
        rescaled=options.rescaled,
    )
    return sources, tabulate_overlaps(overlapping_originals(recovery))


def _parts_of_source(manifest: pd.DataFrame, splitting: SplittingOptions) -> pd.DataFrame:
    try:
        splits = split_images(manifest, "source", 0, splitting)
    except SplitError as reason:
        _log.warning("No %d-fold split stands in the pinned sources: %s", splitting.folds, reason)
        splits = pd.DataFrame(columns=["image_id", "fold", "part"])
    return splits.set_index("image_id")
