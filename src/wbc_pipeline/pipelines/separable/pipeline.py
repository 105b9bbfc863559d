"""The separable paper: ordinary, spatially separable and depthwise separable convolutions."""

from kedro.pipeline import Node, Pipeline, node

from wbc_pipeline.pipelines.experiment import experiment_pipeline, precision_pipeline
from wbc_pipeline.pipelines.preprocessing import view_pipeline
from wbc_pipeline.pipelines.reporting import report_pipeline
from wbc_pipeline.pipelines.robustness import robustness_pipeline
from wbc_pipeline.pipelines.separable import nodes

VIEWS = ("image", "cell")
VARIANTS = (
    "mixed",
    "batch_norm",
    "leaky_relu",
    "relu",
    "swish",
    "equal_16",
    "equal_32",
    "equal_64",
    "equal_128",
    "compact",
)
TABLES = ("protocols", "recalls", "literature", "layers", "by_source")
FIGURES = ("accuracy_by_protocol", "roc_curves", "hardest_sources")


def create_pipeline() -> Pipeline:
    """Train the paper's network, its ablation and a network of our own on crops, and compare."""
    views = view_pipeline("separable", VIEWS)
    precision = precision_pipeline("separable", reference="mixed")
    runs = [experiment_pipeline("separable", variant, VIEWS) for variant in VARIANTS]
    robustness = robustness_pipeline("separable", VARIANTS, VIEWS)
    report = report_pipeline(
        "separable",
        VARIANTS,
        views=["image"],
        tables=TABLES,
        figures=(*FIGURES, "preprocessing_stages"),
        own_nodes=_own_nodes(),
        own_parameters=("recalls", "literature", "layers", "shown", "variants.mixed"),
    )
    return sum([views, precision, *runs, robustness, report], Pipeline([]))


def _own_nodes() -> list[Node]:
    return [
        node(
            nodes.describe_layers,
            ["params:variants.mixed", "params:layers", "params:paper", "image"],
            "layers",
            name="describe_layers",
        ),
        node(
            nodes.list_literature,
            ["metrics", "params:literature"],
            "literature",
            name="list_literature",
        ),
        node(
            nodes.examine_sources,
            ["manifest", "predictions", "params:recalls", "params:score"],
            ["protocols", "recalls", "by_source"],
            name="examine_sources",
        ),
        node(
            nodes.draw_figures,
            {
                **{
                    name: name
                    for name in ("manifest", "predictions", "protocols", "by_source", "image")
                },
                "published": "params:published",
                "shown": "params:shown",
                "dataset": "params:dataset",
            },
            {name: f"{name}_figure" for name in FIGURES},
            name="draw_separable_figures",
        ),
        node(
            nodes.draw_stages,
            ["manifest", "image", "params:dataset"],
            "preprocessing_stages_figure",
            name="draw_stages",
        ),
    ]
