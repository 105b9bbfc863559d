"""Large arrays on disk, made by threads a chunk at a time."""

import mmap
import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from rich.progress import Progress
from threadpoolctl import threadpool_limits

Item = TypeVar("Item")
Result = TypeVar("Result")

_WAITING = 64  # items ahead for each thread: their pool's own work then hides


def resize_to(pixels: np.ndarray, out: np.ndarray) -> None:
    """Scale an image into another array, without keeping its proportions.

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


@contextmanager
def array_writer(
    target: Path, rows: int, shape: tuple[int, ...]
) -> Iterator[Callable[[np.ndarray], None]]:
    """Give a function that appends blocks of rows to an ``.npy`` file at ``target``.

    The header says at most ``rows`` first and the true number at the end; numpy pads it so that the
    number may change in place.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    written = 0
    try:
        with open(unfinished, "wb") as file:
            _write_header(file, (rows, *shape))
            start = file.tell()

            def append(block: np.ndarray) -> None:
                nonlocal written
                file.write(block.data)
                written += len(block)

            yield append
            file.seek(0)
            _write_header(file, (written, *shape))
            assert file.tell() == start, "numpy no longer pads the header of an array"
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_header(file: object, shape: tuple[int, ...]) -> None:
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


class ArrayFile:
    """An ``.npy`` file of known shape that is filled a block of rows at a time, in any order.

    Used in a ``with`` statement. A file that is there already is gone on with, not emptied: its
    name should be one that nobody reads before all rows are written.

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
        self._type = np.dtype(descr)
        header = {"descr": self._type.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._start = self._file.tell()
        self._row_bytes = self._type.itemsize * int(np.prod(shape[1:]))

    def __enter__(self) -> "ArrayFile":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def write(self, row: int, block: np.ndarray) -> None:
        """Write rows from ``row`` on."""
        self._file.seek(self._start + row * self._row_bytes)
        self._file.write(np.ascontiguousarray(block, self._type).data)

    def sync(self) -> None:
        """Return when what was written would outlive the machine's power."""
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def one_opencv_thread() -> Iterator[None]:
    """Keep OpenCV from starting threads of its own inside ours."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def progress_bar(visible: bool) -> Progress:
    """Give a progress bar, hidden where it is not wanted or nobody is looking."""
    bar = Progress()
    bar.disable = not (visible and bar.console.is_terminal)
    return bar


def map_ahead(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    ahead: int,
) -> Iterator[Result]:
    """Give results in order, never more than ``ahead`` of them waiting: this bounds the memory."""
    waiting = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def map_threads(
    function: Callable[[Item], Result],
    items: Collection[Item],
    *,
    title: str,
    workers: int | None = None,
    progress: bool = True,
) -> list[Result]:
    """Give the result of each item, in order, worked out by threads under a progress bar.

    OpenCV and BLAS keep to one thread each meanwhile, as each of ours calls them for itself.

    Parameters
    ----------
    function
        Called once per item, from any thread; it should release Python's lock for most of its time.
    items
        What to work on.
    title
        Beside the bar.
    workers
        Threads; None for one per core.
    progress
        Show the bar, if standard error is a terminal.
    """
    workers = workers or cv2.getNumberOfCPUs()
    with (
        one_opencv_thread(),
        threadpool_limits(1, "blas"),
        progress_bar(progress) as bar,
        ThreadPoolExecutor(workers) as pool,
    ):
        found = map_ahead(pool, function, items, ahead=_WAITING * workers)
        return list(bar.track(found, total=len(items), description=title))


def forget_pages(images: np.ndarray) -> None:
    """Let go of the pages of a memory-mapped array that have been read, so memory stays flat."""
    mapped = getattr(images, "_mmap", None)
    if mapped is not None and images.mode == "r" and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)
