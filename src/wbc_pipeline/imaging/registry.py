"""The steps of chains by the names that YAML gives them.

The module of a step is imported when the step is used: some bring in half of SciPy. Packages that
imaging must not depend on register steps of their own (`register_step`).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from wbc_pipeline.keys import Registry

FULL_RESOLUTION = "full_resolution"  # not a function: where a chain begins

Kind = Literal["change_image", "find_mask", "change_mask", "find_region", "change_region"]


class Fit(NamedTuple):
    """What a step was fitted on, told from the step's parameters.

    Attributes
    ----------
    digest
        Digest of the fitted thing: of a reference image, of a detector's weights.
    images
        The images that it was fitted on, a row each: ``sha256`` of the file and, as far as they
        are known, ``dataset``, ``image_id`` and ``source_id``.
    files
        What the step reads, by the parameter that names it: an image file, or the folder of a saved
        network. It has to go wherever the chain goes.
    """

    digest: Callable[[Mapping], str]
    images: Callable[[Mapping], list[dict]]
    files: Callable[[Mapping], dict[str, Path]]


class RegisteredStep(NamedTuple):
    """Where the code of a step is.

    Attributes
    ----------
    kind
        What the function takes and returns; see ``imaging.steps``.
    function
        ``package.module:function``.
    fit
        ``package.module:name`` of the `Fit` of a step that was fitted on images, else None.
    """

    kind: Kind
    function: str
    fit: str | None = None


def _in_imaging(kind: Kind, module: str, *names: str) -> dict[str, RegisteredStep]:
    return {name: RegisteredStep(kind, f"{__package__}.{module}:{name}") for name in names}


STEPS: Registry = {
    **_in_imaging("change_image", "steps", "resize"),
    **_in_imaging(
        "change_image", "enhance", "clahe", "equalise_histogram", "gamma", "unsharp_mask"
    ),
    **_in_imaging(
        "change_image",
        "denoise",
        "median_filter",
        "bilateral_filter",
        "gaussian_filter",
        "non_local_means",
        "total_variation",
        "wavelet",
    ),
    **_in_imaging("change_image", "saliency", "saliency_image"),
    **_in_imaging(
        "change_image", "deconvolve", "wiener", "richardson_lucy", "unsupervised_wiener", "deblur"
    ),
    **_in_imaging("change_image", "random_degradation", "random_degradation"),
    **_in_imaging("change_image", "padding", "pad_square"),
    **{
        name: RegisteredStep(
            "change_image", f"{__package__}.stain:fit_{name}", f"{__package__}.steps:REFERENCE_FIT"
        )
        for name in ("reinhard", "macenko")
    },
    **_in_imaging("find_mask", "edges", "canny_mask"),
    **_in_imaging(
        "find_mask",
        "segment",
        "violet_mask_hsv",
        "violet_mask_rgb",
        "otsu_mask",
        "watershed_mask",
        "saliency_mask",
    ),
    **_in_imaging("find_mask", "stained_cell", "stain_mask"),
    **_in_imaging("change_mask", "segment", "largest_component", "fill_holes"),
    **_in_imaging("find_region", "roi", "colour_region", "enhanced_colour_region"),
    **_in_imaging("find_region", "stained_cell", "stain_region"),
    **_in_imaging("change_region", "roi", "pad_region", "square_region"),
}


def register_step(name: str, kind: Kind, function: str, *, fit: str | None = None) -> None:
    """Add a step of another package; the arguments are those of `RegisteredStep`.

    Raises
    ------
    ValueError
        If another step has that name.
    """
    step = RegisteredStep(kind, function, fit)
    if STEPS.setdefault(name, step) != step:
        raise ValueError(f"the step {name!r} is registered already, as {STEPS[name].function}")
