"""Parameters of the localization paper."""

from pydantic import Field, field_validator, model_validator

from wbc_pipeline.models import DETECTORS
from wbc_pipeline.options import Options, check_name
from wbc_pipeline.pipelines.experiment.options import PaperParameters, Selection
from wbc_pipeline.pipelines.preprocessing.options import Name, Views
from wbc_pipeline.pipelines.reporting.options import Published
from wbc_pipeline.training.options import StageOptions, TrainerOptions, merge_stages

STATISTICS = ["mean", "min", "max", "sd", "median"]  # of an IoU, as printed


class DetectorOptions(Options):
    """A detector by its name in ``wbc_pipeline.models``.

    Parameters
    ----------
    network
        Its name.
    arguments
        Of its constructor.
    weights
        What its backbone begins with; see ``Variant``.
    stages
        Schedule overrides by the name of a stage, in order.
    """

    network: str
    arguments: dict = Field(default_factory=dict)
    weights: str = "none"
    stages: dict[Name, dict] = Field(default_factory=lambda: {"main": {}}, min_length=1)

    @field_validator("network")
    @classmethod
    def _is_known(cls, name: str) -> str:
        check_name(name, DETECTORS, "detector")
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
    chosen: Selection
    detectors: dict[Name, DetectorOptions]
    train: StageOptions
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
            check_name(name, [*self.detectors, "all"], "chosen: detector")
        methods = [*self.detectors, *self.colour.root]
        for name, values in self.published.items():
            check_name(name, methods, "published: method")
            for statistic in values:
                check_name(statistic, STATISTICS, f"published.{name}: statistic")
        for name, detector in self.detectors.items():
            try:
                stages = merge_stages(self.train, detector.stages)
                if any(stage.keep == "best" for stage in stages.values()):
                    raise ValueError("stages: keep last or average: nothing is there to choose by")
            except ValueError as error:
                raise ValueError(f"detectors.{name}.{error}") from None
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


class LocalizeOptions(PaperParameters):
    """Everything under ``localize`` in the parameters.

    Parameters
    ----------
    localization
        How cells are looked for.
    pairs
        By network, the variant that sees whole images and the one that sees regions.
    """

    localization: LocalizationOptions
    pairs: dict[str, tuple[str, str]]

    @model_validator(mode="after")
    def _pairs_are_known(self) -> "LocalizeOptions":
        for name, pair in self.pairs.items():
            for variant in pair:
                check_name(variant, self.variants.root, f"pairs.{name}: variant")
        return self
