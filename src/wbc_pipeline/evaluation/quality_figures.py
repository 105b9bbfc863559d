"""Figures of the image library's quality, in the style of ``figures``.

Every function returns a ``matplotlib.figure.Figure``; ``dataset`` goes into the title. Tables are
those of ``mask_quality``, ``region_quality`` and ``restoration``; without rows they give a figure
that says why there is nothing to see.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm, to_rgb
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures import (
    DASHES,
    PALETTE,
    WIDTH,
    _figure,
    _legend_below,
    _nothing,
    _styled,
)
from wbc_pipeline.evaluation.restoration import CLEAN, NONE
from wbc_pipeline.evaluation.tuning import UNTUNED, own_parameters

TRUE_COLOUR, FOUND_COLOUR = "#00A0FF", "#FFD000"
TILE = 180  # pixels of the longer side of an image in a sheet
BLANK = np.full((TILE, TILE, 3), 255, np.uint8)  # where there is nothing to show
MOST_INCHES = 1.4  # of a tile's width
LEAST_WIDTH = 6.0  # inches of a figure, for its title
DOMAINS_SHOWN = 3  # those with the most images
QUANTILES = {"worst": 0.0, "10 %": 0.1, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "best": 1.0}
EXAMPLES = {"best": 1.0, "median": 0.5, "worst": 0.0}

CAPTIONS = {
    "mask_scores": "Mean Dice on the test half of each stain, with the parameters as written, "
    "tuned on the other half of the same stain, and tuned on other stains.",
    "nucleus_masks": "Test images with the best, median and worst Dice of each method, tuned on "
    "the other half of the same stain: the nucleus as an expert outlined it, and as found.",
    "cell_masks": "The same for the whole cell.",
    "box_overlays": "Test images from the worst to the best IoU of each method: the annotated box "
    "of the white cell, and the found one.",
    "iou_histogram": "IoU of the found box with the annotated one. The published method has the "
    "parameters as printed and all images; the tuned ones the half that they were not tuned on.",
    "psnr_gain": "What each method adds to the PSNR of a degraded image, mean over severities; "
    "below zero it does harm. A deconvolution assumes the blur that its parameters name, whatever "
    "the blur was.",
    "nucleus_dice": "Dice of the nucleus found in the restored image, by severity; grey is the "
    "image as it was degraded. Severity 0 is the clean image.",
    "restoration_sheet": "One image, degraded in every way at severity 3, and what each method "
    "makes of it.",
}


class Outlines(NamedTuple):
    """An image with two masks: RGB uint8 ``[H, W, 3]``, and uint8 ``[H, W]`` twice."""

    pixels: np.ndarray
    true: np.ndarray
    found: np.ndarray


class Boxes(NamedTuple):
    """An image with boxes, each xmin, ymin, xmax, ymax in its pixels."""

    pixels: np.ndarray
    true: Sequence[Sequence[float]]
    found: Sequence[float]


@_styled
def mask_scores(compared: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Dots of mean Dice by method, a panel per target and domain.

    Parameters
    ----------
    compared
        Of ``mask_quality.compare_tuning``.
    """
    title = "Masks: untuned, tuned, and tuned on another stain"
    if compared.empty:
        return _nothing(title, dataset, "no masks in this data set")
    compared = _largest_domains(compared, compared["tested_on"])
    targets, domains = _distinct(compared["target"]), _distinct(compared["tested_on"])
    methods = _distinct(compared["method"])
    styles = {
        "untuned": {"marker": "o", "color": "#AAAAAA", "ls": ""},
        "within": {"marker": "s", "color": PALETTE[0], "ls": ""},
        "cross_stain": {"marker": "D", "color": PALETTE[1], "ls": "", "mfc": "none", "mew": 1.5},
    }
    styles = {name: style for name, style in styles.items() if compared[name].notna().any()}
    height = 1.2 + len(targets) * (0.5 + 0.28 * len(methods))
    figure = _figure(title, dataset, height=height)
    grid = figure.subplots(len(targets), len(domains), sharex=True, sharey=True, squeeze=False)
    keyed = compared.set_index(["target", "tested_on", "method"]).sort_index()
    for line, target in zip(grid, targets, strict=True):
        for axes, domain in zip(line, domains, strict=True):
            panel = keyed.loc[(target, domain)].reindex(methods)
            for name, style in styles.items():
                axes.plot(panel[name], range(len(methods)), ms=6, **style)
            axes.set_title(f"{target} · {domain}")
    grid[0, 0].set_yticks(range(len(methods)), methods)
    grid[0, 0].invert_yaxis()
    for axes in grid[-1]:
        axes.set_xlabel("mean Dice")
        axes.set_xlim(0, 1.02)
    _legend_below(figure, {name.replace("_", " "): style for name, style in styles.items()})
    return figure


@_styled
def mask_overlays(
    tests: pd.DataFrame,
    look: Callable[[pd.Series], Outlines],
    *,
    target: str,
    dataset: str = "",
) -> Figure:
    """Outlines of an expert and of each method, on the best, median and worst image of each stain.

    Parameters
    ----------
    tests
        Of ``tuning.tune_and_test``, with ``dice``.
    look
        Gives what a row of `tests` shows.
    target
        Whose outlines.
    """
    title = f"Outlines of the {target}"
    shown = own_parameters(tests)
    shown = shown[shown["target"] == target]
    if shown.empty:
        return _nothing(title, dataset, f"no masks of the {target} in this data set")
    shown = _largest_domains(shown, shown["tested_on"])
    methods, domains = _distinct(shown["method"]), _distinct(shown["tested_on"])
    groups = dict(list(shown.groupby(["method", "tested_on"])))
    picked = [
        [
            row
            for domain in domains
            for row in _at_quantiles(groups.get((method, domain), tests[:0]), EXAMPLES)
        ]
        for method in methods
    ]
    return _sheet(
        title,
        dataset,
        [[BLANK if row is None else _outlined(look(row)) for row in line] for line in picked],
        rows=[_words(method) for method in methods],
        columns=[
            f"{domain if example == 'median' else ''}\n{example}"
            for domain in domains
            for example in EXAMPLES
        ],
        scores=[["" if row is None else f"{row['dice']:.2f}" for row in line] for line in picked],
        legend="expert",
    )


@_styled
def box_overlays(
    tests: pd.DataFrame, look: Callable[[pd.Series], Boxes], *, dataset: str = ""
) -> Figure:
    """Draw true and found boxes of each method, on images from the worst to the best IoU.

    Parameters
    ----------
    tests
        Of ``tuning.tune_and_test``, with ``iou``.
    look
        Gives what a row of `tests` shows.
    """
    title = "Boxes around white cells, from the worst to the best"
    if tests.empty:
        return _nothing(title, dataset, "no boxes and no masks in this data set")
    sets = _parameter_sets(tests)
    picked = [_at_quantiles(group, QUANTILES) for group in sets.values()]
    return _sheet(
        title,
        dataset,
        [[_boxed(look(row)) for row in line] for line in picked],
        rows=[name.replace(" ", "\n") for name in sets],
        columns=list(QUANTILES),
        scores=[[f"{row['iou']:.2f}" for row in line] for line in picked],
        legend="annotated",
    )


@_styled
def iou_histogram(
    tests: pd.DataFrame, *, published_mean: float | None = None, dataset: str = ""
) -> Figure:
    """Histograms of IoU, a panel per method and set of parameters.

    Parameters
    ----------
    tests
        As for `box_overlays`.
    published_mean
        Marked by a line; None if there is none of these images.
    """
    title = "IoU of boxes around white cells"
    if tests.empty:
        return _nothing(title, dataset, "no boxes and no masks in this data set")
    sets = _parameter_sets(tests)
    published = {} if published_mean is None else dict.fromkeys(sets, published_mean)
    return _iou_panels(title, dataset, sets, published)


@_styled
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
        return _nothing(title, dataset, "no method to compare with doing nothing")
    gains = gains.loc[_distinct(tried["method"]), _distinct(tried["kind"])]
    figure = _figure(title, dataset, height=1.6 + 0.34 * len(gains))
    axes = figure.subplots()
    most = gains.abs().max(axis=None)
    axes.imshow(gains, cmap="RdBu", norm=TwoSlopeNorm(0, -most, most), aspect="auto")
    axes.set_xticks(range(gains.shape[1]), [_words(kind) for kind in gains.columns], fontsize=9)
    axes.set_yticks(range(len(gains)), [_words(name, " ") for name in gains.index])
    axes.tick_params(axis="x", top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.grid(visible=False)
    for (row, column), value in np.ndenumerate(gains.to_numpy()):
        colour = "white" if abs(value) > 0.6 * most else "#222222"
        text = f"{value:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0").replace("-", "−")
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    return figure


@_styled
def nucleus_dice(summary: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Curves of the nucleus mask's Dice against severity, a panel per degradation.

    Parameters
    ----------
    summary
        Of ``restoration.summarise_restoration``.
    """
    title = "The nucleus found in restored images"
    kinds = [kind for kind in _distinct(summary["kind"]) if kind != CLEAN]
    if not kinds:
        return _nothing(title, dataset, "no image was restored")
    methods = _distinct(summary["method"])
    styles = {
        name: {"color": colour, "ls": DASHES[number // 6], "lw": 1.4}
        for number, (name, colour) in enumerate(
            zip([m for m in methods if m != NONE], cycle(PALETTE[:6]), strict=False)
        )
    }
    styles[NONE] = {"color": "#888888", "lw": 4, "alpha": 0.5}
    columns = min(4, len(kinds))
    lines = -(-len(kinds) // columns)
    figure = _figure(title, dataset, height=1.4 + 2.2 * lines)
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
    _legend_below(figure, {_words(name, " "): style for name, style in styles.items()}, columns=5)
    return figure


@_styled
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
    return _sheet(
        "Degraded and restored",
        dataset,
        [
            [_scaled(pixels) for pixels in (clean, image, *restored[kind].values())]
            for kind, image in degraded.items()
        ],
        rows=[_words(kind) for kind in degraded],
        columns=[_words(name) for name in ("clean", "degraded", *methods)],
    )


def _iou_panels(
    title: str, dataset: str, sets: Mapping[str, pd.DataFrame], published: Mapping[str, float]
) -> Figure:
    """Draw a histogram of IoU for each set, with our mean and, where there is one, a printed."""
    figure = _figure(title, dataset, height=1 + 1.15 * len(sets))
    grid = figure.subplots(len(sets), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, group), colour in zip(grid, sets.items(), cycle(PALETTE), strict=False):
        axes.hist(group["iou"], bins=np.linspace(0, 1, 41), color=colour, alpha=0.6)
        axes.axvline(group["iou"].mean(), color=colour)
        axes.set_title(f"{name}: mean {group['iou'].mean():.3f}")
        if name in published:
            axes.axvline(published[name], color="#222222", ls=DASHES[1])
    grid[-1].set_xlabel("IoU with the white cell's box")
    figure.supylabel("images", fontsize=10)
    entries = {"our mean": {"color": "#888888"}}
    if published:
        entries["published mean"] = {"color": "#222222", "ls": DASHES[1]}
    _legend_below(figure, entries)
    return figure


def _parameter_sets(tests: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Part the tests into methods, untuned and tuned within their domain."""
    tuned = tests[tests["tuned_on"] == tests["tested_on"]]
    untuned = tests[tests["tuned_on"] == UNTUNED]
    shown = pd.concat([untuned.assign(how="untuned"), tuned.assign(how="tuned")])
    groups = shown.groupby(["method", "how"], sort=False)
    return {f"{_words(method, ' ')}, {how}": group for (method, how), group in groups}


def _at_quantiles(tests: pd.DataFrame, quantiles: Mapping[str, float]) -> list[pd.Series | None]:
    """Pick the images at shares of the way from the worst score to the best, None of none."""
    if tests.empty:
        return [None] * len(quantiles)
    score = "iou" if "iou" in tests else "dice"
    ordered = tests.sort_values(score, kind="stable")
    return [ordered.iloc[round(share * (len(ordered) - 1))] for share in quantiles.values()]


def _largest_domains(table: pd.DataFrame, domains: pd.Series) -> pd.DataFrame:
    return table[domains.isin(domains.value_counts().index[:DOMAINS_SHOWN])]


def _distinct(values: pd.Series) -> list:
    return list(dict.fromkeys(values))


def _words(name: str, between: str = "\n") -> str:
    return name.replace("_", between)


def _sheet(
    title: str,
    dataset: str,
    tiles: Sequence[Sequence[np.ndarray]],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    scores: Sequence[Sequence[str]] | None = None,
    legend: str | None = None,
) -> Figure:
    """Show tiles in rows and columns, in one image: hundreds of axes would take a minute."""
    gap = 30 if scores else 4  # a score stands below its tile
    height = max(tile.shape[0] for line in tiles for tile in line) + gap
    width = max(tile.shape[1] for line in tiles for tile in line) + 4
    page = np.full((height * len(rows), width * len(columns), 3), 255, np.uint8)
    for (row, column), tile in (
        ((row, column), tile) for row, line in enumerate(tiles) for column, tile in enumerate(line)
    ):
        top = row * height + (height - gap - tile.shape[0]) // 2
        left = column * width + (width - tile.shape[1]) // 2
        page[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    breadth = min(WIDTH - 1.3, MOST_INCHES * len(columns))
    figure = _figure(
        title,
        dataset,
        height=breadth * page.shape[0] / page.shape[1] + (1.3 if legend else 1),
        width=max(breadth + 1.3, LEAST_WIDTH),
    )
    axes = figure.subplots()
    axes.imshow(page)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, top=True, labeltop=True, labelbottom=False, labelsize=8)
    axes.set_xticks(width * (np.arange(len(columns)) + 0.5), columns)
    axes.set_yticks(height * np.arange(len(rows)) + (height - gap) / 2, rows)
    for row, line in enumerate(scores or []):
        for column, text in enumerate(line):
            place = width * (column + 0.5), height * (row + 1) - gap / 2
            axes.text(*place, text, ha="center", va="center", fontsize=7.5)
    if legend:
        colours = {legend: TRUE_COLOUR, "found": FOUND_COLOUR}
        _legend_below(figure, {name: {"color": colour} for name, colour in colours.items()})
    return figure


def _scaled(pixels: np.ndarray) -> np.ndarray:
    scale = TILE / max(pixels.shape[:2])
    size = [max(1, round(scale * side)) for side in pixels.shape[1::-1]]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)


def _outlined(outlines: Outlines) -> np.ndarray:
    tile = _scaled(outlines.pixels)
    for mask, colour in ((outlines.true, TRUE_COLOUR), (outlines.found, FOUND_COLOUR)):
        smooth = cv2.resize(mask, tile.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        borders, _ = cv2.findContours(
            cv2.inRange(smooth, 128, 255), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE
        )
        cv2.drawContours(tile, borders, -1, _rgb(colour), 2, cv2.LINE_AA)
    return tile


def _boxed(boxes: Boxes) -> np.ndarray:
    tile = _scaled(boxes.pixels)
    scale = tile.shape[1] / boxes.pixels.shape[1]
    for sides, colour in ((boxes.true, TRUE_COLOUR), ([boxes.found], FOUND_COLOUR)):
        for box in sides:
            left, top, right, bottom = (round(scale * side) for side in box)
            cv2.rectangle(tile, (left, top), (right - 1, bottom - 1), _rgb(colour), 2)
    return tile


def _rgb(colour: str) -> list[int]:
    return [round(255 * part) for part in to_rgb(colour)]
