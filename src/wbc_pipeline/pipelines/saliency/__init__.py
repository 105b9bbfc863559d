"""The saliency paper: SG-CLDFF, masks and classes that are to hold across stains."""

from wbc_pipeline.pipelines.paper import Paper
from wbc_pipeline.pipelines.saliency import drawing, nodes
from wbc_pipeline.pipelines.saliency.options import SaliencyOptions

PAPER = Paper(
    "saliency",
    options=SaliencyOptions,
    own_nodes=(
        nodes.judge_hypotheses,
        nodes.list_printed,
        drawing.draw_segmentation,
        nodes.measure_attention,
    ),
)
