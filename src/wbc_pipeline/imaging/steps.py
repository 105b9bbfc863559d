"""Steps of a chain, and what each kind of step does to a frame.

A step changes the image, finds a mask or a region, or changes the mask or region found last. That
mask or region is applied before the next step that needs the image, and at the end: the image turns
black outside the mask, or is cropped to the region. If nothing was found, the image stays whole and
the frame says so.
"""

import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import NamedTuple

import cv2
import numpy as np

from wbc_pipeline.imaging.arrays import resize_to
from wbc_pipeline.imaging.batches import require_positive
from wbc_pipeline.imaging.orientation import UPRIGHT
from wbc_pipeline.imaging.reading import FileImage, UnreadableImageError, read_image
from wbc_pipeline.imaging.registry import FULL_RESOLUTION, STEPS, Fit, RegisteredStep
from wbc_pipeline.imaging.roi import Region
from wbc_pipeline.imaging.stained_reference import drawn_reference
from wbc_pipeline.suggestions import suggestion

DRAWN = "drawn"  # in place of a reference image's path


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
        """Whether it searches for something that may be missing."""
        return self.act in (_find_mask, _find_region)


def whole_frame(image: np.ndarray) -> Frame:
    """Start a chain with an image."""
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
        A key of ``registry.STEPS``.
    parameters
        Keywords of the function; for a stain normalisation `reference`, the path of an image file,
        or ``drawn`` for `stained_reference.drawn_reference`, which is no image of any data set.

    Raises
    ------
    ValueError
        If the step or a parameter is unknown or missing, or the reference image cannot be read;
        the message names the nearest known name.
    """
    registered = find_step(name)
    function = resolve_name(registered.function)
    known = _parameters(function)
    for parameter in parameters:
        if parameter not in known:
            raise ValueError(
                f"step {name!r} has no parameter {parameter!r}.{suggestion(parameter, known)} "
                f"Known: {_listed(known)}"
            )
    missing = [key for key, p in known.items() if p.default is p.empty and key not in parameters]
    if missing:
        raise ValueError(f"step {name!r} needs a value for {_listed(missing)}")
    act = _ACTS[registered.kind]
    if "reference" in parameters:  # fitted once, not for each image
        return Step(act, function(_read_reference(parameters).pixels))
    return Step(act, partial(function, **parameters))


def find_step(name: str) -> RegisteredStep:
    """Find where a step's code is.

    Raises
    ------
    ValueError
        If there is no such step.
    """
    if name not in STEPS:
        known = _listed([FULL_RESOLUTION, *STEPS])
        raise ValueError(f"no step {name!r}.{suggestion(name, STEPS)} Known: {known}")
    return STEPS[name]


def _read_reference(parameters: Mapping) -> FileImage:
    path = parameters["reference"]
    if path == DRAWN:
        pixels = drawn_reference()
        return FileImage(pixels, hashlib.sha256(pixels.tobytes()).hexdigest(), UPRIGHT, None)
    try:
        return read_image(Path(path).expanduser())
    except UnreadableImageError as reason:
        raise ValueError(
            f"the reference image {path} cannot be used ({reason}); name an image file, absolute "
            f"or relative to the folder that the command is run in, or {DRAWN}"
        ) from None


#: Of the stain normalisations.
REFERENCE_FIT = Fit(
    digest=lambda parameters: _read_reference(parameters).sha256,
    images=lambda parameters: [{"sha256": _read_reference(parameters).sha256}],
    files=lambda parameters: {
        name: Path(path).expanduser() for name, path in parameters.items() if path != DRAWN
    },
)


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
    """Convert a region of a crop to pixels of the whole image."""
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


_ACTS: dict[str, Callable[[Frame, Callable], Frame]] = {
    "change_image": _change_image,
    "find_mask": _find_mask,
    "change_mask": _change_mask,
    "find_region": _find_region,
    "change_region": _change_region,
}


def _parameters(function: Callable) -> dict[str, inspect.Parameter]:
    """List the parameters that YAML may set: all but those the chain passes itself."""
    first, *others = inspect.signature(function).parameters.values()
    if first.name == "reference":
        return {first.name: first}
    return {parameter.name: parameter for parameter in others if parameter.name != "shape"}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
