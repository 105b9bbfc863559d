"""From predictions to tables, figures and the report."""

from collections.abc import Iterable, Mapping

from kedro.pipeline import Node, Pipeline, node

from wbc_pipeline.pipelines.reporting import nodes

FIGURES = (
    "samples_per_class",
    "score_intervals",
    "training_curves",
    "confusion_matrices",
    "reliability_diagram",
    "loss_by_outcome",
    "inference_time",
)
CHARTS = ("scores_chart", "curves_chart")
# What the paper's robustness pipeline makes for its report.
ROBUSTNESS_TABLES = ("robustness_by_amount", "robustness_area")
ROBUSTNESS_FIGURES = ("robustness_curves", "degraded_sheet")
TABLES = ("metrics", "per_class", "calibration", "runs", "published", "paired")


def report_pipeline(
    paper: str,
    variants: Iterable[str],
    *,
    views: Iterable[str],
    tables: Iterable[str] = (),
    figures: Iterable[str] = (),
    own_nodes: Iterable[Node] = (),
    own_inputs: Mapping[str, str] | None = None,
    own_parameters: Iterable[str] = (),
) -> Pipeline:
    """Score, compare and report what the variants predicted.

    Parameters
    ----------
    paper
        Its name, and that of its namespace.
    variants
        The first is the one that others are compared with.
    views
        Names of the paper's views that ``own_nodes`` take.
    tables
        Names of further tables, which ``own_nodes`` make.
    figures
        Names of further figures: ``own_nodes`` draw them as ``<name>_figure``.
    own_nodes
        The paper's own nodes. They see all of this pipeline's tables, the views by name, and
        the trainings as ``<variant>_runs``.
    own_inputs
        What they take beside these: by its name among them, the name of the dataset.
    own_parameters
        Names below the paper's that they take.
    """
    variants = tuple(variants)
    predictions = {variant: f"{variant}_predictions" for variant in variants}
    runs = {variant: f"{variant}_runs" for variant in variants}
    drawn = {name: f"{name}_figure" for name in FIGURES} | {name: name for name in CHARTS}
    shown = {name: f"{name}_figure" for name in (*FIGURES, *ROBUSTNESS_FIGURES, *figures)}
    return Pipeline(
        [
            node(
                nodes.collect_predictions,
                {"splits": "splits", "chosen": "params:variants", **predictions},
                "predictions",
                name="collect_predictions",
            ),
            node(
                nodes.collect_runs,
                {"splits": "splits", "chosen": "params:variants", **runs},
                ["runs", "history", "paths"],
                name="collect_runs",
            ),
            node(
                nodes.score_runs,
                ["predictions", "params:score"],
                ["metrics", "per_class", "reliability", "calibration"],
                name="score_runs",
            ),
            node(
                nodes.compare_with_paper,
                ["predictions", "runs", "params:published", "params:paper", "params:score"],
                ["published", "paired"],
                name="compare_with_paper",
            ),
            node(
                nodes.draw_figures,
                {
                    "manifest": "manifest",
                    "predictions": "predictions",
                    "metrics": "metrics",
                    "history": "history",
                    "runs": "runs",
                    "published": "params:published",
                    "dataset": "params:dataset",
                    "options": "params:score",
                },
                drawn,
                name="draw_figures",
            ),
            node(
                nodes.draw_run_figures,
                ["predictions", "params:dataset"],
                "run_figures",
                name="draw_run_figures",
            ),
            node(
                nodes.write_report,
                {
                    "dataset": "params:dataset",
                    "command": "command",
                    "paper": "params:paper",
                    "printed": "params:published",
                    "splits": "splits",
                    **{name: name for name in (*TABLES, *ROBUSTNESS_TABLES, *tables)},
                    **shown,
                },
                "report",
                name="write_report",
            ),
            *own_nodes,
        ],
        namespace=f"{paper}.report",
        inputs={
            "manifest": "manifest",
            "splits": "splits",
            "command": "command",
            **{name: f"{paper}.{variant}.predictions" for variant, name in predictions.items()},
            **{name: f"{paper}.{variant}.runs" for variant, name in runs.items()},
            **({view: f"{paper}.views.{view}" for view in views} if own_nodes else {}),
            **(own_inputs or {}),
        },
        outputs={"predictions": f"{paper}.predictions"},
        parameters={
            "params:dataset": "params:dataset",
            "params:variants": "params:variants",
            **{
                f"params:{name}": f"params:{paper}.{name}"
                for name in ("score", "published", "paper", *own_parameters)
            },
        },
        tags="reporting",
    )
