"""Parameters of scores and of what a paper prints."""

from typing import Literal

from pydantic import Field

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.splitting.options import Protocol, Protocols

# A number; several where the paper prints several; text where trailing zeros count.
Printed = float | str | list[float | str]
Published = dict[str, dict[str, Printed]]


class ScoreOptions(Options):
    """How scores and their intervals are computed.

    Parameters
    ----------
    bins
        Equal-width confidence bins of the expected calibration error.
    resamples
        Bootstrap resamples, each of sources with all their images, for what is no function of the
        confusion matrix: AUC, log loss, ECE, differences.
    level
        Coverage of the intervals.
    """

    bins: int = Field(gt=1)
    resamples: int = Field(gt=0)
    level: float = Field(gt=0, lt=1)


class PaperOptions(Options):
    """What the report says of the paper.

    Parameters
    ----------
    title
        Title of the paper.
    protocol
        The protocol that the paper followed.
    classes
        How many classes the paper tells apart.
    datasets
        Data sets that the paper used: ``classes`` to learn from and, where it has another for that,
        ``boxes`` to find cells in. ``--env=paper`` takes these.
    protocols
        What ``--env=paper`` follows.
    notes
        Facts that a reader of the numbers should know.
    """

    title: str
    protocol: Protocol
    classes: int = Field(gt=1)
    datasets: dict[Literal["classes", "boxes"], str]
    protocols: Protocols
    notes: list[str] = Field(default_factory=list)
