"""Parameters of regions of interest."""

from typing import Annotated

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.preprocessing.options import Views, chain_check, tried_chain


def _find_something(views: Views) -> None:
    if not views.root:
        raise ValueError("name at least one view")
    for name, steps in views.root.items():
        chain = tried_chain(steps)
        if not (chain.full_resolution and chain.finds):
            raise ValueError(
                f"{name} must begin with full_resolution and have a step that finds a region "
                "or a mask, such as colour_region; others belong under preprocessing.views"
            )


class RoiOptions(Options):
    """Ways to find the cell, and what they are compared with.

    Parameters
    ----------
    box_names
        Names of the annotated boxes that are around white blood cells.
    views
        Chains by name; each begins with `full_resolution`, as a crop is cut before it is scaled
        and annotated boxes are in pixels of the file, and has a step that finds something.
    """

    box_names: list[str]
    views: Annotated[Views, chain_check(_find_something)]
