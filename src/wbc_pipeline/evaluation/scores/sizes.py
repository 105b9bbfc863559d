"""Scores of networks that differ by the size of their images alone."""

from collections.abc import Mapping

import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import interval_columns, summarise_seeds

SCORES = ("accuracy", "log_loss")


@described(
    heading="Image size",
    caption="Each network on images of several sizes: means over seeds with intervals over cells.",
)
def scores_by_size(
    predictions: pd.DataFrame,
    networks: Mapping[str, tuple[str, int]],
    *,
    resamples: int = 1000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Score each network on images of each size, where it was trained on more than one.

    Parameters
    ----------
    predictions
        One row per test image and run; only the condition ``clean`` is scored.
    networks
        By variant, what the network is called at all sizes, and the side of its images in pixels.
    resamples, level
        As of ``comparison.summarise_seeds``.

    Returns
    -------
    DataFrame
        A row per network, protocol and size, the smallest first: ``network``, ``protocol``,
        ``size``, ``variant``, ``accuracy`` and ``log_loss`` with ``_low``, ``_high`` and ``_sd``,
        ``seeds``. Without a network of several sizes: no rows.
    """
    sizes: dict[str, set[int]] = {}
    for network, size in networks.values():
        sizes.setdefault(network, set()).add(size)
    compared = [name for name, (network, _) in networks.items() if len(sizes[network]) > 1]
    columns = ["network", "protocol", "size", "variant"]
    chosen = predictions["variant"].isin(compared) & (predictions["condition"] == "clean")
    if not chosen.any():
        return pd.DataFrame(columns=[*columns, *SCORES])
    summary = summarise_seeds(predictions[chosen], metrics=SCORES, resamples=resamples, level=level)
    found = summary.set_index(["variant", "protocol", "metric"]).to_dict("index")
    rows = []
    for variant, protocol in dict.fromkeys((variant, protocol) for variant, protocol, _ in found):
        network, size = networks[variant]
        row = {"network": network, "protocol": protocol, "size": size, "variant": variant}
        for name in SCORES:
            row |= interval_columns(name, found[variant, protocol, name])
        rows.append(row | {"seeds": found[variant, protocol, SCORES[0]]["seeds"]})
    return pd.DataFrame(rows).sort_values(columns[:3], kind="stable", ignore_index=True)
