"""Ensembles against the best single network, as a user would choose it: on the validation part."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.directions import SHIFTS
from wbc_pipeline.evaluation.scores.ensembles import (
    Ensembles,
    combine_predictions,
    ensemble_weights,
)
from wbc_pipeline.evaluation.scores.hypotheses import PLACE, paired_tests

BEST = "best single network"  # no name that a variant can have
COLUMNS = [
    *("ensemble", *PLACE, "best_networks", "ensemble_macro_f1", "best_macro_f1"),
    *("gain", "gain_low", "gain_high", "sources", "seeds", "interval_unit"),
]


@described(
    heading="Ensembles against the best single network",
    caption="Macro-F1 of each ensemble minus that of the network which has the highest on the "
    "validation part, chosen for each protocol, seed and fold. The interval is a bootstrap over "
    "sources on the same images, to which the variance over seeds is added.",
)
def ensembles_against_best(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    ensembles: Ensembles,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare each ensemble with the single network that the validation part puts first.

    Parameters
    ----------
    predictions
        One row per image and run (design: predictions), of the parts ``validation`` and ``test``,
        of networks and ensembles.
    manifest
        Of the same data set: the ``domain`` of each image.
    ensembles
        As for ``ensembles.combine_predictions``; all other variants are single networks.
    resamples, level, seed
        Of the bootstrap.

    Returns
    -------
    DataFrame
        A row per ensemble, protocol and fold as of ``hypotheses.paired_tests`` (`COLUMNS`), with
        the networks that were chosen in ``best_networks``. No rows without an ensemble, or where
        nothing was validated.
    """
    is_ensemble = predictions["variant"].isin([*ensembles])
    networks = predictions.loc[~is_ensemble, "variant"].unique()
    validated = (predictions["part"] == "validation") & (predictions["condition"] == "clean")
    if not ensembles or not (validated & ~is_ensemble).any():
        return pd.DataFrame(columns=COLUMNS)
    best, chosen = _best_rows(predictions[~is_ensemble], networks)
    both = pd.concat([predictions[is_ensemble], best], ignore_index=True)
    both = both[(both["part"] == "test") & (both["condition"] == "clean")]
    tables = []
    for name in ensembles:
        pair = both[both["variant"].isin([name, BEST])]
        tests = paired_tests(
            pair,
            manifest,
            reference=name,
            metrics=["macro_f1"],
            resamples=resamples,
            level=level,
            seed=seed,
        )
        names = {
            "reference": "ensemble",
            "reference_score": "ensemble_macro_f1",
            "variant_score": "best_macro_f1",
        }
        tables.append(tests.rename(columns=names))
    table = pd.concat(tables, ignore_index=True)
    table["best_networks"] = [
        _names(chosen, row.protocol, row.fold) for row in table.itertuples(index=False)
    ]
    return table[COLUMNS]


def _best_rows(
    predictions: pd.DataFrame, networks: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give the rows of the best network of each split as one variant, and which it was."""
    how = {BEST: (list(networks), "mean", 1)}  # an ensemble of one
    clean = predictions[predictions["condition"] == "clean"]
    combined = combine_predictions(clean, how)
    return combined[combined["variant"] == BEST], ensemble_weights(clean, how)


def _names(chosen: pd.DataFrame, protocol: str, fold: int) -> str:
    """Name the networks that were chosen, the most frequent first."""
    own = chosen[chosen["protocol"] == protocol]
    if protocol in SHIFTS:  # each fold is a result of its own
        own = own[own["fold"] == fold]
    counts = own["member"].value_counts(sort=False)
    order = np.argsort(-counts.to_numpy(), kind="stable")
    return ", ".join(
        f"{counts.index[i]} ({counts.iloc[i]}×)" if len(counts) > 1 else str(counts.index[i])
        for i in order
    )
