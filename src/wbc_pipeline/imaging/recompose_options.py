"""What YAML may say about composites."""

from pydantic import Field

from wbc_pipeline.options import Options


class RecomposeOptions(Options):
    """Chances of the ingredients of a composite; 0 leaves one out.

    Parameters
    ----------
    recolour
        That nucleus and cytoplasm take the stain otherwise, each in its own way.
    tint
        That the cytoplasm's colours draw near to one hue.
    grain
        That the cytoplasm's own texture is fainter or stronger.
    granules
        That granules are scattered over the cytoplasm.
    vacuoles
        That pale spots are scattered over the cytoplasm.
    fade
        That the image's own surroundings fade.
    red_cells
        That red cells are drawn behind the cell.
    debris
        That specks are drawn behind the cell.
    ground
        That the clear ground has another colour.
    gamma
        That each channel has another gamma.
    grey
        That colours fade to grey.
    blur, sharpen
        That the image is blurred; if it is not, that it is sharpened.
    noise
        That noise is added.
    shade
        That the light is uneven.
    """

    recolour: float = Field(0.85, ge=0, le=1)
    tint: float = Field(0.4, ge=0, le=1)
    grain: float = Field(0.35, ge=0, le=1)
    granules: float = Field(0.2, ge=0, le=1)
    vacuoles: float = Field(0.1, ge=0, le=1)
    fade: float = Field(0.5, ge=0, le=1)
    red_cells: float = Field(0.65, ge=0, le=1)
    debris: float = Field(0.3, ge=0, le=1)
    ground: float = Field(0.7, ge=0, le=1)
    gamma: float = Field(0.4, ge=0, le=1)
    grey: float = Field(0.1, ge=0, le=1)
    blur: float = Field(0.3, ge=0, le=1)
    sharpen: float = Field(0.3, ge=0, le=1)
    noise: float = Field(0.4, ge=0, le=1)
    shade: float = Field(0.3, ge=0, le=1)
