"""Parameters of the localization paper."""

from pydantic import Field, field_validator, model_validator

from wbc_pipeline.models import DETECTORS
from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.experiment.options import VariantOptions, Variants
from wbc_pipeline.pipelines.preprocessing.options import Chain, Name, Views
from wbc_pipeline.pipelines.reporting.options import (
    PaperOptions,
    Published,
    ScoreOptions,
)
from wbc_pipeline.pipelines.robustness.options import RobustnessOptions
from wbc_pipeline.training.options import DetectionOptions, TrainerOptions, TrainOptions

STATISTICS = ["mean", "min", "max", "sd", "median"]  # of an IoU, as printed


class ViewsOptions(Options):
    """Chains of steps that make the networks' inputs: the whole image, and the cell alone."""

    image: Chain
    roi: Chain


class VariantsOptions(Options):
    """The paper's networks on whole images and on regions, and what this project adds."""

    custom_2_whole: VariantOptions
    custom_2_roi: VariantOptions
    custom_1_whole: VariantOptions
    custom_1_roi: VariantOptions
    vgg16_whole: VariantOptions
    vgg16_roi: VariantOptions
    resnet50_whole: VariantOptions
    resnet50_roi: VariantOptions
    inception_v3_whole: VariantOptions
    inception_v3_roi: VariantOptions
    le_net_whole: VariantOptions
    le_net_roi: VariantOptions
    custom_2_roi_noise: VariantOptions
    compact_roi: VariantOptions
    compact_roi_noise: VariantOptions


class DetectorOptions(Options):
    """A detector by its name in ``wbc_pipeline.models``.

    Parameters
    ----------
    network
        Its name.
    arguments
        Of its constructor.
    weights
        What its backbone begins with; see ``VariantOptions``.
    train
        What its schedule has other than that of the other detectors.
    """

    network: str
    arguments: dict = Field(default_factory=dict)
    weights: str = "none"
    train: dict = Field(default_factory=dict)

    @field_validator("network")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in DETECTORS:
            raise ValueError(f"no detector is called {name!r}; known are {', '.join(DETECTORS)}")
        return name

    @model_validator(mode="after")
    def _weights_need_a_backbone(self) -> "DetectorOptions":
        if self.weights != "none" and "backbone" not in self.arguments:
            raise ValueError(f"weights {self.weights}: name the backbone among the arguments")
        return self


class LocalizationOptions(Options):
    """How white cells are looked for, and how well they are found.

    Parameters
    ----------
    names
        Of the annotated boxes that are around white blood cells.
    test
        Share of the annotated images that tests, at random by source.
    frame
        Height and width in pixels of what a detector sees, the whole image as a square; a
        multiple of 32.
    colour
        Steps that find the cell by colour, by name.
    chosen
        The detectors that are trained: ``all``, or names.
    detectors
        By name.
    train, trainer
        Their schedule, and where it runs.
    score
        Least score of a detection that counts.
    overlap
        Least IoU at which a detection matches an annotated box.
    published
        By method, what the paper prints of its IoU.
    """

    names: list[str]
    test: float = Field(gt=0, lt=1)
    frame: int = Field(ge=64, multiple_of=32)
    colour: Views
    chosen: Variants
    detectors: dict[Name, DetectorOptions]
    train: DetectionOptions
    trainer: TrainerOptions
    score: float = Field(ge=0, le=1)
    overlap: float = Field(gt=0, le=1)
    published: Published

    @property
    def frame_steps(self) -> list[dict]:
        """Steps that make what a detector sees."""
        return [{"full_resolution": {}}, {"resize": {"size": self.frame}}]

    @model_validator(mode="after")
    def _name_known_detectors(self) -> "LocalizationOptions":
        for name in self.chosen.root:
            if name not in [*self.detectors, "all"]:
                known = ", ".join(self.detectors)
                raise ValueError(f"chosen: no detector is called {name!r}; known are {known}")
        methods = [*self.detectors, *self.colour.root]
        for name, values in self.published.items():
            if name not in methods:
                raise ValueError(f"published: no method is called {name!r}; known are {methods}")
            if unknown := sorted(values.keys() - set(STATISTICS)):
                known = ", ".join(STATISTICS)
                raise ValueError(f"published.{name}: {unknown[0]!r} is none of {known}")
        for name, detector in self.detectors.items():
            try:
                DetectionOptions.model_validate(self.train.model_dump() | detector.train)
            except ValueError as error:
                raise ValueError(f"detectors.{name}.train: {error}") from None
        return self

    @field_validator("trainer")
    @classmethod
    def _says_its_precision(cls, trainer: TrainerOptions) -> TrainerOptions:
        if "auto" in (trainer.precision, trainer.channels_last):
            raise ValueError(
                "detectors are not probed: name a precision (32-true, bf16-mixed, 16-mixed), and "
                "true or false for channels_last"
            )
        return trainer

    @field_validator("colour")
    @classmethod
    def _find_something(cls, colour: Views) -> Views:
        from wbc_pipeline.imaging.chain import build_chain

        for name, steps in colour.root.items():
            chain = build_chain(steps)
            if not (chain.full_resolution and chain.finds):
                raise ValueError(f"{name} begins with full_resolution and ends with a region")
        return colour


class LocalizeOptions(Options):
    """Everything under ``localize`` in the parameters."""

    paper: PaperOptions
    views: ViewsOptions
    variants: VariantsOptions
    train: TrainOptions
    trainer: TrainerOptions
    score: ScoreOptions
    localization: LocalizationOptions
    robustness: RobustnessOptions
    published: Published
