"""The leaderboards of several data sets, each a line: scores of two sets are never averaged."""

from collections.abc import Mapping

import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.report.tables import Link
from wbc_pipeline.evaluation.scores.leaderboard import SUBMISSIONS, leaders
from wbc_pipeline.evaluation.scores.protocols import LEAK_FREE, leak_of
from wbc_pipeline.evaluation.scores.ranks import RankTest, compare_ranks, keep_complete

SHOWN = ("macro_f1", "accuracy")
Boards = Mapping[str, Mapping[str, pd.DataFrame]]


@described(
    heading="Data sets",
    caption="The leader of each data set under its first leak-free protocol; where none was run, "
    "under a protocol that may leak, which is marked. Scores of different data sets cannot be "
    "compared.",
)
def list_boards(boards: Boards) -> pd.DataFrame:
    """List data sets with a link to the page of each.

    Parameters
    ----------
    boards
        By data set, its ``leaderboard`` (see ``leaderboard.leaderboard``), leak-free first.

    Returns
    -------
    DataFrame
        ``data_set`` (a `Link`), ``papers`` and ``models`` (how many), and of the leader ``paper``,
        ``variant``, ``protocol``, ``leak`` and `SHOWN` with intervals.
    """
    rows = []
    for name, tables in boards.items():
        board = tables["leaderboard"]
        leader = board.iloc[0]  # leak-free protocols come first, and leaders within each
        scores = [f"{score}{end}" for score in SHOWN for end in ("", "_low", "_high")]
        rows.append(
            {
                "data_set": Link(name, f"{name}/compare/report.html"),
                "papers": board.loc[board["paper"] != SUBMISSIONS, "paper"].nunique(),
                "models": len(board[["paper", "variant"]].drop_duplicates()),
                **leader[["paper", "variant", "protocol"]],
                "leak": leak_of(leader["protocol"]),
                **leader[scores],
            }
        )
    return pd.DataFrame(rows)


@described(heading="Verdicts", caption="One sentence on each paper and data set.")
def list_verdicts(boards: Boards) -> pd.DataFrame:
    """Put the ``verdicts`` of all data sets below each other; see ``verdicts.judge_papers``."""
    tables = [
        tables["verdicts"][["paper", "verdict", "finding"]].assign(data_set=name)
        for name, tables in boards.items()
    ]
    if not tables:
        return pd.DataFrame()
    return pd.concat(tables, ignore_index=True)[["data_set", "paper", "verdict", "finding"]]


def rank_models(boards: Boards, most: int) -> dict[str, RankTest]:
    """Rank models over data sets by macro F1, which is compared within each data set alone.

    Parameters
    ----------
    boards
        Those of single data sets, as for `list_boards`.
    most
        Taken are models that lead a data set, this many of each protocol, and every submission.

    Returns
    -------
    dict
        By leak-free protocol; one is left out where fewer than three models, or three data sets
        that all of them were tested on, are left. Of each data set counted are models that tell
        its most classes apart.
    """
    known = []
    for name, tables in boards.items():
        board = tables["leaderboard"]
        board = board[board["protocol"].isin(LEAK_FREE)]
        board = board[board["classes"] == board.groupby("protocol")["classes"].transform("max")]
        model = board["paper"] + "/" + board["variant"].astype(str)
        is_leader = board.index.isin(leaders(board, most).index)
        known.append(board.assign(data_set=name, model=model, is_leader=is_leader))
    found = {}
    for protocol, own in pd.concat(known).groupby("protocol", sort=False) if known else ():
        leading = own[own["model"].isin(own.loc[own["is_leader"], "model"])]
        scores = leading.pivot(index="data_set", columns="model", values="macro_f1")
        if (test := compare_ranks(keep_complete(scores))) is not None:
            found[protocol] = test
    return found


@described(
    heading="Ranks over data sets",
    caption="Mean rank by macro F1, 1 is best, of models that lead a data set, over the data sets "
    "that all of them were tested on under a protocol; combined data sets are left out. Friedman's "
    "test asks whether any differ, Nemenyi's whether a model differs from the first. Data sets "
    "that share images are counted as if they did not.",
)
def list_ranks(tests: Mapping[str, RankTest]) -> pd.DataFrame:
    """List the mean ranks of models by protocol, and their p values against the first."""
    return pd.DataFrame(
        [
            {
                "protocol": protocol,
                "model": model,
                "mean_rank": rank,
                "data_sets": test.blocks,
                "p_friedman": test.p_value,
                "p_nemenyi": test.differences.loc[test.ranks.index[0], model],
            }
            for protocol, test in tests.items()
            for model, rank in test.ranks.items()
        ]
    )
