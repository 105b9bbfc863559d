"""Parameters of robustness."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.preprocessing.options import Chain, Name, chain_check, tried_chain
from wbc_pipeline.pipelines.reporting.options import Printed
from wbc_pipeline.pipelines.splitting.options import Protocol

# The keys of ``wbc_pipeline.imaging.degrade.DEGRADATIONS``, which takes torch to import.
Degradation = Literal[
    "gaussian_noise",
    "shot_noise",
    "salt_and_pepper",
    "motion_blur",
    "defocus_blur",
    "jpeg",
    "illumination_gradient",
    "stain_shift",
]
# Those of which a smaller amount does more harm, so that 0 is not the clean image.
FALLING = ("shot_noise", "jpeg")


def _keeps_the_size(steps: list[dict]) -> None:
    import numpy as np

    chain, image = tried_chain(steps), np.zeros((60, 64, 3), np.uint8)
    if chain.full_resolution or chain(image).shape != image.shape:
        raise ValueError(
            "a restoration gives the view an image of the size that it got: leave "
            "full_resolution out, and resize or crop nothing"
        )


class CurveOptions(Options):
    """One way to degrade the images, by several amounts.

    Parameters
    ----------
    degradation
        See ``wbc_pipeline.imaging.degrade``.
    amounts
        As the degradation takes them, each above 0, the clean image.
    severities
        In place of amounts, the levels whose amounts ``degrade.SEVERITIES`` says.
    restore
        Steps that run on the degraded image before the paper's view is made of it.
    finds_on
        Which image the view's masks and regions are found in.
    """

    degradation: Degradation
    amounts: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] | None = None
    severities: Annotated[list[Literal[1, 2, 3, 4, 5]], Field(min_length=1)] | None = None
    restore: Annotated[Chain, chain_check(_keeps_the_size)] = Field(default_factory=list)
    finds_on: Literal["degraded", "clean"] = "degraded"

    @model_validator(mode="after")
    def _has_one_scale(self) -> "CurveOptions":
        if (self.amounts is None) == (self.severities is None):
            raise ValueError("give either amounts or severities; null takes one of them back")
        if self.amounts and self.degradation in FALLING:
            raise ValueError(
                f"a smaller amount of {self.degradation} does more harm, so the curve would not "
                "begin with the clean image: use severities"
            )
        if len(self.levels) < len(self.amounts or self.severities):
            raise ValueError("each amount or severity stands for one point: name it once")
        return self

    @property
    def levels(self) -> dict[str, float]:
        """Amounts or severities by the text that names them."""
        return {f"{level:.12g}": level for level in sorted(self.amounts or self.severities)}

    @property
    def scale(self) -> str:
        """What the curve's axis shows."""
        return f"{self.degradation.replace('_', ' ')}, {'amount' if self.amounts else 'severity'}"


class RobustnessOptions(Options):
    """How a paper's networks are tested on degraded images.

    Parameters
    ----------
    images
        How many at most, over all test parts, of each its share, evenly from each class, but one of
        each in any case; None for all.
    whole
        Protocols whose test parts are degraded whole; ``images`` is shared out over the others.
    curves
        By name.
    published
        What the paper prints: by variant, curve, and amount or severity, the accuracy.
    """

    images: Annotated[int, Field(gt=0)] | None
    whole: list[Protocol] = Field(default_factory=list)
    curves: Annotated[dict[Name, CurveOptions], Field(min_length=1)]
    published: dict[str, dict[str, dict[float, Printed]]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _published_curves_are_known(self) -> "RobustnessOptions":
        named = {curve for curves in self.published.values() for curve in curves}
        if unknown := sorted(named - self.curves.keys()):
            raise ValueError(
                f"published names the curve {unknown[0]!r}; known are {', '.join(self.curves)}"
            )
        return self

    @property
    def conditions(self) -> dict[str, tuple[str, float]]:
        """Curve and level of each condition by its name, such as ``noise 0.15``."""
        return {
            f"{name} {text}": (name, level)
            for name, curve in self.curves.items()
            for text, level in curve.levels.items()
        }
