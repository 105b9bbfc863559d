"""Images to views of them, computed once."""

from collections.abc import Iterable

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.preprocessing.nodes import make_view, make_views


def create_pipeline() -> Pipeline:
    """Make every view that the parameters name under ``preprocessing``."""
    return Pipeline(
        [
            node(
                make_views,
                ["images", "manifest", "params:preprocessing"],
                "views",
                name="make_views",
            )
        ],
        namespace="preprocessing",
        inputs={"images", "manifest"},
        parameters={"params:preprocessing"},
        tags="preprocessing",
    )


def view_pipeline(paper: str, views: Iterable[str]) -> Pipeline:
    """Apply each view's chain of steps, from the paper's parameters."""
    return Pipeline(
        [
            node(
                make_view,
                ["images", "manifest", f"params:{view}", "params:preprocessing"],
                view,
                name=f"make_{view}",
            )
            for view in views
        ],
        namespace=f"{paper}.views",
        inputs={"images", "manifest"},
        parameters={"params:preprocessing"},
        tags="preprocessing",
    )
