"""Raw files to one manifest and one array."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.ingestion.nodes import (
    build_manifest,
    find_duplicates,
    list_boxes,
    list_images,
    pack_images,
    recover_sources,
)

MANIFEST_INPUTS = ("source", "listing", "images", "duplicates", "recovery")


def create_pipeline() -> Pipeline:
    """List the raw images, decode them once, and say what each shows or why it was refused."""
    return Pipeline(
        [
            node(list_images, ["source", "params:sources"], "listing", name="list_images"),
            node(pack_images, ["listing", "params:ingestion"], "images", name="pack_images"),
            node(
                find_duplicates,
                ["source", "images", "params:ingestion"],
                "duplicates",
                name="find_duplicates",
            ),
            node(
                recover_sources,
                ["source", "listing", "images", "params:ingestion"],
                "recovery",
                name="recover_sources",
            ),
            node(
                build_manifest,
                {
                    **{name: name for name in MANIFEST_INPUTS},
                    "options": "params:ingestion",
                },
                "manifest",
                name="build_manifest",
            ),
            node(list_boxes, ["source", "manifest"], ["boxes", "rejects"], name="list_boxes"),
        ],
        namespace="ingestion",
        inputs={"source"},
        outputs={"images", "duplicates", "recovery", "boxes", "manifest", "rejects"},
        parameters={"params:sources", "params:ingestion"},
        tags="ingestion",
    )
