"""Many image files -> one array on disk, a manifest, and the reasons for what was refused."""

import hashlib
import os
from collections.abc import Sequence
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
from wbc_pipeline.imaging.reading import (
    MAX_PIXELS,
    FileImage,
    UnreadableImageError,
    read_image,
    read_mask,
)

MANIFEST_COLUMNS = (
    "image_id",
    "path",
    "label",
    "source_id",
    "patient",
    "filename_group",
    "domain",
    "published_part",
    "box",
    "mask_path",
    "mask_levels",
    "height",
    "width",
    "sha256",
    "status",
)

MASK_LEVELS = (0, 128, 255)  # of a packed mask: background, cytoplasm, nucleus

_CHUNK = 64  # images per task: enough to make threads' overhead vanish, 3 MB at 128 x 128


class RejectedImagesError(ValueError):
    """Too many files were refused to go on."""


class _File(NamedTuple):
    """What the listing says of a file that matters here; None where it says nothing."""

    path: str
    box: Sequence[float] | None
    mask_path: str | None
    mask_levels: Sequence[int] | None
    problem: str | None


class _Outcome(NamedTuple):
    status: str
    height: int | None = None
    width: int | None = None
    sha256: str | None = None
    mask_sha256: str | None = None


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
    did: by area averages where it shrinks, bicubic where it grows; a mask takes the nearest pixel,
    and each of its grey levels becomes that of the part of the cell whose level is nearest.
    The arrays appear under their names only when they are complete.

    Parameters
    ----------
    listing
        A row per file (``sources.listing``). One with a ``problem`` is refused for that, unopened.
        One whose ``box`` or mask does not fit its image is refused too.
    target
        The ``.npy`` file to write, uint8 ``[N, S, S, 3]``, RGB, 0 to 255; a row per image that is
        ok, in the order of ``listing``. To be opened with ``np.load(target, mmap_mode="r")``.
    image_size
        Side S of the packed images in pixels.
    max_pixels
        Larger files are refused before they are decoded.
    masks_target
        Where the masks go if any row has one: uint8 ``[N, S, S]``, rows as in ``target``, 255
        nucleus, 128 cytoplasm, 0 background; zeros where an image has no mask (``mask_path``
        tells). Default ``masks.npy`` beside ``target``. If no row has a mask, a file of an earlier
        run there is removed.
    workers
        Threads; None for one per core.
    progress
        Show a progress bar, if standard error is a terminal.

    Returns
    -------
    A row per row of ``listing``, in its order: ``image_id``; ``status``, ``"ok"`` or the reason why
    the file was refused; ``height`` and ``width`` of the file, upright, in pixels (Int32), and
    ``sha256`` of its bytes, both missing if refused; and ``mask_sha256`` of the pixels of its mask.

    Raises
    ------
    OSError
        If the arrays cannot be written; nothing is left half-written.
    """
    target = Path(target)
    masks_target = Path(masks_target or target.with_name("masks.npy"))
    with_masks = bool(listing["mask_path"].notna().any())
    workers = workers or os.cpu_count() or 1
    files = _files(listing)
    chunks = [files[start : start + _CHUNK] for start in range(0, len(files), _CHUNK)]
    shape = (image_size, image_size)

    def read_chunk(chunk: list[_File]) -> _Chunk:
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
    for name in ("sha256", "mask_sha256"):
        table[name] = pd.Series([getattr(outcome, name) for outcome in outcomes], dtype="str")
    return table.astype({"height": "Int32", "width": "Int32", "status": "str"})


def canonical_mask(mask: np.ndarray, levels: Sequence[int]) -> np.ndarray:
    """Bring the grey levels of a mask to those of a packed one.

    Parameters
    ----------
    mask
        uint8 ``[H, W]``.
    levels
        Its grey levels of background, cytoplasm and nucleus; any other counts for the nearest.

    Returns
    -------
    uint8 ``[H, W]``: 255 nucleus, 128 cytoplasm, 0 background.
    """
    distance = np.abs(np.arange(256)[:, None] - np.asarray(levels))  # [256, 3]
    return cv2.LUT(mask, np.uint8(MASK_LEVELS)[distance.argmin(axis=1)])


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


def check_boxes(boxes: pd.DataFrame, manifest: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tell the annotated boxes that lie in their images from those that do not.

    Parameters
    ----------
    boxes
        ``image_id``, ``name``, ``xmin``, ``ymin``, ``xmax``, ``ymax`` (pixels of the file), a row
        per box.
    manifest
        Of :func:`build_manifest`; boxes of images that were refused are left out.

    Returns
    -------
    boxes
        Those that lie in their image.
    rejects
        A row per box that does not: ``image_id``, ``path`` and ``status``, the reason.
    """
    images = accepted(manifest)[["image_id", "path", "height", "width"]]
    known = boxes.merge(images, on="image_id")
    inside = (known[["xmin", "ymin"]] >= 0).all(axis=1)
    inside &= (known["xmax"] <= known["width"]) & (known["ymax"] <= known["height"])
    outside = known[~inside]
    reasons = [
        f"box outside the image: {box.name} [{box.xmin:g}, {box.ymin:g}, {box.xmax:g}, "
        f"{box.ymax:g}] in {box.width} x {box.height}"
        for box in outside.itertuples(index=False)
    ]
    rejects = outside[["image_id", "path"]].assign(status=pd.Series(reasons, outside.index, "str"))
    return known.loc[inside, boxes.columns].reset_index(drop=True), rejects


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


def _files(listing: pd.DataFrame) -> list[_File]:
    known = listing[list(_File._fields)].astype(object)
    known = known.where(known.notna(), None)
    return [_File(*row) for row in known.itertuples(index=False, name=None)]


def _read_chunk(files: list[_File], image_size: int, max_pixels: int, with_masks: bool) -> _Chunk:
    images = np.empty((len(files), image_size, image_size, 3), np.uint8)
    masks = np.zeros((len(files), image_size, image_size), np.uint8) if with_masks else None
    outcomes, kept = [], 0
    for file in files:
        try:
            (pixels, sha256), mask = _read_file(file, max_pixels)
        except UnreadableImageError as reason:
            outcomes.append(_Outcome(str(reason)))
            continue
        if mask is not None:
            side = (image_size, image_size)
            cv2.resize(mask, side, dst=masks[kept], interpolation=cv2.INTER_NEAREST)
        resize_to(pixels, images[kept])
        mask_sha256 = None if mask is None else hashlib.sha256(mask.tobytes()).hexdigest()
        outcomes.append(_Outcome("ok", *pixels.shape[:2], sha256, mask_sha256))
        kept += 1
    return _Chunk(outcomes, images[:kept], masks[:kept] if with_masks else None)


def _read_file(file: _File, max_pixels: int) -> tuple[FileImage, np.ndarray | None]:
    if file.problem is not None:
        raise UnreadableImageError(file.problem)
    image = read_image(file.path, max_pixels=max_pixels)
    shape = image.pixels.shape[:2]
    if file.box is not None:
        _check_box(file.box, shape)
    if file.mask_path is None:
        return image, None
    mask = _matching_mask(file.mask_path, shape, max_pixels)
    levels = MASK_LEVELS if file.mask_levels is None else file.mask_levels
    return image, canonical_mask(mask, levels)


def _check_box(box: Sequence[float], shape: tuple[int, int]) -> None:
    xmin, ymin, xmax, ymax = box
    height, width = shape
    sides = ", ".join(f"{side:g}" for side in box)
    if not (xmin >= 0 and ymin >= 0 and xmax <= width and ymax <= height):
        raise UnreadableImageError(f"box outside the image: [{sides}] in {width} x {height}")
    if not (xmin < xmax and ymin < ymax):
        raise UnreadableImageError(f"box without area: [{sides}]")


def _matching_mask(path: str, shape: tuple[int, int], max_pixels: int) -> np.ndarray:
    try:
        mask = read_mask(path, max_pixels=max_pixels)
    except UnreadableImageError as reason:
        raise UnreadableImageError(f"mask unreadable: {reason}") from None
    if mask.shape != shape:
        sizes = " against ".join(f"{width} x {height}" for height, width in (mask.shape, shape))
        raise UnreadableImageError(f"mask of another size than its image: {sizes}")
    return mask
