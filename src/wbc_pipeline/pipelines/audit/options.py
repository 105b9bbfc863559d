"""Parameters of the audit."""

from pydantic import Field

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.experiment.options import VariantOptions
from wbc_pipeline.pipelines.preprocessing.options import Chain
from wbc_pipeline.pipelines.reporting.options import ScoreOptions
from wbc_pipeline.pipelines.splitting.options import Protocols
from wbc_pipeline.training.options import TrainerOptions, TrainOptions


class ViewsOptions(Options):
    """What the small network sees."""

    image: Chain


class VariantsOptions(Options):
    """The network that the price of a leak is measured with."""

    small: VariantOptions


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
        Those that are compared, as far as the data set allows them.
    seeds
        How many of each: 0, 1, …
    min_sources
        A class of fewer sources is left out of the training.
    """

    protocols: Protocols
    seeds: int = Field(gt=0)
    min_sources: int = Field(gt=2)


class AuditOptions(Options):
    """Everything under ``audit`` in the parameters."""

    compare: CompareOptions
    guess: GuessOptions
    views: ViewsOptions
    variants: VariantsOptions
    train: TrainOptions
    trainer: TrainerOptions
    score: ScoreOptions
