"""Parameters of regions of interest."""

from pydantic import field_validator

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.preprocessing.options import Views


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
    views: Views

    @field_validator("views")
    @classmethod
    def _find_something(cls, views: Views) -> Views:
        from wbc_pipeline.imaging.chain import build_chain

        if not views.root:
            raise ValueError("name at least one view")
        for name, steps in views.root.items():
            chain = build_chain(steps)
            if not (chain.full_resolution and chain.finds):
                raise ValueError(
                    f"{name} must begin with full_resolution and have a step that finds a region "
                    "or a mask, such as colour_region; others belong under preprocessing.views"
                )
        return views
