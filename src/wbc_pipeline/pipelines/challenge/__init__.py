"""The challenge paper: fine-grained classes, few of some, on degraded images."""

from wbc_pipeline.pipelines.challenge import nodes
from wbc_pipeline.pipelines.challenge.options import ChallengeOptions
from wbc_pipeline.pipelines.experiment.study import study_preprocessing
from wbc_pipeline.pipelines.paper import Paper

PAPER = Paper(
    "challenge",
    options=ChallengeOptions,
    own_nodes=(
        nodes.list_experiments,
        study_preprocessing,
        nodes.judge_claims,
        nodes.score_classes,
        nodes.follow_maturation,
        nodes.report_crops,
        nodes.list_missed,
        nodes.compare_gaps,
    ),
    own_inputs={"source": "source", "sources": "params:sources"},
)
