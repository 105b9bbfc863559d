"""The saliency paper: SG-CLDFF, masks and classes that are to hold across stains."""

from wbc_pipeline.pipelines.paper import Paper
from wbc_pipeline.pipelines.saliency import nodes
from wbc_pipeline.pipelines.saliency.options import SaliencyOptions

PAPER = Paper(
    "saliency",
    options=SaliencyOptions,
    own_nodes=(
        nodes.judge_hypotheses,
        nodes.list_printed,
        nodes.draw_masks_and_attention,
        nodes.measure_attention,
    ),
)
