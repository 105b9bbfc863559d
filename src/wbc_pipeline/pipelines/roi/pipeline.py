"""Crops of white blood cells, found by colour."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.preprocessing.pipeline import view_pipeline
from wbc_pipeline.pipelines.roi.nodes import compare_regions, flag_regions


def create_pipeline() -> Pipeline:
    """Find the cell in every image, cut it out, and say how well that went."""
    report = [
        node(
            flag_regions,
            ["manifest", "roi.views"],
            "roi.flagged_manifest",
            name="flag_regions",
            namespace="roi.report",
        ),
        node(
            compare_regions,
            ["manifest", "boxes", "images", "roi.views", "params:roi"],
            ["roi.report.summary", "roi.report.overlaps"],
            name="compare_regions",
            namespace="roi.report",
        ),
    ]
    return view_pipeline("roi") + Pipeline(report, tags="roi")
