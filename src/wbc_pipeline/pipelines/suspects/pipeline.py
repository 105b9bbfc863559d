"""Networks on pixels and classifiers of features, cross-validated by source."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.experiment.pipeline import experiment_pipeline
from wbc_pipeline.pipelines.preprocessing.pipeline import view_pipeline
from wbc_pipeline.pipelines.suspects import nodes

GROUP = "audit.suspects"


def create_pipeline() -> Pipeline:
    """Deal folds, train networks and classifiers on them, and collect their answers."""
    stages = [
        _folds_pipeline(),
        view_pipeline(GROUP),
        experiment_pipeline(GROUP, splits=f"{GROUP}.splits", chosen=None),
        _classifier_pipeline(),
    ]
    return sum(stages, Pipeline([]))


def _folds_pipeline() -> Pipeline:
    return Pipeline(
        [
            node(
                nodes.deal_folds,
                ["manifest", "params:audit.suspects.split", "params:splitting"],
                ["audit.suspects.splits", "audit.suspects.left_out"],
                name="deal_folds",
                namespace="audit.suspects.splitting",
                tags="suspects",
            )
        ]
    )


def _classifier_pipeline() -> Pipeline:
    def step(func, inputs, outputs):
        return node(
            func, inputs, outputs, name=func.__name__, namespace="audit.suspects.classification"
        )

    return Pipeline(
        [
            step(
                nodes.describe_cells,
                [
                    "manifest",
                    "audit.suspects.splits",
                    "audit.suspects.views",
                    "params:audit.suspects.described",
                ],
                "audit.suspects.features",
            ),
            step(
                nodes.classify,
                {
                    "manifest": "manifest",
                    "splits": "audit.suspects.splits",
                    "features": "audit.suspects.features",
                    "classifiers": "params:audit.suspects.classifiers",
                },
                "audit.suspects.classified",
            ),
            step(
                nodes.collect_answers,
                ["audit.suspects.predictions", "audit.suspects.classified"],
                "audit.suspects.answers",
            ),
        ],
        tags="suspects",
    )
