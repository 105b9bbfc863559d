"""What the classes of the rendered smears look like: the traits that their cells are drawn from."""

from dataclasses import dataclass, fields

Range = tuple[float, float]


@dataclass(frozen=True)
class Granules:
    """Granules of one dye: how many, their radius (µm), how dark, and whether over the nucleus."""

    dye: str
    number: Range
    radius: Range
    amount: Range
    over_nucleus: bool = False


@dataclass(frozen=True)
class Morphology:
    """What makes a class: ranges from which each cell draws its traits.

    A nucleus is a string of lobes on an arc: one lobe is a round nucleus, several with a wide
    bridge a kidney or horseshoe, several with a thin bridge a segmented nucleus. A cell also leans
    a little towards a class that it ``resembles``, so that classes overlap as they do in blood.
    Amounts of dye are in units of the stain's reference colour.
    """

    diameter: Range  # µm
    nucleus: Range  # share of the cell's area
    chromatin: Range  # amount of dye in the nucleus
    clumps: Range  # contrast of the chromatin
    grain: Range  # size of a clump, µm
    resembles: tuple[str, ...]
    granules: Granules | None = None
    lobes: Range = (1, 1)
    spacing: Range = (1.2, 1.2)  # between neighbouring lobes, in lobe radii
    bridge: Range = (0.9, 0.9)  # width, in lobe diameters
    outline: Range = (0.02, 0.05)  # how far the cell is from round
    nucleus_outline: Range = (0.03, 0.07)
    nucleoli: Range = (0, 0)
    vacuoles: Range = (0, 0)
    rim: Range = (0, 0)  # extra dye along the edge of the cell
    mottle: Range = (0.08, 0.15)  # unevenness of the cytoplasm
    azure: Range = (0, 0)  # from here on: dyes of the cytoplasm
    lilac: Range = (0, 0)
    eosin: Range = (0, 0)
    haemoglobin: Range = (0, 0)


TRAITS = tuple(f.name for f in fields(Morphology) if f.type is Range)

# fmt: off
MORPHOLOGY: dict[str, Morphology] = {
    "basophil": Morphology(
        diameter=(11, 13.5), nucleus=(0.42, 0.6), lobes=(2, 3), spacing=(1.2, 1.4),
        bridge=(0.6, 0.9), outline=(0.03, 0.06), chromatin=(0.6, 0.85), clumps=(0.08, 0.15),
        grain=(0.5, 0.7), lilac=(0.7, 1.2), azure=(0.1, 0.2),
        granules=Granules("metachromatic", (60, 170), (0.2, 0.46), (0.4, 1.1), over_nucleus=True),
        resembles=("seg_neutrophil", "lymphocyte")),
    "erythroblast": Morphology(
        diameter=(7.8, 11), nucleus=(0.28, 0.5), nucleus_outline=(0.01, 0.03),
        chromatin=(1.35, 1.75), clumps=(0.15, 0.28), grain=(0.8, 1), azure=(0.3, 0.75),
        haemoglobin=(0.4, 0.9), resembles=("lymphocyte",)),
    "monocyte": Morphology(
        diameter=(14, 18), nucleus=(0.38, 0.55), lobes=(2, 3), spacing=(1.2, 1.6),
        bridge=(0.65, 0.95), outline=(0.06, 0.11), nucleus_outline=(0.05, 0.1),
        chromatin=(0.75, 1), clumps=(0.18, 0.28), grain=(0.35, 0.5), azure=(0.35, 0.6),
        lilac=(0.4, 0.8), mottle=(0.15, 0.25), vacuoles=(0, 12),
        granules=Granules("lilac", (60, 160), (0.12, 0.22), (0.4, 0.8)),
        resembles=("myeloblast", "seg_neutrophil")),
    "myeloblast": Morphology(
        diameter=(12.5, 17), nucleus=(0.62, 0.82), outline=(0.04, 0.08), chromatin=(0.75, 0.95),
        clumps=(0.06, 0.12), grain=(0.3, 0.4), nucleoli=(1, 4), azure=(0.7, 1.3), rim=(0.3, 0.7),
        resembles=("monocyte", "lymphocyte")),
    "seg_neutrophil": Morphology(
        diameter=(11.5, 14.5), nucleus=(0.27, 0.38), lobes=(3, 5), spacing=(2.1, 2.4),
        bridge=(0.1, 0.3), nucleus_outline=(0.05, 0.09), chromatin=(1, 1.35), clumps=(0.15, 0.25),
        grain=(0.5, 0.7), lilac=(0.5, 1),
        granules=Granules("lilac", (220, 420), (0.12, 0.24), (0.5, 1.2)),
        resembles=("eosinophil", "monocyte")),
    "eosinophil": Morphology(
        diameter=(12, 15), nucleus=(0.28, 0.4), lobes=(2, 2), spacing=(2, 2.3),
        bridge=(0.12, 0.3), nucleus_outline=(0.05, 0.09), chromatin=(0.95, 1.25),
        clumps=(0.15, 0.25), grain=(0.5, 0.7), eosin=(0.2, 0.45), lilac=(0.2, 0.4),
        granules=Granules("eosin", (130, 260), (0.3, 0.48), (0.3, 0.95)),
        resembles=("seg_neutrophil",)),
    "lymphocyte": Morphology(
        diameter=(8.2, 12.5), nucleus=(0.6, 0.82), chromatin=(1.15, 1.5), clumps=(0.22, 0.34),
        grain=(0.7, 0.9), azure=(0.6, 1), rim=(0.2, 0.5),
        granules=Granules("metachromatic", (0, 6), (0.15, 0.25), (0.3, 0.6)),
        resembles=("erythroblast", "myeloblast")),
}
# fmt: on
CLASSES = tuple(MORPHOLOGY)
