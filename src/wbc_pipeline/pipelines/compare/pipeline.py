"""Every paper, and other people's predictions, side by side."""

from kedro.pipeline import Pipeline, node

from wbc_pipeline.pipelines.compare import champion, costs, nodes, pages, submitting
from wbc_pipeline.pipelines.papers import PAPERS


def create_pipeline() -> Pipeline:
    """Read what papers have left on a data set, and write its leaderboard and the index of all.

    Nothing is ingested, dealt or trained.
    """
    options, report = "params:compare", "compare.report"
    command = {"dataset": "params:dataset", "data": "params:data", "command": "command"}

    def step(func, inputs, outputs):
        return node(func, inputs, outputs, name=func.__name__, namespace="compare")

    return Pipeline(
        [
            step(
                nodes.list_facts,
                {paper.name: f"params:{paper.name}" for paper in PAPERS},
                "compare.facts",
            ),
            step(
                submitting.keep_submission,
                {
                    "table": "compare.submission",
                    "earlier": "compare.earlier_submissions",
                    "outputs": "compare.outputs",
                    "splitting": "params:splitting",
                    "file": "params:submission",
                    "name": "params:submission_name",
                    "training": "params:submission_training",
                    **command,
                },
                "compare.submissions",
            ),
            step(
                costs.count_flops,
                ["compare.outputs", "compare.facts"],
                "compare.operations",
            ),
            step(
                nodes.score_models,
                {
                    "outputs": "compare.outputs",
                    "submissions": "compare.submissions",
                    "operations": "compare.operations",
                    "facts": "compare.facts",
                    "options": options,
                    "dataset": "params:dataset",
                },
                [f"{report}.leaderboard", f"{report}.score_models_items"],
            ),
            step(
                nodes.judge_papers,
                {
                    "outputs": "compare.outputs",
                    "facts": "compare.facts",
                    "leaderboard": f"{report}.leaderboard",
                    **command,
                },
                [f"{report}.published", f"{report}.verdicts", f"{report}.judge_papers_items"],
            ),
            step(
                nodes.compare_leaders,
                {
                    "outputs": "compare.outputs",
                    "submissions": "compare.submissions",
                    "facts": "compare.facts",
                    "leaderboard": f"{report}.leaderboard",
                    "options": options,
                    "dataset": "params:dataset",
                },
                f"{report}.compare_leaders_items",
            ),
            step(
                pages.draw_leaderboard,
                [
                    *(f"{report}.{name}" for name in ("leaderboard", "published", "verdicts")),
                    options,
                    "params:dataset",
                ],
                [f"{report}.draw_leaderboard_items", f"{report}.leaderboard_chart"],
            ),
            step(
                champion.choose_champion,
                ["compare.outputs", f"{report}.leaderboard", "compare.facts", "params:dataset"],
                "compare.chosen",
            ),
            step(
                pages.write_leaderboard,
                {
                    "dataset": "params:dataset",
                    "command": "command",
                    "facts": "compare.facts",
                    "leaderboard": f"{report}.leaderboard",
                    "published": f"{report}.published",
                    "verdicts": f"{report}.verdicts",
                    "scored": f"{report}.score_models_items",
                    "lacking": f"{report}.judge_papers_items",
                    "tested": f"{report}.compare_leaders_items",
                    "drawn": f"{report}.draw_leaderboard_items",
                    "champion": "compare.chosen",
                },
                f"{report}.report",
            ),
            node(
                champion.describe_champion,
                {
                    "champion": "compare.chosen",
                    "outputs": "compare.outputs",
                    "leaderboard": f"{report}.leaderboard",
                    "options": options,
                    "command": "command",
                },
                "compare.champion",
                name="describe_champion",
                namespace="compare",
                tags="registry",
            ),
            step(
                pages.compare_datasets,
                {
                    "boards": "compare.boards",
                    "leaderboard": f"{report}.leaderboard",
                    "verdicts": f"{report}.verdicts",
                    "options": options,
                    "dataset": "params:dataset",
                },
                "compare.index_items",
            ),
            step(
                pages.write_index,
                ["compare.index_items", "compare.boards", "params:dataset", "command"],
                "compare.index",
            ),
        ],
        tags="comparison",
    )
