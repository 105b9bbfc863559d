"""Images to views of them, computed once."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.preprocessing.nodes import make_views


def create_pipeline() -> Pipeline:
    """Make every view that the parameters name under ``preprocessing``."""
    return view_pipeline("preprocessing")


def view_pipeline(group: str) -> Pipeline:
    """Make the views that a group of parameters names."""
    return Pipeline(
        [
            node(
                make_views,
                ["images", "manifest", f"params:{group}.views", "params:preprocessing"],
                f"{group}.views",
                name="make_views",
                namespace=f"{group}.preprocessing",
            )
        ],
        tags="preprocessing",
    )
