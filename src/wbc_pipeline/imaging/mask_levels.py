"""Which value of a mask file stands for which part of the cell: given, or recognised.

Levels are written as JSON, so that they fit into a cell of the manifest: a mapping of parts to a
grey level, a colour ``"#rrggbb"``, the word ``"rest"`` (every other value), or a list of these.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, maximum_filter, minimum_filter

from wbc_pipeline.imaging.mask_files import COLOUR, MaskFile
from wbc_pipeline.imaging.refusals import UnreadableImageError

PARTS = {"background": 0, "cytoplasm": 1, "nucleus": 2, "cell": 3}
REST = "rest"
NEAREST = "nearest"  # instead of one of the parts: true if any other value counts for the nearest

_REST = -1
_SHOWN = 8  # unknown values in a message
_FLAT = 48  # grey levels: what JPEG adds to a flat patch is less, a soft edge has more
_EDGE, _STRANGE = 0.25, 0.35  # of the way from one level to the next: in doubt, and no level
_PATCH = 5  # pixels: the side of a square without an edge
_OFF = 25 * 3**0.5  # of red, green and blue, 25 grey levels: no JPEG moves a patch's median by that
_SPECKLE = 4  # pixels: fewer are no region
_REMEDY = "say with `mask_levels` which value is what"


class Labelled(NamedTuple):
    """A mask in the parts of the cell, uint8 ``[H, W]``, and what was assumed in labelling it."""

    parts: np.ndarray
    warning: str | None = None


class _Coding(NamedTuple):
    """How masks without levels are coded: two values, or three of which one tells that."""

    cell: tuple[int, int]
    parts: tuple[int, int, int]
    telling: int

    def levels(self, has_parts: bool) -> str:
        """Write the levels, see this module."""
        if has_parts:
            named = zip(("background", "cytoplasm", "nucleus"), self.parts, strict=True)
        else:
            named = zip(("background", "cell"), self.cell, strict=True)
        return json.dumps(dict(named))


_LOW = _Coding(cell=(0, 1), parts=(0, 1, 2), telling=2)
_WIDE = _Coding(cell=(0, 255), parts=(0, 128, 255), telling=128)


class Clue(NamedTuple):
    """What one mask says about how those of its data set are coded."""

    coding: _Coding
    has_parts: bool  # this file alone tells that there are nucleus and cytoplasm
    has_cell: bool  # else: something is not background
    warning: str | None = None


def label_mask(mask: MaskFile, levels: str) -> Labelled:
    """Turn the values of a mask file into parts of the cell.

    Parameters
    ----------
    mask
        Of `mask_files.read_mask_file`.
    levels
        See this module.

    Returns
    -------
    ``parts``: 0 background, 1 cytoplasm, 2 nucleus, 3 cell whose parts are not known. Edges that
    JPEG has blurred are cut at the middle between two levels; between three, where a soft edge from
    the first to the last looks like the second, a pixel takes the part of the nearest flat patch.

    Raises
    ------
    UnreadableImageError
        If there are values that are no level; the message lists them.
    """
    parts_of, nearest = parse_levels(levels)
    readings = _readings(mask, coloured=any(code >= COLOUR for code in parts_of))
    if nearest:
        return Labelled(_label_nearest(readings[0], parts_of))
    for values in readings:
        if not _unknown(values, parts_of) and not (mask.is_soft and _REST in parts_of):
            return Labelled(_label_exact(values, parts_of))
    if mask.is_soft:
        return _label_soft(mask.values, parts_of)
    raise UnreadableImageError(
        f"unknown values in the mask: {_listed(_unknown(readings[0], parts_of))}; {_REMEDY}"
    )


def find_clue(mask: MaskFile) -> Clue | None:
    """Find how a mask that comes without levels is coded; None if that is not recognised.

    0 and 1, or 0 and 255, are background and cell; 0, 1 and 2, or 0, 128 and 255, background,
    cytoplasm and nucleus. Of a palette, grey colours are the values, else its indices where the
    first is black.
    """
    readings = _readings(mask)
    warning = None
    if readings[0] is not mask.values:
        if (mask.values[readings[0] == 0] != 0).any():
            return None  # the first colour is not black: a palette of colours, not of levels
        warning = "mask read by the indices of its palette: its colours are no grey levels"
    for values in readings:
        present = set(_present(values))
        for coding in (_WIDE,) if mask.is_soft else (_LOW, _WIDE):
            if present <= set(coding.parts):
                return Clue(coding, coding.telling in present, coding.cell[1] in present, warning)
    if mask.is_soft and _is_soft_cell(mask.values):
        return Clue(_WIDE, has_parts=False, has_cell=True)
    return None


def levels_from_clues(clues: Iterable[Clue | None]) -> list[tuple[str | None, str | None]]:
    """Tell the levels of masks of one data set, of which some may lack a part.

    One mask that has background, cytoplasm and nucleus tells how to take the others.

    Returns
    -------
    For each mask its levels, None where there is no clue, and a warning or None.
    """
    clues = list(clues)
    divided = {clue.coding for clue in clues if clue is not None and clue.has_parts}
    return [
        (None, None) if clue is None else _levels_from(clue, clue.coding in divided)
        for clue in clues
    ]


def _levels_from(clue: Clue, is_divided: bool) -> tuple[str, str | None]:
    coding, lacks = clue.coding, None
    if is_divided and clue.has_cell and not clue.has_parts:
        value = coding.cell[1]
        part = list(PARTS)[coding.parts.index(value)]
        lacks = (
            f"mask lacks a part: {value} taken as {part}, as other masks of the set have nucleus "
            "and cytoplasm"
        )
    return coding.levels(is_divided), "; ".join(filter(None, (clue.warning, lacks))) or None


def refuse_unrecognised(mask: MaskFile) -> UnreadableImageError:
    """Say which values of a mask without levels are not recognised."""
    present = _present(_readings(mask)[0])
    return UnreadableImageError(f"values of the mask not recognised: {_listed(present)}; {_REMEDY}")


def parse_levels(text: str) -> tuple[dict[int, int], bool]:
    """Read levels: the part of each value (see `mask_files`; -1: the rest), and if nearest counts.

    Examples
    --------
    >>> parse_levels('{"background": 0, "cell": ["#0000ff", 7]}')
    ({0: 0, 16777471: 3, 7: 3}, False)
    """
    levels = json.loads(text)
    nearest = levels.pop(NEAREST, False)
    return {
        _code(value): PARTS[part]
        for part, values in levels.items()
        for value in (values if isinstance(values, list) else [values])
    }, nearest


def _code(value: int | str) -> int:
    if value == REST:
        return _REST
    if isinstance(value, int):
        return value
    colour = int(value.removeprefix("#"), 16)
    red, green, blue = colour >> 16, colour >> 8 & 255, colour & 255
    return red if red == green == blue else COLOUR | colour


def _is_soft_cell(values: np.ndarray) -> bool:
    try:
        _label_soft(values, parse_levels(_WIDE.levels(has_parts=False))[0])
    except UnreadableImageError:
        return False
    return bool((values > 127).any())


def _readings(mask: MaskFile, *, coloured: bool = False) -> list[np.ndarray]:
    """Give the ways to take a mask's values in order: indices first if its palette has colours."""
    if mask.has_palette and not coloured and (mask.values >= COLOUR).any():
        return [mask.others[0], mask.values, *mask.others[1:]]
    return [mask.values, *mask.others]


def _unknown(values: np.ndarray, parts_of: Mapping[int, int]) -> list[int]:
    return [] if _REST in parts_of else sorted(set(_present(values)) - set(parts_of))


def _label_exact(values: np.ndarray, parts_of: Mapping[int, int]) -> np.ndarray:
    rest = parts_of.get(_REST)
    return _replaced(values, {value: parts_of.get(value, rest) for value in _present(values)})


def _label_nearest(values: np.ndarray, parts_of: Mapping[int, int]) -> np.ndarray:
    nearest = {
        value: min(parts_of, key=lambda level, value=value: abs(level - value))
        for value in _present(values)
    }
    return _replaced(values, {value: parts_of[level] for value, level in nearest.items()})


def _present(values: np.ndarray) -> list[int]:
    """List the values that occur, sorted; of grey levels much faster than ``np.unique`` does."""
    if values.max() >= COLOUR:
        return np.unique(values).tolist()
    return np.flatnonzero(np.bincount(values.ravel())).tolist()


def _replaced(values: np.ndarray, parts_of: Mapping[int, int]) -> np.ndarray:
    present = np.array(list(parts_of))
    if values.max() >= COLOUR:  # no table could have a row for each of 16 million
        values = np.searchsorted(present, values)
        present = np.arange(len(present))
    table = np.zeros(present.max() + 1, np.uint8)
    table[present] = list(parts_of.values())
    return table[values]


def _label_soft(values: np.ndarray, parts_of: Mapping[int, int]) -> Labelled:
    """Label a mask whose edges JPEG has blurred; see `label_mask`."""
    if _REST in parts_of:
        raise UnreadableImageError(
            "soft edges of a JPEG mask: `rest` in `mask_levels` takes them for levels of their own;"
            " say the value instead"
        )
    colours = _colours(np.array(list(parts_of)))  # [levels, 3]
    pixels = _colours(values)  # [H, W, 3]
    distance = _distances(pixels, colours)
    level, away = distance.argmin(axis=0), distance.min(axis=0)
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    closest = apart[apart > 0].min()
    is_edge = away > _EDGE * closest
    is_flat = _is_flat(pixels, 3)
    medians = cv2.medianBlur(pixels, _PATCH)
    is_patch = _is_flat(pixels, _PATCH) & (_distances(medians, colours).min(axis=0) > _OFF)
    strange = values[is_patch | is_flat & (away > _STRANGE * closest)]
    if strange.size >= _SPECKLE:
        raise UnreadableImageError(
            f"unknown values in the mask: about {_listed([int(np.median(strange))])}; {_REMEDY}"
        )
    parts = np.array(list(parts_of.values()), np.uint8)[level]
    if len(parts_of) > 2:
        sure = is_flat & ~is_edge
        if not sure.any():
            raise UnreadableImageError(f"no flat patch in a JPEG mask; {_REMEDY}")
        nearest = distance_transform_edt(~sure, return_distances=False, return_indices=True)
        parts = parts[tuple(nearest)]
    return Labelled(parts, f"soft edges of a JPEG mask cut at the middle: {is_edge.mean():.1%}")


def _distances(pixels: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Give how far each pixel is from each colour, ``[levels, H, W]``."""
    return np.stack([np.linalg.norm(pixels - colour, axis=-1) for colour in colours])


def _is_flat(pixels: np.ndarray, side: int) -> np.ndarray:
    window = (side, side, 1)
    spread = maximum_filter(pixels, window) - minimum_filter(pixels, window)
    return spread.max(axis=-1) < _FLAT


def _colours(values: np.ndarray) -> np.ndarray:
    """Give the colours of values, float32 ``[..., 3]``, 0 to 255."""
    colour = np.stack([values >> shift & 255 for shift in (16, 8, 0)], axis=-1)
    return np.where((values >= COLOUR)[..., None], colour, values[..., None]).astype(np.float32)


def _listed(values: Sequence[int]) -> str:
    names = [f"#{value - COLOUR:06x}" if value >= COLOUR else str(value) for value in values]
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
