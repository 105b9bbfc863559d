"""What a reviewer asks of an image set before believing a score on it."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.audit import nodes
from wbc_pipeline.pipelines.experiment import experiment_pipeline, precision_pipeline
from wbc_pipeline.pipelines.preprocessing import view_pipeline
from wbc_pipeline.pipelines.reporting.nodes import collect_predictions, collect_runs

TABLES = (
    "counts",
    "classes",
    "sizes",
    "refused_files",
    "measurements_by_group",
    "measurements_explained",
    "duplicate_images",
    "conflicts",
    "confounding",
    "background",
    "filename_groups",
)
FIGURES = (
    "counts_by_class",
    "mean_images",
    "measurement_distributions",
    "guesses",
    "duplicate_sheet",
    "conflict_sheet",
    "filename_sources",
    "leak_shares",
    "leak_price",
    "gap_heatmap",
)
JUDGED_TABLES = ("copies", "overlaps", "leaks", "price", "shared_files")
DRAWN_TABLES = (
    "counts",
    "duplicate_images",
    "conflicts",
    "background",
    "leaks",
    "metrics",
    "gap_counts",
)
RECOVERY_FIGURES = ("recovery_sheet", "overlap_sheet", "recovery_scores")
# In the order of the report.
SHOWN_TABLES = (
    "defects",
    "price",
    "leaks",
    "originals",
    "overlaps",
    "filename_groups",
    "conflicts",
    "duplicate_images",
    "shared_files",
    "classes",
    "counts",
    "confounding",
    "background",
    "measurements_explained",
    "measurements_by_group",
    "sizes",
    "refused_files",
    "gap_counts",
    "imbalance",
    "gaps",
    "runs",
)


def create_pipeline() -> Pipeline:
    """Measure images, look for leaks, price them with one small network, and report."""
    look = Pipeline(
        [
            node(
                nodes.measure_images,
                ["manifest", "images", "params:ingestion"],
                "measurements",
                name="measure_images",
            ),
            node(
                nodes.guess_classes,
                ["manifest", "images", "params:guess"],
                "guesses",
                name="guess_classes",
            ),
            node(
                nodes.split_for_audit,
                ["manifest", "params:compare", "params:splitting"],
                ["splits", "refused"],
                name="split_for_audit",
            ),
        ],
        namespace="audit",
        inputs={"manifest", "images"},
        parameters={
            "params:ingestion": "params:ingestion",
            "params:splitting": "params:splitting",
        },
        tags="audit",
    )
    price = [
        view_pipeline("audit", ["image"]),
        precision_pipeline("audit", reference="small"),
        experiment_pipeline("audit", "small", ["image"], splits="audit.splits"),
    ]
    return sum([look, *price, _report_pipeline()], Pipeline([]))


def _report_pipeline() -> Pipeline:
    figures = {name: f"{name}_figure" for name in (*FIGURES, *RECOVERY_FIGURES)}
    return Pipeline(
        [
            node(
                collect_predictions,
                {"splits": "splits", "chosen": "params:variants", "small": "small_predictions"},
                "predictions",
                name="collect_predictions",
            ),
            node(
                collect_runs,
                {"splits": "splits", "chosen": "params:variants", "small": "small_runs"},
                ["runs", "history", "paths"],
                name="collect_runs",
            ),
            node(
                nodes.trace_sources,
                ["manifest", "recovery"],
                ["copies", "originals", "overlaps"],
                name="trace_sources",
            ),
            node(
                nodes.describe_images,
                ["manifest", "duplicates", "measurements", "guesses"],
                {name: name for name in TABLES},
                name="describe_images",
            ),
            node(
                nodes.price_leaks,
                ["manifest", "splits", "predictions", "params:score"],
                ["leaks", "metrics", "price"],
                name="price_leaks",
            ),
            node(
                nodes.compare_data_sets,
                ["source", "manifest", "params:sources"],
                ["gap_counts", "imbalance", "gaps", "shared_files"],
                name="compare_data_sets",
            ),
            node(
                nodes.find_defects,
                {name: name for name in ("manifest", *TABLES, *JUDGED_TABLES)},
                "defects",
                name="find_defects",
            ),
            node(
                nodes.draw_figures,
                {
                    "manifest": "manifest",
                    "images": "images",
                    "measurements": "measurements",
                    **{name: name for name in DRAWN_TABLES},
                    "dataset": "params:dataset",
                },
                {name: figures[name] for name in FIGURES},
                name="draw_figures",
            ),
            node(
                nodes.draw_recovery,
                {
                    "source": "source",
                    "manifest": "manifest",
                    "copies": "copies",
                    "overlaps": "overlaps",
                    "dataset": "params:dataset",
                    "options": "params:ingestion",
                },
                {name: figures[name] for name in RECOVERY_FIGURES},
                name="draw_recovery",
            ),
            node(
                nodes.write_report,
                {
                    "dataset": "params:dataset",
                    "command": "command",
                    "splits": "splits",
                    "refused": "refused",
                    **{name: name for name in SHOWN_TABLES},
                    **figures,
                },
                "report",
                name="write_report",
            ),
        ],
        namespace="audit.report",
        inputs={
            **{name: name for name in ("source", "manifest", "images", "duplicates", "recovery")},
            **{name: f"audit.{name}" for name in ("splits", "refused", "measurements", "guesses")},
            "command": "command",
            "small_predictions": "audit.small.predictions",
            "small_runs": "audit.small.runs",
        },
        outputs={"predictions": "audit.predictions"},
        parameters={
            "params:variants": "params:variants",
            "params:dataset": "params:dataset",
            "params:ingestion": "params:ingestion",
            "params:sources": "params:sources",
            "params:score": "params:audit.score",
        },
        tags="reporting",
    )
