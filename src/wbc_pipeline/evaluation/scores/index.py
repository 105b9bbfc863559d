"""The leaderboards of several data sets, each a line: scores of two sets are never averaged."""

from collections.abc import Mapping

import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.report.page import Link
from wbc_pipeline.evaluation.scores.leaderboard import SUBMISSIONS
from wbc_pipeline.evaluation.scores.protocols import leak_of

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
