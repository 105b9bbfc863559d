"""Nodes that put the models of all papers, and submissions, side by side."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

from wbc_pipeline.datasets.comparison import Outputs
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.errors import UserError
from wbc_pipeline.pipelines.compare.commands import command_for, lacking_places
from wbc_pipeline.pipelines.compare.costs import (
    OF_TRAININGS,
    Facts,
    compared_papers,
    costs_of,
)
from wbc_pipeline.pipelines.compare.options import CompareOptions

if TYPE_CHECKING:
    from wbc_pipeline.evaluation.scores.ranks import RankTest

pd = lazy.load("pandas")


def list_facts(**papers: dict) -> Facts:
    """Take from the parameters of each paper what its numbers are read by.

    Returns
    -------
    dict
        By paper: ``title``, ``protocol`` (its own), ``datasets`` (that it used), and ``members`` of
        each of its ensembles that names them.
    """
    return {
        name: {
            "title": own["paper"]["title"],
            "protocol": own["paper"]["protocol"],
            "datasets": list(dict.fromkeys(own["paper"]["datasets"].values())),
            "members": {
                variant: how["ensemble"]
                for variant, how in own["variants"].items()
                if how.get("ensemble")
            },
        }
        for name, own in papers.items()
    }


def score_models(
    *,
    outputs: Outputs,
    submissions: dict[str, pd.DataFrame],
    operations: dict[str, Result],
    facts: Facts,
    options: CompareOptions,
    dataset: str,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Score the models of every paper and every submission alike.

    Returns
    -------
    leaderboard
        See ``leaderboard.leaderboard``.
    items
        ``costs``, ``noise_areas`` where any paper has degraded images.

    Raises
    ------
    UserError
        If the data folder holds neither a paper's outputs nor a submission for this data set.
    """
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.scores import leaderboard as board
    from wbc_pipeline.evaluation.scores.protocols import leak_of

    predictions = _predictions(outputs, submissions, facts)
    if not predictions:
        others = f" There are some of {', '.join(outputs.datasets)}." if outputs.datasets else ""
        raise UserError(
            f"No paper has been run on {dataset} yet, and there is nothing to compare.{others} "
            f"Name one of these by --params=dataset=…, or run a paper: "
            f"kedro run --pipeline={next(iter(facts))} --params=dataset={dataset}"
        )
    compared = compared_papers(outputs, facts)
    costs = [
        costs_of(outputs.papers[paper], operations, facts[paper]["members"]).assign(paper=paper)
        for paper in compared
    ]
    areas = [
        outputs.papers[paper].table("robustness_area").assign(paper=paper) for paper in compared
    ]
    empty = pd.DataFrame(columns=[*board.MODEL, "curve", "area", "area_low", "area_high"])
    areas = pd.concat([empty, *areas], ignore_index=True)
    scores = board.leaderboard(
        predictions,
        pd.concat([pd.DataFrame(columns=[*board.MODEL, *OF_TRAININGS, "flops"]), *costs]),
        areas,
        **options.score.model_dump(),
    )
    shown = scores[[*board.PLACE, "macro_f1", *board.COSTS, "training_data"]]
    items = {
        "costs": describe(
            shown,
            "What models cost",
            "Parameters and training of an ensemble are the sums over its members, where it names "
            "them. flops: floating-point operations for one image, a multiplication and an "
            "addition as two. Training in seconds and inference in milliseconds per image as "
            "measured, perhaps on different machines; a report of a paper names them.",
        )
    }
    if len(areas):
        areas = areas.assign(leak=areas["protocol"].map(leak_of))
        first = ["curve", "protocol", "leak", "paper", "variant", "to_amount"]
        areas = areas.sort_values(["curve", "protocol"], kind="stable")
        items["areas"] = describe(
            areas[[*first, "area", "area_low", "area_high"]],
            "Area under the accuracy on degraded images",
            "As the share of an accuracy that stays at 1 up to the last amount of each "
            "degradation, with intervals over cells. Areas of one curve and one last amount can be "
            "compared.",
        )
    return scores, items


def judge_papers(
    *,
    outputs: Outputs,
    facts: Facts,
    leaderboard: pd.DataFrame,
    dataset: str,
    data: str,
    command: str,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, pd.DataFrame]]:
    """Put what papers print beside what came of them, and say in a sentence what holds.

    Returns
    -------
    published
        See ``verdicts.beside_published``.
    verdicts
        See ``verdicts.judge_papers``.
    items
        ``not_run``: papers and protocols that have not been run, and the commands that run them.
        Nothing where all have.
    """
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.scores import verdicts

    compared = compared_papers(outputs, facts)
    tables = {paper: outputs.papers[paper].table("published") for paper in compared}
    published = verdicts.beside_published(tables, facts)
    advise = partial(command_for, command=command, data=data, dataset=dataset)
    lacking = []
    for paper, own in facts.items():
        run = set(leaderboard.loc[leaderboard["paper"] == paper, "protocol"])
        found = {"paper": paper, "title": own["title"]}
        if not run:
            lacking.append(found | {"lacks": "everything", "command": advise(paper)})
        elif missing := _missing_protocols(run, own, dataset):
            asked = "+".join([*sorted(run), *missing])
            found |= {"lacks": f"protocol {' + '.join(missing)}"}
            lacking.append(found | {"command": advise(paper, protocols=asked)})
    items = {}
    if lacking:
        places = " and ".join(lacking_places(command, dataset))
        items["not_run"] = describe(
            pd.DataFrame(lacking),
            "Not run on this data set",
            "What the leaderboard lacks, and the command that adds it."
            + (f" Say {places} in it as well, as for the papers above." if places else ""),
        )
    return published, verdicts.judge_papers(published, facts, dataset), items


def compare_leaders(
    *,
    outputs: Outputs,
    submissions: dict[str, pd.DataFrame],
    facts: Facts,
    leaderboard: pd.DataFrame,
    options: CompareOptions,
    dataset: str,
) -> dict[str, Any]:
    """Test the leading models against each other, and rank them over seeds and folds.

    Returns
    -------
    items
        ``leaders``: paired tests. ``ranks`` and ``critical_differences`` where three models or more
        have answered three seeds or folds or more of a protocol.
    """
    from wbc_pipeline.evaluation.figures.leaderboard import critical_differences
    from wbc_pipeline.evaluation.scores import leaderboard as board
    from wbc_pipeline.evaluation.scores import ranks

    models = board.name_models(_predictions(outputs, submissions, facts))
    manifest = outputs.manifest
    if manifest is None:  # moved here without it: only names of domains come from there
        manifest = pd.DataFrame(columns=["image_id", "domain"])
    score = options.score
    tested = board.compare_leaders(
        models,
        leaderboard,
        manifest,
        most=options.leading,
        resamples=score.resamples,
        level=score.level,
    )
    leading = board.leading_models(leaderboard, options.leading)
    found = {
        peers: test
        for peers, names in leading.items()
        if len(names) >= ranks.FEWEST_MODELS
        and (test := _rank(board.answers_of(models, peers[0], names)))
    }
    items = {"leaders": tested} if len(tested) else {}
    if found:
        items["ranks"] = ranks.rank_table(found)
        shown = ((protocol, test) for (protocol, _), test in found.items())
        items["critical_differences"] = critical_differences(shown, dataset=dataset)
    return items


def _missing_protocols(run: set[str], own: dict[str, Any], dataset: str) -> list[str]:
    """Name a leak-free protocol where none was run, and on a paper's own images its own."""
    from wbc_pipeline.evaluation.scores.protocols import leak_free_protocol

    missing = [own["protocol"]] if dataset in own["datasets"] else []
    missing += ["source"] if leak_free_protocol(run) is None else []
    return [name for name in dict.fromkeys(missing) if name not in run]


def _predictions(
    outputs: Outputs, submissions: dict[str, pd.DataFrame], facts: Facts
) -> dict[str, pd.DataFrame]:
    """Give the test rows of every paper, and of all submissions together."""
    from wbc_pipeline.evaluation.scores.leaderboard import SUBMISSIONS

    found = {name: outputs.papers[name].predictions for name in compared_papers(outputs, facts)}
    found = {name: answers for name, answers in found.items() if len(answers)}
    if submissions:
        found[SUBMISSIONS] = pd.concat(submissions.values(), ignore_index=True)
    return found


def _rank(answers: pd.DataFrame) -> RankTest | None:
    from wbc_pipeline.evaluation.scores.ranks import compare_ranks, scores_by_block

    return compare_ranks(scores_by_block(answers))
