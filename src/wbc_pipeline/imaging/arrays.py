"""Large arrays on disk, and work on chunks of them in threads."""

import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from joblib import Parallel, delayed, parallel_config
from rich.progress import Progress
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Chunk = TypeVar("Chunk", bound=Sized)
Result = TypeVar("Result")

_CHUNKS_PER_WORKER = 16  # enough for workers to end at the same time
_LARGEST_CHUNK = 64  # items: enough to hide the overhead of a task


def resize_to(pixels: np.ndarray, out: np.ndarray) -> None:
    """Resize an image into another array; the aspect ratio is not kept.

    Parameters
    ----------
    pixels
        uint8 ``[H, W, 3]``.
    out
        uint8 ``[S, S, 3]``, overwritten: area averages where that has fewer pixels, else bicubic.
    """
    shrinks = pixels.shape[0] * pixels.shape[1] >= out.shape[0] * out.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    cv2.resize(pixels, (out.shape[1], out.shape[0]), dst=out, interpolation=method)


class ArrayFile:
    """An ``.npy`` file that is filled a block of rows at a time, in any order.

    Used in a ``with`` statement. A file that exists already is resumed, not emptied: its name
    should be one that nobody reads before all rows are written.

    Parameters
    ----------
    path
        The file; its folder exists.
    shape
        Of the whole array, rows first.
    descr
        The type as numpy writes it in the file, such as ``u1``, ``<i4``.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], descr: str):
        self._file = open(path, "r+b" if path.is_file() else "w+b")  # noqa: SIM115 closed by with
        self._type, self._row_shape = np.dtype(descr), shape[1:]
        self._write_header(shape[0])
        self._start = self._file.tell()
        self._row_bytes = self._type.itemsize * int(np.prod(self._row_shape))

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, row: int, block: np.ndarray) -> None:
        """Write rows from ``row`` on."""
        self._file.seek(self._start + row * self._row_bytes)
        self._file.write(np.ascontiguousarray(block, self._type).data)

    def sync(self) -> None:
        """Return when what was written would survive a power cut."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def cut(self, rows: int) -> None:
        """Keep only the first rows; numpy pads its header so that the number may change."""
        self._file.seek(0)
        self._write_header(rows)
        assert self._file.tell() == self._start, "numpy no longer pads the header of an array"
        self._file.truncate(self._start + rows * self._row_bytes)

    def _write_header(self, rows: int) -> None:
        shape = (rows, *self._row_shape)
        header = {"descr": self._type.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextmanager
def unfinished(target: Path) -> Iterator[Path]:
    """Write to a temporary file, renamed to ``target`` on success and removed on failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield beside
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Limit OpenCV to one thread, as callers run threads of their own."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def progress_bar(visible: bool) -> Progress:
    """Create a progress bar, hidden if not wanted or not on a terminal."""
    bar = Progress()
    bar.disable = not (visible and bar.console.is_terminal)
    return bar


def map_chunks(
    function: Callable[[Chunk], Result],
    chunks: Sequence[Chunk],
    *,
    title: str,
    done: int = 0,
    workers: int | None = None,
    progress: bool = True,
    backend: str = "threading",
) -> Iterator[Result]:
    """Run a function on chunks of items in threads, with a progress bar; yield results in order.

    OpenCV and BLAS are limited to one thread each meanwhile.

    Parameters
    ----------
    function
        Called once per chunk, from any thread; it should release the GIL for most of its time.
    chunks
        Each with a length: the number of its items.
    title
        Beside the bar.
    done
        Items that are finished already.
    workers
        Threads; None for one per core.
    progress
        Show the bar, if standard error is a terminal.
    backend
        Of joblib.
    """
    with (
        one_opencv_thread(),
        threadpool_limits(1, "blas"),
        progress_bar(progress) as bar,
        parallel_config(backend),
        Parallel(workers or os.cpu_count(), batch_size=1, return_as="generator") as parallel,
    ):
        task = bar.add_task(title, total=done + sum(map(len, chunks)), completed=done)
        results = parallel(delayed(function)(chunk) for chunk in chunks)
        for chunk, result in zip(chunks, results, strict=True):
            bar.advance(task, len(chunk))
            yield result


def map_threads(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    title: str,
    workers: int | None = None,
    progress: bool = True,
) -> list[Result]:
    """Run a function on each item in threads; results in order. See `map_chunks`."""
    items = list(items)
    share = len(items) // (_CHUNKS_PER_WORKER * (workers or os.cpu_count() or 1))
    chunks = split_rows(items, max(1, min(share, _LARGEST_CHUNK)))

    def run(chunk: Sequence[Item]) -> list[Result]:
        return [function(item) for item in chunk]

    done = map_chunks(run, chunks, title=title, workers=workers, progress=progress)
    return [result for results in done for result in results]


def split_rows(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Split a sequence, such as a range of rows, into chunks of at most ``size``.

    Examples
    --------
    >>> split_rows(range(5), 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [items[start : start + size] for start in range(0, len(items), size)]


def forget_pages(images: np.ndarray) -> None:
    """Release the pages of a memory-mapped array that were read, so memory stays flat."""
    mapped = getattr(images, "_mmap", None)
    if mapped is not None and images.mode == "r" and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
