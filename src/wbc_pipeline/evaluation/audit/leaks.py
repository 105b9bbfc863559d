"""What each protocol leaks from test to training, and what that is worth.

``manifest``, ``splits`` and ``metrics`` are those of the design; for sources see ``tables``.
"""

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.audit.tables import PARTS
from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.protocols import leak_free_protocol
from wbc_pipeline.imaging.packing import accepted

PRICES = ("accuracy", "macro_f1")
LEAKS = (
    "protocol",
    "seeds",
    "images",
    "sources",
    "independent_sources",
    "source_known",
    "test_images",
    "test_sources",
    "images_leaked",
    "sources_leaked",
    "images_overlapping",
    "fewest_test_sources",
    "fewest_class",
    "missing_classes",
)


@described(
    heading="What each protocol leaks",
    caption="Shares of the test part whose source, or another source of the same cell, training or "
    "validation has too; means over seeds.",
)
def measure_leaks(splits: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Measure how much of each protocol's test part shows cells that training has seen.

    Training here means the parts ``train`` and ``validation``: both shape a model.

    Parameters
    ----------
    splits
        ``image_id``, ``protocol``, ``seed``, ``part``.

    Returns
    -------
    DataFrame
        A row per protocol. Of all parts: ``seeds``, ``images``, ``sources``,
        ``independent_sources`` and ``source_known`` (share of the images, 0 to 1). As means over
        seeds: ``test_images``, ``test_sources`` (independent ones), ``images_leaked`` and
        ``sources_leaked`` (shares of the test part whose source is also in training, 0 to 1), and
        ``images_overlapping`` (the further share whose source is not in training, but another of
        the same ``source_group`` is); all three among those of known source, and so lower bounds
        unless all are known. Over all seeds: ``fewest_test_sources`` of a class (independent ones),
        that ``fewest_class``, and ``missing_classes`` (such as ``test: monocyte``; empty if every
        part has every class). What needs sources is missing where none is known.
    """
    images = accepted(manifest)[["image_id", "label", "source_id", "source_group"]]
    rows = splits.merge(images, on="image_id", validate="many_to_one")
    protocols = [
        {"protocol": protocol} | _summarise_leaks(group)
        for protocol, group in rows.groupby("protocol", sort=False)
    ]
    whole = ["sources", "independent_sources", "fewest_test_sources"]
    return pd.DataFrame(protocols, columns=LEAKS).astype(dict.fromkeys(whole, "Int64"))


@described(
    heading="The price of a leak",
    caption="The same small network under each protocol: means over seeds, with the interval of a "
    "typical seed. The differences are to the leak-free protocol.",
)
def price_of_leak(metrics: pd.DataFrame) -> pd.DataFrame:
    """Compare the scores of each protocol with those of the leak-free one.

    Parameters
    ----------
    metrics
        As ``scores.score_predictions`` returns it; only the condition ``clean`` is used.

    Returns
    -------
    DataFrame
        A row per variant and protocol: ``seeds``; means over seeds of ``test_images``,
        ``test_sources`` (the units that were resampled), ``accuracy`` and ``macro_f1``; ``_low``
        and ``_high`` are the mean ends of the seeds' intervals, which is the interval of a typical
        seed and wider than that of the mean; ``_sd`` over seeds, NaN for one;
        ``accuracy_difference`` and ``macro_f1_difference`` to the leak-free protocol (see
        ``scores.protocols``; NaN without one).
    """
    ends = [f"{name}{end}" for name in PRICES for end in ("", "_low", "_high")]
    spreads = [f"{name}_sd" for name in PRICES]
    differences = [f"{name}_difference" for name in PRICES]
    columns = ["variant", "protocol", "seeds", "test_images", "test_sources", *ends, *spreads]
    if metrics.empty:
        return pd.DataFrame(columns=[*columns, *differences])
    clean = metrics[metrics["condition"] == "clean"]
    groups = clean.groupby(["variant", "protocol"], sort=False)
    table = groups[["images", "sources", *ends]].agg(lambda seeds: seeds.mean(skipna=False))
    table = table.rename(columns={"images": "test_images", "sources": "test_sources"})
    table = table.assign(seeds=groups["seed"].nunique()).join(
        groups[[*PRICES]].std().add_suffix("_sd")
    )
    table = table.reset_index()[columns]
    leak_free = leak_free_protocol(table["protocol"])
    reference = table[table["protocol"] == leak_free].set_index("variant")
    for name, difference in zip(PRICES, differences, strict=True):
        table[difference] = table[name] - table["variant"].map(reference[name])
    return table


def _summarise_leaks(rows: pd.DataFrame) -> dict:
    """Summarise one protocol over its seeds."""
    seeds = pd.DataFrame([_leaks_of_seed(split) for _, split in rows.groupby("seed")])
    test = rows[rows["part"] == "test"].dropna(subset=["source_group", "label"])
    behind = test.groupby(["label", "seed"])["source_group"].nunique()
    return (
        {"seeds": len(seeds), "images": rows["image_id"].nunique()}
        | {"sources": rows["source_id"].nunique() or None}
        | {"independent_sources": rows["source_group"].nunique() or None}
        | {"source_known": rows["source_group"].notna().mean()}
        | seeds.mean().to_dict()
        | {"fewest_test_sources": behind.min() if len(behind) else None}
        | {"fewest_class": behind.idxmin()[0] if len(behind) else None}
        | {"missing_classes": _missing_classes(rows)}
    )


def _leaks_of_seed(split: pd.DataFrame) -> dict:
    is_test = split["part"] == "test"
    test, training = split[is_test].dropna(subset=["source_group"]), split[~is_test]
    leaked = test["source_id"].isin(training["source_id"])
    kept_apart = ~test["source_group"].isin(training["source_group"])
    sources = test["source_id"].drop_duplicates()
    return {
        "test_images": is_test.sum(),
        "test_sources": test["source_group"].nunique() or np.nan,
        "images_leaked": leaked.mean(),  # NaN of none
        "sources_leaked": leaked[sources.index].mean(),
        "images_overlapping": (~leaked & ~kept_apart).mean(),
    }


def _missing_classes(rows: pd.DataFrame) -> str:
    """Name the classes that a part lacks under any seed, as ``test: basophil, monocyte``."""
    labels = set(rows["label"].dropna())
    seeds = rows["seed"].nunique()
    present = rows.groupby(["part", "label"])["seed"].nunique()
    lacking = {
        part: sorted(label for label in labels if present.get((part, label), 0) < seeds)
        for part in PARTS
        if (rows["part"] == part).any()
    }
    return "; ".join(f"{part}: {', '.join(found)}" for part, found in lacking.items() if found)
