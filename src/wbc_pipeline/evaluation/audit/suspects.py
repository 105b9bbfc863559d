"""Labels that cross-validated networks deny: confident learning, a cell at a time.

``predictions`` are those of the design, test rows alone, of several networks that have not seen the
cells that they answer for. A cell is an independent source (``source_id`` of the predictions) with
one label: copies of a cell are one piece of evidence, and a cell that carries two labels stands
here twice. An image of unknown source is a cell of its own.
"""

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.intervals import wilson_interval
from wbc_pipeline.evaluation.scores.metrics import class_names

CELL = ["cell", "label"]
COLUMNS = [
    *("rank", "suspect", "label", "suggested", "margin", "p_label", "p_suggested"),
    *("networks", "denying", "conflict", "images", "cell", "image_id"),
]
MISSED = [
    *("rank", "label", "suggested", "margin", "p_label", "p_suggested"),
    *("networks", "answers", "conflict", "images", "cell", "image_id"),
]
COUNTED = [
    *("label", "cells", "suspects", "share", "share_low", "share_high"),
    *("agreed", "conflicts", "suggested"),
]
SAYS = "says_"  # before the name of a network: the class that it takes a cell for


def name_cells(rows: pd.DataFrame) -> pd.Series:
    """Name the cell of each row: its source, or its image where the source is unknown."""
    return rows["source_id"].where(rows["source_id"].notna(), rows["image_id"]).rename("cell")


def probabilities_by_cell(predictions: pd.DataFrame) -> pd.DataFrame:
    """Average each network's probabilities over the images of a cell, and over seeds.

    Returns
    -------
    DataFrame
        Index ``variant``, ``cell``, ``label``; a column per class, rows sum to 1.
    """
    classes = class_names(predictions)
    table = predictions[[f"p_{name}" for name in classes]].set_axis(classes, axis=1)
    keys = [predictions["variant"], name_cells(predictions), predictions["label"]]
    return table.groupby(keys, observed=True).mean()


def find_suspects(predictions: pd.DataFrame) -> pd.DataFrame:
    """Rank the labels of all cells by how far the networks deny them, and say which are suspect.

    The networks' probabilities are averaged. Confident learning [1]_ estimates how many cells of
    each class are of each other class, from those that are as probable to be of it as its own cells
    are on average; as many labels of each pair count as errors, those with the largest margin. They
    are suspect if every network takes the cell for something else. Of a cell that carries two
    labels, a conflict, the one that is denied more is suspect as soon as the mean denies it; two
    confirmed labels are no conflict of one cell, but those of two cells in overlapping photographs.

    Parameters
    ----------
    predictions
        See the module.

    Returns
    -------
    DataFrame
        A row per cell and label, the worst first, conflicts ahead of all: ``rank`` (from 1),
        ``suspect`` (bool), ``label``, ``suggested`` (the most probable other class), ``margin``
        (probability of the label minus that of ``suggested``, -1 to 1), ``p_label``,
        ``p_suggested``, ``networks`` (how many there are) and ``denying`` (how many of them take
        the cell for something else), ``says_<network>``, ``conflict`` (the other labels of the
        cell, empty if there is none), ``images``, ``cell`` and ``image_id`` (the first).

    References
    ----------
    .. [1] Northcutt, Jiang and Chuang, Confident learning: estimating uncertainty in dataset
       labels, Journal of Artificial Intelligence Research 70, 2021.
    """
    cells, place, mean = _judge_cells(predictions)
    is_error = _label_errors(place, mean.to_numpy()) & (cells["denying"] == cells["networks"])
    cells["suspect"] = is_error | _denied_more(cells)
    cells = cells.reset_index()
    order = cells.assign(settled=~(cells["suspect"] & (cells["conflict"] != "")))
    order = order.assign(unsuspected=~cells["suspect"])
    order = order.sort_values(["settled", "unsuspected", "margin", "image_id"])
    cells = cells.loc[order.index].reset_index(drop=True)
    cells.insert(0, "rank", np.arange(1, len(cells) + 1))
    says = [f"{SAYS}{name}" for name in sorted(predictions["variant"].unique())]
    place = COLUMNS.index("denying") + 1
    return cells[[*COLUMNS[:place], *says, *COLUMNS[place:]]]


@described(
    heading="Images that every network misses",
    caption="Cells of the test part that every network takes for another class, the surest first: "
    "their labels may be wrong, or the cells hard. A reader judges.",
)
def missed_by_all(predictions: pd.DataFrame) -> pd.DataFrame:
    """List the cells that no network recognises; of one network, those that it misses.

    Unlike `find_suspects` it estimates no errors of labels, and so needs no example of each class.

    Parameters
    ----------
    predictions
        See the module; each cell may be of another fold or seed.

    Returns
    -------
    DataFrame
        `MISSED`, see `find_suspects`: a row per missed cell and label, by ``margin``; ``answers``
        are those of the networks, with counts, the most frequent first.
    """
    cells, _, _ = _judge_cells(predictions)
    missed = cells[cells["denying"] == cells["networks"]].reset_index()
    missed["answers"] = [
        ", ".join(f"{answer} {count}" for answer, count in given.value_counts().items())
        for _, given in missed.filter(regex=f"^{SAYS}").iterrows()
    ]
    missed = missed.sort_values(["margin", "image_id"], ignore_index=True)
    missed.insert(0, "rank", np.arange(1, len(missed) + 1))
    return missed[MISSED]


def _judge_cells(predictions: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    """Say what the networks take each cell for.

    Returns
    -------
    cells
        By cell and label: what is known of them, ``p_label``, ``suggested``, ``p_suggested``,
        ``margin``, ``networks``, ``denying`` and ``says_<network>``.
    place, mean
        Number of each label's class, and the mean probabilities over networks.
    """
    by_network = probabilities_by_cell(predictions)
    names = by_network.index.unique("variant")
    mean = by_network.groupby(CELL).mean()
    cells = _describe_cells(predictions).loc[mean.index]
    place = mean.columns.get_indexer(mean.index.get_level_values("label"))
    rows = np.arange(len(mean))
    others = mean.to_numpy().copy()
    cells["p_label"] = others[rows, place]
    others[rows, place] = -1
    cells["suggested"] = mean.columns.to_numpy()[others.argmax(axis=1)]
    cells["p_suggested"] = others.max(axis=1)
    cells["margin"] = cells["p_label"] - cells["p_suggested"]
    answers = by_network.idxmax(axis=1).unstack("variant").loc[mean.index, names]
    cells["networks"] = len(names)
    cells["denying"] = answers.ne(mean.index.get_level_values("label"), axis=0).sum(axis=1)
    cells = cells.join(answers.add_prefix(SAYS))
    return cells, place, mean


@described(
    heading="Suspect labels by class",
    caption="Cells of each class, and how many of their labels are suspect (Wilson's interval).",
)
def count_suspects(cells: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Count the suspect labels of each class.

    Parameters
    ----------
    cells
        Of `find_suspects`.
    level
        Coverage of Wilson's interval.

    Returns
    -------
    DataFrame
        A row per class: ``label``, ``cells``, ``suspects``, ``share`` with ``_low`` and ``_high``,
        ``agreed`` (cells whose label is the most probable class), ``conflicts`` (cells that carry
        another label, too) and ``suggested`` (what its suspects are taken for, with counts, the
        most frequent first).
    """
    rows = []
    for label, members in cells.groupby("label", observed=True):
        suspects = members[members["suspect"]]
        taken = suspects["suggested"].value_counts()
        low, high = wilson_interval(members["suspect"].to_numpy(), np.ones(len(members)), level)
        rows.append(
            {
                "label": label,
                "cells": len(members),
                "suspects": len(suspects),
                "share": len(suspects) / len(members),
                "share_low": low,
                "share_high": high,
                "agreed": int((members["margin"] > 0).sum()),
                "conflicts": int((members["conflict"] != "").sum()),
                "suggested": ", ".join(f"{name} {count}" for name, count in taken.items()),
            }
        )
    return pd.DataFrame(rows, columns=COUNTED)


def _describe_cells(predictions: pd.DataFrame) -> pd.DataFrame:
    """Say of each cell and label how many images it has, which is the first, and what conflicts."""
    images = predictions.assign(cell=name_cells(predictions)).drop_duplicates("image_id")
    cells = images.groupby(CELL, observed=True).agg(
        images=("image_id", "size"), image_id=("image_id", "min")
    )
    labels = cells.reset_index(level="label")["label"]
    every = labels.groupby(level="cell").agg(list)
    cells["conflict"] = [
        ", ".join(name for name in every[cell] if name != label) for cell, label in cells.index
    ]
    return cells


def _label_errors(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Tell which labels are errors by confident learning, bool [N]."""
    from cleanlab.filter import find_label_issues

    return find_label_issues(labels, probabilities, filter_by="prune_by_noise_rate", n_jobs=1)


def _denied_more(cells: pd.DataFrame) -> np.ndarray:
    """Tell which of the labels of one cell the networks deny, and most, bool [N]."""
    conflicting = cells[(cells["conflict"] != "") & (cells["margin"] < 0)]
    denied = conflicting["margin"].groupby(level="cell").idxmin()
    return cells.index.isin(denied.to_list())
