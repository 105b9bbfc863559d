"""Packs image files into one array, with a manifest and the reason for every refused file."""

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.arrays import ArrayFile, map_chunks, resize_to, split_rows, unfinished
from wbc_pipeline.imaging.boxes import upright_box
from wbc_pipeline.imaging.mask_levels import levels_from_clues
from wbc_pipeline.imaging.masks import UNKNOWN, find_clues, read_labelled_mask, resize_mask
from wbc_pipeline.imaging.reading import MAX_PIXELS, read_image
from wbc_pipeline.imaging.refusals import UnreadableImageError
from wbc_pipeline.warning_texts import join_warnings

MANIFEST_COLUMNS = (
    "dataset",
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
    "annotated",
    "height",
    "width",
    "orientation",
    "sha256",
    "status",
    "warning",
)

_CHUNK = 64  # images per task: enough to hide the overhead of threads, 3 MB at 128 x 128


class RejectedImagesError(UserError):
    """Too many files were refused to go on."""


class _File(NamedTuple):
    """The columns of a listing that packing needs; None where not known."""

    path: str
    box: Sequence[float] | None
    mask_path: str | None
    mask_levels: str | None
    annotated: str | None
    problem: str | None


class _Outcome(NamedTuple):
    status: str
    box: Sequence[float] | None = None
    mask_levels: str | None = None
    height: int | None = None
    width: int | None = None
    orientation: int | None = None
    sha256: str | None = None
    mask_sha256: str | None = None
    warning: str | None = None


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
        Where the masks go if any row has one: uint8 ``[N, S, S]``, rows as in ``target``, see
        `masks.read_labelled_mask`; 255 throughout where an image has no mask. Default ``masks.npy``
        beside ``target``. If no row has a mask, a file of an earlier run there is removed.
    workers
        Threads; None for one per core.
    progress
        Show a progress bar, if standard error is a terminal.

    Returns
    -------
    A row per row of ``listing``, in its order: ``image_id``; ``status``, ``"ok"`` or the reason why
    the file was refused; ``height`` and ``width`` of the file, upright, in pixels (Int32), and
    ``sha256`` of its bytes, both missing if refused; ``orientation``, by which its EXIF tag turned
    it upright, 1 to 8; ``box`` of the upright image; ``mask_levels``, given or recognised from all
    masks of the listing; ``mask_sha256`` of the pixels of its mask; and ``warning``, what was
    assumed or mended in reading it.

    Raises
    ------
    OSError
        If the arrays cannot be written; nothing is left half-written.
    """
    target = Path(target)
    masks_target = Path(masks_target or target.with_name("masks.npy"))
    with_masks = bool(listing["mask_path"].notna().any())
    files, doubts = _with_levels(
        _files(listing), max_pixels=max_pixels, workers=workers, progress=progress
    )
    chunks = split_rows(files, _CHUNK)
    shape = (len(listing), image_size, image_size)
    outcomes: list[_Outcome] = []
    kept = 0
    with ExitStack() as stack:
        new = stack.enter_context(unfinished(target))
        images = stack.enter_context(ArrayFile(new, (*shape, 3), "u1"))
        arrays = [images]
        if with_masks:
            new = stack.enter_context(unfinished(masks_target))
            arrays.append(stack.enter_context(ArrayFile(new, shape, "u1")))
        for done in map_chunks(
            partial(_read_chunk, image_size=image_size, max_pixels=max_pixels, masks=with_masks),
            chunks,
            title="Packing images",
            workers=workers,
            progress=progress,
        ):
            for array, block in zip(arrays, (done.images, done.masks), strict=False):
                array.write(kept, block)
            kept += len(done.images)
            outcomes += done.outcomes
        for array in arrays:
            array.cut(kept)
    if not with_masks:
        masks_target.unlink(missing_ok=True)
    table = pd.DataFrame(outcomes, columns=_Outcome._fields)
    table.insert(0, "image_id", listing["image_id"].to_numpy())
    table["warning"] = [
        join_warnings(doubt, outcome.warning)
        for doubt, outcome in zip(doubts, outcomes, strict=True)
    ]
    for name in ("mask_levels", "sha256", "mask_sha256", "warning"):
        table[name] = pd.Series(table[name].tolist(), dtype="str")
    table["box"] = pd.Series([outcome.box for outcome in outcomes], dtype=object)
    numbers = dict.fromkeys(("height", "width", "orientation"), "Int32")
    return table.astype({**numbers, "status": "str"})


def build_manifest(listing: pd.DataFrame, outcome: pd.DataFrame) -> pd.DataFrame:
    """Join a listing with the outcome of packing it.

    Parameters
    ----------
    listing
        Of a source (``sources.listing``).
    outcome
        Of :func:`pack_images` for this listing.

    Returns
    -------
    ``MANIFEST_COLUMNS``, a row per listed file in the listing's order. The rows whose ``status`` is
    ``"ok"`` are, in this order, the rows of the packed array. A ``warning`` says what was assumed
    or mended, in listing or reading, in a row that is used all the same; semicolons part several.

    Raises
    ------
    ValueError
        If the two do not list the same images.
    """
    if list(listing["image_id"]) != list(outcome["image_id"]):
        raise ValueError("The outcome belongs to another listing: pack the images of this one.")
    joined = listing.drop(columns=["box", "mask_levels", "warning"]).reset_index(drop=True)
    joined = joined.join(outcome.drop(columns="image_id"))
    listed, read = listing["warning"].reset_index(drop=True), outcome["warning"]
    both = listed.notna() & read.notna()
    joined["warning"] = listed.fillna(read).mask(both, listed + "; " + read)
    return joined[list(MANIFEST_COLUMNS)]


def count_warnings(manifest: pd.DataFrame) -> pd.Series:
    """Count the rows of each kind of warning among those that are not refused, most first."""
    warnings = accepted(manifest)["warning"].dropna().str.split("; ").explode()
    return warnings.str.split(":").str[0].value_counts()


def accepted(manifest: pd.DataFrame) -> pd.DataFrame:
    """Rows of the manifest that are in the packed array, numbered as there."""
    return manifest[manifest["status"] == "ok"].reset_index(drop=True)


def rejected(manifest: pd.DataFrame) -> pd.DataFrame:
    """Rows of the manifest that were refused; ``status`` is the reason."""
    return manifest[manifest["status"] != "ok"].reset_index(drop=True)


def independent_sources(images: pd.DataFrame) -> pd.Series:
    """Name the source of each image that no split may part: the image itself where none is known.

    Parameters
    ----------
    images
        Rows of a manifest, with ``source_group`` and ``image_id``.
    """
    return images["source_group"].fillna(images["image_id"])


def count_reasons(statuses: pd.Series) -> str:
    """Count statuses by what stands before the colon, most frequent first.

    Examples
    --------
    >>> count_reasons(pd.Series(["empty file", "file is missing: 'a'", "file is missing: 'b'"]))
    '2 x file is missing, 1 x empty file'
    """
    reasons = statuses.str.partition(":")[0].value_counts()
    return ", ".join(f"{count:,} x {reason}" for reason, count in reasons.items())


def lost_classes(manifest: pd.DataFrame) -> set[str]:
    """Name the classes of which every image was refused."""
    return set(manifest["label"].dropna()) - set(accepted(manifest)["label"].dropna())


def check_rejected_share(
    manifest: pd.DataFrame, limit: float, *, may_lose_classes: bool = False
) -> None:
    """Stop if more than a share of the files was refused, or a whole class was.

    Parameters
    ----------
    manifest
        Of :func:`build_manifest`.
    limit
        Largest share of refused files that is fine, 0 to 1.
    may_lose_classes
        Whether a class may have lost all of its images, as long as two are left.

    Raises
    ------
    RejectedImagesError
        If the share is larger, no image is ok, or a class has lost all of its images. The message
        counts the reasons, names the first files, and says what to do.
    """
    refused = rejected(manifest)
    lost, left = lost_classes(manifest), accepted(manifest)["label"].nunique()
    remedy = "Mend or remove these files"
    if len(manifest) == 0:
        raise RejectedImagesError("No image is listed: check the folder of the data set.")
    if len(refused) == len(manifest):
        problem = f"All {len(manifest):,} image files were refused"
    elif lost and not (may_lose_classes and left > 1):
        several = "classes" if len(lost) > 1 else "class"
        problem = f"All image files of the {several} {'; '.join(sorted(lost))} were refused"
        refused = refused[refused["label"].isin(lost)]
        if left > 1:
            remedy += ", or go on without the class with `ingestion.lost_classes=warn`"
    elif len(refused) > limit * len(manifest):
        problem = (
            f"{len(refused):,} of {len(manifest):,} image files were refused, "
            f"{len(refused) / len(manifest):.2%} where `ingestion.max_rejected` allows {limit:.2%}"
        )
        remedy += ", or raise `ingestion.max_rejected`"
    else:
        return
    counts = count_reasons(refused["status"])
    first = "; ".join(
        f"{row.path} ({row.status})" for row in refused.head(3).itertuples(index=False)
    )
    raise RejectedImagesError(
        f"{problem}: {counts}. First files: {first}. The table of rejects lists them all. {remedy}."
    )


def _files(listing: pd.DataFrame) -> list[_File]:
    known = listing[list(_File._fields)].astype(object)
    known = known.where(known.notna(), None)
    return [_File(*row) for row in known.itertuples(index=False, name=None)]


def _read_chunk(files: list[_File], *, image_size: int, max_pixels: int, masks: bool) -> _Chunk:
    shape = (len(files), image_size, image_size)
    images = np.empty((*shape, 3), np.uint8)
    packed_masks = np.full(shape, UNKNOWN, np.uint8) if masks else None
    outcomes, kept = [], 0
    for file in files:
        try:
            image, mask, outcome = _read_file(file, max_pixels)
        except UnreadableImageError as reason:
            outcomes.append(_Outcome(str(reason), file.box, file.mask_levels))
            continue
        if mask is not None:
            packed_masks[kept] = resize_mask(mask, shape[1:])
        resize_to(image, images[kept])
        outcomes.append(outcome)
        kept += 1
    return _Chunk(outcomes, images[:kept], packed_masks[:kept] if masks else None)


def _read_file(file: _File, max_pixels: int) -> tuple[np.ndarray, np.ndarray | None, _Outcome]:
    if file.problem is not None:
        raise UnreadableImageError(file.problem)
    image = read_image(file.path, max_pixels=max_pixels)
    height, width = shape = image.pixels.shape[:2]
    turn = {"orientation": image.orientation, "annotated": file.annotated}
    box, parts, mask_sha256, warning = None, None, None, image.warning
    if file.box is not None:
        box = list(upright_box(file.box, shape=shape, **turn))
    if file.mask_path is not None:
        parts, doubt = read_labelled_mask(
            file.mask_path, shape, levels=file.mask_levels, max_pixels=max_pixels, **turn
        )
        mask_sha256 = hashlib.sha256(parts.tobytes()).hexdigest()
        warning = join_warnings(warning, doubt)
    outcome = _Outcome(
        "ok",
        box,
        file.mask_levels,
        height,
        width,
        image.orientation,
        image.sha256,
        mask_sha256,
        warning,
    )
    return image.pixels, parts, outcome


def _with_levels(
    files: list[_File], *, max_pixels: int, workers: int | None, progress: bool
) -> tuple[list[_File], list[str | None]]:
    """Recognise the levels of masks that come without, from all of them; and what is doubtful."""
    without = [
        row
        for row, file in enumerate(files)
        if file.problem is None and file.mask_path is not None and file.mask_levels is None
    ]
    doubts: list[str | None] = [None] * len(files)
    if not without:
        return files, doubts
    chunks = split_rows([files[row].mask_path for row in without], _CHUNK)
    clues = map_chunks(
        partial(find_clues, max_pixels=max_pixels),
        chunks,
        title="Recognising masks",
        workers=workers,
        progress=progress,
    )
    recognised = levels_from_clues(chain.from_iterable(clues))
    for row, (levels, doubt) in zip(without, recognised, strict=True):
        files[row], doubts[row] = files[row]._replace(mask_levels=levels), doubt
    return files, doubts
