"""Figures of what happens during training: curves, trained scalars and their gradients."""

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from wbc_pipeline.evaluation.figures.style import (
    DASHES,
    PALETTE,
    distinct,
    drawn,
    empty_figure,
    legend_below,
    new_figure,
    protocol_title,
    variant_colours,
)

PARAMETER_LABELS = {
    "alpha": "alpha (share of the foreground)",
    "alpha_mean": "alpha, mean ± SD over images",
    "low": "low threshold\n(gradient magnitude)",
    "high": "high threshold\n(gradient magnitude)",
    "sigma": "sigma\n(pixels)",
}
MOST_VARIANTS = 12  # of which curves lie over each other
RANKED_BY = ("val_macro_f1", "val_accuracy")  # the first of them that was tracked


@drawn(
    heading="Training",
    caption="Accuracy and loss over the epochs, training dashed and validation solid. Thin lines "
    "are single runs (seeds and folds), strong lines their mean up to the last epoch of all.",
)
def training_curves(
    history: pd.DataFrame, *, dataset: str = "", variants: Sequence[str] | None = None
) -> Figure:
    """Accuracy and loss over epochs: a column per protocol, a colour per variant.

    Of more than ``MOST_VARIANTS`` those are shown whose best epochs have the highest macro F1, or
    else accuracy, on validation images, each in a colour of its own; the title says so.
    """
    title = "Training"
    if history.empty:
        return empty_figure(title, dataset, "no epochs tracked")
    if (every := history["variant"].nunique()) > MOST_VARIANTS:
        history, variants = _best_by_validation(history, len(PALETTE)), None
        title = f"{title} ({history['variant'].nunique()} best by validation of {every} variants)"
    colours, protocols = variant_colours(history, variants), distinct(history["protocol"])
    figure = new_figure(title, dataset, height=6.4)
    grid = figure.subplots(2, len(protocols), sharex=True, sharey="row", squeeze=False)
    for row, (metric, label) in enumerate({"accuracy": "accuracy", "loss": "loss (nats)"}.items()):
        for axes, protocol in zip(grid[row], protocols, strict=True):
            for variant, runs in history[history["protocol"] == protocol].groupby("variant"):
                for part, dash in {"train": DASHES[1], "val": "-"}.items():
                    style = {"color": colours[variant], "linestyle": dash}
                    _runs_and_mean(axes, runs, f"{part}_{metric}", style)
        grid[row, 0].set_ylabel(label)
    for axes, protocol in zip(grid[0], protocols, strict=True):
        axes.set_title(protocol_title(protocol, len(protocols)))
    for axes in grid[1]:
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    grid[0, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    grid[1, 0].set_ylim(bottom=0)
    shown = {
        variant: {"color": colours[variant]} for variant in distinct(history["variant"], colours)
    }
    parts = {"training": DASHES[1], "validation": "-"}
    shown |= {part: {"color": "#555555", "linestyle": dash} for part, dash in parts.items()}
    legend_below(figure, shown)
    return figure


@drawn(
    heading="Trained parameters",
    caption="Trained scalars over the optimiser's steps, a line per seed.",
)
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
        return empty_figure(title, dataset, "no parameters tracked")
    colours = variant_colours(paths, variants)
    dashes = dict(zip(distinct(paths["protocol"]), cycle(DASHES), strict=False))
    shown = paths[paths["name"].isin(names)]

    figure = new_figure(title, dataset, height=4.2)
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
    legend = {name: {"color": colours[name]} for name in distinct(shown["variant"], colours)}
    legend |= {
        f"protocol: {name}": {"color": "#555555", "linestyle": dashes[name]}
        for name in distinct(shown["protocol"])
    }
    legend_below(figure, legend)
    return figure


@drawn(
    heading="Learnable Canny",
    caption="The trained Canny parameters (top) and their finite-difference gradients "
    "(bottom; the largest 1 % lie outside). Edge pixels switch on and off, so the loss is a "
    "staircase in the thresholds: its gradient is zero on a stair and arbitrary across one. A "
    "gradient that is only noise changes its sign in about half of the steps.",
)
def canny_instability(
    paths: pd.DataFrame, *, dataset: str = "", names: Sequence[str] = ("low", "high", "sigma")
) -> Figure:
    """Trained Canny parameters and their finite-difference gradients over training."""
    title = "Learnable Canny: parameters and gradients"
    names = [name for name in names if not paths.empty and (paths["name"] == name).any()]
    if not names:
        return empty_figure(title, dataset, "no Canny parameters tracked")
    shown = paths[paths["name"].isin(names)]
    dashes = dict(zip(distinct(shown["protocol"]), cycle(DASHES), strict=False))
    seeds = dict(zip(distinct(shown["seed"]), cycle(PALETTE), strict=False))

    figure = new_figure(title, dataset, height=5.4)
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
    legend_below(figure, legend)
    return figure


def _best_by_validation(history: pd.DataFrame, count: int) -> pd.DataFrame:
    """Keep the variants with the best epochs, means over runs; untracked ones come last."""
    metric = next(name for name in RANKED_BY if name in history)
    best = history.groupby(["variant", "protocol", "seed", "fold"], observed=True)[metric].max()
    order = best.groupby("variant").mean().sort_values(ascending=False, kind="stable")
    return history[history["variant"].isin(order.index[:count])]


def _runs_and_mean(axes: Axes, runs: pd.DataFrame, column: str, style: dict) -> None:
    """Draw runs as thin lines, and their mean over the epochs that all of them reached."""
    by_run = runs.pivot_table(index="epoch", columns=["seed", "fold"], values=column)
    if by_run.shape[1] > 1:
        axes.plot(by_run.index, by_run, linewidth=0.7, alpha=0.45, **style)
    mean = by_run.dropna().mean(axis=1)
    marker = "o" if len(mean) == 1 else None  # a single epoch draws no line
    axes.plot(mean.index, mean, linewidth=1.8, marker=marker, markersize=4, **style)


def _tracked(paths: pd.DataFrame, name: str) -> pd.api.typing.DataFrameGroupBy:
    """Group what was tracked as ``name`` by run, each in the order of its steps."""
    values = paths[paths["name"] == name].sort_values("step", kind="stable")
    return values.groupby(["variant", "protocol", "seed"], sort=False)


def _tracked_run(paths: pd.DataFrame, name: str, *run: object) -> np.ndarray:
    chosen = (paths[["variant", "protocol", "seed"]] == run).all(axis=1) & (paths["name"] == name)
    return paths[chosen].sort_values("step", kind="stable")["value"].to_numpy()
