"""Parameters of the search for suspect labels."""

from typing import Annotated

from pydantic import Field, RootModel, field_validator, model_validator

from wbc_pipeline.models.classifiers import CLASSIFIERS
from wbc_pipeline.options import Options, check_name, split_text
from wbc_pipeline.pipelines.experiment.options import ExperimentParameters


class Shares(RootModel[list[Annotated[int, Field(gt=0, lt=100)]]]):
    """Percentages below 100: a list, or text with ``+`` between."""

    _split_text = model_validator(mode="before")(split_text)


class FoldOptions(Options):
    """How cells are shared out.

    Parameters
    ----------
    folds
        Of the cross-validation by source: each cell is judged by what was trained on the others.
    seeds
        How many cross-validations: 0, 1, …
    min_cells
        A class of fewer cells is left out; with fewer than two such classes a set is too small.
    images_per_cell
        Of the copies of a cell at most so many are looked at: they are one piece of evidence.
    shares
        Percentages of the training cells that all is trained on besides, for a learning curve.
    """

    folds: int = Field(gt=1)
    seeds: int = Field(gt=0)
    min_cells: int = Field(gt=1)
    images_per_cell: int = Field(gt=0)
    shares: Shares

    @model_validator(mode="after")
    def _each_fold_tests_each_class(self) -> "FoldOptions":
        if self.min_cells < self.folds:
            raise ValueError(
                f"min_cells is {self.min_cells}, but each of {self.folds} folds tests cells of its "
                "own of every class: raise min_cells, or lower folds"
            )
        return self


class SuspectsOptions(ExperimentParameters):
    """Everything under ``audit.suspects`` in the parameters.

    Parameters
    ----------
    split
        See `FoldOptions`.
    views, variants, train, trainer, score
        Of the networks; see `ExperimentParameters`.
    described
        The views of which features are computed.
    classifiers
        Classifiers of these features, with arguments over those of
        ``wbc_pipeline.models.classifiers``.
    """

    split: FoldOptions
    described: list[str] = Field(min_length=1)
    classifiers: dict[str, dict] = Field(min_length=1)

    @field_validator("classifiers")
    @classmethod
    def _are_known(cls, classifiers: dict[str, dict]) -> dict[str, dict]:
        for name in classifiers:
            check_name(name, CLASSIFIERS, "classifier")
        return classifiers

    @model_validator(mode="after")
    def _described_are_views(self) -> "SuspectsOptions":
        for view in self.described:
            check_name(view, self.views.root, "described: view")
        return self
