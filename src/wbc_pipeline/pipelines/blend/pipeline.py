"""The blend paper: a CNN fed by a learned mix of the image and its segmented foreground."""

from kedro.pipeline import Node, Pipeline, node

from wbc_pipeline.pipelines.blend.nodes import draw_gallery, draw_paths
from wbc_pipeline.pipelines.experiment import experiment_pipeline, precision_pipeline
from wbc_pipeline.pipelines.preprocessing import view_pipeline
from wbc_pipeline.pipelines.reporting import report_pipeline
from wbc_pipeline.pipelines.robustness import robustness_pipeline

VIEWS = ("image", "foreground")
VARIANTS = ("normal", "blend", "learnable_canny", "soft_mask", "adaptive_blend")
FIGURES = ("parameter_paths", "canny_instability", "gallery")


def create_pipeline() -> Pipeline:
    """Train a normal CNN and CNNs fed by a blend of image and foreground, and compare them."""
    views = view_pipeline("blend", VIEWS)
    precision = precision_pipeline("blend", reference="normal")
    runs = [experiment_pipeline("blend", variant, VIEWS) for variant in VARIANTS]
    robustness = robustness_pipeline("blend", VARIANTS, VIEWS)
    report = report_pipeline(
        "blend", VARIANTS, views=VIEWS, figures=FIGURES, own_nodes=_figure_nodes()
    )
    return sum([views, precision, *runs, robustness, report], Pipeline([]))


def _figure_nodes() -> list[Node]:
    blended = [variant for variant in VARIANTS if variant != "normal"]
    return [
        node(
            draw_paths,
            ["paths", "runs", "params:dataset"],
            ["parameter_paths_figure", "canny_instability_figure"],
            name="draw_paths",
        ),
        node(
            draw_gallery,
            {
                "manifest": "manifest",
                "splits": "splits",
                "dataset": "params:dataset",
                "trainings": "runs",
                **{view: view for view in VIEWS},
                **{variant: f"{variant}_runs" for variant in blended},
            },
            "gallery_figure",
            name="draw_gallery",
        ),
    ]
