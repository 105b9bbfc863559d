"""Parameters of the separable paper."""

from pydantic import Field

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.experiment.options import PaperParameters
from wbc_pipeline.pipelines.splitting.options import Protocol


class ShownOptions(Options):
    """Whose failures are drawn.

    Parameters
    ----------
    variant, protocol
        Whose predictions; the first of this command if it has not got them.
    sources, tiles
        How many sources, and images of each.
    """

    variant: str
    protocol: Protocol
    sources: int = Field(gt=0)
    tiles: int = Field(gt=0)


class SeparableOptions(PaperParameters):
    """Everything under ``separable`` in the parameters.

    Parameters
    ----------
    shown
        Whose failures are drawn.
    layers
        Numbers of parameters as Table 1 prints them.
    """

    shown: ShownOptions
    layers: dict[str, int]
