"""Who learns from which images, under each protocol."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.splitting.nodes import split_images


def create_pipeline() -> Pipeline:
    """Split the images under each protocol and seed; no source stands on two sides."""
    return Pipeline(
        [
            node(
                split_images,
                ["manifest", "params:protocols", "params:seeds", "params:splitting"],
                "splits",
                name="split_images",
            )
        ],
        namespace="splitting",
        inputs={"manifest"},
        outputs={"splits"},
        parameters={"params:protocols", "params:seeds", "params:splitting"},
        tags="splitting",
    )
