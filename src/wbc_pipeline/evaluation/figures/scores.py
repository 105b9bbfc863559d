"""Figures of scores: with intervals, by class, by confidence, and what they cost."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from wbc_pipeline.evaluation.figures.style import (
    DASHES,
    MARKERS,
    PALETTE,
    WIDTH,
    clean_rows,
    distinct,
    drawn,
    empty_figure,
    label_rows,
    legend_below,
    new_figure,
    patches_below,
    stacked_bars,
    variant_colours,
    write_beside,
)
from wbc_pipeline.evaluation.scores.calibration import loss_decomposition, reliability_table
from wbc_pipeline.evaluation.scores.comparison import published_values
from wbc_pipeline.evaluation.scores.entries import metric_label
from wbc_pipeline.evaluation.scores.per_class import confusion_counts

MOST_PANELS = 20  # of variants in a figure with a panel for each


@drawn(
    heading="Scores of each run",
    caption="Scores on the test images, with intervals over sources. Each line "
    "is a seed, the larger marker their mean, the star what the paper prints.",
)
def score_intervals(
    metrics: pd.DataFrame,
    published: Mapping[str, Mapping[str, object]] | None = None,
    metric: str = "accuracy",
    *,
    dataset: str = "",
    variants: Sequence[str] | None = None,
) -> Figure:
    """Forest plot of a score with its intervals, a row per variant and protocol.

    Parameters
    ----------
    metrics
        As ``score_predictions`` returns it, with ``<metric>_low`` and ``_high``.
    published
        ``{variant: {metric: value}}``; a star for each value, across the rows of its variant.
    """
    frame = clean_rows(metrics)
    colours, protocols = variant_colours(frame, variants), distinct(frame["protocol"])
    marker = dict(zip(protocols, cycle(MARKERS), strict=False))
    rows = [
        (variant, protocol)
        for variant in distinct(frame["variant"], variants)
        for protocol in protocols
        if ((frame["variant"] == variant) & (frame["protocol"] == protocol)).any()
    ]
    figure = new_figure(f"Test {metric_label(metric)}", dataset, 1.5 + 0.4 * len(rows))
    axes = figure.subplots()
    for place, (variant, protocol) in enumerate(rows):
        runs = frame[(frame["variant"] == variant) & (frame["protocol"] == protocol)]
        offset = np.linspace(-0.22, 0.22, len(runs)) if len(runs) > 1 else [0]
        height, style = place + np.array(offset), {"color": colours[variant]}
        axes.hlines(height, runs[f"{metric}_low"], runs[f"{metric}_high"], lw=1.3, **style)
        face = {"facecolor": "white", "edgecolor": colours[variant], "zorder": 3}
        axes.scatter(runs[metric], height, s=14, marker=marker[protocol], **face)
        axes.scatter(runs[metric].mean(), place, s=64, marker=marker[protocol], zorder=4, **style)
        for value in published_values((published or {}).get(variant, {}).get(metric)):
            axes.scatter(value, place, marker="*", s=110, color="black", zorder=5, lw=0)
    for place in range(1, len(rows)):
        if rows[place][0] != rows[place - 1][0]:
            axes.axhline(place - 0.5, color="#CCCCCC", linewidth=0.8)
    label_rows(axes, [" · ".join(row) for row in rows])
    axes.set_xlabel(metric_label(metric))
    legend = {
        f"protocol: {name}": {"marker": marker[name], "color": "#555555", "linestyle": ""}
        for name in protocols
    }
    if any(metric in values for values in (published or {}).values()):
        legend["published"] = {"marker": "*", "color": "black", "linestyle": "", "markersize": 11}
    legend_below(figure, legend)
    return figure


@drawn(
    heading="Confusion",
    caption="Share of each class (row, in %) that was given each answer (column), pooled "
    "over seeds; with few classes the number of images stands below.",
)
def confusion_matrices(
    predictions: pd.DataFrame, *, dataset: str = "", variants: Sequence[str] | None = None
) -> Figure:
    """Row-normalised confusion matrices, a row per variant and a column per protocol.

    Of more than ``MOST_PANELS`` variants the first are shown, and the title says so.
    """
    counts = confusion_counts(clean_rows(predictions))
    classes = distinct(counts["label"])
    every, columns = distinct(counts["variant"], variants), distinct(counts["protocol"])
    rows = every[:MOST_PANELS]
    side = min(3.6, WIDTH / len(columns))
    width = max(WIDTH * 0.6, side * len(columns) + 0.6)
    figure = new_figure(
        _counted("Confusion", rows, every), dataset, height=side * 0.92 * len(rows) + 1, width=width
    )
    grid = figure.subplots(len(rows), len(columns), sharex=True, sharey=True, squeeze=False)
    cells = counts.groupby(["variant", "protocol", "label", "predicted"], sort=False)[
        "images"
    ].sum()
    for i, variant in enumerate(rows):
        for j, protocol in enumerate(columns):
            axes = grid[i, j]
            axes.set_title(f"{variant} · {protocol}")
            axes.grid(visible=False)
            if (variant, protocol) not in cells.index.droplevel(["label", "predicted"]):
                axes.set_axis_off()
                continue
            matrix = cells[variant, protocol].unstack().loc[classes, classes].to_numpy()
            _draw_confusion(axes, matrix)
    grid[0, 0].set_yticks(range(len(classes)), classes)
    slant = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    for axes in grid[-1]:
        axes.set_xticks(range(len(classes)), classes, **slant)
        axes.set_xlabel("predicted")
    for axes in grid[:, 0]:
        axes.set_ylabel("label")
    return figure


@drawn(
    heading="Calibration",
    caption="Accuracy against confidence, pooled over seeds; on the diagonal a "
    "confidence means what it says. A marker's area is the bin's share of the images; the strip "
    "below shows how the confidences spread. ECE is the mean over seeds.",
)
def reliability_diagram(
    predictions: pd.DataFrame,
    *,
    bins: int = 15,
    dataset: str = "",
    variants: Sequence[str] | None = None,
) -> Figure:
    """Accuracy against confidence with ECE, above a histogram; a panel per variant.

    Of more than ``MOST_PANELS`` variants the first are shown, and the title says so.
    """
    table = reliability_table(clean_rows(predictions), bins)
    colours = variant_colours(table, variants)
    every, protocols = distinct(table["variant"], variants), distinct(table["protocol"])
    shown = every[:MOST_PANELS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)

    title = _counted("Calibration", shown, every)
    figure = new_figure(title, dataset, height=4 * rows + 0.4, width=max(5, 3 * columns))
    grid = figure.subplots(
        2 * rows, columns, sharey="row", squeeze=False, height_ratios=[3.2, 1] * rows
    )
    for index in range(rows * columns):
        row, column = divmod(index, columns)
        diagram, histogram = grid[2 * row, column], grid[2 * row + 1, column]
        if index >= len(shown):
            diagram.set_axis_off()
            histogram.set_axis_off()
            continue
        diagram.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=DASHES[2])
        runs = table[table["variant"] == shown[index]]
        for number, protocol in enumerate(protocols):
            one = runs[runs["protocol"] == protocol]
            if not one.empty:
                _draw_reliability(diagram, histogram, one, colours[shown[index]], number)
        diagram.set(title=shown[index], ylim=(-0.05, 1.07))
        box = {"frameon": True, "framealpha": 0.85, "edgecolor": "none", "borderaxespad": 0.2}
        diagram.legend(loc="lower right", fontsize=8.5, handlelength=1.8, **box)
        diagram.tick_params(labelbottom=False)
        histogram.set_xlabel("confidence")
        for axes in (diagram, histogram):
            axes.set(xlim=(-0.02, 1.04), xticks=np.linspace(0, 1, 5))
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if column == 0:
            diagram.set_ylabel("accuracy")
            histogram.set_ylabel("images")
    return figure


@drawn(
    heading="What the loss is made of",
    caption="Nats that right and wrong answers contribute to the mean log loss, mean "
    "over seeds; behind each bar, how much of the loss how few errors carry.",
)
def loss_by_outcome(
    predictions: pd.DataFrame, *, dataset: str = "", variants: Sequence[str] | None = None
) -> Figure:
    """Stacked bars: what right and wrong answers contribute to the mean log loss."""
    parts = loss_decomposition(clean_rows(predictions))
    parts["variant"] = pd.Categorical(parts["variant"], distinct(parts["variant"], variants))
    means = parts.groupby(["variant", "protocol"], observed=True)[
        ["contribution_right", "contribution_wrong", "share_wrong", "log_loss"]
    ].mean()

    figure = new_figure("Where the log loss comes from", dataset, height=1.6 + 0.36 * len(means))
    axes = figure.subplots()
    colours = {"right answers": PALETTE[0], "wrong answers": PALETTE[1]}
    bars = means[["contribution_right", "contribution_wrong"]].set_axis([*colours], axis=1)
    stacked_bars(axes, bars.set_axis([" · ".join(run) for run in means.index]), colours)
    for row, mean in enumerate(means.itertuples()):
        share = mean.contribution_wrong / max(mean.log_loss, np.finfo(float).tiny)
        text = f"{share:.0%} of the loss from {mean.share_wrong:.1%} of the images"
        write_beside(axes, text, mean.log_loss, row)
    axes.margins(x=0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("contribution to the mean log loss (nats per image)")
    patches_below(figure, colours)
    return figure


@drawn(
    heading="Cost",
    caption="Time of the network per image within a batch, and of the whole training. "
    "Bars are means over protocols and seeds, dots single runs.",
)
def inference_time(
    metrics: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    *,
    dataset: str = "",
    variants: Sequence[str] | None = None,
) -> Figure:
    """Bars of milliseconds per image (``metrics``) and of training time (``runs``) by variant."""
    title, panels = "Cost", {}
    if "inference_ms" in metrics and metrics["inference_ms"].notna().any():
        panels["inference (ms per image)"] = clean_rows(metrics)[["variant", "inference_ms"]]
    if runs is not None and not runs.empty:
        seconds = runs["training_seconds"]
        unit, divisor = ("minutes", 60) if seconds.max() > 180 else ("seconds", 1)
        panels[f"training ({unit})"] = runs[["variant"]].assign(value=seconds / divisor)
    if not panels:
        return empty_figure(title, dataset, "no times tracked")

    rows = distinct(pd.concat(panels.values())["variant"], variants)
    colours = variant_colours(metrics if runs is None else pd.concat([metrics, runs]), variants)
    figure = new_figure(title, dataset, height=1.3 + 0.42 * len(rows))
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (label, frame) in zip(grid, panels.items(), strict=True):
        values = frame.set_axis(["variant", "value"], axis=1).dropna()
        mean = values.groupby("variant")["value"].mean().reindex(rows)
        axes.barh(range(len(rows)), mean, color=[colours[row] for row in rows], height=0.65)
        place = values["variant"].map(rows.index)
        axes.scatter(values["value"], place, s=14, color="#222222", alpha=0.6, zorder=3)
        end = values.groupby("variant")["value"].max().reindex(rows)
        for row, (value, right) in enumerate(zip(mean, end, strict=True)):
            if np.isfinite(value):
                write_beside(axes, f"{value:.3g}", right, row)
        axes.margins(x=0.14)
        axes.set_xlim(left=0)
        axes.set_xlabel(label)
        label_rows(axes, rows)
    return figure


def _counted(title: str, shown: Sequence[str], every: Sequence[str]) -> str:
    """Say in a title how many of the variants are shown, unless all are."""
    return title if len(shown) == len(every) else f"{title} ({len(shown)} of {len(every)} variants)"


def _draw_confusion(axes: Axes, counts: np.ndarray) -> None:
    classes = len(counts)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    size = 9 if classes <= 5 else max(5.5, 10.5 - 0.4 * classes)
    for row, column in zip(*counts.nonzero(), strict=True):
        text = f"{share[row, column]:.0%}".rstrip("%")
        if share[row, column] < 0.005:
            text = "<1"
        if classes <= 5:
            text += f"\n({counts[row, column]:,})"
        colour = "white" if share[row, column] > 0.55 else "#333333"
        style = {"ha": "center", "va": "center", "color": colour, "fontsize": size}
        axes.text(column, row, text, **style).set_in_layout(False)  # measuring it takes long


def _draw_reliability(
    diagram: Axes, histogram: Axes, runs: pd.DataFrame, colour: str, number: int
) -> None:
    """One protocol's line and histogram; ``number`` picks dash and marker."""
    filled = runs[runs["images"] > 0]
    gap = (filled["confidence"] - filled["accuracy"]).abs() * filled["images"]
    ece = (gap.groupby(filled["seed"]).sum() / runs.groupby("seed")["images"].sum()).mean()
    sums = filled[["confidence", "accuracy"]].mul(filled["images"], axis=0)
    pooled = sums.assign(images=filled["images"]).groupby(filled["bin"]).sum()
    pooled[["confidence", "accuracy"]] = pooled[["confidence", "accuracy"]].div(
        pooled["images"], axis=0
    )
    share = pooled["images"] / pooled["images"].sum()
    dash = DASHES[number % len(DASHES)]
    face = colour if number == 0 else "white"
    label = f"{runs['protocol'].iloc[0]}: ECE {ece:.3f}"
    style = {"color": colour, "linestyle": dash}
    marker = MARKERS[number % len(MARKERS)]
    diagram.plot(pooled["confidence"], pooled["accuracy"], linewidth=1, label=label, **style)
    diagram.scatter(
        pooled["confidence"],
        pooled["accuracy"],
        s=6 + 150 * share,
        marker=marker,
        facecolor=face,
        edgecolor=colour,
        zorder=3,
    )
    edges = [*runs["low"].unique(), 1.0]
    heights = share.reindex(range(len(edges) - 1), fill_value=0)
    histogram.stairs(heights, edges, fill=number == 0, alpha=0.35 if number == 0 else 1, **style)
