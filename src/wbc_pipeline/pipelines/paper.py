"""A paper: what it has beside the stages that all papers share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kedro.pipeline import Pipeline

from wbc_pipeline.pipelines.experiment.options import PaperParameters
from wbc_pipeline.pipelines.experiment.pipeline import (
    experiment_pipeline,
    shifted_view_pipeline,
)
from wbc_pipeline.pipelines.reporting.pipeline import report_pipeline
from wbc_pipeline.pipelines.robustness.pipeline import robustness_pipeline
from wbc_pipeline.pipelines.submission.pipeline import submission_pipeline


@dataclass(frozen=True)
class Paper:
    """A paper that is run again.

    Attributes
    ----------
    name
        Of its pipeline, its group of parameters and its folders.
    options
        Its parameters.
    own_nodes
        Functions that give its own tables and figures; see `report_pipeline`.
    own_inputs
        What they take beside the datasets that all papers have.
    own_pipeline
        Makes what comes before its report, beside the shared stages.
    cuts
        Whether that makes ``<name>.cut``, views that detectors cut for each run.
    """

    name: str
    options: type[PaperParameters] = PaperParameters
    own_nodes: tuple[Callable, ...] = ()
    own_inputs: Mapping[str, str] = field(default_factory=dict)
    own_pipeline: Callable[[], Pipeline] | None = None
    cuts: bool = False


def paper_pipeline(paper: Paper) -> Pipeline:
    """Make a paper's views, train and test its variants, degrade, submit, report."""
    stages = [
        shifted_view_pipeline(paper.name),
        experiment_pipeline(paper.name, restores=True, cuts=paper.cuts),
        robustness_pipeline(paper.name),
        submission_pipeline(paper.name),
        report_pipeline(
            paper.name,
            groups=paper.options.model_fields,
            own_nodes=paper.own_nodes,
            own_inputs=paper.own_inputs,
        ),
    ]
    if paper.own_pipeline is not None:
        stages.append(paper.own_pipeline())
    return sum(stages, Pipeline([]))
