"""Figures of a report, each from the tables that flow between the stages.

Every function returns a ``matplotlib.figure.Figure`` made without pyplot, so nothing stays open;
the ``plotly_…`` ones return Plotly figures for previews. ``dataset`` goes into the title.
``variants`` fixes which colour belongs to which variant; by default their order in the frame does.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import cycle
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from wbc_pipeline.evaluation.calibration import loss_decomposition, reliability_table
from wbc_pipeline.evaluation.comparison import published_values
from wbc_pipeline.evaluation.scores import METRIC_LABELS, confusion_counts
from wbc_pipeline.keys import run_name

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's colours, told apart by people with any common colour blindness
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444", "#8C6D31")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), "-.")
MARKERS = ("o", "s", "^", "D")
WIDTH = 9.0  # inches: 10 point text is 14 pixels high where a report shows it at 900 pixels
STYLE = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": "#222222",
    "axes.labelcolor": "#222222",
    "axes.edgecolor": "#888888",
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
    "figure.facecolor": "white",
}

CAPTIONS = {
    "samples_per_class": "Images per class that entered the experiments, by stain or laboratory.",
    "training_curves": "Accuracy and loss over the epochs, training dashed and validation solid. "
    "Thin lines are single seeds, strong lines their mean as far as all seeds ran.",
    "parameter_paths": "Trained scalars over the optimiser's steps, a line per seed.",
    "canny_instability": "The trained Canny parameters (top) and their finite-difference gradients "
    "(bottom; the largest 1 % lie outside). Edge pixels switch on and off, so the loss is a "
    "staircase in the thresholds: its gradient is zero on a stair and arbitrary across one. A "
    "gradient that is only noise changes its sign in about half of the steps.",
    "confusion_matrices": "Share of each class (row, in %) that was given each answer (column), "
    "pooled over seeds; with few classes the number of images stands below.",
    "reliability_diagram": "Accuracy against confidence, pooled over seeds; on the diagonal a "
    "confidence means what it says. A marker's area is the bin's share of the images; the strip "
    "below shows how the confidences spread. ECE is the mean over seeds.",
    "loss_by_outcome": "Nats that right and wrong answers contribute to the mean log loss, mean "
    "over seeds; behind each bar, how much of the loss how few errors carry.",
    "inference_time": "Time of the network per image within a batch, and of the whole training. "
    "Bars are means over protocols and seeds, dots single runs.",
    "score_intervals": "Scores on the test images, with bootstrap intervals over sources. Each "
    "line is a seed, the larger marker their mean, the star what the paper prints.",
    "gallery": "One image per class: as it is, its segmented foreground, and what the blend shows "
    "to the network before and after training.",
}
PARAMETER_LABELS = {
    "alpha": "alpha (share of the foreground)",
    "alpha_mean": "alpha, mean ± SD over images",
    "low": "low threshold\n(gradient magnitude)",
    "high": "high threshold\n(gradient magnitude)",
    "sigma": "sigma\n(pixels)",
}


def _styled(function: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw under ``STYLE`` whatever the caller's matplotlib settings are."""

    @wraps(function)
    def draw(*args, **kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            return function(*args, **kwargs)

    return draw


def _figure(title: str, dataset: str, height: float, width: float = WIDTH) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    figure.suptitle(_title(title, dataset), x=0.01, ha="left", fontsize=13, fontweight="bold")
    return figure


def _title(title: str, dataset: str) -> str:
    return f"{title} · {dataset}" if dataset else title


def _nothing(title: str, dataset: str, message: str) -> Figure:
    """Keep the place of a figure for which a run has no data."""
    figure = _figure(title, dataset, height=1.6)
    figure.text(0.5, 0.4, message, ha="center", va="center", color="#666666", fontsize=11)
    return figure


def _colours(frame: pd.DataFrame, variants: Sequence[str] | None) -> dict[str, str]:
    """Colour by variant: ``variants`` first, then others as they appear in the frame."""
    order = dict.fromkeys([*(variants or ()), *frame["variant"]])
    return dict(zip(order, cycle(PALETTE), strict=False))


def _order(values: pd.Series, first: Sequence[str] | None = None) -> list:
    """Distinct values: those of ``first`` that occur, then the others as they appear."""
    present = dict.fromkeys(values)
    return [*dict.fromkeys([value for value in (first or ()) if value in present] + [*present])]


def _clean(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["condition"] == "clean"] if "condition" in frame else frame


def _legend_below(figure: Figure, entries: Mapping[str, dict], columns: int = 6) -> None:
    handles = [Line2D([], [], label=label, **style) for label, style in entries.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(handles)))


@_styled
def samples_per_class(manifest: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Bars of images per class, stacked by domain; refused images are left out."""
    title = "Images per class"
    images = manifest[manifest["status"] == "ok"] if "status" in manifest else manifest
    if images.empty:
        return _nothing(title, dataset, "no images accepted")
    domain = images["domain"].astype(object).where(images["domain"].notna(), "unknown")
    counts = pd.crosstab(images["label"], domain)
    colours = dict(zip(counts.columns.drop("unknown", errors="ignore"), cycle(PALETTE)))
    colours |= {name: "#BBBBBB" for name in counts if name == "unknown"}  # comes last

    figure = _figure(title, dataset, height=1.5 + 0.4 * len(counts))
    axes = figure.subplots()
    left = np.zeros(len(counts))
    for name, colour in colours.items():
        axes.barh(counts.index, counts[name], left=left, color=colour, label=name, height=0.7)
        left += counts[name].to_numpy()
    for row, total in enumerate(left):
        axes.annotate(
            f"{total:,.0f}", (total, row), (5, 0), textcoords="offset points", va="center"
        )
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.1)
    axes.set(xlabel="images", ylabel="")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    figure.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=6, title="domain"
    )
    return figure


@_styled
def training_curves(
    history: pd.DataFrame, *, dataset: str = "", variants: Sequence[str] | None = None
) -> Figure:
    """Accuracy and loss over epochs: a column per protocol, a colour per variant."""
    title = "Training"
    if history.empty:
        return _nothing(title, dataset, "no epochs tracked")
    colours, protocols = _colours(history, variants), _order(history["protocol"])
    figure = _figure(title, dataset, height=6.4)
    grid = figure.subplots(2, len(protocols), sharex=True, sharey="row", squeeze=False)
    for row, (metric, label) in enumerate({"accuracy": "accuracy", "loss": "loss (nats)"}.items()):
        for axes, protocol in zip(grid[row], protocols, strict=True):
            for variant, runs in history[history["protocol"] == protocol].groupby("variant"):
                for part, dash in {"train": DASHES[1], "val": "-"}.items():
                    style = {"color": colours[variant], "linestyle": dash}
                    _seeds_and_mean(axes, runs, f"{part}_{metric}", style)
        grid[row, 0].set_ylabel(label)
    for axes, protocol in zip(grid[0], protocols, strict=True):
        axes.set_title(f"protocol: {protocol}")
    for axes in grid[1]:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    grid[1, 0].set_ylim(bottom=0)
    shown = {
        variant: {"color": colours[variant]} for variant in _order(history["variant"], colours)
    }
    parts = {"training": DASHES[1], "validation": "-"}
    shown |= {part: {"color": "#555555", "linestyle": dash} for part, dash in parts.items()}
    _legend_below(figure, shown, columns=4)
    return figure


def _seeds_and_mean(axes: Axes, runs: pd.DataFrame, column: str, style: dict) -> None:
    """Draw seeds as thin lines, and their mean over the epochs that all of them reached."""
    by_seed = runs.pivot_table(index="epoch", columns="seed", values=column)
    if by_seed.shape[1] > 1:
        axes.plot(by_seed.index, by_seed, linewidth=0.7, alpha=0.45, **style)
    mean = by_seed.dropna().mean(axis=1)
    marker = "o" if len(mean) == 1 else None  # a single epoch draws no line
    axes.plot(mean.index, mean, linewidth=1.8, marker=marker, markersize=4, **style)


@_styled
def parameter_paths(
    paths: pd.DataFrame,
    names: Sequence[str] = ("alpha", "alpha_mean"),
    *,
    dataset: str = "",
    variants: Sequence[str] | None = None,
) -> Figure:
    """Tracked scalars over training: a panel per name, a line per variant, protocol and seed.

    ``<x>_mean`` is drawn with a band of one ``<x>_sd``, where that is tracked too.
    """
    title = "Trained parameters"
    names = [name for name in names if not paths.empty and (paths["name"] == name).any()]
    if not names:
        return _nothing(title, dataset, "no parameters tracked")
    colours = _colours(paths, variants)
    dashes = dict(zip(_order(paths["protocol"]), cycle(DASHES), strict=False))
    shown = paths[paths["name"].isin(names)]

    figure = _figure(title, dataset, height=4.2)
    grid = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(grid, names, strict=True):
        for (variant, protocol, seed), run in _tracked(paths, name):
            style = {"color": colours[variant], "linestyle": dashes[protocol]}
            axes.plot(run["step"], run["value"], linewidth=1.5, alpha=0.85, **style)
            spread = _tracked_run(paths, name.replace("_mean", "_sd"), variant, protocol, seed)
            if name.endswith("_mean") and len(spread) == len(run):
                low, high = run["value"] - spread, run["value"] + spread
                axes.fill_between(run["step"], low, high, color=colours[variant], alpha=0.1, lw=0)
        axes.set(xlabel="optimiser step", ylabel=PARAMETER_LABELS.get(name, name))
    legend = {name: {"color": colours[name]} for name in _order(shown["variant"], colours)}
    legend |= {
        f"protocol: {name}": {"color": "#555555", "linestyle": dashes[name]}
        for name in _order(shown["protocol"])
    }
    _legend_below(figure, legend)
    return figure


def _tracked(paths: pd.DataFrame, name: str) -> pd.api.typing.DataFrameGroupBy:
    """Group what was tracked as ``name`` by run, each in the order of its steps."""
    values = paths[paths["name"] == name].sort_values("step", kind="stable")
    return values.groupby(["variant", "protocol", "seed"], sort=False)


def _tracked_run(paths: pd.DataFrame, name: str, *run: object) -> np.ndarray:
    chosen = (paths[["variant", "protocol", "seed"]] == run).all(axis=1) & (paths["name"] == name)
    return paths[chosen].sort_values("step", kind="stable")["value"].to_numpy()


@_styled
def canny_instability(
    paths: pd.DataFrame, *, dataset: str = "", names: Sequence[str] = ("low", "high", "sigma")
) -> Figure:
    """Trained Canny parameters and their finite-difference gradients over training."""
    title = "Learnable Canny: parameters and gradients"
    names = [name for name in names if not paths.empty and (paths["name"] == name).any()]
    if not names:
        return _nothing(title, dataset, "no Canny parameters tracked")
    shown = paths[paths["name"].isin(names)]
    dashes = dict(zip(_order(shown["protocol"]), cycle(DASHES), strict=False))
    seeds = dict(zip(_order(shown["seed"]), cycle(PALETTE), strict=False))

    figure = _figure(title, dataset, height=5.4)
    grid = figure.subplots(2, len(names), sharex=True, squeeze=False)
    for (value, gradient), name in zip(grid.T, names, strict=True):
        for (_, protocol, seed), run in _tracked(paths, name):
            style = {"color": seeds[seed], "linestyle": dashes[protocol]}
            value.plot(run["step"], run["value"], linewidth=1.3, **style)
        signs = []
        for (_, protocol, seed), run in _tracked(paths, f"gradient_{name}"):
            style = {"color": seeds[seed], "linestyle": dashes[protocol]}
            gradient.plot(run["step"], run["value"], linewidth=0.7, alpha=0.8, **style)
            signs.append(np.sign(run["value"].to_numpy()))
        if any(len(sign) > 1 for sign in signs):
            zero = np.mean(np.concatenate(signs) == 0)
            turns = np.mean(np.concatenate([sign[1:] * sign[:-1] < 0 for sign in signs]))
            text = f"zero in {zero:.0%}, changes sign in {turns:.0%}"
            gradient.set_title(text, fontsize=9.5, color="#555555")
        sizes = paths.loc[paths["name"] == f"gradient_{name}", "value"].abs()
        if (limit := 1.1 * sizes.quantile(0.99, interpolation="higher")) > 0:
            gradient.set_ylim(-limit, limit)  # a few outliers would flatten all the others
        gradient.axhline(0, color="#888888", linewidth=0.8)
        value.set_title(PARAMETER_LABELS.get(name, name))
        gradient.set_xlabel("optimiser step")
    grid[0, 0].set_ylabel("value")
    grid[1, 0].set_ylabel("gradient of the loss\n(nats per unit)")
    legend = {f"seed {seed}": {"color": colour} for seed, colour in seeds.items()}
    legend |= {
        f"protocol: {name}": {"color": "#555555", "linestyle": dash}
        for name, dash in dashes.items()
    }
    _legend_below(figure, legend)
    return figure


@_styled
def confusion_matrices(
    predictions: pd.DataFrame, *, dataset: str = "", variants: Sequence[str] | None = None
) -> Figure:
    """Row-normalised confusion matrices, a row per variant and a column per protocol."""
    counts = confusion_counts(_clean(predictions))
    classes = _order(counts["label"])
    rows, columns = _order(counts["variant"], variants), _order(counts["protocol"])
    side = min(3.6, WIDTH / len(columns))
    width = max(WIDTH * 0.6, side * len(columns) + 0.6)
    figure = _figure("Confusion", dataset, height=side * 0.92 * len(rows) + 1, width=width)
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
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


@_styled
def reliability_diagram(
    predictions: pd.DataFrame,
    *,
    bins: int = 15,
    dataset: str = "",
    variants: Sequence[str] | None = None,
) -> Figure:
    """Accuracy against confidence with ECE, above a histogram; a panel per variant."""
    table = reliability_table(_clean(predictions), bins)
    colours = _colours(table, variants)
    shown, protocols = _order(table["variant"], variants), _order(table["protocol"])
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)

    figure = _figure("Calibration", dataset, height=4 * rows + 0.4, width=max(5, 3 * columns))
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


@_styled
def loss_by_outcome(
    predictions: pd.DataFrame, *, dataset: str = "", variants: Sequence[str] | None = None
) -> Figure:
    """Stacked bars: what right and wrong answers contribute to the mean log loss."""
    parts = loss_decomposition(_clean(predictions))
    parts["variant"] = pd.Categorical(parts["variant"], _order(parts["variant"], variants))
    means = parts.groupby(["variant", "protocol"], observed=True)[
        ["contribution_right", "contribution_wrong", "share_wrong", "log_loss"]
    ].mean()

    figure = _figure("Where the log loss comes from", dataset, height=1.6 + 0.36 * len(means))
    axes = figure.subplots()
    labels = [f"{variant} · {protocol}" for variant, protocol in means.index]
    left = np.zeros(len(means))
    for name, colour in {"right": PALETTE[0], "wrong": PALETTE[1]}.items():
        width = means[f"contribution_{name}"]
        axes.barh(labels, width, left=left, color=colour, height=0.7, label=f"{name} answers")
        left += width.to_numpy()
    for row, mean in enumerate(means.itertuples()):
        share = mean.contribution_wrong / max(mean.log_loss, np.finfo(float).tiny)
        text = f"{share:.0%} of the loss from {mean.share_wrong:.1%} of the images"
        axes.annotate(
            text, (mean.log_loss, row), (6, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("contribution to the mean log loss (nats per image)")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@_styled
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
        panels["inference (ms per image)"] = _clean(metrics)[["variant", "inference_ms"]]
    if runs is not None and not runs.empty:
        seconds = runs["training_seconds"]
        unit, divisor = ("minutes", 60) if seconds.max() > 180 else ("seconds", 1)
        panels[f"training ({unit})"] = runs[["variant"]].assign(value=seconds / divisor)
    if not panels:
        return _nothing(title, dataset, "no times tracked")

    rows = _order(pd.concat(panels.values())["variant"], variants)
    colours = _colours(metrics if runs is None else pd.concat([metrics, runs]), variants)
    figure = _figure(title, dataset, height=1.3 + 0.42 * len(rows))
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (label, frame) in zip(grid, panels.items(), strict=True):
        values = frame.set_axis(["variant", "value"], axis=1).dropna()
        mean = values.groupby("variant")["value"].mean().reindex(rows)
        axes.barh(rows, mean, color=[colours[row] for row in rows], height=0.65)
        place = values["variant"].map(rows.index)
        axes.scatter(values["value"], place, s=14, color="#222222", alpha=0.6, zorder=3)
        end = values.groupby("variant")["value"].max().reindex(rows)
        for row, (value, right) in enumerate(zip(mean, end, strict=True)):
            if np.isfinite(value):
                offset = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
                axes.annotate(f"{value:.3g}", (right, row), **offset)
        axes.margins(x=0.14)
        axes.set_xlim(left=0)
        axes.set_xlabel(label)
        axes.grid(axis="y", visible=False)
    grid[0].invert_yaxis()
    return figure


@_styled
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
    frame = _clean(metrics)
    colours, protocols = _colours(frame, variants), _order(frame["protocol"])
    marker = dict(zip(protocols, cycle(MARKERS), strict=False))
    rows = [
        (variant, protocol)
        for variant in _order(frame["variant"], variants)
        for protocol in protocols
        if ((frame["variant"] == variant) & (frame["protocol"] == protocol)).any()
    ]
    figure = _figure(f"Test {METRIC_LABELS.get(metric, metric)}", dataset, 1.5 + 0.4 * len(rows))
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
    axes.set_yticks(range(len(rows)), [" · ".join(row) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(METRIC_LABELS.get(metric, metric))
    legend = {
        f"protocol: {name}": {"marker": marker[name], "color": "#555555", "linestyle": ""}
        for name in protocols
    }
    if any(metric in values for values in (published or {}).values()):
        legend["published"] = {"marker": "*", "color": "black", "linestyle": "", "markersize": 11}
    _legend_below(figure, legend)
    return figure


@_styled
def gallery(
    images: Mapping[str, np.ndarray], titles: Sequence[str] = (), *, dataset: str = ""
) -> Figure:
    """Rows of images, one row per entry, one column per example.

    Parameters
    ----------
    images
        Label of a row to uint8 RGB [N, H, W, 3] (or one channel [N, H, W]), 0 to 255.
    titles
        Of the N columns, such as their classes.
    """
    columns = max((len(row) for row in images.values()), default=0)
    if not columns:
        return _nothing("Gallery", dataset, "no images chosen")
    side = min(1.9, (WIDTH - 0.6) / columns)
    width = max(5.0, side * columns + 0.6)
    figure = _figure("What the network sees", dataset, side * len(images) + 0.9, width)
    grid = figure.subplots(len(images), columns, squeeze=False)
    for line, (label, row) in zip(grid, images.items(), strict=True):
        for axes in line:
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            axes.grid(visible=False)
        for axes, image in zip(line, row, strict=False):
            axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        line[0].set_ylabel(label)
    for axes, title in zip(grid[0], titles, strict=False):
        axes.set_title(title, loc="center", fontsize=10)
    return figure


def plotly_scores(
    metrics: pd.DataFrame, metric: str = "accuracy", *, dataset: str = ""
) -> "go.Figure":
    """Plot a score with its intervals in Plotly, for previews; see ``score_intervals``."""
    import plotly.graph_objects as go

    frame = _clean(metrics)
    figure = go.Figure()
    for (protocol, runs), colour in zip(
        frame.groupby("protocol", sort=False), cycle(PALETTE), strict=False
    ):
        value = runs[metric]
        error = {
            "array": runs[f"{metric}_high"] - value,
            "arrayminus": value - runs[f"{metric}_low"],
        }
        figure.add_scatter(
            x=runs["variant"],
            y=value,
            error_y=error,
            mode="markers",
            name=protocol,
            marker={"size": 9, "color": colour},
            text=[f"seed {seed}" for seed in runs["seed"]],
        )
    label = METRIC_LABELS.get(metric, metric)
    figure.update_layout(
        template="plotly_white",
        title=_title(f"Test {label}", dataset),
        yaxis_title=label,
        legend_title="protocol",
        scattermode="group",
    )
    return figure


def plotly_curves(
    history: pd.DataFrame, *, dataset: str = "", variants: Sequence[str] | None = None
) -> "go.Figure":
    """Plot validation accuracy and loss over epochs in Plotly, for previews."""
    from plotly.subplots import make_subplots

    colours = _colours(history, variants)
    dashes = dict(zip(_order(history["protocol"]), cycle(["solid", "dash", "dot"]), strict=False))
    figure = make_subplots(cols=2, subplot_titles=["validation accuracy", "validation loss (nats)"])
    runs = history.groupby(["variant", "protocol", "seed", "fold"], sort=False)
    for (variant, protocol, seed, fold), run in runs:
        for column, metric in enumerate(["val_accuracy", "val_loss"], start=1):
            figure.add_scatter(
                x=run["epoch"],
                y=run[metric],
                name=f"{variant} · {run_name(protocol, seed, fold)}",
                legendgroup=f"{variant} {protocol} {seed} {fold}",
                showlegend=column == 1,
                line={"color": colours[variant], "dash": dashes[protocol]},
                row=1,
                col=column,
            )
    figure.update_xaxes(title="epoch")
    figure.update_layout(template="plotly_white", title=_title("Training", dataset))
    return figure
