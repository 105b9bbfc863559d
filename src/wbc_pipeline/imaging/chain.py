"""Views: chains of pure image functions written as lists in YAML, applied once to a whole array.

views:
  image:      [{resize: {size: 64}}]
  foreground: [{canny_foreground: {sigma: 1.5}}, {resize: {size: 64}}]
"""

import inspect
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from functools import partial, reduce
from pathlib import Path

import cv2
import numpy as np

from wbc_pipeline.imaging.arrays import (
    array_writer,
    map_ahead,
    one_opencv_thread,
    progress_bar,
    resize_to,
)
from wbc_pipeline.imaging.edges import canny_foreground
from wbc_pipeline.keys import source_digest

Chain = Callable[[np.ndarray], np.ndarray]

_CHUNK = 64  # images per task: long enough to hide the pool, short enough to show progress


def resize(image: np.ndarray, *, size: int) -> np.ndarray:
    """Resize to ``size`` x ``size``.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``. An image that is not square is squeezed, not cropped.
    size
        New height and width in pixels.

    Returns
    -------
    np.ndarray
        RGB, uint8, ``[size, size, 3]``; area averages where that has fewer pixels, else bicubic.

    Examples
    --------
    >>> resize(np.zeros((240, 320, 3), np.uint8), size=64).shape
    (64, 64, 3)
    """
    resized = np.empty((size, size, 3), np.uint8)
    resize_to(image, resized)
    return resized


#: Name in YAML -> function on one RGB uint8 image.
STEPS: dict[str, Callable[..., np.ndarray]] = {
    "canny_foreground": canny_foreground,
    "resize": resize,
}


def build_chain(steps: list[dict]) -> Chain:
    """Make the function of one image that runs the steps in order.

    Parameters
    ----------
    steps
        One mapping ``{step: {parameter: value}}`` per step; ``{step: {}}`` for the defaults. No
        step at all leaves the image as it is.

    Returns
    -------
    Callable
        RGB uint8 ``[H, W, 3]`` in, RGB uint8 out.

    Raises
    ------
    ValueError
        Before any image is seen, if a step or a parameter is unknown or missing (the message
        names the known ones), or a step fails on a plain test image with these values.

    Examples
    --------
    >>> chain = build_chain([{"canny_foreground": {}}, {"resize": {"size": 32}}])
    >>> chain(np.zeros((64, 64, 3), np.uint8)).shape
    (32, 32, 3)
    >>> build_chain([{"rezise": {"size": 32}}])
    Traceback (most recent call last):
    ...
    ValueError: no step 'rezise'; did you mean 'resize'? Known: canny_foreground, resize
    """
    functions = [_bound(step) for step in steps]
    return partial(_run, functions)


def chain_digest(steps: list[dict]) -> str:
    """Digest the source code behind a chain's steps.

    Parameters
    ----------
    steps
        As for `build_chain`.

    Examples
    --------
    >>> chain_digest([{"resize": {"size": 32}}]) == chain_digest([{"resize": {"size": 33}}])
    True
    """
    build_chain(steps)
    return source_digest(*(STEPS[name] for step in steps for name in step))


def apply_chain(
    chain: Chain,
    images: np.ndarray,
    target: Path,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Path:
    """Run a chain over all images in threads and write the result as one ``.npy`` file.

    Results are written in order, a chunk at a time, so memory does not grow with the number of
    images when `images` is a memory map. The file appears under its name only when it is complete.

    Parameters
    ----------
    chain
        From `build_chain`.
    images
        RGB, uint8, ``[N, H, W, 3]``; an array or a memory map. N is at least 1.
    target
        Where to write; the folder is made. Open it with ``np.load(target, mmap_mode="r")``.
    workers
        Threads; None for one per core. OpenCV releases the interpreter lock.
    progress
        Show a progress bar, if standard error is a terminal.

    Returns
    -------
    Path
        `target`: uint8 ``[N, ...]``, where ``...`` is the shape of the first result.

    Raises
    ------
    ValueError
        If there is no image, or results differ in shape; nothing is left half-written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> chain = build_chain([{"resize": {"size": 8}}])
    >>> with TemporaryDirectory() as folder:
    ...     view = apply_chain(chain, np.zeros((5, 16, 16, 3), np.uint8), Path(folder, "view.npy"))
    ...     np.load(view).shape
    (5, 8, 8, 3)
    """
    if len(images) == 0:
        raise ValueError(f"no images to make {target} from; is any row of the manifest `ok`?")
    target, workers = Path(target), workers or os.cpu_count() or 1
    shape = chain(np.asarray(images[0])).shape
    starts = range(0, len(images), _CHUNK)

    def work(start: int) -> np.ndarray:
        return _chunk(chain, images, start, shape)

    with (
        array_writer(target, len(images), shape) as write,
        progress_bar(progress) as bar,
        one_opencv_thread(),
        ThreadPoolExecutor(workers) as pool,
    ):
        task = bar.add_task(f"Making {target.name}", total=len(images))
        for block in map_ahead(pool, work, starts, ahead=2 * workers):
            write(block)
            bar.advance(task, len(block))
    return target


def _chunk(chain: Chain, images: np.ndarray, start: int, shape: tuple[int, ...]) -> np.ndarray:
    rows = range(start, min(start + _CHUNK, len(images)))
    block = np.empty((len(rows), *shape), np.uint8)
    for place, row in enumerate(rows):
        result = chain(np.asarray(images[row]))
        if result.shape != shape:
            raise ValueError(
                f"image {row} became {result.shape}, the first one {shape}; "
                "end the view with a resize step"
            )
        block[place] = result
    return block


def _run(functions: list[Chain], image: np.ndarray) -> np.ndarray:
    return reduce(lambda result, function: function(result), functions, image)


def _bound(step: dict) -> Chain:
    name, parameters = _parsed(step)
    if name not in STEPS:
        raise ValueError(f"no step {name!r};{_suggestion(name, STEPS)} Known: {_listed(STEPS)}")
    function = STEPS[name]
    known = _parameters(function)
    for parameter in parameters:
        if parameter not in known:
            raise ValueError(
                f"step {name!r} has no parameter {parameter!r};{_suggestion(parameter, known)} "
                f"Known: {_listed(known)}"
            )
    missing = [key for key, p in known.items() if p.default is p.empty and key not in parameters]
    if missing:
        raise ValueError(f"step {name!r} needs a value for {_listed(missing)}")
    try:
        function(_probe(), **parameters)
    except Exception as error:
        raise ValueError(f"step {name!r} fails with {parameters}: {error}") from error
    return partial(function, **parameters)


def _probe() -> np.ndarray:
    """Draw a violet cell on a bright ground: every step has something to do."""
    ground = np.full((128, 128, 3), 230, np.uint8)
    return cv2.circle(ground, (64, 64), 25, (90, 40, 150), -1)


def _parsed(step: dict) -> tuple[str, dict]:
    """Take ``{name: {parameter: value}}`` apart."""
    if not isinstance(step, dict) or len(step) != 1:
        raise ValueError(f"a step is written {{name: {{parameter: value}}}}, not {step!r}")
    ((name, parameters),) = step.items()
    if not isinstance(parameters or {}, dict):
        raise ValueError(
            f"step {name!r} takes {{parameter: value}}, not {parameters!r}; "
            f"write {{{name}: {{}}}} for its defaults"
        )
    return name, dict(parameters or {})


def _parameters(function: Callable) -> dict[str, inspect.Parameter]:
    """List what a step takes beside the image."""
    _, *parameters = inspect.signature(function).parameters.values()
    return {parameter.name: parameter for parameter in parameters}


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(str(name), known, n=1)
    return f" did you mean {close[0]!r}?" if close else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
