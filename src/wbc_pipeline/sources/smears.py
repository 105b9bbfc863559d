"""Blood smears drawn by a program, deterministic and exactly labelled.

A physical cell is prepared once, as maps of how much of each dye every spot of the slide took up
(nucleus, cytoplasm, granules, red cells, platelets, plasma). A stain turns dyes into light by the
law of Beer and Lambert; a laboratory adds its lamp, optics and camera. A view is one exposure of
that slide: rotated, mirrored, shifted, refocused. Views of one cell are therefore near-duplicates,
just as in augmented public data sets, and only a split by source keeps them apart.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from types import SimpleNamespace

import cv2
import numpy as np

from wbc_pipeline.sources.morphology import CLASSES, MORPHOLOGY, TRAITS, Range

FIELD_UM = 27.0  # what the width of an image shows: between three and four red cells
SUPERSAMPLING = 2
MARGIN = 1.6  # slide around the image, so that a rotated view has no empty corner
CYTOPLASM, NUCLEUS = 1, 2  # of a mask; background is 0

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Stain:
    """Colour (RGB, 0 to 255) of white light that has passed one unit of each dye."""

    plasma: RGB
    haemoglobin: RGB
    chromatin: RGB
    azure: RGB
    lilac: RGB
    eosin: RGB
    metachromatic: RGB


DYES = tuple(f.name for f in fields(Stain))

# fmt: off
STAINS = {
    "giemsa": Stain(
        plasma=(253, 230, 208), haemoglobin=(212, 178, 184), chromatin=(88, 48, 142),
        azure=(158, 164, 214), lilac=(226, 196, 212), eosin=(216, 112, 112),
        metachromatic=(84, 52, 128)),
    "wright": Stain(
        plasma=(228, 226, 238), haemoglobin=(222, 188, 206), chromatin=(126, 34, 168),
        azure=(152, 164, 232), lilac=(232, 198, 224), eosin=(232, 122, 106),
        metachromatic=(84, 40, 140)),
    "rapid": Stain(
        plasma=(248, 240, 134), haemoglobin=(236, 224, 206), chromatin=(118, 48, 116),
        azure=(160, 186, 208), lilac=(226, 190, 178), eosin=(230, 128, 84),
        metachromatic=(70, 42, 96)),
}
# fmt: on


@dataclass(frozen=True)
class Laboratory:
    """Lamp, optics and camera: gain per channel, falloff to the corners, blur (µm), noise (SD)."""

    gain: RGB
    vignette: float
    blur: float
    noise: float


LABORATORIES = {
    "laboratory_a": Laboratory(gain=(1.0, 1.0, 1.0), vignette=0.05, blur=0.13, noise=1.5),
    "laboratory_b": Laboratory(gain=(0.9, 0.92, 0.97), vignette=0.2, blur=0.24, noise=4.0),
}
DOMAINS = ("giemsa/laboratory_a", "wright/laboratory_b", "rapid/laboratory_b")


@dataclass(frozen=True)
class Slide:
    """One physical cell and its surroundings, stained, not yet photographed.

    ``light`` is what passes the slide, uint8 RGB ``[side, side, 3]``; ``mask`` is uint8
    ``[side, side]``: 2 nucleus, 1 cytoplasm, 0 background. Both are supersampled, wider than
    an image of ``image_size`` pixels, and centred on the cell.
    """

    light: np.ndarray
    mask: np.ndarray
    image_size: int
    domain: str


@dataclass(frozen=True)
class RenderedCell:
    """Image uint8 RGB ``[H, W, 3]``, mask uint8 ``[H, W]``, box ``[xmin, ymin, xmax, ymax]``.

    The box is exact and half open: ``mask[ymin:ymax, xmin:xmax]`` just holds the whole cell.
    """

    image: np.ndarray
    mask: np.ndarray
    box: list[int]


@dataclass(frozen=True)
class _Canvas:
    """A square drawing ground with its own dice; lengths in µm, origin in the middle."""

    side: int  # pixels
    scale: float  # pixels per µm
    rng: np.random.Generator

    @property
    def reach(self) -> float:
        return self.side / self.scale / 2

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Convert µm to the fixed-point pixels (4 bits of fraction) that cv2 draws with."""
        return np.rint((points * self.scale + (self.side - 1) / 2) * 16).astype(np.int32)

    def blank(self, dtype: type = np.uint8) -> np.ndarray:
        return np.zeros((self.side, self.side), dtype)

    def blur(self, layer: np.ndarray, sigma: float) -> np.ndarray:
        return cv2.GaussianBlur(layer, (0, 0), max(sigma * self.scale, 0.1))

    def noise(self, grain: float) -> np.ndarray:
        """Draw smooth noise of about unit variance with spots of ``grain`` µm, float32."""
        cells = int(np.ceil(self.side / max(grain * self.scale, 1.0))) + 3
        coarse = self.rng.standard_normal((cells, cells), dtype=np.float32)
        return 1.4 * cv2.resize(coarse, (self.side, self.side), interpolation=cv2.INTER_CUBIC)

    def outline(self, radius: float, wobble: float, longest: float) -> np.ndarray:
        """Draw a wobbly ellipse around the origin, up to ``longest`` long to wide, ``[72, 2]``."""
        angle = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        order = np.arange(2, 7)
        size = self.rng.normal(0, wobble, order.size) * 2 / order
        waves = size @ np.cos(np.outer(order, angle) + self.rng.uniform(0, 7, (order.size, 1)))
        stretch = np.sqrt(self.rng.uniform(1, longest))
        ring = np.stack([np.cos(angle) * stretch, np.sin(angle) / stretch], axis=1)
        return radius * (1 + waves)[:, None] * ring @ _rotation(self.rng.uniform(0, 2 * np.pi))

    def fill(self, outline: np.ndarray) -> np.ndarray:
        """Fill an outline, float32 0 to 1."""
        filled = cv2.fillPoly(self.blank(), [self.to_pixels(outline)], 255, cv2.LINE_AA, 4)
        return filled.astype(np.float32) / 255

    def spots(
        self, region: np.ndarray, number: float, radius: Range, amount: Range = (1, 1)
    ) -> np.ndarray:
        """Scatter discs of given radius and amount (up to 2) over a boolean region, float32."""
        layer, (rows, columns) = self.blank(), np.nonzero(region)
        for place in self.rng.integers(0, rows.size, round(number) if rows.size else 0):
            centre = int(columns[place]) * 16, int(rows[place]) * 16
            size = max(round(self.rng.uniform(*radius) * self.scale * 16), 8)
            cv2.circle(layer, centre, size, self.rng.uniform(*amount) * 127, -1, cv2.LINE_AA, 4)
        return layer.astype(np.float32) / 127


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _draw_traits(rng: np.random.Generator, label: str) -> SimpleNamespace:
    """Draw one cell's traits, and the granules that it carries with their share."""
    own = MORPHOLOGY[label]
    other = MORPHOLOGY[str(rng.choice(own.resembles))]
    lean = 0.45 * rng.beta(1.2, 2)  # below one half: the cell stays nearest to its own class
    # Granules tell a class at a glance, so those of the other class come sparingly.
    traits = SimpleNamespace(granules=[(own.granules, 1 - lean), (other.granules, lean**2)])
    for name in TRAITS:
        low, high = np.average([getattr(own, name), getattr(other, name)], 0, (1 - lean, lean))
        setattr(traits, name, rng.uniform(low, high))
    return traits


def _draw_nucleus(canvas: _Canvas, traits: SimpleNamespace, radius: float) -> np.ndarray:
    """Place lobes on an arc and join them by bridges; boolean, not yet cut to the cell."""
    lobes = round(traits.lobes)
    size = radius * np.sqrt(traits.nucleus / lobes)
    room = max(radius - size, 0.0)
    if lobes == 1:
        centres = canvas.rng.normal(0, 0.35 * room, (1, 2))
    else:
        # The arc is as wide as the cell allows; a chord between two lobes is the wanted spacing.
        arc = max(0.85 * room, 0.55 * traits.spacing * size)
        step = 2 * np.arcsin(traits.spacing * size / (2 * arc))
        angle = step * (np.arange(lobes) - lobes / 2 + canvas.rng.normal(0, 0.09, lobes))
        centres = arc * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        centres = (centres - centres.mean(0) / 2) @ _rotation(canvas.rng.uniform(0, 2 * np.pi))
        centres += canvas.rng.normal(0, 0.05 * radius, centres.shape)
    nucleus = canvas.blank(np.float32)
    for centre in centres:
        lobe_size = size * (canvas.rng.uniform(0.88, 1.1) if lobes > 1 else 1)
        lobe = canvas.outline(lobe_size, traits.nucleus_outline, 1.35)
        nucleus = np.maximum(nucleus, canvas.fill(lobe + centre))
    bridge, path = canvas.blank(), canvas.to_pixels(centres)
    if lobes > 1:
        width = max(round(2 * size * traits.bridge * canvas.scale), 2)
        cv2.polylines(bridge, [path], False, 255, width, cv2.LINE_AA, 4)
    return (canvas.blur(nucleus, 0.25) > 0.5) | (bridge > 127)


def _paint_cell(canvas: _Canvas, label: str) -> tuple[dict[str, np.ndarray], np.ndarray, float]:
    """Paint the white cell: float32 maps by dye, its mask, and its radius in µm."""
    traits = _draw_traits(canvas.rng, label)
    radius = traits.diameter / 2
    cell = canvas.fill(canvas.outline(radius, traits.outline, 1.2))
    inner = canvas.blur(cell, 0.35) > 0.9
    is_nucleus = _draw_nucleus(canvas, traits, radius) & inner
    nucleus = is_nucleus.astype(np.float32)
    body = cell - cell * nucleus

    vacuoles = canvas.spots(body > 0.5, traits.vacuoles, (0.25, 0.75))
    thickness = 1 + traits.mottle * canvas.noise(0.9) + 0.1 * canvas.noise(4.0)
    thickness += 2 * traits.rim * (cell - canvas.blur(cell, 1.0))
    thickness *= body * (1 - 0.75 * vacuoles)
    dyes = {dye: getattr(traits, dye, 0) * thickness for dye in DYES if dye != "chromatin"}

    texture = np.tanh(1.3 * canvas.noise(traits.grain)) + 0.4 * canvas.noise(0.4 * traits.grain)
    membrane = nucleus * (nucleus - canvas.blur(nucleus, 0.3))
    nucleoli = canvas.spots(canvas.blur(nucleus, 1.2) > 0.9, traits.nucleoli, (0.6, 1.1))
    nucleoli = nucleus * canvas.blur(nucleoli, 0.15)
    chromatin = traits.chromatin * (1 + traits.clumps * (texture + membrane))
    dyes["chromatin"] = nucleus * chromatin * (1 - 0.4 * nucleoli)
    dyes["azure"] += 0.25 * nucleoli

    for granules, share in traits.granules:
        if granules is not None:
            region = cell if granules.over_nucleus else body
            number = share * canvas.rng.uniform(*granules.number)
            grains = canvas.spots((region > 0.5) & inner, number, granules.radius, granules.amount)
            dyes[granules.dye] += region * grains

    mask = np.where(is_nucleus, NUCLEUS, np.where(cell >= 0.5, CYTOPLASM, 0)).astype(np.uint8)
    return dyes, mask, radius


def _paint_red_cells(canvas: _Canvas, keep_clear: float) -> np.ndarray:
    """Paint haemoglobin of the red cells: overlapping discs with a pale centre, float32."""
    number, gap = canvas.rng.integers(16, 47), canvas.rng.uniform(4.5, 7.0)
    discs, hollows, centres = canvas.blank(np.float32), canvas.blank(np.float32), np.empty((0, 2))
    for spot in canvas.rng.uniform(-canvas.reach - 2, canvas.reach + 2, (3 * number, 2)):
        radius = canvas.rng.normal(3.6, 0.25)
        is_close = np.hypot(*(centres - spot).T).min(initial=np.inf) < gap
        if is_close or len(centres) >= number or np.hypot(*spot) < keep_clear + 0.8 * radius:
            continue
        centres = np.vstack([centres, spot])
        shape = canvas.outline(radius, 0.03, 1.25)
        discs += canvas.fill(shape + spot)
        hollow = canvas.fill(shape * canvas.rng.uniform(0.35, 0.6) + spot)
        hollows += hollow * canvas.rng.uniform(0.5, 1.3)
    thickness = 1.25 * discs - 0.25 * canvas.blur(discs, 0.8)
    return np.maximum(thickness - canvas.rng.uniform(0.4, 0.85) * canvas.blur(hollows, 0.45), 0)


def _paint_platelets(canvas: _Canvas, keep_clear: float) -> np.ndarray:
    """Paint a few small granular platelets away from the white cell, float32 0 to 1."""
    platelets = canvas.blank(np.float32)
    for spot in canvas.rng.uniform(-canvas.reach, canvas.reach, (canvas.rng.poisson(4), 2)):
        if np.hypot(*spot) > keep_clear + 1.5:
            shape = canvas.outline(canvas.rng.uniform(0.8, 1.5), 0.12, 1.5)
            platelets = np.maximum(platelets, canvas.fill(shape + spot))
    return platelets * (0.6 + 0.4 * np.tanh(2 * canvas.noise(0.4)))


def prepare_slide(
    label: str, *, seed: int | np.random.SeedSequence, image_size: int = 96, domain: str
) -> Slide:
    """Grow one physical cell with its surroundings, and stain it.

    Parameters
    ----------
    label
        One of ``CLASSES``.
    seed
        Identity of the cell: equal seeds give identical slides.
    image_size
        Side in pixels of the views to be taken, 32 or more.
    domain
        One of ``DOMAINS``: its stain is in the slide, its laboratory in the views taken of it.

    Raises
    ------
    ValueError
        If the class or the domain is unknown, or the image too small to show a cell.
    """
    require("class", label, CLASSES)
    require("domain", domain, DOMAINS)
    if image_size < 32:
        raise ValueError(f"image_size {image_size} cannot show a cell: use 32 pixels or more.")
    rng = np.random.default_rng(seed)
    side = int(SUPERSAMPLING * image_size * MARGIN)
    canvas = _Canvas(side, SUPERSAMPLING * image_size / FIELD_UM, rng)
    dyes, mask, radius = _paint_cell(canvas, label)
    free = 1 - canvas.blur((mask > 0).astype(np.float32), 0.1)
    platelets = free * _paint_platelets(canvas, radius)
    dyes["plasma"] += 0.5 + 0.5 * free + 0.06 * canvas.noise(9.0)  # the cell displaces plasma
    dyes["haemoglobin"] += free * _paint_red_cells(canvas, radius)
    dyes["chromatin"] += 0.5 * platelets
    dyes["lilac"] += 0.8 * platelets

    # No two preparations take the stain alike: strength and hue differ from slide to slide.
    stain = STAINS[domain.partition("/")[0]]
    density = -np.log(np.array(astuple(stain)) / 255)  # [dyes, RGB]
    density *= rng.normal(1, 0.12, (len(DYES), 1)) * rng.normal(1, 0.05, (len(DYES), 3))
    amounts = np.stack([dyes[dye] for dye in DYES], axis=-1)
    absorbed = np.maximum(amounts @ density.astype(np.float32), 0)
    return Slide(np.rint(255 * np.exp(-absorbed)).astype(np.uint8), mask, image_size, domain)


def render_view(slide: Slide, *, seed: int | np.random.SeedSequence | None) -> RenderedCell:
    """Photograph a slide once: place it under the lens, focus, expose, store.

    Parameters
    ----------
    slide
        What ``prepare_slide`` returned.
    seed
        Identity of the view: rotation, mirror, shift, zoom, exposure, focus, noise and JPEG
        quality. ``None`` gives the plain view: upright, centred, in focus, without noise.

    Returns
    -------
    RenderedCell
        Image uint8 RGB ``[image_size, image_size, 3]``, with mask and box of the same view.
    """
    laboratory = LABORATORIES[slide.domain.partition("/")[2]]
    size, rng = slide.image_size, np.random.default_rng(seed)
    turn, zoom, shift, tilt = np.eye(2), 1.0, np.zeros(2), np.zeros(2)
    blur, gain = laboratory.blur, np.array(laboratory.gain)
    if seed is not None:
        turn = _rotation(rng.uniform(0, 2 * np.pi)) @ np.diag([1, rng.choice([-1, 1])])
        zoom, shift = rng.uniform(0.9, 1.1), rng.uniform(-0.05, 0.05, 2) * size
        blur, tilt = blur * rng.uniform(0.8, 1.9), rng.normal(0, 0.03, 2)
        gain *= rng.normal(1, 0.045) * rng.normal(1, 0.018, 3)

    # From a pixel of the image to a pixel of the slide: light and mask share one geometry.
    matrix = turn * SUPERSAMPLING / zoom
    offset = (len(slide.mask) - 1) / 2 - matrix @ ((size - 1) / 2 + shift)
    place = {"M": np.column_stack([matrix, offset]), "dsize": (size, size)}
    place["borderMode"] = cv2.BORDER_REFLECT
    softness = max(blur * SUPERSAMPLING * size / FIELD_UM, 0.6)  # less would alias in the warp
    focused = cv2.GaussianBlur(slide.light, (0, 0), softness)
    image = cv2.warpAffine(focused, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, **place)
    mask = cv2.warpAffine(slide.mask, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP, **place)

    x = np.linspace(-1, 1, size)
    y = x[:, None]
    lamp = 1 - laboratory.vignette * (x**2 + y**2) / 2 + tilt[0] * x + tilt[1] * y
    image = image * lamp[..., None] * gain
    if seed is not None:
        image += rng.normal(0, laboratory.noise, image.shape)
    image = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    if seed is not None:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(65, 98))]
        stored = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality)[1]
        image = cv2.imdecode(stored, cv2.IMREAD_COLOR_RGB)
    left, top, width, height = cv2.boundingRect(mask)
    return RenderedCell(image, mask, [left, top, left + width, top + height])


def render_cell(
    label: str, *, seed: int | np.random.SeedSequence, image_size: int = 96, domain: str
) -> RenderedCell:
    """Render the plain view of one cell: ``prepare_slide``, then ``render_view`` without a seed.

    Examples
    --------
    >>> cell = render_cell("eosinophil", seed=7, image_size=64, domain="giemsa/laboratory_a")
    >>> cell.image.shape, cell.mask.shape
    ((64, 64, 3), (64, 64))
    """
    slide = prepare_slide(label, seed=seed, image_size=image_size, domain=domain)
    return render_view(slide, seed=None)


def require(what: str, name: str, allowed: Sequence[str]) -> None:
    """Raise a ValueError that lists the allowed names unless this is one of them."""
    if name not in allowed:
        raise ValueError(
            f"Unknown {what} {name!r} in the demo smears: choose from {', '.join(allowed)}."
        )
