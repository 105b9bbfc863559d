"""The separable paper: three kinds of convolutions on violet crops."""

from wbc_pipeline.pipelines.paper import Paper
from wbc_pipeline.pipelines.reporting.nodes import list_other_methods
from wbc_pipeline.pipelines.separable import nodes
from wbc_pipeline.pipelines.separable.options import SeparableOptions

PAPER = Paper(
    "separable",
    options=SeparableOptions,
    own_nodes=(
        nodes.examine_sources,
        list_other_methods,
        nodes.describe_layers,
        nodes.draw_stages,
    ),
)
