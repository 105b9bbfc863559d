"""The models of all papers, and other people's, on one data set side by side.

A model is a variant of a paper, or a submission. A protocol is never mixed with another: places are
given, and tests made, within one protocol and one set of classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import describe, described
from wbc_pipeline.evaluation.scores.comparison import summarise_seeds
from wbc_pipeline.evaluation.scores.hypotheses import COLUMNS, paired_tests
from wbc_pipeline.evaluation.scores.metrics import class_names
from wbc_pipeline.evaluation.scores.protocols import leak_of, protocol_rank

SUBMISSIONS = "submission"  # in place of a paper's name
LABELS_ONLY = "labels"  # what a submission gives, in place of probabilities
# Columns of the leaderboard, and the metrics in them.
SCORES = {
    "accuracy": "accuracy",
    "macro_f1": "macro_f1",
    "balanced_accuracy": "macro_recall",
    "auc": "auc",
    "ece": "ece",
    "iou_cell": "iou_cell",
    "iou_nucleus": "iou_nucleus",
}
OF_PROBABILITIES = ("auc", "ece")
COSTS = ["parameters", "flops", "training_seconds", "inference_ms"]
NOISE = "noise"  # the curve whose area the leaderboard shows
PLACE = ["protocol", "leak", "place", "paper", "variant"]
SHOWN = ("accuracy", "macro_f1", "balanced_accuracy", "auc", "ece")  # on the page's first table
MODEL = ["paper", "variant", "protocol"]
LEADERBOARD = [
    *PLACE,
    *(f"{name}{end}" for name in SCORES for end in ("", "_low", "_high")),
    *(f"{NOISE}_area{end}" for end in ("", "_low", "_high")),
    *COSTS,
    *("classes", "images", "sources", "seeds", "interval_unit", "training_data", "class_names"),
]
PEERS = ["protocol", "class_names"]  # whose models are compared with each other
OWN_TRAINING = "training part of the split"


@described(
    heading="Leaderboard",
    caption="Models by macro F1 within each protocol: means over seeds with intervals over cells. "
    "A place compares scores as they are, also of models that were tested on other images or seeds "
    "of the protocol. "
    "Under a protocol that LEAKS, one cell may stand in training and test. What was tested, masks "
    "and costs are in tables of their own, and all of it in leaderboard.csv.",
)
def leaderboard(
    predictions: Mapping[str, pd.DataFrame], costs: pd.DataFrame, areas: pd.DataFrame, **options
) -> pd.DataFrame:
    """Score the models of every paper, and give them places within each protocol.

    Parameters
    ----------
    predictions
        By paper, or `SUBMISSIONS`: test rows of clean images; those of submissions have also
        ``training_data`` and ``answers`` (`LABELS_ONLY`, or ``probabilities``).
    costs
        `MODEL` and, as far as they are known, ``parameters``, ``flops`` and ``training_seconds``.
    areas
        ``paper`` and the columns of ``robustness.robustness_areas``.
    **options
        ``bins``, ``resamples``, ``level``, ``seed`` of ``comparison.summarise_seeds``.

    Returns
    -------
    DataFrame
        A row per paper, variant and protocol, `LEADERBOARD`: ``leak`` says whether the protocol
        leaks, ``place`` is by macro F1 among models of one protocol and set of classes. ``auc``
        and ``ece`` are NaN for answers without probabilities, and what was not measured is NaN.
        Leak-free protocols come first, within each the models that tell the most classes apart.
    """
    tables = [_score_paper(paper, answers, **options) for paper, answers in predictions.items()]
    board = pd.concat(tables, ignore_index=True).merge(costs, on=MODEL, how="left")
    noise = areas[areas["curve"] == NOISE].rename(
        columns=lambda name: name.replace("area", "noise_area")
    )
    board = board.merge(
        noise[[*MODEL, *(f"{NOISE}_area{end}" for end in ("", "_low", "_high"))]],
        on=MODEL,
        how="left",
    )
    peers = board.groupby(PEERS)["macro_f1"]
    board["place"] = peers.rank(method="min", ascending=False).astype(int)
    board["leak"] = board["protocol"].map(leak_of)
    board["order"] = board["protocol"].map(protocol_rank)
    board = board.sort_values(
        ["order", "classes", "class_names", "place"],
        ascending=[True, False, True, True],  # the most classes first, as of the champion
        kind="stable",
        ignore_index=True,
    )
    return board.reindex(columns=LEADERBOARD)


def _score_paper(paper: str, answers: pd.DataFrame, **options) -> pd.DataFrame:
    keys = ["variant", "protocol"]
    summary = summarise_seeds(answers, **options)
    scores = summary.set_index([*keys, "metric"])[["mean", "low", "high"]].unstack("metric")
    groups = answers.groupby(keys, sort=False, observed=True)
    table = groups.agg(
        images=("image_id", "nunique"), sources=("source_id", "nunique"), seeds=("seed", "nunique")
    )
    table["interval_unit"] = summary.groupby(keys, sort=False)["interval_unit"].first()
    table["training_data"] = OWN_TRAINING
    for column in ("training_data", "inference_ms"):
        if column in answers:
            table[column] = groups[column].agg("first" if column == "training_data" else "mean")
    for column, metric in SCORES.items():
        for end, place in {"": "mean", "_low": "low", "_high": "high"}.items():
            known = (place, metric) in scores
            table[f"{column}{end}"] = scores[place, metric] if known else np.nan
    if "answers" in answers:
        hard = groups["answers"].first() == LABELS_ONLY
        for column in OF_PROBABILITIES:
            table.loc[hard, [f"{column}{end}" for end in ("", "_low", "_high")]] = np.nan
    names = class_names(answers)
    return table.reset_index().assign(
        paper=paper, classes=len(names), class_names=" + ".join(names)
    )


def split_columns(board: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a leaderboard for a page, on which all its columns side by side find no room.

    Parameters
    ----------
    board
        Of `leaderboard`.

    Returns
    -------
    scores
        `PLACE` and the scores of `SHOWN`.
    tested
        `MODEL`, the other scores, and what was tested. Both without costs, and without columns
        that are empty.
    """
    named = board.dropna(axis="columns", how="all").drop(columns="class_names")
    ends = [f"{name}{end}" for name in SHOWN for end in ("", "_low", "_high")]
    scores = named[[name for name in (*PLACE, *ends) if name in named]]
    others = [name for name in named if name not in {*PLACE, *ends, *COSTS}]
    caption = (
        "What the places rest on, and scores that not all models have. noise area: area under the "
        "accuracy as noise is added, as a share of a constant accuracy of 1."
    )
    return scores, describe(named[[*MODEL, *others]], "What was tested", caption)


def leaders(board: pd.DataFrame, most: int) -> pd.DataFrame:
    """Take the first rows of each protocol and set of classes, and those of every submission."""
    before = board.groupby(PEERS, sort=False).cumcount()
    return board[(before < most) | (board["paper"] == SUBMISSIONS)]


def name_models(predictions: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Put the paper before the name of each variant: ``blend/normal``."""
    return {
        paper: answers.assign(variant=paper + "/" + answers["variant"].astype(str))
        for paper, answers in predictions.items()
    }


def leading_models(board: pd.DataFrame, most: int) -> dict[tuple[str, str], list[str]]:
    """Name the leading models of each protocol and set of classes, and every submission.

    Parameters
    ----------
    board
        Of `leaderboard`.
    most
        How many, submissions not counted.

    Returns
    -------
    dict
        ``<paper>/<variant>`` by protocol and ``class_names``, the leader first.
    """
    chosen = leaders(board, most)
    names = chosen["paper"] + "/" + chosen["variant"]
    groups = names.groupby([chosen[name] for name in PEERS], sort=False)
    return {keys: group.tolist() for keys, group in groups}


def answers_of(
    predictions: Mapping[str, pd.DataFrame], protocol: str, models: Sequence[str]
) -> pd.DataFrame:
    """Put the answers of some models under one protocol into one table of predictions.

    Parameters
    ----------
    predictions
        Of `name_models`.
    protocol, models
        Whose, all of the same classes.
    """
    tables = [
        answers[(answers["protocol"] == protocol) & answers["variant"].isin(models)]
        for answers in predictions.values()
    ]
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


@described(
    heading="Leading models against the leader",
    caption="The leader of each protocol (reference) against the next ones, and against every "
    "submission, on the images and seeds that both have answered. The gain in macro F1 has a "
    "bootstrap interval over cells. p_sources: permutation test that exchanges both answers cell "
    "by cell; p_seeds: paired t test over seeds; _holm: corrected after Holm over the models of a "
    "protocol and fold. The leader was chosen by the same scores, which flatters its gains.",
)
def compare_leaders(
    predictions: Mapping[str, pd.DataFrame],
    board: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    most: int,
    resamples: int = 1000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Test the leader of each protocol against the models behind it.

    Parameters
    ----------
    predictions
        Of `name_models`.
    board
        Of `leaderboard`.
    manifest
        ``image_id`` and ``domain`` of the data set.
    most
        How many models lead.
    resamples, level
        Of `paired_tests`.

    Returns
    -------
    DataFrame
        ``leak`` and the columns of `paired_tests`, a row per protocol, fold and model behind the
        leader. Two models that share no image and seed have none.
    """
    tables = []
    for (protocol, _), models in leading_models(board, most).items():
        if len(models) < 2:
            continue
        answers = answers_of(predictions, protocol, models)
        options = {"metrics": ["macro_f1"], "resamples": resamples, "level": level}
        tables.append(paired_tests(answers, manifest, reference=models[0], **options))
    columns = [name for name in COLUMNS if name not in ("metric", "d_sources")]  # one; of no means
    found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    return found[columns].assign(leak=found["protocol"].map(leak_of))[
        ["protocol", "leak", *columns[1:]]
    ]
