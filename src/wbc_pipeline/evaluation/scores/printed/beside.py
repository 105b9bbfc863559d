"""What a paper prints of other people's methods, and ours beside."""

from collections.abc import Mapping

import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import (
    interval_columns,
    printed_text,
    summarise_seeds,
)
from wbc_pipeline.evaluation.scores.protocols import leak_free_protocol

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
    protocols = [paper_protocol, leak_free_protocol(predictions["protocol"].unique())]
    clean = predictions[
        (predictions["condition"] == "clean") & predictions["protocol"].isin(protocols)
    ]
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
