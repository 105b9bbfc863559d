"""Parameters of the comparison."""

from pydantic import Field

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.reporting.options import ScoreOptions


class CompareOptions(Options):
    """How the models of all papers are compared.

    Parameters
    ----------
    score
        How all of them are scored, whatever their papers say.
    leading
        How many models of a protocol are tested against each other.
    shown
        How many of them a figure shows.
    """

    score: ScoreOptions
    leading: int = Field(gt=1)
    shown: int = Field(gt=0)
