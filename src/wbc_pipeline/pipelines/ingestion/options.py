"""Parameters of the sources and of ingestion."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from wbc_pipeline.errors import OWN_PARAMETERS
from wbc_pipeline.options import Options


class DemoOptions(Options):
    """Size of the rendered demo set; ``null`` takes the renderer's own choice of classes."""

    cells_per_class: int = Field(gt=0)
    views_per_cell: int = Field(gt=0)
    image_size: int = Field(ge=32)
    seed: int = 0
    classes: list[str] | None = None


class PbcOptions(Options):
    """Whose labels the PBC set gets: its 8 folders' or its 11 prefixes'."""

    labels: Literal["coarse", "fine"]


def _as_text(name: Any) -> Any:
    """Take a whole number for text: on the command line a name such as 2024 arrives as one."""
    if isinstance(name, float | bool):  # 2024.10 has arrived as 2024.1, and yes as true
        raise ValueError(
            f"{name} was read as a number or as yes or no; write such a name in quotes, in "
            f"{OWN_PARAMETERS}"
        )
    return str(name) if isinstance(name, int) else name


# On the command line a list is written with ``+``.
Name = Annotated[str, BeforeValidator(_as_text)]
Names = Annotated[
    list[Name], BeforeValidator(lambda names: names.split("+") if isinstance(names, str) else names)
]


Colour = Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]


class AnnotationOptions(Options):
    """Masks and boxes of one's own; see ``sources.annotations.attach``."""

    masks: Name | None = None
    mask_levels: (
        dict[Literal["background", "cytoplasm", "nucleus", "cell"], int | str | Colour] | None
    ) = None
    boxes: Name | None = None
    box_names: Name | None = None
    annotations: Literal["file", "upright"] | None = None


class ImageFolderOptions(AnnotationOptions):
    """Any folder of class folders, absolute or below ``raw``; ``null`` allows every class."""

    folder: Name
    classes: Names | None = None


class TableOptions(AnnotationOptions):
    """A CSV file of images; see ``sources.table``."""

    file: Name
    images: Name | None = None
    path_column: Name
    label_column: Name
    source_column: Name | None = None
    patient_column: Name | None = None
    part_column: Name | None = None
    domain_column: Name | None = None
    mask_column: Name | None = None
    suffix: Name = ""
    classes: Names | None = None


class SourcesOptions(Options):
    """What single data sets need to know, each under its name.

    Parameters
    ----------
    classes
        Classes of several data sets as one: those that all share, or all of each; ``auto`` takes
        all of each where fewer than two are shared, with a warning.
    """

    classes: Literal["auto", "shared", "all"] = "auto"
    demo: DemoOptions
    pbc: PbcOptions
    image_folder: ImageFolderOptions
    table: TableOptions


class IngestionOptions(Options):
    """How files become rows of one array.

    Parameters
    ----------
    image_size
        Height and width in pixels that every image is scaled to.
    max_pixels
        An image of more is refused before it is decoded.
    max_rejected
        Share of refused files above which the run stops.
    lost_classes
        Whether a class whose images were all refused stops the run (``error``), or is left out with
        a warning (``warn``).
    duplicate_similarity
        Correlation of fine detail from which two images, turned or mirrored, show one cell.
    overlap_similarity
        The same where one image, shifted, turned or zoomed, covers another in part.
    recover
        Recover the sources of augmented copies from the pixels even where they are pinned.
    """

    image_size: int = Field(ge=8)
    max_pixels: int = Field(gt=0)
    max_rejected: float = Field(ge=0, le=1)
    lost_classes: Literal["error", "warn"]
    duplicate_similarity: float = Field(gt=0, le=1)
    overlap_similarity: float = Field(gt=0, le=1)
    recover: bool
