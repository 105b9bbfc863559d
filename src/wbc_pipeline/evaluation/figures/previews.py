"""Interactive figures for previews in kedro-viz, which take lists and no arrays."""

from collections.abc import Sequence
from itertools import cycle
from math import isnan

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from wbc_pipeline.evaluation.figures.style import (
    PROTOCOL_COLOURS,
    UNKNOWN_COLOUR,
    clean_rows,
    distinct,
    full_title,
    variant_colours,
)
from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.entries import metric_label
from wbc_pipeline.keys import run_name

PLOTLY_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@described(
    heading="Scores of each run", caption="Scores on the test images; point at a run to see it."
)
def plotly_scores(
    metrics: pd.DataFrame, metric: str = "accuracy", *, dataset: str = ""
) -> go.Figure:
    """Plot a score with its intervals in Plotly, for previews; see ``score_intervals``."""
    frame = clean_rows(metrics)
    figure = go.Figure()
    for protocol, runs in frame.groupby("protocol", sort=False):
        value = runs[metric]
        error = {
            "array": (runs[f"{metric}_high"] - value).tolist(),
            "arrayminus": (value - runs[f"{metric}_low"]).tolist(),
        }
        figure.add_scatter(
            x=runs["variant"].tolist(),
            y=value.tolist(),
            error_y=error,
            mode="markers",
            name=protocol,
            marker={"size": 9, "color": PROTOCOL_COLOURS.get(protocol, UNKNOWN_COLOUR)},
            text=[f"seed {seed}" for seed in runs["seed"]],
        )
    label = metric_label(metric)
    figure.update_layout(
        template="plotly_white",
        title=full_title(f"Test {label}", dataset),
        yaxis_title=label,
        legend_title="protocol",
        scattermode="group",
    )
    return figure


@described(
    heading="Leaderboard",
    caption="Macro F1 of every model with intervals; point at a model to see what it costs.",
)
def plotly_leaderboard(
    board: pd.DataFrame, metric: str = "macro_f1", *, dataset: str = ""
) -> go.Figure:
    """Plot the models of all papers in Plotly, a colour for each protocol.

    Parameters
    ----------
    board
        Of ``leaderboard.leaderboard``.
    metric
        One of its scores.
    """
    figure = go.Figure()
    for (protocol, leak), rows in board.groupby(["protocol", "leak"], sort=False):
        value = rows[metric]
        error = {
            "array": (rows[f"{metric}_high"] - value).tolist(),
            "arrayminus": (value - rows[f"{metric}_low"]).tolist(),
        }
        costs = rows[["parameters", "inference_ms"]].astype(float).itertuples(index=False)
        figure.add_scatter(
            x=(rows["paper"] + " · " + rows["variant"].astype(str)).tolist(),
            y=value.tolist(),
            error_y=error,
            mode="markers",
            name=f"{protocol} ({leak})",
            marker={"size": 9, "color": PROTOCOL_COLOURS.get(protocol, UNKNOWN_COLOUR)},
            text=[_costs(*each) for each in costs],
        )
    label = metric_label(metric)
    figure.update_layout(
        template="plotly_white",
        title=full_title("Leaderboard", dataset),
        yaxis_title=label,
        legend_title="protocol",
        scattermode="group",
    )
    return figure


def _costs(parameters: float, milliseconds: float) -> str:
    known = [] if isnan(parameters) else [f"{parameters:,.0f} parameters"]
    known += [] if isnan(milliseconds) else [f"{milliseconds:.2f} ms per image"]
    return ", ".join(known) or "costs not known"


@described(heading="Training", caption="Validation accuracy and loss of each run.")
def plotly_curves(
    history: pd.DataFrame, *, dataset: str = "", variants: Sequence[str] | None = None
) -> go.Figure:
    """Plot validation accuracy and loss over epochs in Plotly, for previews."""
    colours = variant_colours(history, variants)
    dashes = dict(zip(distinct(history["protocol"]), cycle(PLOTLY_DASHES), strict=False))
    figure = make_subplots(cols=2, subplot_titles=["validation accuracy", "validation loss (nats)"])
    runs = history.groupby(["variant", "protocol", "seed", "fold"], sort=False)
    for (variant, protocol, seed, fold), run in runs:
        for column, metric in enumerate(["val_accuracy", "val_loss"], start=1):
            figure.add_scatter(
                x=run["epoch"].tolist(),
                y=run[metric].tolist(),
                name=f"{variant} · {run_name(protocol, seed, fold)}",
                legendgroup=f"{variant} {protocol} {seed} {fold}",
                showlegend=column == 1,
                line={"color": colours[variant], "dash": dashes[protocol]},
                row=1,
                col=column,
            )
    figure.update_xaxes(title="epoch")
    figure.update_layout(template="plotly_white", title=full_title("Training", dataset))
    return figure
