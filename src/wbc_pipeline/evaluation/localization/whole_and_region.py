"""Accuracy of networks on whole images against that on regions."""

from collections.abc import Mapping

import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import (
    interval_columns,
    paired_differences,
    printed_text,
    summarise_seeds,
)

COLUMNS = ["network", "protocol", "published_whole", "published_region"]
DIFFERENCE = ["accuracy_difference", "accuracy_difference_low", "accuracy_difference_high"]


@described(
    heading="Whole image against region",
    caption="Each network on whole images and on regions: the difference is on the same images, "
    "with McNemar's exact test over sources.",
)
def compare_whole_with_region(
    predictions: pd.DataFrame,
    pairs: Mapping[str, tuple[str, str]],
    published: Mapping[str, Mapping[str, object]],
    *,
    level: float = 0.95,
    resamples: int = 1000,
) -> pd.DataFrame:
    """Compare whole-image and region accuracy of each network.

    Parameters
    ----------
    predictions
        One row per image and run; the condition ``clean`` counts.
    pairs
        By network, its variant on whole images and its variant on regions. What was not predicted
        with both is left out.
    published
        ``{variant: {"accuracy": value}}``, as printed.
    level, resamples
        Of the bootstrap over sources.

    Returns
    -------
    DataFrame
        A row per network and protocol: ``published_whole`` and ``published_region`` as printed,
        ``whole`` and ``region`` with ``_low`` and ``_high``, ``difference`` on the same images
        likewise (region minus whole), ``p_value`` (see ``comparison.paired_differences``),
        ``sources`` and ``seeds``.
    """
    rows = []
    for network, (whole, region) in pairs.items():
        both = predictions[predictions["variant"].isin([whole, region])]
        if both["variant"].nunique() < 2:
            continue
        bootstrap = {"level": level, "resamples": resamples}
        scores = summarise_seeds(both[both["condition"] == "clean"], **bootstrap)
        scores = scores[scores["metric"] == "accuracy"].set_index(["variant", "protocol"])
        for pair in paired_differences(both, whole, **bootstrap).to_dict("records"):
            row = {"network": network, "protocol": pair["protocol"]}
            for name, variant in (("whole", whole), ("region", region)):
                printed = published.get(variant, {}).get("accuracy")
                row[f"published_{name}"] = printed_text(printed) or None
                row |= interval_columns(name, scores.loc[(variant, pair["protocol"])].to_dict())
            for column in DIFFERENCE:
                row[column.removeprefix("accuracy_")] = pair[column]
            rows.append(row | {name: pair[name] for name in ("p_value", "sources", "seeds")})
    table = pd.DataFrame(rows, columns=None if rows else COLUMNS)
    return table[[*COLUMNS, *(name for name in table if name not in COLUMNS)]]
