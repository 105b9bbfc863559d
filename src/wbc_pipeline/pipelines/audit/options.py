"""Parameters of the audit."""

from pydantic import Field

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.experiment.options import ExperimentParameters
from wbc_pipeline.pipelines.splitting.options import Protocols
from wbc_pipeline.pipelines.suspects.options import SuspectsOptions


class GuessOptions(Options):
    """How classes are guessed from what is not the cell.

    Parameters
    ----------
    folds
        Of the cross-validation by source.
    permutations
        Of the labels among sources, for the p value.
    """

    folds: int = Field(gt=1)
    permutations: int = Field(gt=0)


class CompareOptions(Options):
    """Which splits are compared.

    Parameters
    ----------
    protocols
        Those to compare, as far as the data set allows them.
    seeds
        How many of each: 0, 1, …
    min_sources
        A class of fewer sources is left out of the training.
    """

    protocols: Protocols
    seeds: int = Field(gt=0)
    min_sources: int = Field(gt=2)


class PinOptions(Options):
    """How sources are written down so that others can use them.

    Parameters
    ----------
    rescaled
        The files are rescaled copies of the published ones: their checksums are left out.
    """

    rescaled: bool


class AuditOptions(ExperimentParameters):
    """Everything under ``audit`` in the parameters.

    Parameters
    ----------
    compare, guess, pin, suspects
        See their classes.
    views, variants, train, trainer, score
        Those of the small network that measures the price of a leak.
    """

    compare: CompareOptions
    guess: GuessOptions
    pin: PinOptions
    suspects: SuspectsOptions
