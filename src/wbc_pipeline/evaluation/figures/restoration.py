"""Figures of restored images, from the tables of ``scores.restoration``."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures.sheets import scale_tile, tile_sheet
from wbc_pipeline.evaluation.figures.style import (
    DASHES,
    PALETTE,
    distinct,
    drawn,
    empty_figure,
    legend_below,
    new_figure,
    with_spaces,
)
from wbc_pipeline.evaluation.scores.restoration import CLEAN, NONE


@drawn(
    heading="Restored images",
    caption="What each method adds to the PSNR of a degraded image, mean over severities; "
    "below zero it does harm. A deconvolution assumes the blur that its parameters name, "
    "whatever the blur was.",
)
def psnr_gain(summary: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Heat map of the PSNR that each method adds to each degradation.

    Parameters
    ----------
    summary
        Of ``restoration.summarise_restoration``.
    """
    title = "PSNR against doing nothing (dB)"
    tried = summary[(summary["method"] != NONE) & (summary["kind"] != CLEAN)]
    gains = tried.groupby(["method", "kind"], sort=False)["psnr_difference"].mean().unstack()
    if gains.empty or gains.isna().all(axis=None):
        return empty_figure(title, dataset, "no method to compare with doing nothing")
    gains = gains.loc[distinct(tried["method"]), distinct(tried["kind"])]
    figure = new_figure(title, dataset, height=1.6 + 0.34 * len(gains))
    axes = figure.subplots()
    most = gains.abs().max(axis=None)
    axes.imshow(gains, cmap="RdBu", norm=TwoSlopeNorm(0, -most, most), aspect="auto")
    axes.set_xticks(
        range(gains.shape[1]), [with_spaces(kind, "\n") for kind in gains.columns], fontsize=9
    )
    axes.set_yticks(range(len(gains)), [with_spaces(name) for name in gains.index])
    axes.tick_params(axis="x", top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(gains.to_numpy()):
        colour = "white" if abs(value) > 0.6 * most else "#222222"
        text = f"{value:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0").replace("-", "−")
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    return figure


@drawn(
    heading="Restored images",
    caption="Dice of the nucleus found in the restored image, by severity; grey is the "
    "image as it was degraded. Severity 0 is the clean image.",
)
def nucleus_dice(summary: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Curves of the nucleus mask's Dice against severity, a panel per degradation.

    Parameters
    ----------
    summary
        Of ``restoration.summarise_restoration``.
    """
    title = "The nucleus found in restored images"
    kinds = [kind for kind in distinct(summary["kind"]) if kind != CLEAN]
    if not kinds:
        return empty_figure(title, dataset, "no image was restored")
    methods = distinct(summary["method"])
    styles = {
        name: {"color": colour, "ls": DASHES[number // 6], "lw": 1.4}
        for number, (name, colour) in enumerate(
            zip([m for m in methods if m != NONE], cycle(PALETTE[:6]), strict=False)
        )
    }
    styles[NONE] = {"color": "#888888", "lw": 4, "alpha": 0.5}
    columns = min(4, len(kinds))
    lines = -(-len(kinds) // columns)
    figure = new_figure(title, dataset, height=1.4 + 2.2 * lines)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[len(kinds) :]:
        axes.set_axis_off()
    for axes, kind in zip(grid.flat, kinds, strict=False):
        curves = summary[summary["kind"].isin([kind, CLEAN])]
        for name, curve in curves.sort_values("severity").groupby("method"):
            axes.plot(curve["severity"], curve["dice"], zorder=1 + (name != NONE), **styles[name])
        axes.set_title(kind.replace("_", " "))
        axes.set_ylim(0, 1.02)
    for axes in grid[-1]:
        axes.set_xlabel("severity")
    for axes in grid[:, 0]:
        axes.set_ylabel("mean Dice")
    legend_below(figure, {with_spaces(name): style for name, style in styles.items()})
    return figure


@drawn(
    heading="Restored images",
    caption="One image, degraded in every way at severity 3, and what each method makes of it.",
)
def restoration_sheet(
    clean: np.ndarray,
    degraded: Mapping[str, np.ndarray],
    restored: Mapping[str, Mapping[str, np.ndarray]],
    *,
    dataset: str = "",
) -> Figure:
    """One image in every degradation and as each method restores it.

    Parameters
    ----------
    clean
        RGB, uint8 ``[H, W, 3]``.
    degraded
        By kind, likewise.
    restored
        By kind and method, likewise.
    """
    methods = list(next(iter(restored.values())))
    return tile_sheet(
        "Degraded and restored",
        dataset,
        [
            [scale_tile(pixels) for pixels in (clean, image, *restored[kind].values())]
            for kind, image in degraded.items()
        ],
        rows=[with_spaces(kind, "\n") for kind in degraded],
        columns=[with_spaces(name, "\n") for name in ("clean", "degraded", *methods)],
    )
