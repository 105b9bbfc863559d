"""Images to views of them, computed once."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.preprocessing.nodes import make_shifted_views, make_views


def create_pipeline() -> Pipeline:
    """Make every view that the parameters name under ``preprocessing``."""
    return view_pipeline("preprocessing")


def view_pipeline(group: str, *, shifted: bool = False) -> Pipeline:
    """Make the views that a group of parameters names.

    Parameters
    ----------
    group
        Name of the group.
    shifted
        Whether it says under ``shift`` what is done to the images of each part of a split, and
        under ``restorers`` what takes that out again.
    """
    if shifted:
        return Pipeline(
            [
                node(
                    make_shifted_views,
                    {
                        "images": "images",
                        "manifest": "manifest",
                        "chains": f"params:{group}.views",
                        "options": "params:preprocessing",
                        "shift": f"params:{group}.shift",
                        "dataset": "params:dataset",
                        "restorers": f"params:{group}.restorers",
                    },
                    f"{group}.views",
                    name="make_views",
                    namespace=f"{group}.preprocessing",
                )
            ],
            tags="preprocessing",
        )
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
