"""The localization paper: cells found by colour and by detectors, classified whole and cut out."""

from wbc_pipeline.pipelines.localize import nodes
from wbc_pipeline.pipelines.localize.options import LocalizeOptions
from wbc_pipeline.pipelines.localize.pipeline import OWN_INPUTS, create_pipeline
from wbc_pipeline.pipelines.paper import Paper
from wbc_pipeline.pipelines.reporting.nodes import lay_tables_beside, list_other_methods

PAPER = Paper(
    "localize",
    options=LocalizeOptions,
    own_nodes=(
        nodes.report_localization,
        nodes.compare_whole_with_region,
        lay_tables_beside,
        list_other_methods,
    ),
    own_inputs=OWN_INPUTS,
    own_pipeline=create_pipeline,
    cuts=True,
)
