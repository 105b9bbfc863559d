"""How good the image library is, measured on annotated images."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.localize.nodes import list_true_boxes
from wbc_pipeline.pipelines.quality import nodes

IN_ORDER = ("list_parts", "report_boxes", "report_masks", "report_restoration")  # of the report


def create_pipeline() -> Pipeline:
    """Find masks and boxes, restore degraded images, and compare with annotations."""
    return _measuring_pipeline() + _report_pipeline()


def _measuring_pipeline() -> Pipeline:
    def step(func, inputs, output):
        return node(func, inputs, output, name=func.__name__, namespace="quality.measuring")

    boxes = "params:quality.boxes"
    return Pipeline(
        [
            step(
                nodes.try_masks,
                ["manifest", "images", "params:quality.masks"],
                "quality.mask_results",
            ),
            step(list_true_boxes, ["manifest", "boxes", "images", boxes], "quality.true_boxes"),
            step(
                nodes.try_regions,
                ["manifest", "quality.true_boxes", "images", boxes],
                "quality.box_results",
            ),
            step(
                nodes.restore_images,
                ["manifest", "images", "params:quality.restoration", "params:dataset"],
                "quality.restoration_results",
            ),
        ],
        tags="quality",
    )


def _report_pipeline() -> Pipeline:
    shared = {
        "manifest": "manifest",
        "images": "images",
        "options": "params:quality",
        "dataset": "params:dataset",
    }
    items = {name: f"quality.report.{name}_items" for name in IN_ORDER}
    truth = {"truth": "quality.true_boxes"}

    def step(func, inputs, outputs):
        return node(func, inputs, outputs, name=func.__name__, namespace="quality.report")

    return Pipeline(
        [
            step(nodes.list_parts, shared | truth | {"boxes": "boxes"}, items["list_parts"]),
            step(
                nodes.report_boxes,
                shared | truth | {"results": "quality.box_results"},
                ["quality.box_tests", items["report_boxes"]],
            ),
            step(
                nodes.report_masks,
                shared | {"results": "quality.mask_results"},
                ["quality.mask_tests", items["report_masks"]],
            ),
            step(
                nodes.report_restoration,
                shared | {"results": "quality.restoration_results"},
                ["quality.report.restoration", items["report_restoration"]],
            ),
            step(
                nodes.write_report,
                {"dataset": "params:dataset", "command": "command", **items},
                "quality.report.report",
            ),
        ],
        tags=["quality", "reporting"],
    )
