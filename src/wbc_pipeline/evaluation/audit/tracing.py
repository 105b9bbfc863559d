"""Which originals stand behind a set of copies, and which of them show one cell twice."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.imaging.packing import accepted


def check_labels(recovery: pd.DataFrame) -> pd.Series:
    """Compare each copy's label with those of the original that it was traced to.

    Parameters
    ----------
    recovery
        ``label`` and ``original_label`` (several are separated by ``", "``; missing where the
        original has none).

    Returns
    -------
    Series
        ``label_agrees``, boolean; missing where either label is.
    """
    agrees = [
        None if pd.isna(label) or pd.isna(original) else label in original.split(", ")
        for label, original in zip(recovery["label"], recovery["original_label"], strict=True)
    ]
    return pd.Series(agrees, index=recovery.index, dtype="boolean", name="label_agrees")


@described(
    heading="Sources recovered from the pixels",
    caption="Originals that the copies of each part were traced to, and how surely.",
)
def count_originals(manifest: pd.DataFrame, recovery: pd.DataFrame) -> pd.DataFrame:
    """Count the originals that copies were traced to.

    Parameters
    ----------
    manifest
        See ``design``; only images of status ``ok`` count.
    recovery
        A row per copy: ``image_id``, ``certain``, ``mirrored``, ``score``, ``margin``,
        ``label_agrees``.

    Returns
    -------
    DataFrame
        A row per published part and one for ``all``; no rows without a recovery: ``originals``,
        ``shared_originals`` (those that other parts show too), ``copies``, ``uncertain``,
        ``mirrored`` and ``labels_disagree`` (numbers of copies), ``lowest_score`` and
        ``lowest_margin``.
    """
    traced = accepted(manifest)[["image_id", "source_id", "published_part"]].merge(
        recovery.drop(columns="source_id", errors="ignore"), on="image_id"
    )
    sides = traced.groupby("source_id")["published_part"].nunique()
    shared = set(sides.index[sides > 1])
    parts = {str(part): copies for part, copies in traced.groupby("published_part")}
    parts |= {"all": traced} if len(traced) else {}
    rows = [{"part": part} | _count_copies(copies, shared) for part, copies in parts.items()]
    return pd.DataFrame(rows, columns=_ORIGINALS)


_ORIGINALS = [
    "part",
    "originals",
    "shared_originals",
    "copies",
    "uncertain",
    "mirrored",
    "labels_disagree",
    "lowest_score",
    "lowest_margin",
]


def _count_copies(copies: pd.DataFrame, shared: set[str]) -> dict:
    originals = set(copies["source_id"].dropna())
    return {
        "originals": len(originals),
        "shared_originals": len(originals & shared),
        "copies": len(copies),
        "uncertain": int((~copies["certain"].astype(bool)).sum()),
        "mirrored": int(copies["mirrored"].sum()),
        "labels_disagree": int((~copies["label_agrees"].astype("boolean").fillna(True)).sum()),
        "lowest_score": copies["score"].min(),
        "lowest_margin": copies["margin"].min(),
    }


@described(
    heading="Originals of one field of view",
    caption="Pairs of originals that overlap. same cell: whether the box around the white cell "
    "of one lies where that of the other does.",
)
def describe_overlaps(manifest: pd.DataFrame, overlaps: pd.DataFrame) -> pd.DataFrame:
    """Compare cell, labels and parts of each pair of originals of one field of view.

    Parameters
    ----------
    manifest
        See ``design``; only images of status ``ok`` count.
    overlaps
        A row per pair: ``first``, ``second`` (source ids), ``correlation`` where they overlap, the
        ``share`` of the first that does (0 to 1), the ``transform`` from pixels of the second to
        pixels of the first (6 numbers), and the box around the white cell of each, ``first_box``
        and ``second_box`` (4 numbers, missing where there is not just one).

    Returns
    -------
    DataFrame
        The pairs of which both have images here: ``first``, ``second``, ``correlation``, ``share``,
        ``same_cell`` (whether the white cells of both are one; missing without boxes), ``labels``
        and ``parts`` of the two (one where they agree), ``labels_differ`` and ``across_parts``
        (bool).
    """
    known = accepted(manifest).groupby("source_id")[["label", "published_part"]].first()
    pairs = overlaps[overlaps["first"].isin(known.index) & overlaps["second"].isin(known.index)]
    pairs = pairs.reset_index(drop=True)
    table = pairs.reindex(columns=["first", "second", "correlation", "share"])
    same = [_is_same_cell(pair) for pair in pairs.itertuples()]
    table["same_cell"] = pd.Series(same, dtype="boolean")
    for column, name, differ in (
        ("label", "labels", "labels_differ"),
        ("published_part", "parts", "across_parts"),
    ):
        first, second = (pairs[side].map(known[column]) for side in ("first", "second"))
        table[name] = [
            " / ".join(dict.fromkeys(value for value in both if not pd.isna(value)))
            for both in zip(first, second, strict=True)
        ]
        table[differ] = (first.notna() & second.notna() & (first != second)).astype(bool)
    return table


def _is_same_cell(pair: NamedTuple) -> bool | None:
    """Tell whether the middle of the second's white cell lies in the box of the first's."""
    if pair.first_box is None or pair.second_box is None:
        return None
    left, top, right, bottom = pair.second_box
    middle = np.array([(left + right) / 2, (top + bottom) / 2, 1])
    x, y = np.reshape(pair.transform, (2, 3)) @ middle
    left, top, right, bottom = pair.first_box
    return bool(left <= x <= right and top <= y <= bottom)
