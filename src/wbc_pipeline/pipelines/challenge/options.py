"""Parameters of the challenge paper."""

from pydantic import Field, model_validator

from wbc_pipeline.options import Options, check_name
from wbc_pipeline.pipelines.experiment.options import PaperParameters
from wbc_pipeline.pipelines.experiment.study import StudyOptions
from wbc_pipeline.pipelines.preprocessing.options import Name
from wbc_pipeline.pipelines.reporting.options import HypothesisOptions, Published


class ExperimentsOptions(Options):
    """The rows of the paper's tables of experiments.

    Parameters
    ----------
    baseline
        The variant that all others are held against.
    rows
        What a variant is in the paper, in words; a variant that is not named is ours.
    validation
        What the paper prints of its validation part, by variant and metric.
    """

    baseline: str
    rows: dict[str, str]
    validation: Published


class MaturationOptions(Options):
    """The chain of maturation, by codes of the challenge or a data set's own names.

    Parameters
    ----------
    chain
        From the youngest to the oldest.
    precursors
        Those whose mean recall is looked at.
    shown
        Variants whose confusion along the chain is drawn, the first that were run if none was.
    """

    chain: list[str] = Field(min_length=2)
    precursors: list[str] = Field(min_length=1)
    shown: list[str] = Field(min_length=1, max_length=9)

    @model_validator(mode="after")
    def _precursors_are_of_the_chain(self) -> "MaturationOptions":
        for name in self.precursors:
            check_name(name, self.chain, "maturation.precursors: class")
        return self


class GapOptions(Options):
    """What the paper prints of a class that lacks images.

    Parameters
    ----------
    codes
        The classes of the challenge that it stands for.
    images
        In the challenge.
    others
        The public set that has more.
    gain
        By how much that set outnumbers the challenge, as printed.
    """

    codes: list[str] = Field(min_length=1)
    images: int = Field(ge=0)
    others: str
    gain: str


class ChallengeOptions(PaperParameters):
    """Everything under ``challenge`` in the parameters.

    Parameters
    ----------
    detector
        Folder of a trained detector, by which cells are cropped; None for `stain_region`.
    experiments
        The paper's tables of experiments.
    preprocessing_study
        Variants that differ by the preprocessing of their images alone.
    families
        Networks by family, whose best ones are compared class by class.
    maturation
        The chain of maturation.
    claims
        What is claimed, by name.
    printed_gaps
        The paper's analysis of classes that lack images, by name.
    """

    detector: str | None
    experiments: ExperimentsOptions
    preprocessing_study: StudyOptions
    families: dict[Name, list[str]]
    maturation: MaturationOptions
    claims: dict[Name, HypothesisOptions]
    printed_gaps: dict[str, GapOptions]

    @model_validator(mode="after")
    def _names_are_known(self) -> "ChallengeOptions":
        check_name(self.experiments.baseline, self.variants.root, "experiments.baseline: variant")
        named = {
            "experiments.rows": self.experiments.rows,
            "preprocessing_study.methods": self.preprocessing_study.methods.values(),
            "experiments.validation": self.experiments.validation,
            "maturation.shown": self.maturation.shown,
            "printed.recalls": self.printed.recalls,
            **{f"families.{name}": members for name, members in self.families.items()},
            **{f"claims.{name}": (claim.better, claim.than) for name, claim in self.claims.items()},
        }
        for place, names in named.items():
            for name in names:
                check_name(name, self.variants.root, f"{place}: variant")
        return self
