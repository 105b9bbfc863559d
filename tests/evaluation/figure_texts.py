"""What the texts of a drawn figure say."""

import io

from matplotlib.figure import Figure


def texts_of(figure: Figure) -> list[str]:
    """All texts of the figure, drawn."""
    figure.savefig(io.BytesIO(), dpi=40)
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]


def check(figure: Figure, *texts: str) -> None:
    """Draw the figure and find the texts in it."""
    found = " ".join(texts_of(figure))
    for text in texts:
        assert text in found


def rows_of(figure: Figure) -> list[str]:
    """What stands beside the rows of the figure's first axes, drawn."""
    figure.savefig(io.BytesIO(), dpi=40)
    return [text.get_text() for text in figure.axes[0].get_yticklabels()]


def tiles_of(figure: Figure) -> list[str]:
    """What stands above the images of the figure, drawn."""
    figure.savefig(io.BytesIO(), dpi=40)
    return [axes.get_title(loc="center") for axes in figure.axes if axes.images]
