"""From predictions to tables, figures and the report."""

import inspect
from collections.abc import Callable, Iterable, Mapping

from kedro.pipeline import Node, Pipeline, node

from wbc_pipeline.pipelines.experiment.confidences import list_confidences
from wbc_pipeline.pipelines.reporting import nodes

SHARED_ITEMS = (
    "judge_paper",
    "check_printed",
    "compare_with_paper",
    "list_ensembles",
    "score_runs",
    "score_abstention",
    "list_confidences",
    "explore_mistakes",
)
ROBUSTNESS_ITEMS = ("score_robustness", "draw_robustness")
CHARTS = ("scores_chart", "curves_chart", "robustness_chart")
SUBMISSION_ITEMS = ("write_submissions",)


def report_pipeline(
    paper: str,
    *,
    groups: Iterable[str],
    own_nodes: Iterable[Callable] = (),
    own_inputs: Mapping[str, str] | None = None,
) -> Pipeline:
    """Score, compare and report what the variants predicted.

    Parameters
    ----------
    paper
        Its name, and that of its group of parameters.
    groups
        Names of the groups of its parameters.
    own_nodes
        The paper's own functions. Each gives a dictionary of tables and figures, which the report
        shows among those that all papers have; see `own_node`.
    own_inputs
        Further names of arguments, and the datasets that they stand for.
    """
    report = f"{paper}.report"
    options = {
        name: f"params:{paper}.{name}" for name in ("paper", "printed", "published", "score")
    }
    named = {
        **{name: f"params:{paper}.{name}" for name in groups},
        **{name: name for name in ("manifest", "splits", "images")},
        **{name: f"{paper}.{name}" for name in ("views", "restored", "trainings", "predictions")},
        "dataset": "params:dataset",
        **(own_inputs or {}),
    }
    own = [own_node(paper, function, named) for function in own_nodes]
    items = [
        *(f"{report}.{name}_items" for name in SHARED_ITEMS),
        *(output for each in own for output in each.outputs),
        *(
            f"{report}.{name}_items"
            for name in (*ROBUSTNESS_ITEMS, *SUBMISSION_ITEMS, "draw_figures")
        ),
    ]

    def step(func, inputs, outputs):
        return node(func, inputs, outputs, name=func.__name__, namespace=report)

    return Pipeline(
        [
            step(
                nodes.check_printed,
                [options["published"], options["printed"], options["paper"]],
                f"{report}.check_printed_items",
            ),
            step(
                nodes.score_runs,
                [f"{paper}.predictions", "manifest", options["score"]],
                [f"{report}.metrics", f"{report}.metrics_by_fold", f"{report}.score_runs_items"],
            ),
            step(
                nodes.list_ensembles,
                {
                    "predictions": f"{paper}.predictions",
                    "predicted": f"{paper}.predicted",
                    "variants": f"params:{paper}.variants",
                    "chosen": "params:variants",
                    "paper": f"{paper}.name",
                    "dataset": "params:dataset",
                    "manifest": "manifest",
                    "options": options["score"],
                },
                [f"{paper}.ensembles", f"{report}.list_ensembles_items"],
            ),
            step(
                nodes.compare_with_paper,
                [
                    f"{paper}.predictions",
                    f"{report}.runs",
                    options["published"],
                    options["paper"],
                    options["score"],
                ],
                [f"{report}.published", f"{report}.compare_with_paper_items"],
            ),
            step(
                nodes.judge_paper,
                {
                    "predictions": f"{paper}.predictions",
                    "published": f"{report}.published",
                    "paper": options["paper"],
                    "name": f"{paper}.name",
                    "dataset": "params:dataset",
                },
                f"{report}.judge_paper_items",
            ),
            step(
                nodes.explore_mistakes,
                [f"{paper}.predictions", "manifest", "images"],
                f"{report}.explore_mistakes_items",
            ),
            step(
                nodes.score_abstention,
                {
                    "predictions": f"{paper}.predictions",
                    "options": "params:predict",
                    "dataset": "params:dataset",
                },
                f"{report}.score_abstention_items",
            ),
            step(
                list_confidences,
                {"confidences": f"{paper}.confidences"},
                f"{report}.list_confidences_items",
            ),
            step(
                nodes.draw_figures,
                {
                    "manifest": "manifest",
                    "predictions": f"{paper}.predictions",
                    **{name: f"{report}.{name}" for name in ("metrics", "history", "runs")},
                    "published": options["published"],
                    "dataset": "params:dataset",
                    "options": options["score"],
                },
                [
                    f"{report}.draw_figures_items",
                    f"{report}.scores_chart",
                    f"{report}.curves_chart",
                    f"{report}.run_figures",
                ],
            ),
            *own,
            step(
                nodes.write_report,
                {
                    "dataset": "params:dataset",
                    "command": "command",
                    "name": f"{paper}.name",
                    "paper": options["paper"],
                    "manifest": "manifest",
                    "splits": "splits",
                    "shift": f"params:{paper}.shift",
                    **{
                        name: f"{report}.{name}"
                        for name in ("metrics", "metrics_by_fold", "runs", *CHARTS)
                    },
                    **{name.rpartition(".")[2]: name for name in items},
                },
                f"{report}.report",
            ),
        ],
        tags="reporting",
    )


def own_node(paper: str, function: Callable, named: Mapping[str, str]) -> Node:
    """Make a node of a paper's own function; what it takes is found by the names of its arguments.

    ``manifest``, ``splits``, ``images`` and ``dataset`` are shared; ``views``, ``trainings`` and
    ``predictions`` are the paper's, and so is each group of its parameters; what else is named is a
    table of its report.
    """
    return node(
        function,
        {
            name: named.get(name, f"{paper}.report.{name}")
            for name in inspect.signature(function).parameters
        },
        f"{paper}.report.{function.__name__}_items",
        name=function.__name__,
        namespace=f"{paper}.report",
    )
