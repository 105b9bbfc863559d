"""Crops of white blood cells, found by colour."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.roi.nodes import compare_regions, crop_cells, flag_regions

SHARED = {"images", "manifest", "boxes"}


def create_pipeline() -> Pipeline:
    """Find the cell in every image, cut it out, and say how well that went."""
    crops = Pipeline(
        [
            node(
                crop_cells,
                ["images", "manifest", "params:roi", "params:preprocessing"],
                "views",
                name="crop_cells",
            ),
            node(flag_regions, ["manifest", "views"], "flagged_manifest", name="flag_regions"),
        ],
        namespace="roi",
        inputs=SHARED - {"boxes"},
        parameters={"params:roi", "params:preprocessing"},
        tags="roi",
    )
    report = Pipeline(
        [
            node(
                compare_regions,
                ["manifest", "boxes", "images", "views", "params:roi"],
                ["summary", "overlaps"],
                name="compare_regions",
            )
        ],
        namespace="roi.report",
        inputs={**{name: name for name in SHARED}, "views": "roi.views"},
        parameters={"params:roi": "params:roi"},
        tags="roi",
    )
    return crops + report
