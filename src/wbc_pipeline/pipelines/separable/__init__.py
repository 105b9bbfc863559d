"""The separable paper: three kinds of convolutions on violet crops."""

from wbc_pipeline.pipelines.paper import Paper
from wbc_pipeline.pipelines.separable import nodes
from wbc_pipeline.pipelines.separable.options import SeparableOptions

PAPER = Paper(
    "separable",
    options=SeparableOptions,
    own_nodes=(
        nodes.examine_sources,
        nodes.list_literature,
        nodes.describe_layers,
        nodes.draw_stages,
    ),
)
