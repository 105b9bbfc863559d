"""Who learns from which images, under each protocol."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.splitting.nodes import collect_splits, deal_splits


def create_pipeline() -> Pipeline:
    """Split the images under each protocol and seed; no source stands on two sides."""
    return Pipeline(
        [
            node(
                deal_splits,
                ["manifest", "params:protocols", "params:seeds", "params:splitting"],
                "dealt_splits",
                name="deal_splits",
                namespace="splitting",
            ),
            node(
                collect_splits,
                ["dealt_splits", "manifest"],
                "splits",
                name="collect_splits",
                namespace="splitting",
            ),
        ],
        tags="splitting",
    )
