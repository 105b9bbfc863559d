"""Images to views of them, computed once."""

from collections.abc import Iterable

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.preprocessing.nodes import make_view


def view_pipeline(paper: str, views: Iterable[str]) -> Pipeline:
    """Apply each view's chain of steps, from the paper's parameters, to the packed images."""
    return Pipeline(
        [
            node(make_view, ["images", f"params:{view}"], view, name=f"make_{view}")
            for view in views
        ],
        namespace=f"{paper}.views",
        inputs={"images"},
        tags="preprocessing",
    )
