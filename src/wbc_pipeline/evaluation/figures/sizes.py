"""Figure of scores over the size of images."""

import pandas as pd
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures.style import (
    distinct,
    drawn,
    legend_below,
    new_figure,
    protocol_title,
    variant_colours,
)

LABELS = {"accuracy": "accuracy", "log_loss": "log loss (nats)"}


@drawn(
    heading="Image size",
    caption="Accuracy and log loss of each network over the side of its images, means over seeds "
    "with intervals over cells.",
)
def draw_sizes(scores: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Accuracy and log loss over image size: a column per protocol, a colour per network.

    Parameters
    ----------
    scores
        Of `scores_by_size`.
    dataset
        See ``style``.
    """
    named = scores.assign(variant=scores["network"])
    colours, protocols = variant_colours(named), distinct(scores["protocol"])
    figure = new_figure("Image size", dataset, height=6.0)
    grid = figure.subplots(len(LABELS), len(protocols), sharex=True, sharey="row", squeeze=False)
    for line, (metric, label) in zip(grid, LABELS.items(), strict=True):
        line[0].set_ylabel(label)
        for axes, protocol in zip(line, protocols, strict=True):
            for network, rows in named[named["protocol"] == protocol].groupby("variant"):
                middle = rows[metric]
                around = [middle - rows[f"{metric}_low"], rows[f"{metric}_high"] - middle]
                axes.errorbar(
                    rows["size"],
                    middle,
                    yerr=[side.clip(lower=0) for side in around],
                    color=colours[network],
                    marker="o",
                    capsize=3,
                )
            axes.set_xticks(sorted(scores["size"].unique()))
    for axes, protocol in zip(grid[0], protocols, strict=True):
        axes.set_title(protocol_title(protocol, len(protocols)))
    for axes in grid[-1]:
        axes.set_xlabel("side of the image (pixels)")
    legend_below(
        figure, {name: {"color": colour, "marker": "o"} for name, colour in colours.items()}
    )
    return figure
