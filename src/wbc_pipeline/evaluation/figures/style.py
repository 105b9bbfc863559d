"""Style of all figures: colours, sizes, titles and legends.

Figures are made without pyplot, so nothing stays open. ``dataset`` goes into every title, and
``variants`` fixes which colour belongs to which variant; by default their order in the table does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from itertools import cycle
from typing import ParamSpec

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from wbc_pipeline.evaluation.report.described import described

Arguments = ParamSpec("Arguments")

# Okabe and Ito's colours, told apart by people with any common colour blindness
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444", "#8C6D31")
UNKNOWN_COLOUR = "#BBBBBB"
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), "-.", (0, (8, 2, 1, 2, 1, 2)), (0, (3, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")
# what leaks is warm, so that a protocol looks the same in every report
PROTOCOL_COLOURS = {
    "random": PALETTE[1],
    "filename": PALETTE[7],
    "published": PALETTE[2],
    "source": PALETTE[0],
    "domain": PALETTE[3],
    "dataset": PALETTE[6],
}
NOT_RECORDED = "not recorded"  # a domain that nobody wrote down
WIDTH = 9.0  # inches: 10 point text is 14 pixels high where a report shows it at 900 pixels
_LONG_NAME = 30  # characters of a data set's name
LETTERS_AN_INCH = 12  # of a legend's text
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


def drawn(
    *, heading: str, caption: str
) -> Callable[[Callable[Arguments, Figure]], Callable[Arguments, Figure]]:
    """Decorate a function that draws a figure, which then carries heading and caption.

    It is drawn under ``STYLE``, whatever the caller's matplotlib settings are.
    """

    def decorate(function: Callable[Arguments, Figure]) -> Callable[Arguments, Figure]:
        @wraps(function)
        def draw(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Figure:
            with mpl.rc_context(STYLE):
                return function(*args, **kwargs)

        return described(heading=heading, caption=caption)(draw)

    return decorate


def new_figure(title: str, dataset: str, height: float, width: float = WIDTH) -> Figure:
    """Make an empty figure with a title, its sides in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    figure.suptitle(full_title(title, dataset), x=0.01, ha="left", fontsize=13, fontweight="bold")
    return figure


def full_title(title: str, dataset: str) -> str:
    """Append the data set's name to a title, on a line of its own where it is long.

    Examples
    --------
    >>> full_title("The worst", "lisc")
    'The worst · lisc'
    >>> print(full_title("The worst", "blood_cells_originals+segmentation_wbc"))
    The worst
    blood_cells_originals+segmentation_wbc
    """
    if not dataset:
        return title
    return title + ("\n" if len(dataset) > _LONG_NAME else " · ") + dataset


def protocol_title(protocol: str, columns: int) -> str:
    """Title of a panel, one of several side by side: more than four have room for a name alone."""
    return protocol if columns > 4 else f"protocol: {protocol}"


def empty_figure(title: str, dataset: str, message: str) -> Figure:
    """Keep the place of a figure for which a run has no data, and say why."""
    figure = new_figure(title, dataset, height=1.6)
    figure.text(0.5, 0.4, message, ha="center", va="center", color="#666666", fontsize=11)
    return figure


def distinct(values: Iterable, first: Sequence | None = None) -> list:
    """List distinct values: those of ``first`` that occur, then the others as they appear."""
    present = dict.fromkeys(values)
    return [*dict.fromkeys([*(value for value in (first or ()) if value in present), *present])]


def variant_colours(frame: pd.DataFrame, variants: Sequence[str] | None = None) -> dict[str, str]:
    """Colour each variant: ``variants`` first, then others as they appear in the frame."""
    order = dict.fromkeys([*(variants or ()), *frame["variant"]])
    return dict(zip(order, cycle(PALETTE), strict=False))


def name_domains(images: pd.DataFrame) -> pd.Series:
    """Domain of each image, with a name for what was not recorded."""
    return images["domain"].astype(object).where(images["domain"].notna(), NOT_RECORDED)


def domain_colours(domains: pd.Series) -> dict[str, str]:
    """Colour each domain, the same in each figure of a data set; the unrecorded one comes last."""
    names = sorted(set(domains) - {NOT_RECORDED})
    colours = dict(zip(names, cycle(PALETTE), strict=False))
    return colours | {name: UNKNOWN_COLOUR for name in [NOT_RECORDED] if name in set(domains)}


def clean_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Keep the rows of images that were not degraded."""
    return frame[frame["condition"] == "clean"] if "condition" in frame else frame


def with_spaces(name: str, space: str = " ") -> str:
    """Replace underscores by spaces, or by line breaks."""
    return name.replace("_", space)


def shorten(text: str, length: int) -> str:
    """Leave out the middle of a long text: the ends tell files apart.

    >>> shorten("TRAIN/EOSINOPHIL/_12_4978.jpeg", 16)
    'TRAIN/E…978.jpeg'
    """
    if len(text) <= length:
        return text
    tail = length // 2
    return f"{text[: length - tail - 1]}…{text[-tail:]}"


def axis_label(curves: Sequence[str], scales: Mapping[str, str]) -> str:
    """Say what the axis of a panel shows.

    >>> axis_label(["noise"], {"noise": "sigma"})
    'noise (sigma)'
    """
    if len(curves) == 1:
        return f"{curves[0]} ({scales[curves[0]]})" if curves[0] in scales else curves[0]
    return " / ".join(dict.fromkeys(scales.get(curve, curve) for curve in curves))


def legend_below(figure: Figure, entries: Mapping[str, dict]) -> None:
    """Put a legend of lines and markers below the axes, as wide as its longest name allows."""
    _legend(figure, [Line2D([], [], label=label, **style) for label, style in entries.items()])


def patches_below(figure: Figure, colours: Mapping[str, object]) -> None:
    """Put a legend of colours below the axes, as wide as its longest name allows."""
    _legend(figure, [Patch(color=colour, label=name) for name, colour in colours.items()])


def _legend(figure: Figure, handles: Sequence[Artist]) -> None:
    widest = max(len(handle.get_label()) for handle in handles) + 6  # characters, with the symbol
    columns = int(LETTERS_AN_INCH * figure.get_figwidth()) // widest
    columns = max(1, min(6, len(handles), columns))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def write_beside(axes: Axes, text: str, x: float, y: float) -> None:
    """Write a bar's value to the right of its end."""
    axes.annotate(text, (x, y), (6, 0), textcoords="offset points", va="center", fontsize=9)


def label_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Label rows of bars or intervals from top to bottom, without lines between them."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)


def stacked_bars(axes: Axes, panel: pd.DataFrame, colours: Mapping[str, object]) -> np.ndarray:
    """Draw a horizontal bar per row of ``panel``, a colour per column; give their ends."""
    left = np.zeros(len(panel))
    for name in (name for name in colours if name in panel):
        width = panel[name].astype(float).fillna(0).to_numpy()
        axes.barh(range(len(panel)), width, left=left, color=colours[name], height=0.7)
        left += width
    axes.use_sticky_edges = False  # bars of no width would hold the limits at their place
    label_rows(axes, [*panel.index])
    return left


def accuracy_bars(
    axes: Axes, table: pd.DataFrame, places: Sequence[float], **style: object
) -> BarContainer:
    """Draw a bar of ``accuracy`` with its interval for each row of the table."""
    bars = axes.barh(places, table["accuracy"], **style)
    ends = table[["accuracy_low", "accuracy_high"]].to_numpy(float)
    axes.hlines(places, *ends.T, color="#222222", linewidth=1.3)
    axes.set(xticks=np.linspace(0, 1, 6), xlabel="accuracy on test images")
    axes.grid(axis="y", visible=False)
    return bars


def box_plots(axes: Axes, samples: Sequence[tuple[np.ndarray, str]], place: float) -> None:
    """Draw a box for each sample, in its colour, one above the other around one place.

    A box reaches over the middle half of its sample, and its whiskers over the middle 90 %; an
    empty sample leaves its place free.
    """
    width = 0.8 / len(samples)
    for row, (sample, colour) in enumerate(samples):
        axes.boxplot(
            sample[~np.isnan(sample)],
            positions=[place + (row - (len(samples) - 1) / 2) * width],
            widths=0.8 * min(width, 0.5),
            orientation="horizontal",
            whis=(5, 95),
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": colour, "edgecolor": colour, "alpha": 0.55, "linewidth": 0.8},
            whiskerprops={"color": colour, "linewidth": 1},
            medianprops={"color": "#222222", "linewidth": 1.2},
            capprops={"linewidth": 0},
        )
