"""Raw files to one manifest and one array."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.ingestion.nodes import (
    build_manifest,
    find_duplicates,
    list_images,
    pack_images,
)


def create_pipeline() -> Pipeline:
    """List the raw images, decode them once, and say what each shows or why it was refused."""
    return Pipeline(
        [
            node(list_images, ["source", "params:sources"], "listing", name="list_images"),
            node(pack_images, ["listing", "params:ingestion"], "images", name="pack_images"),
            node(
                find_duplicates,
                ["images", "params:ingestion"],
                "duplicates",
                name="find_duplicates",
            ),
            node(
                build_manifest,
                ["source", "listing", "images", "duplicates", "params:ingestion"],
                ["manifest", "rejects"],
                name="build_manifest",
            ),
        ],
        namespace="ingestion",
        inputs={"source"},
        outputs={"images", "duplicates", "manifest", "rejects"},
        parameters={"params:sources", "params:ingestion"},
        tags="ingestion",
    )
