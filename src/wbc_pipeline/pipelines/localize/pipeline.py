"""The localization paper: cells found by colour and by detectors, classified whole and cut out."""

from kedro.pipeline import Node, Pipeline, node

from wbc_pipeline.pipelines.experiment import experiment_pipeline, precision_pipeline
from wbc_pipeline.pipelines.localize import nodes
from wbc_pipeline.pipelines.preprocessing import view_pipeline
from wbc_pipeline.pipelines.reporting import report_pipeline
from wbc_pipeline.pipelines.robustness import robustness_pipeline

VIEWS = ("image", "roi")
VARIANTS = (
    *(variant for pair in nodes.PAIRS.values() for variant in pair),
    "custom_2_roi_noise",
    "compact_roi",
    "compact_roi_noise",
)
FOUND = ("truth", "annotated", "detectors", "detections", "colour_regions")  # of the localization
TABLES = ("localization", "matches", "trained_detectors", "whole_and_region")
FIGURES = ("iou_histograms", "detection_overlays", "worst_ten")


def create_pipeline() -> Pipeline:
    """Find cells, classify them whole and cut out, add noise, and report it all."""
    views = view_pipeline("localize", VIEWS)
    precision = precision_pipeline("localize", reference="custom_2_whole")
    runs = [experiment_pipeline("localize", variant, VIEWS) for variant in VARIANTS]
    robustness = robustness_pipeline("localize", VARIANTS, VIEWS)
    report = report_pipeline(
        "localize",
        VARIANTS,
        views=(),
        tables=TABLES,
        figures=FIGURES,
        own_nodes=_own_nodes(),
        own_inputs={
            "images": "images",
            **{name: f"localize.localization.{name}" for name in FOUND},
        },
        own_parameters=("localization",),
    )
    return sum(
        [_localization_pipeline(), views, precision, *runs, robustness, report], Pipeline([])
    )


def _localization_pipeline() -> Pipeline:
    options = "params:localize.localization"
    return Pipeline(
        [
            node(
                nodes.list_true_boxes,
                ["manifest", "boxes", "images", options],
                "truth",
                name="list_true_boxes",
            ),
            node(
                nodes.split_annotated,
                ["manifest", "boxes", "truth", options, "params:seeds"],
                "annotated",
                name="split_annotated",
            ),
            node(
                nodes.make_frames,
                ["images", "manifest", "annotated", options, "params:preprocessing"],
                "frames",
                name="make_frames",
                tags="preprocessing",
            ),
            node(
                nodes.train_detectors,
                {
                    **{name: name for name in ("manifest", "truth", "annotated", "frames")},
                    "options": options,
                    "dataset": "params:dataset",
                    "device": "params:device",
                },
                "detectors",
                name="train_detectors",
                tags="training",
            ),
            node(
                nodes.detect_cells,
                {
                    **{name: name for name in ("manifest", "annotated", "frames", "detectors")},
                    "options": options,
                    "device": "params:device",
                },
                "detections",
                name="detect_cells",
                tags="prediction",
            ),
            node(
                nodes.find_by_colour,
                ["manifest", "annotated", "images", options],
                "colour_regions",
                name="find_by_colour",
            ),
        ],
        namespace="localize.localization",
        inputs={"manifest", "boxes", "images"},
        parameters={
            options,
            "params:preprocessing",
            "params:dataset",
            "params:device",
            "params:seeds",
        },
    )


def _own_nodes() -> list[Node]:
    return [
        node(
            nodes.score_localization,
            {
                "manifest": "manifest",
                **{name: name for name in FOUND if name != "detectors"},
                "options": "params:localization",
                "score": "params:score",
            },
            ["overlaps", "localization", "matches"],
            name="score_localization",
        ),
        node(
            nodes.list_detectors,
            ["detectors", "annotated", "params:localization"],
            "trained_detectors",
            name="list_detectors",
        ),
        node(
            nodes.draw_localization,
            {
                **{name: name for name in ("manifest", "images", "truth", "overlaps")},
                "options": "params:localization",
                "paper": "params:paper",
                "dataset": "params:dataset",
            },
            {name: f"{name}_figure" for name in FIGURES},
            name="draw_localization",
        ),
        node(
            nodes.compare_whole_with_region,
            ["predictions", "params:published", "params:score"],
            "whole_and_region",
            name="compare_whole_with_region",
        ),
    ]
