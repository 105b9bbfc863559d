"""Chains of image functions, written as lists of steps in YAML.

views:
  image:      [{resize: {size: 64}}]
  foreground: [{canny_mask: {sigma: 1.5}}, {resize: {size: 64}}]
  cell:       [{full_resolution: {}}, {colour_region: {}}, {resize: {size: 64}}]
"""

from dataclasses import dataclass
from functools import reduce
from pkgutil import resolve_name

import cv2
import numpy as np

from wbc_pipeline.imaging.registry import FULL_RESOLUTION, Fit
from wbc_pipeline.imaging.steps import (
    Frame,
    Step,
    build_step,
    find_step,
    parse_step,
    settle,
    whole_frame,
)
from wbc_pipeline.keys import code_digest, digest


@dataclass(frozen=True)
class Chain:
    """A function of one image, made by `build_chain`.

    Attributes
    ----------
    steps
        In order.
    full_resolution
        Whether it begins with the image files at their own size, not with the packed squares.
    """

    steps: tuple[Step, ...]
    full_resolution: bool

    @property
    def finds(self) -> bool:
        """Whether a step searches for something that may be missing."""
        return any(step.finds for step in self.steps)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Apply the chain: RGB uint8 ``[H, W, 3]`` in, RGB uint8 out."""
        return settle(self.run(image)).image

    def run(self, image: np.ndarray, guide: np.ndarray | None = None) -> Frame:
        """Run the steps; a mask or region that the last ones found is not applied yet: `settle`.

        Parameters
        ----------
        image
            RGB, uint8, ``[H, W, 3]``.
        guide
            Where to look for masks and regions, of the same shape, such as the image before it was
            degraded; None for the image itself. Steps that change an image change both.

        Raises
        ------
        ValueError
            If the guide has another shape.
        """
        if guide is None:
            return reduce(lambda frame, step: step(frame), self.steps, whole_frame(image))
        if guide.shape != image.shape:
            raise ValueError(
                f"a guide of shape {guide.shape} for an image of {image.shape}: what is found in "
                "the one is cut out of the other, so give both one shape"
            )
        frames = whole_frame(image), whole_frame(guide)
        return reduce(_run_guided, self.steps, frames)[0]


def _run_guided(frames: tuple[Frame, Frame], step: Step) -> tuple[Frame, Frame]:
    """Run a step on an image and its guide; masks and regions are found in the guide."""
    frame, guide = frames
    guide = step(guide)
    found = guide.mask if guide.region is None else guide.region
    if found is None:  # the step changed the guide, so it changes the image
        return step(frame), guide
    return step.act(frame, lambda *_, **__: found), guide


def build_chain(steps: list[dict]) -> Chain:
    """Build a function of one image that runs the steps in order.

    Parameters
    ----------
    steps
        One mapping ``{step: {parameter: value}}`` per step; ``{step: {}}`` for the defaults. No
        step at all leaves the image as it is. See `wbc_pipeline.imaging.registry`.

    Returns
    -------
    Chain
        RGB uint8 ``[H, W, 3]`` in, RGB uint8 out.

    Raises
    ------
    ValueError
        Before any image is seen, if a step or a parameter is unknown or missing (the message
        names the known ones), or a step fails on a drawn cell with these values.

    Examples
    --------
    >>> chain = build_chain([{"clahe": {}}, {"canny_mask": {}}, {"resize": {"size": 32}}])
    >>> chain(np.zeros((64, 64, 3), np.uint8)).shape
    (32, 32, 3)
    >>> build_chain([{"rezise": {"size": 32}}])
    Traceback (most recent call last):
    ...
    ValueError: no step 'rezise'. Did you mean 'resize'? Known: bilateral_filter, ...
    """
    parsed = [parse_step(step) for step in steps]
    full_resolution = bool(parsed) and parsed[0][0] == FULL_RESOLUTION
    if full_resolution and parsed.pop(0)[1]:
        raise ValueError(f"step {FULL_RESOLUTION!r} has no parameters")
    built, frame = [], whole_frame(_drawn_cell())
    for name, parameters in parsed:
        if name == FULL_RESOLUTION:
            raise ValueError(f"step {FULL_RESOLUTION!r} says where a chain begins; put it first")
        step = build_step(name, parameters)
        try:
            frame = step(frame)
        except Exception as error:
            raise ValueError(f"step {name!r} fails with {parameters}: {error}") from error
        built.append(step)
    return Chain(tuple(built), full_resolution)


def chain_code(steps: list[dict], *objects: object) -> dict[str, str]:
    """Digest the code behind a chain's steps, and behind other objects, by file.

    Parameters
    ----------
    steps
        As for `build_chain`.
    objects
        Functions, classes or modules; see `keys.code_digest`.

    Examples
    --------
    >>> chain_code([{"resize": {"size": 32}}]) == chain_code([{"resize": {"size": 33}}])
    True
    """
    functions = [resolve_name(find_step(name).function) for name, _ in _named(steps)]
    return code_digest(Chain, *functions, *objects)


def chain_data(steps: list[dict]) -> str:
    """Digest the images and models that a chain's steps were fitted on.

    Parameters
    ----------
    steps
        As for `build_chain`.
    """
    return digest([fit.digest(parameters) for _, parameters, fit in _fitted(steps)])


def fitted_on(steps: list[dict]) -> list[dict]:
    """List the images that a chain's steps were fitted on: stain references, training images.

    None of them may be in a part of a split that the chain's results are measured on.

    Parameters
    ----------
    steps
        As for `build_chain`.

    Returns
    -------
    list of dict
        A row per step and image: ``step``, ``sha256`` of the file and, as far as they are known,
        ``dataset``, ``image_id`` and ``source_id``, else None. No row without a fitted step.

    Raises
    ------
    ValueError
        If a reference image cannot be read, or a detector does not say what it was trained on.

    Examples
    --------
    >>> fitted_on([{"canny_mask": {}}, {"resize": {"size": 32}}])
    []
    """
    unknown = dict.fromkeys(("dataset", "image_id", "source_id", "sha256"))
    return [
        {"step": name, **unknown, **image}
        for name, parameters, fit in _fitted(steps)
        for image in fit.images(parameters)
    ]


def _named(steps: list[dict]) -> list[tuple[str, dict]]:
    parsed = [parse_step(step) for step in steps]
    return [(name, parameters) for name, parameters in parsed if name != FULL_RESOLUTION]


def _fitted(steps: list[dict]) -> list[tuple[str, dict, Fit]]:
    found = [(name, parameters, find_step(name).fit) for name, parameters in _named(steps)]
    return [(name, parameters, resolve_name(fit)) for name, parameters, fit in found if fit]


def _drawn_cell() -> np.ndarray:
    """Draw a violet cell on a bright ground: every step has something to do."""
    ground = np.full((128, 128, 3), 230, np.uint8)
    return cv2.circle(ground, (64, 64), 25, (90, 40, 150), -1)
