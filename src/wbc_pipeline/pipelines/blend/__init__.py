"""The blend paper: a CNN fed by a learned mix of the image and its segmented foreground."""

from wbc_pipeline.pipelines.blend.nodes import (
    compare_sizes,
    draw_gallery,
    draw_paths,
    list_other_models,
)
from wbc_pipeline.pipelines.paper import Paper

PAPER = Paper("blend", own_nodes=(draw_gallery, draw_paths, compare_sizes, list_other_models))
