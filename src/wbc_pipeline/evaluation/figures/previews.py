"""Interactive figures for reports and kedro-viz, whose previews take lists and no arrays."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from math import isnan

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from wbc_pipeline.evaluation.figures.style import (
    PROTOCOL_COLOURS,
    UNKNOWN_COLOUR,
    axis_label,
    clean_rows,
    distinct,
    full_title,
    variant_colours,
)
from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import published_values
from wbc_pipeline.evaluation.scores.entries import metric_label
from wbc_pipeline.keys import run_name

SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
SOFT = "#888888"
MOST_VARIANTS = 12  # that are drawn at once
PARTS = {"train": "training", "val": "validation"}


@described(
    heading="Scores of each run",
    caption="Scores on the test images, with intervals over sources: a marker for each seed, the "
    "star what the paper prints. Point at a run to see it; click a protocol to leave it out.",
)
def plotly_scores(
    metrics: pd.DataFrame,
    published: Mapping[str, Mapping[str, object]] | None = None,
    metric: str = "accuracy",
    *,
    dataset: str = "",
) -> go.Figure:
    """Plot a score with its intervals in Plotly; see ``score_intervals``.

    Parameters
    ----------
    metrics, published, metric
        As of ``score_intervals``.
    dataset
        See ``style``.
    """
    frame = clean_rows(metrics)
    colours, label = variant_colours(frame), metric_label(metric)
    symbols = dict(zip(distinct(frame["protocol"]), cycle(SYMBOLS), strict=False))
    figure, first = go.Figure(), set()
    for (protocol, seed), runs in frame.groupby(["protocol", "seed"], sort=False):
        value = runs[metric]
        own = [colours[variant] for variant in runs["variant"]]
        figure.add_scatter(
            x=value.tolist(),
            y=runs["variant"].tolist(),
            error_x={
                "array": (runs[f"{metric}_high"] - value).tolist(),
                "arrayminus": (value - runs[f"{metric}_low"]).tolist(),
                "color": SOFT,
                "thickness": 1.2,
            },
            orientation="h",  # of the places that a group has side by side
            mode="markers",
            cliponaxis=False,
            name=protocol,
            legendgroup=protocol,
            showlegend=protocol not in first,
            marker={"size": 9, "color": own, "symbol": symbols[protocol]},
            offsetgroup=f"{protocol} {seed}",
            hovertemplate=f"%{{y}}, {protocol}, seed {seed}: %{{x:.3f}}<extra></extra>",
        )
        first.add(protocol)
    printed = [
        (variant, value)
        for variant in colours
        for value in published_values((published or {}).get(variant, {}).get(metric))
    ]
    if printed:
        figure.add_scatter(
            x=[value for _, value in printed],
            y=[variant for variant, _ in printed],
            mode="markers",
            cliponaxis=False,
            name="published",
            marker={"size": 14, "symbol": "star", "color": "black"},
            hovertemplate="%{y} as printed: %{x}<extra></extra>",
        )
    rows = len(colours) * frame.groupby(["protocol", "seed"]).ngroups
    figure.update_layout(
        template="plotly_white",
        title=full_title(f"Test {label}", dataset),
        xaxis_title=label,
        yaxis={
            "autorange": "reversed",
            "categoryarray": [*colours],
            "automargin": True,
            "ticklabelstandoff": 8,
        },
        legend_title="protocol",
        scattermode="group",
        height=min(1200, 200 + max(32 * len(colours), 14 * rows)),
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


@described(
    heading="Training",
    caption="Accuracy and loss over the epochs, training dashed and validation solid, a line per "
    "run. Click a variant to hide it, twice to see it alone.",
)
def plotly_curves(
    history: pd.DataFrame, *, dataset: str = "", variants: Sequence[str] | None = None
) -> go.Figure:
    """Plot accuracy and loss over epochs in Plotly, a column per protocol.

    Of more than ``MOST_VARIANTS`` the others wait in the legend.
    """
    colours, protocols = variant_colours(history, variants), distinct(history["protocol"])
    figure = make_subplots(
        rows=2,
        cols=max(1, len(protocols)),
        shared_xaxes=True,
        shared_yaxes=True,
        vertical_spacing=0.07,
        horizontal_spacing=0.03,
        column_titles=protocols,
    )
    first = set()
    runs = history.groupby(["variant", "protocol", "seed", "fold"], sort=False)
    for (variant, protocol, seed, fold), run in runs:
        run_of = run_name(protocol, seed, fold)
        for row, metric in enumerate(["accuracy", "loss"], start=1):
            for part, dash in {"train": "dot", "val": "solid"}.items():
                if f"{part}_{metric}" not in run:
                    continue
                figure.add_scatter(
                    x=run["epoch"].tolist(),
                    y=run[f"{part}_{metric}"].round(4).tolist(),
                    mode="lines" if len(run) > 1 else "markers",
                    name=variant,
                    legendgroup=variant,
                    showlegend=variant not in first,
                    visible=True if [*colours].index(variant) < MOST_VARIANTS else "legendonly",
                    line={"color": colours[variant], "dash": dash, "width": 1.4},
                    marker={"symbol": "circle-open" if part == "train" else "circle", "size": 8},
                    hovertemplate=f"{variant}, {run_of}, {PARTS[part]} {metric}, "
                    "epoch %{x}: %{y}<extra></extra>",
                    row=row,
                    col=protocols.index(protocol) + 1,
                )
                first.add(variant)
    figure.update_xaxes(title="epoch", row=2)
    figure.update_yaxes(title="accuracy", row=1, col=1)
    figure.update_yaxes(title="loss (nats)", row=2, col=1)
    figure.update_layout(template="plotly_white", title=full_title("Training", dataset), height=620)
    return figure


@described(
    heading="Accuracy on degraded images",
    caption="Accuracy as the images get worse, mean over seeds, with intervals over sources; at 0 "
    "the same images as they came. Stars are what the paper prints. The image is degraded at its "
    "full size where the view begins with the file: what is scaled down afterwards averages noise "
    "away, a whole image more than a region. Click a variant to hide it, twice to see it alone.",
)
def plotly_robustness(
    scores: pd.DataFrame,
    published: Mapping[str, Mapping[str, Mapping[float, object]]] | None = None,
    *,
    scales: Mapping[str, str] | None = None,
    dataset: str = "",
) -> go.Figure:
    """Plot accuracy over the amount of degradation, a row per curve and a column per protocol.

    Parameters
    ----------
    scores, published, scales
        As of ``robustness_curves``.
    dataset
        See ``style``.
    """
    colours, protocols = variant_colours(scores), distinct(scores["protocol"])
    curves = distinct(scores["curve"])
    figure = make_subplots(
        rows=len(curves),
        cols=len(protocols),
        shared_yaxes=True,
        vertical_spacing=0.3 / len(curves),
        horizontal_spacing=0.03,
        column_titles=protocols,
    )
    first = set()
    groups = scores.groupby(["variant", "curve", "protocol"], sort=False)
    for (variant, curve, protocol), points in groups:
        place = {"row": curves.index(curve) + 1, "col": protocols.index(protocol) + 1}
        value = points["accuracy"]
        shown = {
            "name": variant,
            "legendgroup": variant,
            "visible": True if [*colours].index(variant) < MOST_VARIANTS else "legendonly",
        }
        figure.add_scatter(
            x=points["amount"].tolist(),
            y=value.tolist(),
            error_y={
                "array": (points["accuracy_high"] - value).tolist(),
                "arrayminus": (value - points["accuracy_low"]).tolist(),
                "thickness": 1,
            },
            mode="lines+markers",
            line={"color": colours[variant], "width": 1.6},
            showlegend=variant not in first,
            hovertemplate=f"{variant}, {curve} %{{x}}: %{{y:.3f}}<extra></extra>",
            **shown,
            **place,
        )
        first.add(variant)
        printed = [
            (amount, value)
            for amount, values in (published or {}).get(variant, {}).get(curve, {}).items()
            for value in published_values(values)
        ]
        if printed:
            figure.add_scatter(
                x=[amount for amount, _ in printed],
                y=[value for _, value in printed],
                mode="markers",
                marker={
                    "size": 13,
                    "symbol": "star",
                    "color": colours[variant],
                    "line": {"color": "black", "width": 1},
                },
                showlegend=False,
                hovertemplate=f"{variant} as printed, {curve} %{{x}}: %{{y}}<extra></extra>",
                **shown,
                **place,
            )
    for row, curve in enumerate(curves, start=1):
        figure.update_xaxes(title=axis_label([curve], scales or {}), row=row)
        figure.update_yaxes(title="accuracy", row=row, col=1)
    figure.update_layout(
        template="plotly_white",
        title=full_title("Accuracy on degraded images", dataset),
        height=200 + 280 * len(curves),
    )
    return figure
