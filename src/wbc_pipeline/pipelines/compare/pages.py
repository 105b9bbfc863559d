"""Nodes that draw the leaderboard, and write its page and the index of all."""

from __future__ import annotations

from typing import Any

import lazy_loader as lazy

from wbc_pipeline.pipelines.compare.champion import CARD_FILE
from wbc_pipeline.pipelines.compare.costs import Facts
from wbc_pipeline.pipelines.compare.options import CompareOptions
from wbc_pipeline.pipelines.reporting.nodes import describe_command

pd = lazy.load("pandas")


NEXT = {
    "leading_models": "Which networks lead, without a leak and with one",
    "leaders": "Whether the leaders can be told apart",
    "published": "Every printed score beside ours",
    "costs": "What each network costs",
    "not_run": "What has not been run yet, and the command for it",
}


def draw_leaderboard(
    leaderboard: pd.DataFrame,
    published: pd.DataFrame,
    verdicts: pd.DataFrame,
    options: CompareOptions,
    dataset: str,
) -> tuple[dict[str, Any], Any]:
    """Draw the claims of all papers, the leaders of each protocol, and all models for a browser.

    Returns
    -------
    items
        ``leading_models``, and ``headline`` if any paper was judged by a number.
    chart
        For kedro-viz.
    """
    from wbc_pipeline.evaluation.figures.headline import headline
    from wbc_pipeline.evaluation.figures.leaderboard import leading_models
    from wbc_pipeline.evaluation.figures.previews import plotly_leaderboard
    from wbc_pipeline.evaluation.scores.leaderboard import MODEL
    from wbc_pipeline.evaluation.scores.verdicts import headline_rows

    items = {"leading_models": leading_models(leaderboard, most=options.shown, dataset=dataset)}
    rows = headline_rows(published, verdicts)
    if len(rows):
        cells = leaderboard.set_index(MODEL)["sources"].to_dict()
        items["headline"] = headline(rows, cells, dataset=dataset)
    return items, plotly_leaderboard(leaderboard, dataset=dataset)


def write_leaderboard(
    *,
    dataset: str,
    command: str,
    facts: Facts,
    leaderboard: pd.DataFrame,
    published: pd.DataFrame,
    verdicts: pd.DataFrame,
    scored: dict[str, Any],
    lacking: dict[str, Any],
    tested: dict[str, Any],
    drawn: dict[str, Any],
    champion: dict[str, Any],
) -> str:
    """Write the page of one data set, which leads to the card of its champion."""
    from wbc_pipeline.evaluation.report.page import Opening, render_report
    from wbc_pipeline.evaluation.report.tables import Link
    from wbc_pipeline.evaluation.scores import leaderboard as board
    from wbc_pipeline.evaluation.scores.verdicts import count_verdicts
    from wbc_pipeline.sources.combined import caveats, set_names

    papers = [name for name in facts if name in set(leaderboard["paper"])]
    submitted = leaderboard.loc[leaderboard["paper"] == board.SUBMISSIONS, "variant"].unique()
    scores, tested_on = board.split_columns(leaderboard)
    counted = {"papers": f"{len(papers)} of {len(facts)}: {', '.join(papers) or 'none'}"}
    if len(submitted):
        counted["submissions"] = sorted(submitted)
    if champion:
        text = "model card of {paper}/{variant}, the best under {protocol}".format_map(champion)
        counted["champion"] = Link(text, f"champion/{CARD_FILE}")
    return render_report(
        title="Leaderboard",
        dataset=dataset,
        is_demo="demo" in set_names(dataset),
        summary=describe_command(dataset, command, counted),
        opening=Opening(
            sentence=count_verdicts(verdicts),
            items={
                **{name: item for name, item in drawn.items() if name == "headline"},
                "verdicts": verdicts,
            },
            next=NEXT,
        ),
        items={
            **lacking,
            **{name: item for name, item in drawn.items() if name != "headline"},
            "leaderboard": scores,
            "tested_on": tested_on,
            "published": published,
            **tested,
            **scored,
        },
        notes=[*_explain_classes(leaderboard), *caveats(dataset)],
    )


def compare_datasets(
    boards: dict[str, dict[str, pd.DataFrame]],
    leaderboard: pd.DataFrame,
    verdicts: pd.DataFrame,
    options: CompareOptions,
    dataset: str,
) -> dict[str, Any]:
    """List the data sets whose papers have been compared, demo and real ones apart.

    Parameters
    ----------
    boards
        ``leaderboard`` and ``verdicts`` of each data set whose papers have been compared.
    leaderboard, verdicts
        Of this command's data set.
    options, dataset
        Of this command.

    Returns
    -------
    items
        ``leaderboards`` and ``verdicts``; ``ranks`` and ``critical_differences`` where three models
        or more share three data sets or more; ``demo``.
    """
    from wbc_pipeline.evaluation.figures.leaderboard import critical_differences
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.report.page import DEMO
    from wbc_pipeline.evaluation.scores import index
    from wbc_pipeline.sources.combined import set_names

    boards = boards | {dataset: {"leaderboard": leaderboard, "verdicts": verdicts}}
    demo = {name: tables for name, tables in boards.items() if "demo" in set_names(name)}
    real = {name: tables for name, tables in boards.items() if name not in demo}
    items = {"leaderboards": index.list_boards(real), "verdicts": index.list_verdicts(real)}
    single = {name: tables for name, tables in real.items() if len(set_names(name)) == 1}
    if ranked := index.rank_models(single, options.leading):
        items["ranks"] = index.list_ranks(ranked)
        items["critical_differences"] = critical_differences(ranked.items(), blocks="data sets")
    items["demo"] = describe(index.list_boards(demo), DEMO, "These scores say that all runs.")
    return {name: item for name, item in items.items() if not getattr(item, "empty", False)}


def write_index(items: dict[str, Any], boards: dict[str, Any], dataset: str, command: str) -> str:
    """Write one page that leads to the leaderboard of each data set; see `compare_datasets`."""
    from wbc_pipeline.evaluation.report.page import render_report

    made = describe_command(dataset, command, {})
    return render_report(
        title="Leaderboards of all data sets",
        dataset=", ".join(dict.fromkeys([*boards, dataset])),
        is_demo=False,
        summary={name: fact for name, fact in made.items() if name != "data set"},
        items=items,
    )


def _explain_classes(leaderboard: pd.DataFrame) -> list[str]:
    """Say that models answer different sets of classes, if they do."""
    groups = leaderboard.groupby("class_names")["paper"].unique()
    if len(groups) < 2:
        return []
    each = "; ".join(f"{names} by {', '.join(papers)}" for names, papers in groups.items())
    return [f"Models tell different classes apart, and have places apart: {each}."]
