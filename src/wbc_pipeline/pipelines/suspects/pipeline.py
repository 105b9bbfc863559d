"""Networks on pixels and classifiers of features, cross-validated by source."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.experiment.pipeline import experiment_pipeline
from wbc_pipeline.pipelines.preprocessing.pipeline import view_pipeline
from wbc_pipeline.pipelines.suspects import nodes


def create_pipeline() -> Pipeline:
    """Deal folds, train networks and classifiers on them, and collect their answers."""
    stages = [
        _folds_pipeline(),
        view_pipeline("suspects"),
        experiment_pipeline("suspects", splits="suspects.splits", chosen=None),
        _classifier_pipeline(),
    ]
    return sum(stages, Pipeline([]))


def _folds_pipeline() -> Pipeline:
    return Pipeline(
        [
            node(
                nodes.deal_folds,
                ["manifest", "params:suspects.split", "params:splitting"],
                ["suspects.splits", "suspects.left_out"],
                name="deal_folds",
                namespace="suspects.splitting",
                tags="suspects",
            )
        ]
    )


def _classifier_pipeline() -> Pipeline:
    def step(func, inputs, outputs):
        return node(func, inputs, outputs, name=func.__name__, namespace="suspects.classification")

    return Pipeline(
        [
            step(
                nodes.describe_cells,
                ["manifest", "suspects.splits", "suspects.views", "params:suspects.described"],
                "suspects.features",
            ),
            step(
                nodes.classify,
                {
                    "manifest": "manifest",
                    "splits": "suspects.splits",
                    "features": "suspects.features",
                    "classifiers": "params:suspects.classifiers",
                },
                "suspects.classified",
            ),
            step(
                nodes.collect_answers,
                ["suspects.predictions", "suspects.classified"],
                "suspects.answers",
            ),
        ],
        tags="suspects",
    )
