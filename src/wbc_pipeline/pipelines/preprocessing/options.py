"""Parameters of views."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    RootModel,
    ValidationInfo,
    field_validator,
    model_validator,
)

from wbc_pipeline.models import RESTORERS
from wbc_pipeline.options import Options, check_name, is_asked
from wbc_pipeline.training.options import StageOptions

if TYPE_CHECKING:
    from wbc_pipeline.imaging.chain import Chain as BuiltChain


def chain_check(check: Callable[[Any], object]) -> AfterValidator:
    """Make a validator of chains that runs where the command asks for them.

    To build a chain imports half of SciPy for some steps, and torch for others.

    Parameters
    ----------
    check
        Takes the value, and raises ValueError if it is refused.
    """

    def validate(value: Any, info: ValidationInfo) -> Any:
        if is_asked(info):
            check(value)
        return value

    return AfterValidator(validate)


def tried_chain(steps: list[dict]) -> "BuiltChain":
    """Build a chain to look at; the same steps once in a command.

    Raises
    ------
    ValueError
        See `wbc_pipeline.imaging.chain.build_chain`.
    """
    return _tried(json.dumps(steps))


@lru_cache
def _tried(steps: str) -> "BuiltChain":
    from wbc_pipeline.imaging.chain import build_chain

    return build_chain(json.loads(steps))


# Steps that make a view of an image; see ``wbc_pipeline.imaging.chain``.
Chain = Annotated[list[dict], chain_check(tried_chain)]

# What names a folder on every system.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]

PART_MARK = "@"  # between a view's name and the part whose shift it shows
PAIRS = "pairs"  # in place of a part: degraded for restorers alone, as images come degraded


def _only_degrades(steps: list[dict]) -> None:
    import numpy as np

    from wbc_pipeline.imaging.chain import parse_step
    from wbc_pipeline.imaging.registry import STEPS

    chain, image = tried_chain(steps), np.full((60, 64, 3), 128, np.uint8)
    names = [parse_step(step)[0] for step in steps]
    changes = all(STEPS[name].kind == "change_image" for name in names if name in STEPS)
    if chain.full_resolution or not changes or chain(image).shape != image.shape:
        raise ValueError(
            "a shift changes how images look, not what they show: leave out full_resolution, "
            "and whatever resizes, crops or finds something"
        )
    if fitted := [name for name in names if STEPS[name].fit is not None]:
        raise ValueError(f"{fitted[0]} is fitted on images, and a shift is not; put it in a view")


Shift = Annotated[Chain, chain_check(_only_degrades)]


class ShiftOptions(Options):
    """What is done to the images of each part of a split before views are made of them.

    Parameters
    ----------
    train, validation, test
        Steps, each of which changes the image and keeps its size, such as ``random_degradation``;
        none for a part that stays as it is.
    """

    train: Shift = Field(default_factory=list)
    validation: Shift = Field(default_factory=list)
    test: Shift = Field(default_factory=list)

    @property
    def parts(self) -> dict[str, list[dict]]:
        """Steps of the parts that are shifted."""
        steps = {part: getattr(self, part) for part in ("train", "validation", "test")}
        return {part: chain for part, chain in steps.items() if chain}


class Views(RootModel[dict[Name, Chain]]):
    """Chains of steps by the name of the view that they make."""


class UntriedViews(RootModel[dict[Name, list[dict]]]):
    """The same where no view is made of them, or they were tried before."""


class RestorerOptions(Options):
    """A network that learns on each split to take degradations out of a view.

    It learns from pairs of the training part: the view under the shift of that part, and the view
    as it is.

    Parameters
    ----------
    network
        Its name in ``wbc_pipeline.models``.
    arguments
        Of its constructor.
    view
        Which of the paper's views it restores.
    train
        Its schedule.
    """

    network: str = "restoration_unet"
    arguments: dict = Field(default_factory=dict)
    view: str = "image"
    train: StageOptions

    @field_validator("network")
    @classmethod
    def _is_known(cls, name: str) -> str:
        check_name(name, RESTORERS, "restorer")
        return name


class Restorers(RootModel[dict[Name, RestorerOptions]]):
    """Restorers by name."""

    root: dict[Name, RestorerOptions] = Field(default_factory=dict)


class PreprocessingOptions(Options):
    """Where views are worked out, and those of the pipeline ``preprocessing``, not looked at.

    Parameters
    ----------
    backend
        Threads of this process, or the workers of a Dask cluster.
    workers
        How many; None for one per core.
    scheduler
        Address of a Dask scheduler; None for a cluster on this machine.
    views
        Chains by name.
    """

    backend: Literal["threads", "dask"]
    workers: Annotated[int, Field(gt=0)] | None
    scheduler: str | None
    views: UntriedViews

    @model_validator(mode="after")
    def _scheduler_needs_dask(self) -> "PreprocessingOptions":
        if self.scheduler and self.backend != "dask":
            raise ValueError(f"scheduler {self.scheduler} needs backend: dask")
        return self


class CheckedPreprocessing(PreprocessingOptions):
    """The same with views that were tried."""

    views: Views
