"""How good the image library is, measured on annotated images."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.quality import nodes

SHARED = {"manifest", "boxes", "images"}
PARTS = ("mask", "box", "restoration")
GROUPS = ("masks", "boxes", "restoration", "interval")  # of the parameters
MASK_FIGURES = ("mask_scores", "nucleus_masks", "cell_masks")
BOX_FIGURES = ("iou_histogram", "box_overlays")
RESTORATION_FIGURES = ("psnr_gain", "nucleus_dice", "restoration_sheet")
FIGURES = (*BOX_FIGURES, *MASK_FIGURES, *RESTORATION_FIGURES)  # in the order of the report
TABLES = ("parts", "box_quality", "masks_compared", "mask_quality", "best_restoration")


def create_pipeline() -> Pipeline:
    """Find masks and boxes, restore degraded images, and compare with annotations."""
    measure = Pipeline(
        [
            node(
                nodes.try_masks,
                ["manifest", "images", "params:masks"],
                "mask_results",
                name="try_masks",
            ),
            node(
                nodes.list_true_boxes,
                ["manifest", "boxes", "images", "params:boxes"],
                "true_boxes",
                name="list_true_boxes",
            ),
            node(
                nodes.try_regions,
                ["manifest", "true_boxes", "images", "params:boxes"],
                "box_results",
                name="try_regions",
            ),
            node(
                nodes.restore_images,
                ["manifest", "images", "params:restoration", "params:dataset"],
                "restoration_results",
                name="restore_images",
            ),
        ],
        namespace="quality",
        inputs=SHARED,
        parameters={"params:dataset"},
        tags="quality",
    )
    return measure + _report_pipeline()


def _report_pipeline() -> Pipeline:
    figures = {name: f"{name}_figure" for name in FIGURES}
    return Pipeline(
        [
            node(
                nodes.list_parts,
                {
                    **{name: name for name in (*SHARED, "truth")},
                    "options": "params:boxes",
                    "restoration": "params:restoration",
                    "dataset": "params:dataset",
                },
                "parts",
                name="list_parts",
            ),
            node(
                nodes.tune_masks,
                ["manifest", "mask_results", "params:masks", "params:interval", "params:dataset"],
                ["mask_tests", "mask_quality", "masks_compared"],
                name="tune_masks",
            ),
            node(
                nodes.tune_regions,
                {
                    "manifest": "manifest",
                    "truth": "truth",
                    "results": "box_results",
                    "options": "params:boxes",
                    "interval": "params:interval",
                    "dataset": "params:dataset",
                },
                ["box_tests", "box_quality"],
                name="tune_regions",
            ),
            node(
                nodes.summarise_restoration,
                ["restoration_results", "params:restoration"],
                ["restoration", "best_restoration"],
                name="summarise_restoration",
            ),
            node(
                nodes.draw_masks,
                {
                    "manifest": "manifest",
                    "images": "images",
                    "tests": "mask_tests",
                    "compared": "masks_compared",
                    "options": "params:masks",
                    "dataset": "params:dataset",
                },
                {name: figures[name] for name in MASK_FIGURES},
                name="draw_masks",
            ),
            node(
                nodes.draw_boxes,
                {
                    "images": "images",
                    "manifest": "manifest",
                    "truth": "truth",
                    "tests": "box_tests",
                    "options": "params:boxes",
                    "dataset": "params:dataset",
                },
                {name: figures[name] for name in BOX_FIGURES},
                name="draw_boxes",
            ),
            node(
                nodes.draw_restoration,
                ["images", "manifest", "restoration", "params:restoration", "params:dataset"],
                {name: figures[name] for name in RESTORATION_FIGURES},
                name="draw_restoration",
            ),
            node(
                nodes.write_report,
                {
                    "dataset": "params:dataset",
                    "command": "command",
                    **{name: name for name in TABLES},
                    **figures,
                },
                "report",
                name="write_report",
            ),
        ],
        namespace="quality.report",
        inputs={
            **{name: name for name in SHARED},
            "command": "command",
            "truth": "quality.true_boxes",
            **{f"{part}_results": f"quality.{part}_results" for part in PARTS},
        },
        outputs={name: f"quality.{name}" for name in ("mask_tests", "box_tests")},
        parameters={
            "params:dataset": "params:dataset",
            **{f"params:{group}": f"params:quality.{group}" for group in GROUPS},
        },
        tags=["quality", "reporting"],
    )
