"""The steps of a view by the names that YAML gives them, and what each does to a frame.

Some change the image; some find a mask or a region, or change what was found. What was found is
applied when the next step wants the image, to change it or to look further, and at the end: outside
the mask the image turns black, and the region is cut out. Where nothing was found the image stays
whole, and the frame says so.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from wbc_pipeline.imaging.arrays import resize_to
from wbc_pipeline.imaging.batches import require_positive
from wbc_pipeline.imaging.reading import UnreadableImageError, read_image
from wbc_pipeline.imaging.roi import Region

FULL_RESOLUTION = "full_resolution"  # not a function: where a chain begins


class Frame(NamedTuple):
    """An image on its way through a chain.

    Attributes
    ----------
    image
        RGB, uint8, ``[H, W, 3]``.
    place
        Where `image` lies in the image that the chain was given; ``found`` is False as soon as a
        step has found nothing.
    box
        Around what was found last, before it was padded or made square, likewise; None if nothing
        was looked for.
    mask
        uint8, ``[H, W]``, 255 on what was found and not yet applied.
    region
        Found in `image`, not yet cut out.
    resized
        Whether a pixel of `image` is no longer one of the image that the chain was given.
    """

    image: np.ndarray
    place: Region
    box: Region | None = None
    mask: np.ndarray | None = None
    region: Region | None = None
    resized: bool = False


class Step(NamedTuple):
    """A step with its parameters.

    Attributes
    ----------
    act
        What kind of step it is: takes a frame and `function`, gives the next frame.
    function
        An image function of this package, its parameters bound.
    """

    act: Callable[[Frame, Callable], Frame]
    function: Callable

    def __call__(self, frame: Frame) -> Frame:
        """Give the next frame."""
        return self.act(frame, self.function)

    @property
    def finds(self) -> bool:
        """Whether it looks for something, which may not be there."""
        return self.act in (_find_mask, _find_region)


def whole_frame(image: np.ndarray) -> Frame:
    """Begin with an image of which nothing is known yet."""
    height, width = image.shape[:2]
    return Frame(image, Region(0, 0, width, height))


def settle(frame: Frame) -> Frame:
    """Apply the mask or cut the region out, whichever was found last.

    Examples
    --------
    >>> frame = whole_frame(np.zeros((40, 60, 3), np.uint8))
    >>> frame = settle(frame._replace(region=Region(10, 5, 30, 25)))
    >>> frame.image.shape, frame.place
    ((20, 20, 3), Region(xmin=10, ymin=5, xmax=30, ymax=25, found=True))
    """
    if frame.region is not None:
        left, top, right, bottom, _ = frame.region
        place = _moved(frame.region, frame.place)
        return frame._replace(image=frame.image[top:bottom, left:right], place=place, region=None)
    if frame.mask is None:
        return frame
    separates = bool(frame.mask.any() and not frame.mask.all())
    image = cv2.copyTo(frame.image, frame.mask) if separates else frame.image
    place = frame.place._replace(found=frame.place.found and separates)
    return frame._replace(image=image, place=place, box=_around(frame.mask, place), mask=None)


def resize(image: np.ndarray, *, size: int) -> np.ndarray:
    """Resize to ``size`` x ``size``.

    Parameters
    ----------
    image
        RGB, uint8, ``[H, W, 3]``. An image that is not square is squeezed, not cropped.
    size
        New height and width in pixels; at least 1.

    Returns
    -------
    np.ndarray
        RGB, uint8, ``[size, size, 3]``; area averages where that has fewer pixels, else bicubic.

    Examples
    --------
    >>> resize(np.zeros((240, 320, 3), np.uint8), size=64).shape
    (64, 64, 3)
    """
    require_positive(size=size)
    resized = np.empty((size, size, 3), np.uint8)
    resize_to(image, resized)
    return resized


def parse_step(step: Mapping) -> tuple[str, dict]:
    """Take ``{name: {parameter: value}}`` apart.

    Raises
    ------
    ValueError
        If it is not written so.

    Examples
    --------
    >>> parse_step({"resize": {"size": 64}})
    ('resize', {'size': 64})
    """
    if not isinstance(step, Mapping) or len(step) != 1:
        raise ValueError(f"a step is written {{name: {{parameter: value}}}}, not {step!r}")
    ((name, parameters),) = step.items()
    if not isinstance(parameters or {}, Mapping):
        raise ValueError(
            f"step {name!r} takes {{parameter: value}}, not {parameters!r}; "
            f"write {{{name}: {{}}}} for its defaults"
        )
    return name, dict(parameters or {})


def build_step(name: str, parameters: dict) -> Step:
    """Bind a step's parameters.

    Parameters
    ----------
    name
        A key of `STEPS`.
    parameters
        Keywords of the function; for a stain normalisation `reference`, the path of an image file.

    Raises
    ------
    ValueError
        If the step or a parameter is unknown or missing, or the reference image cannot be read;
        the message names the nearest known name.
    """
    act, function = find_step(name)
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
    if "reference" in parameters:  # fitted once, not for each image
        return Step(act, function(_reference(name, parameters["reference"]).pixels))
    return Step(act, partial(function, **parameters))


def find_step(name: str) -> tuple[Callable, Callable]:
    """Find what a step does to a frame, and its function; its module is imported now.

    Raises
    ------
    ValueError
        If there is no such step.
    """
    if name not in STEPS:
        known = _listed([FULL_RESOLUTION, *STEPS])
        raise ValueError(f"no step {name!r};{_suggestion(name, STEPS)} Known: {known}")
    act, module, function = STEPS[name]
    return act, getattr(import_module(f"{__package__}.{module}"), function)


def files_digest(name: str, parameters: Mapping) -> str | None:
    """Digest the files that a step names: a reference image, a model; None if it names none."""
    if "reference" in parameters:
        return _reference(name, parameters["reference"]).sha256
    if "model" in parameters:
        from wbc_pipeline.imaging.detect import detector_digest

        return detector_digest(parameters["model"])
    return None


def _reference(name: str, path: str):
    try:
        return read_image(Path(path).expanduser())
    except UnreadableImageError as reason:
        raise ValueError(
            f"step {name!r}: the reference image {path} cannot be used ({reason}); name an image "
            "file, absolute or relative to the folder that the command is run in"
        ) from None


def _change_image(frame: Frame, function: Callable) -> Frame:
    frame = settle(frame)
    image = function(frame.image)
    return frame._replace(
        image=image, resized=frame.resized or image.shape[:2] != frame.image.shape[:2]
    )


def _find_mask(frame: Frame, function: Callable) -> Frame:
    frame = settle(frame)
    return frame._replace(mask=function(frame.image))


def _change_mask(frame: Frame, function: Callable) -> Frame:
    if frame.mask is None:
        raise ValueError("it changes a mask; put a step that finds one before it")
    return frame._replace(mask=function(frame.mask))


def _find_region(frame: Frame, function: Callable) -> Frame:
    if frame.resized:
        raise ValueError("it gives pixels of the image as it came; put it before any resize")
    frame = settle(frame)
    region = function(frame.image)
    return frame._replace(region=region, box=_moved(region, frame.place))


def _change_region(frame: Frame, function: Callable) -> Frame:
    if frame.region is None:
        raise ValueError("it changes a region; put a step that finds one before it")
    if not frame.region.found:
        return frame  # it is the whole image, and stays so
    return frame._replace(region=function(frame.region, shape=frame.image.shape))


def _moved(region: Region, place: Region) -> Region:
    """Give a region of a part in pixels of the whole."""
    (left, top, right, bottom, found), (x, y) = region, place[:2]
    return Region(x + left, y + top, x + right, y + bottom, place.found and found)


def _around(mask: np.ndarray, place: Region) -> Region:
    """Box a mask in pixels of the whole, even where the image was resized since."""
    if not mask.any():
        return place
    x, y, width, height = cv2.boundingRect(mask)
    across = (place.xmax - place.xmin) / mask.shape[1]
    down = (place.ymax - place.ymin) / mask.shape[0]
    sides = across * x, down * y, across * (x + width), down * (y + height)
    return _moved(Region(*map(round, sides)), place)


#: Name in YAML -> what it does to a frame, and where its function is. Modules are imported when
#: they are needed: some bring in half of SciPy.
STEPS: dict[str, tuple[Callable, str, str]] = {
    "resize": (_change_image, "steps", "resize"),
    **{
        name: (_change_image, module, name)
        for module, names in {
            "enhance": ("clahe", "equalise_histogram", "gamma", "unsharp_mask"),
            "denoise": (
                "median_filter",
                "bilateral_filter",
                "gaussian_filter",
                "non_local_means",
                "total_variation",
                "wavelet",
            ),
            "deconvolve": ("wiener", "richardson_lucy", "unsupervised_wiener"),
        }.items()
        for name in names
    },
    "reinhard": (_change_image, "stain", "fit_reinhard"),
    "macenko": (_change_image, "stain", "fit_macenko"),
    "canny_mask": (_find_mask, "edges", "canny_mask"),
    **{
        name: (_find_mask, "segment", name)
        for name in (
            "violet_mask_hsv",
            "violet_mask_rgb",
            "otsu_mask",
            "watershed_mask",
            "saliency_mask",
        )
    },
    **{name: (_change_mask, "segment", name) for name in ("largest_component", "fill_holes")},
    **{name: (_find_region, "roi", name) for name in ("colour_region", "enhanced_colour_region")},
    "detector_region": (_find_region, "detect", "detector_region"),
    **{name: (_change_region, "roi", name) for name in ("pad_region", "square_region")},
}


def _parameters(function: Callable) -> dict[str, inspect.Parameter]:
    """List what YAML may say: all but what the chain itself passes."""
    first, *others = inspect.signature(function).parameters.values()
    if first.name == "reference":
        return {first.name: first}
    return {parameter.name: parameter for parameter in others if parameter.name != "shape"}


def _suggestion(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(str(name), known, n=1)
    return f" did you mean {close[0]!r}?" if close else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
