"""What a reviewer asks of an image set before believing a score on it."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.audit import nodes, tracing
from wbc_pipeline.pipelines.experiment.pipeline import experiment_pipeline
from wbc_pipeline.pipelines.preprocessing.pipeline import view_pipeline
from wbc_pipeline.pipelines.suspects import nodes as suspects
from wbc_pipeline.pipelines.suspects import pipeline as suspects_pipeline

JUDGED = (
    "price_leaks",
    "judge_labels",
    "trace_sources",
    "compare_images",
    "shared_files",
    "describe_images",
)
IN_ORDER = ("find_defects", *JUDGED, "compare_data_sets")  # of the report


def create_pipeline() -> Pipeline:
    """Measure images, look for leaks and suspect labels, price leaks, and report."""
    stages = [
        _inspection_pipeline(),
        view_pipeline("audit"),
        experiment_pipeline("audit", splits="audit.splits", chosen=None),
        suspects_pipeline.create_pipeline(),
        _report_pipeline(),
    ]
    return sum(stages, Pipeline([]))


def _inspection_pipeline() -> Pipeline:
    def step(func, inputs, outputs):
        return node(func, inputs, outputs, name=func.__name__, namespace="audit.inspection")

    return Pipeline(
        [
            step(nodes.measure_images, ["manifest", "images"], "audit.measurements"),
            step(
                nodes.guess_classes, ["manifest", "images", "params:audit.guess"], "audit.guesses"
            ),
            step(
                nodes.split_for_audit,
                ["manifest", "params:audit.compare", "params:splitting"],
                ["audit.splits", "audit.report.refused_protocols"],
            ),
            step(
                tracing.pin_sources,
                ["manifest", "recovery", "params:splitting", "params:audit.pin"],
                ["audit.pinned_sources", "audit.pinned_overlaps"],
            ),
        ],
        tags="audit",
    )


def _report_pipeline() -> Pipeline:
    def step(func, inputs, outputs):
        return node(func, inputs, outputs, name=func.__name__, namespace="audit.report")

    def items(name):
        return f"audit.report.{name}_items"

    return Pipeline(
        [
            step(
                nodes.price_leaks,
                {
                    "manifest": "manifest",
                    "splits": "audit.splits",
                    "predictions": "audit.predictions",
                    "options": "params:audit.score",
                    "dataset": "params:dataset",
                },
                ["audit.report.metrics", items("price_leaks")],
            ),
            step(
                suspects.judge_labels,
                {
                    "manifest": "manifest",
                    "views": "audit.suspects.views",
                    "described": "params:audit.suspects.described",
                    "splits": "audit.suspects.splits",
                    "left_out": "audit.suspects.left_out",
                    "answers": "audit.suspects.answers",
                    "options": "params:audit.suspects.score",
                    "dataset": "params:dataset",
                },
                ["audit.report.judged_cells", items("judge_labels")],
            ),
            step(
                tracing.trace_sources,
                ["source", "manifest", "images", "recovery", "params:dataset"],
                ["audit.report.copies", items("trace_sources")],
            ),
            step(
                nodes.compare_images,
                ["manifest", "images", "duplicates", "params:dataset"],
                items("compare_images"),
            ),
            step(
                nodes.describe_images,
                {
                    "manifest": "manifest",
                    "images": "images",
                    "measurements": "audit.measurements",
                    "guesses": "audit.guesses",
                    "dataset": "params:dataset",
                },
                items("describe_images"),
            ),
            step(
                nodes.compare_data_sets,
                ["source", "manifest", "params:sources", "params:dataset"],
                [items("shared_files"), items("compare_data_sets")],
            ),
            step(
                nodes.find_defects,
                {
                    "manifest": "manifest",
                    "copies": "audit.report.copies",
                    **{name: items(name) for name in JUDGED},
                },
                items("find_defects"),
            ),
            step(
                nodes.write_report,
                {
                    "dataset": "params:dataset",
                    "command": "command",
                    "splits": "audit.splits",
                    "refused": "audit.report.refused_protocols",
                    "runs": "audit.report.runs",
                    **{name: items(name) for name in IN_ORDER},
                },
                "audit.report.report",
            ),
        ],
        tags=["audit", "reporting"],
    )
