"""Lists results that no current parameters ask for, and removes them on demand."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.prune.nodes import list_unasked


def create_pipeline() -> Pipeline:
    """List what may go, and let it go with ``apply=true``."""
    return Pipeline(
        [
            node(
                list_unasked,
                ["prune.plan", "params:apply"],
                ["prune.unasked", "prune.removed"],
                name="list_unasked",
                namespace="prune",
            )
        ],
        tags="prune",
    )
