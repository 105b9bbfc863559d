"""Parameters of the image library's quality."""

from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.preprocessing.options import Chain, Name, chain_check, tried_chain
from wbc_pipeline.pipelines.reporting.options import Printed


class Method(Options):
    """A chain of steps and what may be tuned of it.

    Parameters
    ----------
    steps
        As written; see ``wbc_pipeline.imaging.chain``.
    grid
        ``step.parameter`` to the values that are tried in every combination.
    """

    steps: Chain
    grid: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)


def _ends_with(kind: str, method: Method) -> None:
    """Refuse what finds no mask or region; each value is tried alone, as all would take long."""
    import numpy as np

    from wbc_pipeline.evaluation.localization.tuning import change_steps

    values = [{name: value} for name, values in method.grid.items() for value in values]
    chains = [tried_chain(change_steps(method.steps, change)) for change in ({}, *values)]
    frame = chains[0].run(np.zeros((64, 64, 3), np.uint8))
    if getattr(frame, kind) is None or frame.resized:
        raise ValueError(f"the steps must end with one that finds a {kind}, and resize nothing")
    if chains[0].full_resolution != (kind == "region"):
        raise ValueError(
            "boxes are annotated in the files, so begin with full_resolution"
            if kind == "region"
            else "expert masks are of the packed size, so leave full_resolution out"
        )


def _finds_mask(steps: list[dict]) -> None:
    _ends_with("mask", Method(steps=steps))


def _keeps_the_size(steps: list[dict]) -> None:
    import numpy as np

    chain, image = tried_chain(steps), np.zeros((60, 64, 3), np.uint8)
    if chain.full_resolution or chain(image).shape != image.shape:
        raise ValueError(
            "what is restored is compared with the packed image, pixel by pixel: leave "
            "full_resolution out, and resize or crop nothing"
        )


class MaskOptions(Options):
    """Ways to find nucleus or cell, each of which ends with a mask."""

    methods: dict[Name, Annotated[Method, chain_check(partial(_ends_with, "mask"))]]


class PublishedBoxes(Options):
    """What a paper prints of the IoU of boxes, and of which data set."""

    dataset: str
    images: int
    mean: Printed
    min: Printed
    max: Printed
    sd: Printed
    median: Printed


class RegionOptions(Options):
    """Ways to find the box around a white cell.

    Parameters
    ----------
    names
        Of the annotated boxes that are around white cells.
    methods
        Chains that end with a region; begun at full resolution.
    published
        For the report.
    """

    names: list[str]
    methods: dict[Name, Annotated[Method, chain_check(partial(_ends_with, "region"))]]
    published: PublishedBoxes


class RestorationOptions(Options):
    """Filters against degradations.

    Parameters
    ----------
    images
        How many, evenly from each domain.
    severities
        Of each degradation.
    nucleus
        Steps that find the nucleus in what was restored.
    methods
        Chains by name; ``none`` is what the others are compared with.
    """

    images: int = Field(gt=0)
    severities: list[Literal[1, 2, 3, 4, 5]] = Field(min_length=1)
    nucleus: Annotated[Chain, chain_check(_finds_mask)]
    methods: dict[Name, Annotated[Chain, chain_check(_keeps_the_size)]]


class IntervalOptions(Options):
    """Bootstrap intervals over sources: how many resamples, and their coverage."""

    resamples: int = Field(gt=0)
    level: float = Field(gt=0, lt=1)


class QualityOptions(Options):
    """Everything under ``quality`` in the parameters."""

    masks: MaskOptions
    boxes: RegionOptions
    restoration: RestorationOptions
    interval: IntervalOptions
