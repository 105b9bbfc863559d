"""Views: what a chain makes of every image of a set, in one array on disk.

Chunks of images are dealt to joblib's threads, or to the workers of a Dask cluster, and written in
order as they come: memory does not grow with the number of images. What was written is not made
again after an interruption.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import copy
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config
from threadpoolctl import threadpool_limits

from wbc_pipeline.imaging.arrays import (
    ArrayFile,
    forget_pages,
    one_opencv_thread,
    progress_bar,
)
from wbc_pipeline.imaging.chain import Chain
from wbc_pipeline.imaging.reading import UnreadableImageError, read_image
from wbc_pipeline.imaging.roi import SIDES
from wbc_pipeline.imaging.steps import settle

BACKENDS = ("threads", "dask")
_CHUNK = 32  # images per task: enough to hide the dealing out, 1.6 MB at 128 x 128
_SECONDS_BETWEEN_SYNCS = 1.0  # what an interruption costs at most, beside what was in work
_SECONDS_FOR_WORKERS = 60
_PROGRESS_FILE, _PLACES_FILE = "progress.json", "places.npy"


class PackedImages:
    """The images of a packed array.

    Parameters
    ----------
    pixels
        uint8 ``[N, S, S, 3]``, RGB, memory-mapped. Pickled as the path of its file, so every
        worker must see that.
    """

    def __init__(self, pixels: np.memmap):
        self._pixels = pixels
        self._rows = range(len(pixels))
        self._made = _made(pixels.filename)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> np.ndarray:
        return np.asarray(self._pixels[self._rows[row]])

    def __getstate__(self) -> dict:
        return {"path": self._pixels.filename, "rows": self._rows, "made": self._made}

    def __setstate__(self, state: dict) -> None:
        self._pixels = np.load(state["path"], mmap_mode="r")
        self._rows, self._made = state["rows"], state["made"]
        if _made(state["path"]) != self._made:
            raise RuntimeError(
                f"{state['path']} was packed anew by another command while a view was made of it; "
                "wait for that to end, and run this command again"
            )

    def part(self, rows: range) -> "PackedImages":
        """Give some of the images."""
        part = copy(self)
        part._rows = self._rows[rows.start : rows.stop]
        return part

    def forget(self) -> None:
        """Let go of the memory that holds what has been read."""
        forget_pages(self._pixels)


class FileImages:
    """Images as their files have them, decoded when they are asked for.

    Parameters
    ----------
    paths
        Of files that could be read before.
    max_pixels
        See `reading.read_image`.
    """

    def __init__(self, paths: Sequence[str], *, max_pixels: int):
        self._paths = [os.path.abspath(path) for path in paths]
        self._max_pixels = max_pixels

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> np.ndarray:
        try:
            return read_image(self._paths[row], max_pixels=self._max_pixels).pixels
        except UnreadableImageError as reason:
            raise UnreadableImageError(
                f"{self._paths[row]} was readable when it was packed, and is not now ({reason}); "
                "put it back, or run the ingestion again"
            ) from None

    def part(self, rows: range) -> "FileImages":
        """Give some of the images."""
        return FileImages(self._paths[rows.start : rows.stop], max_pixels=self._max_pixels)

    def forget(self) -> None:
        """Hold nothing, so there is nothing to let go of."""


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
    """Run a chain over all images and write what becomes of them.

    The same bytes come of every backend and number of workers, on machines of one kind (filters
    round a little otherwise on other processors). Interrupted, even killed,
    it goes on where it was when it is called again with the same chain, images and target.

    Parameters
    ----------
    chain
        From `build_chain`.
    images
        At least one.
    target
        The ``.npy`` file to write, uint8 ``[N, H, W, 3]``, RGB, in a folder of its own: it is no
        whole view before this function returns.
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
    ValueError
        If there is no image, results differ in shape, or the backend is unknown.
    UnreadableImageError
        If a file can no longer be read.
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
        raise ValueError("no images to make a view of; is any row of the manifest `ok`?")
    shape = chain(images[0]).shape
    mark, places_file = target.with_name(_PROGRESS_FILE), target.with_name(_PLACES_FILE)
    done = json.loads(mark.read_text())["rows"] if mark.is_file() else 0
    rows = range(done, len(images))
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    with ExitStack() as stack:
        pixels = stack.enter_context(ArrayFile(target, (len(images), *shape), "u1"))
        places = stack.enter_context(ArrayFile(places_file, (len(images), 9), "<i4"))
        bar = stack.enter_context(progress_bar(progress))
        task = bar.add_task(title, total=len(images), completed=done)
        parallel = stack.enter_context(_workers(backend, workers, scheduler))
        results = parallel(
            delayed(_run_chunk)(chain, images.part(chunk), chunk.start, shape) for chunk in chunks
        )
        synced = time.monotonic()
        for chunk, result in zip(chunks, results, strict=True):
            pixels.write(chunk.start, result[0])
            places.write(chunk.start, result[1])
            bar.advance(task, len(chunk))
            if time.monotonic() - synced >= _SECONDS_BETWEEN_SYNCS:
                pixels.sync()
                places.sync()
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
    chain: Chain, images: Sequence[np.ndarray], first: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    cv2.setNumThreads(1)  # each worker has one core, also in a process that Dask started
    pixels = np.empty((len(images), *shape), np.uint8)
    places = np.empty((len(images), 9), np.int32)
    for row in range(len(images)):
        frame = settle(chain.run(images[row]))
        if frame.image.shape != shape:
            raise ValueError(
                f"image {first + row} became {frame.image.shape}, the first one {shape}; "
                "end the view with a resize step"
            )
        pixels[row] = frame.image
        places[row] = *(frame.box or frame.place)[:4], *frame.place
    return pixels, places


@contextmanager
def _workers(backend: str, workers: int | None, scheduler: str | None) -> Iterator[Parallel]:
    if backend not in BACKENDS:
        raise ValueError(f"no backend {backend!r}; known: {', '.join(BACKENDS)}")
    with ExitStack() as stack:
        stack.enter_context(one_opencv_thread())
        if backend == "dask":
            workers = stack.enter_context(_dask_cluster(workers, scheduler))
        else:
            stack.enter_context(parallel_config("threading"))
            stack.enter_context(threadpool_limits(1, "blas"))
            workers = workers or os.cpu_count() or 1
        yield stack.enter_context(Parallel(workers, batch_size=1, return_as="generator"))


@contextmanager
def _dask_cluster(workers: int | None, scheduler: str | None) -> Iterator[int]:
    """Make joblib deal its tasks to a cluster; give the number of its threads."""
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
    with Client(scheduler, **({} if scheduler else local)) as client, parallel_config("dask"):
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
    """Tell a file from others that stood or will stand in its place."""
    known = os.stat(path)
    return known.st_size, known.st_mtime_ns


def _note(mark: Path, rows: int) -> None:
    beside = mark.with_suffix(".tmp")
    beside.write_text(json.dumps({"rows": rows}))
    os.replace(beside, mark)
