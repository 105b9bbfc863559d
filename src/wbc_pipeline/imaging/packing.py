"""Many image files -> one array on disk, a manifest, and the reasons for what was refused."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from wbc_pipeline.imaging.arrays import (
    array_writer,
    map_ahead,
    one_opencv_thread,
    progress_bar,
    resize_to,
)
from wbc_pipeline.imaging.reading import MAX_PIXELS, UnreadableImageError, read_image, read_mask

MANIFEST_COLUMNS = (
    "image_id",
    "path",
    "label",
    "source_id",
    "domain",
    "published_part",
    "box",
    "mask_path",
    "height",
    "width",
    "sha256",
    "status",
)

_CHUNK = 64  # images per task: enough to make threads' overhead vanish, 3 MB at 128 x 128


class RejectedImagesError(ValueError):
    """Too many files were refused to go on."""


class _Outcome(NamedTuple):
    status: str
    height: int | None = None
    width: int | None = None
    sha256: str | None = None


class _Chunk(NamedTuple):
    outcomes: list[_Outcome]
    images: np.ndarray  # [k, S, S, 3] uint8, the k images that are ok
    masks: np.ndarray | None  # [k, S, S] uint8


def pack_images(
    listing: pd.DataFrame,
    target: Path,
    *,
    image_size: int,
    max_pixels: int = MAX_PIXELS,
    masks_target: Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Decode every listed file once, scale it, and write all into one ``.npy`` file.

    Files are decoded by threads, a chunk at a time, and written in order, so memory does not grow
    with their number. An image is scaled to a square without keeping its proportions, as the papers
    did: by area averages where it shrinks, bicubic where it grows; a mask takes the nearest pixel.
    The arrays appear under their names only when they are complete.

    Parameters
    ----------
    listing
        A row per file: ``image_id``, ``path``, ``mask_path`` (missing where there is none).
    target
        The ``.npy`` file to write, uint8 ``[N, S, S, 3]``, RGB, 0 to 255; a row per image that is
        ok, in the order of ``listing``. To be opened with ``np.load(target, mmap_mode="r")``.
    image_size
        Side S of the packed images in pixels.
    max_pixels
        Larger files are refused before they are decoded.
    masks_target
        Where the masks go if any row has one: uint8 ``[N, S, S]``, rows as in ``target``, zeros
        where an image has no mask (``mask_path`` tells). Default ``masks.npy`` beside ``target``.
        If no row has a mask, a file of an earlier run there is removed.
    workers
        Threads; None for one per core.
    progress
        Show a progress bar, if standard error is a terminal.

    Returns
    -------
    A row per row of ``listing``, in its order: ``image_id``; ``status``, ``"ok"`` or the reason why
    the file was refused; ``height`` and ``width`` of the file, upright, in pixels (Int32), and
    ``sha256`` of its bytes, both missing if refused.

    Raises
    ------
    OSError
        If the arrays cannot be written; nothing is left half-written.
    """
    target = Path(target)
    masks_target = Path(masks_target or target.with_name("masks.npy"))
    with_masks = bool(listing["mask_path"].notna().any())
    workers = workers or os.cpu_count() or 1
    files = list(zip(listing["path"], listing["mask_path"], strict=True))
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    shape = (image_size, image_size)

    def read_chunk(chunk: list[tuple[str, str | None]]) -> _Chunk:
        return _read_chunk(chunk, image_size, max_pixels, with_masks)

    outcomes: list[_Outcome] = []
    with ExitStack() as stack:
        write_images = stack.enter_context(array_writer(target, len(files), (*shape, 3)))
        if with_masks:
            write_masks = stack.enter_context(array_writer(masks_target, len(files), shape))
        bar = stack.enter_context(progress_bar(progress))
        task = bar.add_task("Packing images", total=len(files))
        stack.enter_context(one_opencv_thread())
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        for done in map_ahead(pool, read_chunk, chunks, ahead=2 * workers):
            write_images(done.images)
            if with_masks:
                write_masks(done.masks)
            outcomes += done.outcomes
            bar.advance(task, len(done.outcomes))
    if not with_masks:
        masks_target.unlink(missing_ok=True)
    table = pd.DataFrame(outcomes, columns=_Outcome._fields)
    table.insert(0, "image_id", listing["image_id"].to_numpy())
    table["sha256"] = pd.Series([outcome.sha256 for outcome in outcomes], dtype="str")
    return table.astype({"height": "Int32", "width": "Int32", "status": "str"})


def build_manifest(listing: pd.DataFrame, outcome: pd.DataFrame) -> pd.DataFrame:
    """Join what was listed and what became of it.

    Parameters
    ----------
    listing
        Of a source (``sources.listing``).
    outcome
        Of :func:`pack_images` for this listing.

    Returns
    -------
    ``MANIFEST_COLUMNS``, a row per listed file in the listing's order. The rows whose ``status`` is
    ``"ok"`` are, in this order, the rows of the packed array.

    Raises
    ------
    ValueError
        If the two do not list the same images.
    """
    if list(listing["image_id"]) != list(outcome["image_id"]):
        raise ValueError("The outcome belongs to another listing: pack the images of this one.")
    joined = listing.reset_index(drop=True).join(outcome.drop(columns="image_id"))
    return joined[list(MANIFEST_COLUMNS)]


def accepted(manifest: pd.DataFrame) -> pd.DataFrame:
    """Rows of the manifest that are in the packed array, numbered as there."""
    return manifest[manifest["status"] == "ok"].reset_index(drop=True)


def rejected(manifest: pd.DataFrame) -> pd.DataFrame:
    """Rows of the manifest that were refused; ``status`` is the reason."""
    return manifest[manifest["status"] != "ok"].reset_index(drop=True)


def check_rejected_share(manifest: pd.DataFrame, limit: float) -> None:
    """Stop if more than a share of the files was refused, or a whole class was.

    Parameters
    ----------
    manifest
        Of :func:`build_manifest`.
    limit
        Largest share of refused files that is fine, 0 to 1.

    Raises
    ------
    RejectedImagesError
        If the share is larger, no image is ok, or a class has lost all of its images. The message
        counts the reasons, names the first files, and says what to do.
    """
    refused = rejected(manifest)
    lost = set(manifest["label"].dropna()) - set(accepted(manifest)["label"].dropna())
    if len(manifest) == 0:
        raise RejectedImagesError("No image is listed: check the folder of the data set.")
    if len(refused) == len(manifest):
        problem = f"All {len(manifest):,} image files were refused"
    elif lost:
        problem = f"All image files of the class {', '.join(sorted(lost))} were refused"
        refused = refused[refused["label"].isin(lost)]
    elif len(refused) > limit * len(manifest):
        problem = (
            f"{len(refused):,} of {len(manifest):,} image files were refused, "
            f"{len(refused) / len(manifest):.2%} where `ingestion.max_rejected` allows {limit:.2%}"
        )
    else:
        return
    reasons = refused["status"].str.partition(":")[0].value_counts()
    counts = ", ".join(f"{count:,} x {reason}" for reason, count in reasons.items())
    first = "; ".join(
        f"{row.path} ({row.status})" for row in refused.head(3).itertuples(index=False)
    )
    remedy = "Mend or remove these files"
    if problem.startswith(f"{len(refused):,} of"):
        remedy += ", or raise `ingestion.max_rejected`"
    raise RejectedImagesError(f"{problem}: {counts}. First files: {first}. {remedy}.")


def _read_chunk(
    files: list[tuple[str, str | None]], image_size: int, max_pixels: int, with_masks: bool
) -> _Chunk:
    images = np.empty((len(files), image_size, image_size, 3), np.uint8)
    masks = np.zeros((len(files), image_size, image_size), np.uint8) if with_masks else None
    outcomes, kept = [], 0
    for path, mask_path in files:
        try:
            pixels, sha256 = read_image(path, max_pixels=max_pixels)
            height, width = pixels.shape[:2]
            if with_masks and not pd.isna(mask_path):
                mask = _matching_mask(mask_path, (height, width), max_pixels)
                side = (image_size, image_size)
                cv2.resize(mask, side, dst=masks[kept], interpolation=cv2.INTER_NEAREST)
        except UnreadableImageError as reason:
            outcomes.append(_Outcome(str(reason)))
            continue
        resize_to(pixels, images[kept])
        outcomes.append(_Outcome("ok", height, width, sha256))
        kept += 1
    return _Chunk(outcomes, images[:kept], masks[:kept] if with_masks else None)


def _matching_mask(path: str, shape: tuple[int, int], max_pixels: int) -> np.ndarray:
    try:
        mask = read_mask(path, max_pixels=max_pixels)
    except UnreadableImageError as reason:
        raise UnreadableImageError(f"mask unreadable: {reason}") from None
    if mask.shape != shape:
        sizes = " against ".join(f"{width} x {height}" for height, width in (mask.shape, shape))
        raise UnreadableImageError(f"mask of another size than its image: {sizes}")
    return mask
