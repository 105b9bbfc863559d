"""Nodes that choose the best leak-free network of a data set, and write its card."""

from __future__ import annotations

import logging
from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.comparison import Outputs, PaperOutputs
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.errors import UserError
from wbc_pipeline.pipelines.compare.commands import command_for
from wbc_pipeline.pipelines.compare.costs import Facts, compared_papers
from wbc_pipeline.pipelines.compare.options import CompareOptions

pd = lazy.load("pandas")
_log = logging.getLogger(__name__)

CARD_FILE, PICTURE = "README.md", "failures.png"
MISTAKES = 24  # on the picture
CONFUSIONS = 10  # of classes, on the card
METRICS = ("accuracy", "macro_f1", "balanced_accuracy", "auc", "ece")
ENDS = ("", "_low", "_high")
ANSWERS = {"turns": False, "prior_correction": 0}  # what is changed of a network's answers
OF_BOARD = ("protocol", "macro_f1", "macro_f1_low", "macro_f1_high")


def choose_champion(
    outputs: Outputs, leaderboard: pd.DataFrame, facts: Facts, dataset: str
) -> dict[str, Any]:
    """Choose the best leak-free network of a data set by macro-F1.

    Ensembles, submissions and networks behind a restorer are not served, and have no part in it.
    Neither has a network that would answer otherwise than where it was scored: the log says so.

    Returns
    -------
    dict
        ``name`` of the registered model, ``dataset``, ``paper``, ``variant``, ``protocol``,
        ``seed``, ``fold``, ``key`` and ``folder`` of its training, and the macro-F1. Nothing where
        no such network was run, or drawn images are mixed with real ones.
    """
    from wbc_pipeline.evaluation.scores import champion
    from wbc_pipeline.sources.combined import set_names

    sets = set_names(dataset)
    if "demo" in sets and len(sets) > 1:
        return {}
    served = _find_served(outputs, leaderboard, facts)
    row = champion.choose_champion(leaderboard, served.keys())
    if row is None:
        return {}
    paper, variant = row["paper"], row["variant"]
    training = served[paper, variant, row["protocol"]]
    params = training.key["params"]
    return {
        "name": f"wbc_{dataset}",
        "dataset": dataset,
        "paper": paper,
        "variant": variant,
        **{name: row[name] for name in OF_BOARD},
        **{name: params[name] for name in ("seed", "fold")},
        "key": training.digest,
        "folder": str(training.folder.relative_to(outputs.data)),
    }


def _find_served(
    outputs: Outputs, leaderboard: pd.DataFrame, facts: Facts
) -> dict[tuple[str, str, str], Result]:
    """Find the trainings whose networks answer as the leaderboard scores them, leak-free ones.

    Returns
    -------
    dict
        By paper, variant and protocol.
    """
    from wbc_pipeline.evaluation.scores.leaderboard import MODEL
    from wbc_pipeline.evaluation.scores.protocols import LEAK_FREE

    found = {}
    rows = leaderboard.loc[leaderboard["protocol"].isin(LEAK_FREE), MODEL]
    for model in rows.itertuples(index=False, name=None):
        name, variant, protocol = model
        paper = outputs.papers[name] if name in compared_papers(outputs, facts) else None
        training = paper and paper.training(variant, protocol)
        if training is None or "classes" not in training.json("network"):
            continue  # a submission, or an ensemble
        if reason := _why_not_served(paper, training):
            _log.warning("%s/%s under %s cannot be the champion: %s", *model, reason)
        else:
            found[model] = training
    return found


def _why_not_served(paper: PaperOutputs, training: Result) -> str | None:
    """Say why a training's network would not answer as it was scored; None if it would."""
    from wbc_pipeline.models.restored import find_restorer

    try:
        restorer = find_restorer(training.folder)
    except UserError as error:
        return str(error)
    if restorer is not None:
        return f"the restorer {restorer} stands before it, which is not served."
    scored = paper.prediction(training)
    if scored is None or scored.key["data"].get("training") != training.digest:
        return (
            "its scores are not of its last training. Run the paper's pipeline to its end, with "
            "the same parameters."
        )
    own, network = scored.key["params"], training.json("network")
    own = own | {name: own["refine"][name] for name in ANSWERS if own.get("refine", {}).get(name)}
    unlike = [
        f"{name} is {own.get(name, off)} in its scores and {network.get(name, off)} in its network"
        for name, off in ANSWERS.items()
        if own.get(name, off) != network.get(name, off)
    ]
    if not unlike:
        return None
    return (
        f"{', '.join(unlike)}, which was trained before. Delete {training.folder} and run the "
        "paper's pipeline again, or switch that back."
    )


def describe_champion(
    champion: dict[str, Any],
    outputs: Outputs,
    leaderboard: pd.DataFrame,
    options: CompareOptions,
    command: str,
) -> dict[str, Any]:
    """Write the card of the champion.

    Returns
    -------
    dict
        By the name of a file: ``champion.json``, ``README.md``, ``class_scores.csv`` and, where it
        makes mistakes on images that are there, `PICTURE`. Nothing where there is no champion.
    """
    from wbc_pipeline.evaluation.figures.failures import failures_sheet
    from wbc_pipeline.evaluation.report.card import render_card
    from wbc_pipeline.evaluation.scores import champion as scores
    from wbc_pipeline.sources.combined import caveats, licences, set_names

    if not champion:
        return {}
    dataset, paper = champion["dataset"], outputs.papers[champion["paper"]]
    row = _only(leaderboard, champion, ["paper", "variant", "protocol"])
    answers = _only(paper.predictions, champion, ["variant", "protocol"])
    network = paper.training(champion["variant"], champion["protocol"]).json("network")
    by_class = scores.class_scores(answers, level=options.score.level)
    mistakes = scores.sure_mistakes(answers, MISTAKES)
    shown = outputs.show(mistakes["image_id"])
    mistakes = mistakes[mistakes["image_id"].isin(shown)]
    pictured = {}
    if len(mistakes):
        images = [shown[name] for name in mistakes["image_id"]]
        pictured[PICTURE] = failures_sheet(mistakes, images, dataset=dataset)
    card = render_card(
        name=champion["name"],
        is_demo="demo" in set_names(dataset),
        facts=_describe_network(champion, network, row.iloc[0]),
        data=_describe_data(champion, network, row.iloc[0]),
        protocol=champion["protocol"],
        scores=row[[f"{name}{end}" for name in METRICS for end in ENDS]].dropna(axis="columns"),
        by_class=by_class,
        confusions=scores.count_mistakes(answers).head(CONFUSIONS),
        picture=PICTURE if pictured else None,
        caveats=caveats(dataset),
        licences=licences(dataset),
        asking=command_for(
            "predict",
            command,
            data=str(outputs.data),
            dataset=None,
            images="~/slides",
            model=f"models:/{champion['name']}@champion",
        ),
        command=command,
    )
    return {"champion.json": champion, CARD_FILE: card, "class_scores.csv": by_class} | pictured


def _only(table: pd.DataFrame, champion: dict[str, Any], names: list[str]) -> pd.DataFrame:
    """Take the champion's rows."""
    return table[(table[names] == [champion[name] for name in names]).all(axis=1)]


def _describe_network(
    champion: dict[str, Any], network: dict[str, Any], row: pd.Series
) -> dict[str, object]:
    return {
        "paper, variant": f"`{champion['paper']}`, `{champion['variant']}`",
        "network": f"`{network['name']}`, {row['parameters']:,.0f} parameters",
        "looks at": f"{', '.join(network['views'])}; the chains are in `network.json`",
        "training": f"seed {champion['seed']}, fold {champion['fold']}, key {champion['key']}",
        **{name.replace("_", " "): network[name] for name in ANSWERS if name in network},
    }


def _describe_data(
    champion: dict[str, Any], network: dict[str, Any], row: pd.Series
) -> dict[str, object]:
    counts = zip(network["class_counts"], network["classes"], strict=True)
    return {
        "data set": f"`{champion['dataset']}`",
        "trained on": ", ".join(f"{count:,} {label}" for count, label in counts),
        "tested on": f"{row['images']:,} images of {row['sources']:,} sources",
    }
