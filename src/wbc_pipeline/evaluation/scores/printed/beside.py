"""What a paper prints of other methods, of single answers and of its parts, and ours beside."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import (
    interval_columns,
    printed_text,
    summarise_seeds,
)
from wbc_pipeline.evaluation.scores.metrics import class_names
from wbc_pipeline.evaluation.scores.protocols import leak_free_protocol

SHARES = {  # and the axis along which they add up to 100
    "of_rows": ("% of rows", 1),
    "of_columns": ("% of columns", 0),
    "of_all": ("% of all", None),
}
COMMON = ["method", "variant", "images", "segmentation", "split"]
PRINTED = [*COMMON, "published"]
OURS = [*COMMON, *interval_columns("accuracy", {}), "seeds"]


@described(
    heading="Other people's methods",
    caption="What the paper prints of other methods and of its own; ours in the last rows, means "
    "over seeds with intervals over cells. Other images, classes and splits stand behind the "
    "others' numbers: the table ranks nothing.",
)
def others_beside(
    predictions: pd.DataFrame,
    others: Mapping[str, Mapping[str, object]],
    *,
    images: int,
    paper_protocol: str,
    resamples: int = 1000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Put what a paper prints of other people's methods above our scores.

    Parameters
    ----------
    predictions
        One row per test image and run; the condition ``clean`` counts.
    others
        By method, what is printed of it: any of ``images``, ``segmentation``, ``split`` and
        ``accuracy``; ``variant`` names ours of a method that is run again. Where none of those was
        predicted, every variant stands for ours.
    images
        How many this data set has.
    paper_protocol
        Under which ours are given, beside the leak-free one.
    resamples, level
        Of the bootstrap over sources.

    Returns
    -------
    DataFrame
        A row per printed method, then one per variant and protocol of ours: ``method``,
        ``variant``, ``images``, ``segmentation``, ``split``, ``published`` (text, as printed),
        ``accuracy`` (ours) with ``_low`` and ``_high``, ``seeds``. What is not known is empty,
        and a column of which nothing is known is left out.
    """
    printed = pd.DataFrame(
        [
            {"method": name, **known, "published": printed_text(known.get("accuracy"))}
            for name, known in others.items()
        ]
    ).reindex(columns=PRINTED)
    clean = _compared(predictions, paper_protocol)
    again = printed.dropna(subset="variant").set_index("variant")
    named = clean[clean["variant"].isin(again.index)]
    clean = clean if named.empty else named
    bootstrap = {"resamples": resamples, "level": level}
    scores = [] if clean.empty else summarise_seeds(clean, metrics=["accuracy"], **bootstrap)
    ours = [
        {
            "method": f"ours, {score['variant']}",
            "variant": score["variant"],
            "images": images,
            "segmentation": again["segmentation"].get(score["variant"]),
            "split": score["protocol"],
            **interval_columns("accuracy", score),
            "seeds": score["seeds"],
        }
        for score in pd.DataFrame(scores).to_dict("records")
    ]
    table = pd.concat([printed, pd.DataFrame(ours, columns=OURS)], ignore_index=True)
    kinds = {"images": "Int64", "seeds": "Int64", "segmentation": "boolean"}
    return table.astype(kinds).drop(columns="accuracy_sd").dropna(axis="columns", how="all")


@described(
    heading="Printed confusion matrices",
    caption="Each confusion matrix as the paper prints it, and ours beside in the same order and "
    "of the same totals, all seeds and folds together.",
)
def matrices_beside(
    predictions: pd.DataFrame, matrices: Mapping[str, Mapping], *, paper_protocol: str
) -> pd.DataFrame:
    """Put printed confusion matrices above ours.

    Parameters
    ----------
    predictions
        One row per test image and run; the condition ``clean`` counts.
    matrices
        By variant; see ``findings.examine_printed``.
    paper_protocol
        Under which ours are given, beside the leak-free one.

    Returns
    -------
    DataFrame
        A row per line of a matrix: ``variant``, ``matrix`` (the printed table, or the protocol of
        ours), ``shares``, ``line`` (what it is of), and per class text in per cent, as printed or
        with two decimals. Ours are left out where the predictions lack one of the classes.
    """
    clean = _compared(predictions, paper_protocol)
    rows = []
    for variant, printed in matrices.items():
        classes, along = printed["classes"], {"rows": "true", "columns": "predicted"}
        lines = [f"{along[printed['labels']]} {name}" for name in classes]
        ours = clean[clean["variant"] == variant] if {*classes} <= {*class_names(clean)} else ()
        for kind, (shares, summed) in SHARES.items():
            if printed.get(kind) is None:
                continue
            tables = {printed["table"]: printed[kind]}
            for protocol in ours["protocol"].unique() if len(ours) else ():
                run = ours[ours["protocol"] == protocol]
                tables[f"ours, {protocol}"] = _in_per_cent(run, printed, summed)
            rows += [
                {"variant": variant, "matrix": name, "shares": shares, "line": line}
                | {each: printed_text(cell) for each, cell in zip(classes, cells, strict=True)}
                for name, table in tables.items()
                for line, cells in zip(lines, table, strict=True)
            ]
    return pd.DataFrame(rows)


def _in_per_cent(run: pd.DataFrame, printed: Mapping, summed: int | None) -> list[list[str]]:
    """Lay out our confusion matrix as the paper does; a line without images is of zeros."""
    names = class_names(run)
    best = run[[f"p_{name}" for name in names]].to_numpy().argmax(axis=1)
    answers = pd.Series(np.array(names)[best], run.index)
    lines = (run["label"].astype(str), answers)
    counts = pd.crosstab(*(lines if printed["labels"] == "rows" else lines[::-1]))
    order = {"index": printed["classes"], "columns": printed["classes"]}
    counts = counts.reindex(**order, fill_value=0).to_numpy()
    shares = 100 * counts / counts.sum(axis=summed, keepdims=True).clip(min=1)
    return [[f"{share:.2f}" for share in row] for row in shares]


@described(
    heading="Images of the published parts",
    caption="Images of each class in the parts of the data set as the paper prints them, and as "
    "they are here.",
)
def parts_beside(images: pd.DataFrame, parts: Mapping) -> pd.DataFrame:
    """Put the printed images of each class in each part beside ours.

    Parameters
    ----------
    images
        A row per image with ``label`` and ``published_part``.
    parts
        Images of each class in ``train`` and ``test``.

    Returns
    -------
    DataFrame
        A row per class, and one for ``all``: ``<part>_published`` and ``<part>``, and the shares of
        tested images ``test_share_published`` and ``test_share``; ours are missing in a data set
        without such parts.
    """
    has_parts = images["published_part"].notna().any()
    table = pd.DataFrame({"label": [*parts["train"]]})
    for part in ("train", "test"):
        own = images.loc[images["published_part"] == part, "label"].value_counts()
        table[f"{part}_published"] = table["label"].map(parts[part])
        table[part] = table["label"].map(own).fillna(0) if has_parts else np.nan
    total = table.drop(columns="label").sum(min_count=1)
    table = pd.concat([table, pd.DataFrame([{"label": "all", **total}])], ignore_index=True)
    counts = table.columns.drop("label")
    table[counts] = table[counts].astype("Int64")
    for end in ("_published", ""):
        known = table[f"train{end}"] + table[f"test{end}"]
        table[f"test_share{end}"] = table[f"test{end}"] / known.where(known > 0)
    return table


def _compared(predictions: pd.DataFrame, paper_protocol: str) -> pd.DataFrame:
    """Rows of clean images under the paper's protocol and the leak-free one."""
    protocols = [paper_protocol, leak_free_protocol(predictions["protocol"].unique())]
    clean = predictions["condition"] == "clean"
    return predictions[clean & predictions["protocol"].isin(protocols)]
