"""Views: a chain applied to every image of a set, in one array on disk.

Chunks of images run on joblib's threads, or on the workers of a Dask cluster, and are written in
order, so memory does not grow with the number of images. An interrupted view is resumed.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.arrays import ArrayFile, forget_pages, map_chunks, split_rows
from wbc_pipeline.imaging.chain import Chain
from wbc_pipeline.imaging.masks import UNKNOWN, read_labelled_mask, resize_mask
from wbc_pipeline.imaging.orientation import UPRIGHT
from wbc_pipeline.imaging.reading import read_image
from wbc_pipeline.imaging.refusals import UnreadableImageError
from wbc_pipeline.imaging.roi import SIDES
from wbc_pipeline.imaging.steps import settle

BACKENDS = ("threads", "dask")
_CHUNK = 32  # images per task: enough to hide the overhead of a task, 1.6 MB at 128 x 128
_SECONDS_BETWEEN_SYNCS = 1.0  # the most that an interruption costs, beside chunks in progress
_SECONDS_FOR_WORKERS = 60
MASKS_FILE = "masks.npy"
_PROGRESS_FILE, _PLACES_FILE = "progress.json", "places.npy"


class PackedImages:
    """The images of a packed array.

    Parameters
    ----------
    pixels
        uint8 ``[N, S, S, 3]``, RGB, memory-mapped. Pickled as the path of its file, so every
        worker must see that.
    masks
        uint8 ``[N, S, S]``, memory-mapped; None if there are none, or they are not needed.
    """

    def __init__(self, pixels: np.memmap, masks: np.memmap | None = None):
        self._pixels, self._masks = pixels, masks
        self._rows = range(len(pixels))
        self._made = _made(pixels.filename)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> np.ndarray:
        return np.asarray(self._pixels[self._rows[row]])

    def __getstate__(self) -> dict:
        masks = None if self._masks is None else self._masks.filename
        state = {"path": self._pixels.filename, "masks": masks}
        return {**state, "rows": self._rows, "made": self._made}

    def __setstate__(self, state: dict) -> None:
        self._pixels = np.load(state["path"], mmap_mode="r")
        self._masks = np.load(state["masks"], mmap_mode="r") if state["masks"] else None
        self._rows, self._made = state["rows"], state["made"]
        if _made(state["path"]) != self._made:
            raise UserError(
                f"{state['path']} was packed anew by another command while a view was made of it; "
                "wait for that to end, and run this command again"
            )

    @property
    def has_masks(self) -> bool:
        """Whether there are masks."""
        return self._masks is not None

    def mask(self, row: int, shape: Sequence[int]) -> np.ndarray:
        """Give the mask of an image of this shape, see `masks.read_labelled_mask`."""
        return np.asarray(self._masks[self._rows[row]])

    def name(self, row: int) -> str:
        """Name an image."""
        return f"image {self._rows[row]}"

    def part(self, rows: range) -> "PackedImages":
        """Give some of the images."""
        part = copy(self)
        part._rows = self._rows[rows.start : rows.stop]
        return part

    def forget(self) -> None:
        """Release the memory that holds what has been read."""
        forget_pages(self._pixels)


class _File(NamedTuple):
    path: str
    mask_path: str | None
    mask_levels: str | None
    orientation: int | None
    annotated: str | None
    sha256: str | None


class FileImages:
    """Images as their files have them, decoded when they are asked for.

    Parameters
    ----------
    paths
        Of files that could be read before.
    max_pixels
        See `reading.read_image`.
    mask_paths, mask_levels
        Of their masks, missing where there is none; see `masks.read_labelled_mask`. None for no
        masks.
    orientations, annotated
        How masks are turned, likewise; None for not at all.
    sha256
        Digests of the files' bytes when they were packed: a file that has another now is refused
        with an `UnreadableImageError`. None to take the files as they are.
    """

    def __init__(
        self,
        paths: Sequence[str],
        *,
        max_pixels: int,
        mask_paths: Sequence[str | None] | None = None,
        mask_levels: Sequence[str | None] | None = None,
        orientations: Sequence[int] | None = None,
        annotated: Sequence[str | None] | None = None,
        sha256: Sequence[str] | None = None,
    ):
        columns = (
            [None] * len(paths) if column is None else column
            for column in (mask_paths, mask_levels, orientations, annotated, sha256)
        )
        self._files = [
            _File(os.path.abspath(path), *rest) for path, *rest in zip(paths, *columns, strict=True)
        ]
        self._max_pixels = max_pixels
        self.has_masks = any(isinstance(file.mask_path, str) for file in self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, row: int) -> np.ndarray:
        file = self._files[row]
        with self._named(file.path):
            image = read_image(file.path, max_pixels=self._max_pixels)
        if file.sha256 not in (None, image.sha256):
            raise UnreadableImageError(
                f"{file.path} has changed since it was packed; run the ingestion again"
            )
        return image.pixels

    def mask(self, row: int, shape: Sequence[int]) -> np.ndarray:
        """Read the mask of an image of this shape, see `masks.read_labelled_mask`."""
        file = self._files[row]
        if not isinstance(file.mask_path, str):
            return np.full(shape[:2], UNKNOWN, np.uint8)
        with self._named(file.mask_path):
            return read_labelled_mask(
                file.mask_path,
                shape,
                levels=file.mask_levels if isinstance(file.mask_levels, str) else None,
                orientation=file.orientation or UPRIGHT,
                annotated=file.annotated if isinstance(file.annotated, str) else None,
                max_pixels=self._max_pixels,
            ).parts

    def name(self, row: int) -> str:
        """Name an image."""
        return self._files[row].path

    def part(self, rows: range) -> "FileImages":
        """Give some of the images."""
        part = copy(self)
        part._files = self._files[rows.start : rows.stop]
        return part

    def forget(self) -> None:
        """Do nothing: no memory is held."""

    @staticmethod
    @contextmanager
    def _named(path: str) -> Iterator[None]:
        try:
            yield
        except UnreadableImageError as reason:
            raise UnreadableImageError(
                f"{path} was readable when it was packed, and is not now ({reason}); put it back, "
                "or run the ingestion again"
            ) from None


def write_view(
    chain: Chain,
    images: PackedImages | FileImages,
    target: Path,
    *,
    backend: str = "threads",
    workers: int | None = None,
    scheduler: str | None = None,
    title: str = "Making a view",
    progress: bool = True,
) -> pd.DataFrame | None:
    """Apply a chain to all images and write the results.

    Every backend and number of workers gives the same bytes on machines of one kind (filters round
    a little differently on other processors). After an interruption, even a kill, a call with the
    same chain, images and target resumes where it stopped.

    Parameters
    ----------
    chain
        From `build_chain`.
    images
        At least one. If they have masks, these go through the chain too: they are cut and scaled
        (to the nearest pixel) as their images are, and not changed otherwise.
    target
        The ``.npy`` file to write, uint8 ``[N, H, W, 3]``, RGB, in a folder of its own: the view
        is not complete before this function returns. Masks go into ``masks.npy`` beside it, uint8
        ``[N, H, W]``.
    backend
        ``threads`` of this process, or ``dask``.
    workers
        How many; None for one per core. With a `scheduler` as many as it has.
    scheduler
        Address of a Dask scheduler whose workers see the same files, such as
        ``tcp://10.0.0.1:8786``; None to start a cluster of processes on this machine.
    title
        Beside the progress bar.
    progress
        Show the bar, if standard error is a terminal.

    Returns
    -------
    pd.DataFrame or None
        If the chain looks for something, a row per image. ``xmin``, ``ymin``, ``xmax``, ``ymax``:
        the box that was found; ``crop_xmin`` and so on: the part of the image that its view shows;
        all in pixels of the image that the chain began with. ``found``: False where a step found
        nothing, so that the image stayed whole.

    Raises
    ------
    UserError
        If there is no image, or results differ in shape.
    ValueError
        If the backend is unknown.
    UnreadableImageError
        If a file can no longer be read, or has changed since it was packed.
    ModuleNotFoundError
        If Dask is asked for and not installed.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from wbc_pipeline.imaging.chain import build_chain
    >>> with TemporaryDirectory() as folder:
    ...     np.save(Path(folder, "packed.npy"), np.zeros((5, 16, 16, 3), np.uint8))
    ...     packed = PackedImages(np.load(Path(folder, "packed.npy"), mmap_mode="r"))
    ...     write_view(build_chain([{"resize": {"size": 8}}]), packed, Path(folder, "view.npy"))
    ...     np.load(Path(folder, "view.npy")).shape
    (5, 8, 8, 3)
    """
    if len(images) == 0:
        raise UserError("no images to make a view of; is any row of the manifest `ok`?")
    shape = chain(images[0]).shape
    mark, places_file = target.with_name(_PROGRESS_FILE), target.with_name(_PLACES_FILE)
    done = json.loads(mark.read_text())["rows"] if mark.is_file() else 0
    chunks = split_rows(range(done, len(images)), _CHUNK)
    with ExitStack() as stack:
        files = [
            stack.enter_context(ArrayFile(file, (len(images), *row), descr))
            for file, row, descr in (
                (target, shape, "u1"),
                (places_file, (9,), "<i4"),
                (target.with_name(MASKS_FILE), shape[:2], "u1"),
            )[: 3 if images.has_masks else 2]
        ]
        how = stack.enter_context(_workers(backend, workers, scheduler))
        results = map_chunks(
            partial(_run_chunk, chain, shape),
            [images.part(chunk) for chunk in chunks],
            title=title,
            done=done,
            progress=progress,
            **how,
        )
        synced = time.monotonic()
        for chunk, blocks in zip(chunks, results, strict=True):
            for file, block in zip(files, blocks, strict=True):
                file.write(chunk.start, block)
            if time.monotonic() - synced >= _SECONDS_BETWEEN_SYNCS:
                for file in files:
                    file.sync()
                _note(mark, chunk.stop)
                images.forget()
                synced = time.monotonic()
    mark.unlink(missing_ok=True)
    found = _read_places(places_file) if chain.finds else None
    places_file.unlink()
    return found


def _read_places(path: Path) -> pd.DataFrame:
    columns = [*SIDES, *(f"crop_{side}" for side in SIDES), "found"]
    return pd.DataFrame(np.load(path), columns=columns).astype({"found": bool})


def _run_chunk(
    chain: Chain, shape: tuple[int, ...], images: PackedImages | FileImages
) -> list[np.ndarray]:
    """Give the rows of the view, of the places and, if there are masks, of the masks."""
    cv2.setNumThreads(1)  # each worker has one core, also in a process that Dask started
    pixels = np.empty((len(images), *shape), np.uint8)
    places = np.empty((len(images), 9), np.int32)
    masks = np.empty((len(images), *shape[:2]), np.uint8)
    for row in range(len(images)):
        image = images[row]
        frame = settle(chain.run(image))
        if frame.image.shape != shape:
            raise UserError(
                f"{images.name(row)} became {frame.image.shape}, the first image {shape}; "
                "end the view with a resize step"
            )
        pixels[row] = frame.image
        places[row] = *(frame.box or frame.place)[:4], *frame.place
        if images.has_masks:
            left, top, right, bottom, _ = frame.place
            mask = images.mask(row, image.shape)[top:bottom, left:right]
            masks[row] = resize_mask(mask, shape)
    return [pixels, places, masks][: 3 if images.has_masks else 2]


@contextmanager
def _workers(backend: str, workers: int | None, scheduler: str | None) -> Iterator[dict]:
    """Give the arguments of `map_chunks` that say who works."""
    if backend not in BACKENDS:
        raise ValueError(f"no backend {backend!r}; known: {', '.join(BACKENDS)}")
    if backend == "threads":
        yield {"workers": workers, "backend": "threading"}
    else:
        with _dask_cluster(workers, scheduler) as threads:
            yield {"workers": threads, "backend": "dask"}


@contextmanager
def _dask_cluster(workers: int | None, scheduler: str | None) -> Iterator[int]:
    """Start or join a cluster; give the number of its threads."""
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "`preprocessing.backend: dask` needs Dask; run pip install -e '.[dask]', "
            "or set it to threads"
        ) from None
    local = {
        "n_workers": workers or os.cpu_count(),
        "threads_per_worker": 1,
        "dashboard_address": None,
    }
    with Client(scheduler, **({} if scheduler else local)) as client:
        try:
            client.wait_for_workers(1, timeout=_SECONDS_FOR_WORKERS)
        except TimeoutError:
            address = client.scheduler.address
            raise TimeoutError(
                f"the Dask scheduler at {address} has no workers after {_SECONDS_FOR_WORKERS} s; "
                f"start some, where the images' files can be seen: dask worker {address}"
            ) from None
        yield sum(client.nthreads().values())


def _made(path: str | os.PathLike) -> tuple[int, int]:
    """Identify a version of a file by size and time of change."""
    known = os.stat(path)
    return known.st_size, known.st_mtime_ns


def _note(mark: Path, rows: int) -> None:
    beside = mark.with_suffix(".tmp")
    beside.write_text(json.dumps({"rows": rows}))
    os.replace(beside, mark)
