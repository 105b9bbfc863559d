"""Parameters of the localization paper."""

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from wbc_pipeline.models import DETECTORS
from wbc_pipeline.options import Options, check_name
from wbc_pipeline.pipelines.experiment.options import CompositeOptions, PaperParameters, Selection
from wbc_pipeline.pipelines.preprocessing.options import Name, Views, chain_check, tried_chain
from wbc_pipeline.pipelines.reporting.options import Published
from wbc_pipeline.training.options import StageOptions, TrainerOptions, merge_stages

STATISTICS = ["mean", "min", "max", "sd", "median"]  # of an IoU, as printed


def _begin_with_files(looks: Views) -> None:
    for name, steps in looks.root.items():
        if not tried_chain(steps).full_resolution:
            raise ValueError(f"{name} begins with full_resolution")


def _find_something(colour: Views) -> None:
    for name, steps in colour.root.items():
        chain = tried_chain(steps)
        if not (chain.full_resolution and chain.finds):
            raise ValueError(f"{name} begins with full_resolution and ends with a region")


class SceneOptions(CompositeOptions):
    """Drawn scenes that a detector learns from beside its frames; see ``imaging.scenes``.

    The chances of their ingredients are those of ``RecomposeOptions``.

    Parameters
    ----------
    count
        Scenes of each image.
    plain
        Share of the frames themselves among what is learned from.
    fill
        Least and largest share of the frame's side that the longer side of a cell takes.
    squeeze
        Largest logarithm of the factor by which height and width change unequally.
    """

    plain: float = Field(0.3, ge=0, lt=1)
    fill: tuple[float, float] = (0.1, 0.9)
    squeeze: float = Field(0.2, ge=0, le=2)

    @field_validator("fill")
    @classmethod
    def _are_shares(cls, fill: tuple[float, float]) -> tuple[float, float]:
        if not 0 < fill[0] <= fill[1] <= 1:
            raise ValueError(f"fill {list(fill)}: the least and the largest share, above 0 to 1")
        return fill


class FieldOptions(Options):
    """Fields of another microscope, made of test images; see ``imaging.scenes.draw_field``.

    Parameters
    ----------
    images
        Fields of each stain or laboratory, or fewer where it has fewer test images; 0 for none.
    width, height
        Of a field, in pixels.
    cell
        Least and largest share of the height that the longer side of a cell takes.
    """

    images: int = Field(ge=0)
    width: int = Field(ge=64)
    height: int = Field(ge=64)
    cell: tuple[float, float]

    @field_validator("cell")
    @classmethod
    def _are_shares(cls, cell: tuple[float, float]) -> tuple[float, float]:
        if not 0 < cell[0] <= cell[1] <= 1:
            raise ValueError(f"cell {list(cell)}: the least and the largest share, above 0 to 1")
        return cell


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
    look
        Which of the ``looks`` makes its frame of an image.
    frame
        Height and width of that in pixels, a multiple of 32; null for that of all detectors.
    trust
        In what a step of that look found, 0 to 1; see ``models.detect.Detector``.
    scenes
        What it learns from beside its frames; null for nothing.
    stages
        Schedule overrides by the name of a stage, in order.
    """

    network: str
    arguments: dict = Field(default_factory=dict)
    weights: str = "none"
    look: str = "whole"
    frame: int | None = Field(None, ge=64, multiple_of=32)
    trust: float = Field(0.0, ge=0, lt=1)
    scenes: SceneOptions | None = None
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
        Height and width in pixels of what a detector sees, as a square; a multiple of 32.
    looks
        Steps that say which part of an image a detector sees, by name; it is then scaled to the
        frame.
    fields
        Fields of another microscope that every method is tested on too; null for none.
    colour
        Steps that find the cell by colour, by name; the last may find a mask.
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
    looks: Annotated[Views, chain_check(_begin_with_files)]
    fields: FieldOptions | None = None
    colour: Annotated[Views, chain_check(_find_something)]
    chosen: Selection
    detectors: dict[Name, DetectorOptions]
    train: StageOptions
    trainer: TrainerOptions
    score: float = Field(ge=0, le=1)
    overlap: float = Field(gt=0, le=1)
    published: Published

    def size_of(self, detector: DetectorOptions) -> int:
        """Give the side of a detector's frame."""
        return detector.frame or self.frame

    def frames_of(self, detector: DetectorOptions) -> str:
        """Name the frames that a detector sees."""
        return f"{detector.look}-{self.size_of(detector)}"

    @property
    def frame_steps(self) -> dict[str, list[dict]]:
        """Steps that make what detectors see, by the name of the frames."""
        return {
            self.frames_of(detector): [
                *self.looks.root[detector.look],
                {"resize": {"size": self.size_of(detector)}},
            ]
            for detector in self.detectors.values()
        }

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
            check_name(detector.look, self.looks.root, f"detectors.{name}.look: look")
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

    @property
    def split_detectors(self) -> list[str]:
        """All but those that learn from drawn scenes too, which are not drawn for each split."""
        detectors = self.localization.detectors
        return [name for name, detector in detectors.items() if detector.scenes is None]

    @model_validator(mode="after")
    def _pairs_are_known(self) -> "LocalizeOptions":
        for name, pair in self.pairs.items():
            for variant in pair:
                check_name(variant, self.variants.root, f"pairs.{name}: variant")
        return self
