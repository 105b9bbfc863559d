"""Figure of what networks are worth that may abstain."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures.style import (
    drawn,
    empty_figure,
    legend_below,
    new_figure,
    protocol_title,
    variant_colours,
)
from wbc_pipeline.evaluation.scores.abstention import outcomes_by_variant, risk_curve

MOST = 8  # variants, those of the smallest area under their curves


@drawn(
    heading="Answers and abstentions",
    caption="Errors among the test images that are answered, over the share that is, the most "
    "confident first; all seeds and folds together, and at most eight variants. The dot is the "
    "limit that the validation part sets: left of it the network answers, right of it it abstains.",
)
def coverage_risk(predictions: pd.DataFrame, scores: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Draw risk over coverage, a panel per protocol.

    Parameters
    ----------
    predictions
        See ``design``: predictions.
    scores
        Of ``abstention.abstention_scores`` for these.
    dataset
        For the title.
    """
    title = "Errors among the images that are answered"
    if scores.empty:
        return empty_figure(title, dataset, "no validation part to set a limit on")
    mean = scores.groupby(["variant", "protocol"], sort=False).mean(numeric_only=True)
    best = mean.groupby("variant")["area_under_risk"].mean().nsmallest(MOST).index
    shown = scores[scores["variant"].isin(best)]
    colours, protocols = variant_colours(shown), shown["protocol"].unique()
    figure = new_figure(title, dataset, height=4.2)
    panels = figure.subplots(1, len(protocols), sharey=True, squeeze=False)[0]
    for axes, protocol in zip(panels, protocols, strict=True):
        axes.set(
            title=protocol_title(protocol, len(protocols)), xlabel="share answered", xlim=(0, 1)
        )
    panels[0].set(ylabel="share wrong of these", ylim=(0, None))
    for (variant, protocol), outcome in outcomes_by_variant(predictions, shown).items():
        axes = panels[list(protocols).index(protocol)]
        coverage, risk = risk_curve(*outcome)
        axes.plot(coverage, risk, color=colours[variant])
        reached = mean.loc[(variant, protocol), "coverage"]
        place = min(int(np.searchsorted(coverage, reached)), len(coverage) - 1)
        axes.plot(coverage[place], risk[place], "o", color=colours[variant])
    legend_below(figure, {name: {"color": colour} for name, colour in colours.items()})
    return figure
