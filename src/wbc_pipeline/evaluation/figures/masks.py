"""Figures of masks against those of experts, from the tables of ``localization.mask_quality``."""

from collections.abc import Callable

import pandas as pd
from matplotlib.figure import Figure

from wbc_pipeline.evaluation.figures.sheets import (
    BLANK,
    Outlines,
    draw_outlines,
    pick_quantiles,
    tile_sheet,
)
from wbc_pipeline.evaluation.figures.style import (
    PALETTE,
    distinct,
    drawn,
    empty_figure,
    legend_below,
    new_figure,
    with_spaces,
)
from wbc_pipeline.evaluation.localization.tuning import own_parameters

DOMAINS_SHOWN = 3  # those with the most images
EXAMPLES = {"best": 1.0, "median": 0.5, "worst": 0.0}


@drawn(
    heading="Masks of cells",
    caption="Mean Dice on the test half of each stain, with the parameters as written, tuned on "
    "the other half of the same stain, and tuned on other stains.",
)
def mask_scores(compared: pd.DataFrame, *, dataset: str = "") -> Figure:
    """Dots of mean Dice by method, a panel per target and domain.

    Parameters
    ----------
    compared
        Of ``mask_quality.compare_tuning``.
    """
    title = "Masks: untuned, tuned, and tuned on another stain"
    if compared.empty:
        return empty_figure(title, dataset, "no masks in this data set")
    compared = _largest_domains(compared)
    targets, domains = distinct(compared["target"]), distinct(compared["tested_on"])
    methods = distinct(compared["method"])
    styles = {
        "untuned": {"marker": "o", "color": "#AAAAAA", "ls": ""},
        "within": {"marker": "s", "color": PALETTE[0], "ls": ""},
        "cross_stain": {"marker": "D", "color": PALETTE[1], "ls": "", "mfc": "none", "mew": 1.5},
    }
    styles = {name: style for name, style in styles.items() if compared[name].notna().any()}
    height = 1.2 + len(targets) * (0.5 + 0.28 * len(methods))
    figure = new_figure(title, dataset, height=height)
    grid = figure.subplots(len(targets), len(domains), sharex=True, sharey=True, squeeze=False)
    keyed = compared.set_index(["target", "tested_on", "method"]).sort_index()
    for line, target in zip(grid, targets, strict=True):
        for axes, domain in zip(line, domains, strict=True):
            panel = keyed.loc[(target, domain)].reindex(methods)
            for name, style in styles.items():
                axes.plot(panel[name], range(len(methods)), ms=6, **style)
            axes.set_title(f"{target} · {domain}")
    grid[0, 0].set_yticks(range(len(methods)), methods)
    grid[0, 0].set_ylim(len(methods) - 0.4, -0.6)
    for axes in grid[-1]:
        axes.set_xlabel("mean Dice")
        axes.set_xlim(0, 1.02)
    legend_below(figure, {with_spaces(name): style for name, style in styles.items()})
    return figure


@drawn(
    heading="Masks of cells",
    caption="Test images with the best, median and worst Dice of each method, tuned on the other "
    "half of the same stain: what an expert outlined, and what was found.",
)
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
        return empty_figure(title, dataset, f"no masks of the {target} in this data set")
    shown = _largest_domains(shown)
    methods, domains = distinct(shown["method"]), distinct(shown["tested_on"])
    groups = dict(list(shown.groupby(["method", "tested_on"])))
    picked = [
        [
            row
            for domain in domains
            for row in pick_quantiles(groups.get((method, domain), tests[:0]), "dice", EXAMPLES)
        ]
        for method in methods
    ]
    return tile_sheet(
        title,
        dataset,
        [[BLANK if row is None else draw_outlines(look(row)) for row in line] for line in picked],
        rows=[with_spaces(method, "\n") for method in methods],
        columns=[
            f"{domain if example == 'median' else ''}\n{example}"
            for domain in domains
            for example in EXAMPLES
        ],
        scores=[["" if row is None else f"{row['dice']:.2f}" for row in line] for line in picked],
        legend="expert",
    )


def _largest_domains(table: pd.DataFrame) -> pd.DataFrame:
    largest = table["tested_on"].value_counts().index[:DOMAINS_SHOWN]
    return table[table["tested_on"].isin(largest)]
