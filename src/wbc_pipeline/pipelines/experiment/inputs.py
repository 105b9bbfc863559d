"""What the networks of a run look at: views by part, and views that a network has restored."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.chain import parse_step
from wbc_pipeline.imaging.registry import FULL_RESOLUTION, STEPS
from wbc_pipeline.keys import digest
from wbc_pipeline.pipelines.experiment.options import Variant
from wbc_pipeline.pipelines.experiment.runs import Run, views_of
from wbc_pipeline.pipelines.preprocessing.options import PART_MARK, Restorers

LEARNT_PARTS = ("train", "validation")  # no training depends on what a test part shows
LEARNT = "learnt"  # in the key of a restored view: what such parts show of the view before


@dataclass(frozen=True)
class PartedArray:
    """A view of which each row is taken from the array of the part that it plays.

    Stands in for an `ImageArray`. Its images are put together when they are asked for, and not
    held: a command describes many trainings before the first begins.

    Attributes
    ----------
    plain
        The view as it is elsewhere; it says the size, and how the view is made of a new image.
    parts
        Arrays of the same size by part; the rows of other parts are those of `plain`.
    rows
        Row numbers of each part.
    """

    plain: ImageArray
    parts: Mapping[str, ImageArray]
    rows: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.plain)

    @property
    def pixels(self) -> np.ndarray:
        """Images, uint8 [N, H, W, 3], RGB, a new array; black where a row plays no part."""
        return self._put_together({part: of.pixels for part, of in self._sources.items()})

    @property
    def masks(self) -> np.ndarray | None:
        """Masks of these images, uint8 [N, H, W]; None if the set has none."""
        if self.plain.masks is None:
            return None
        return self._put_together({part: of.masks for part, of in self._sources.items()})

    @property
    def digest(self) -> str:
        """Digest of all arrays; the rows stand beside it in every key."""
        return self.digest_of(self.parts)

    def digest_of(self, parts: Collection[str]) -> str:
        """Digest of what some parts show: of the view elsewhere, where these show no other."""
        shown = {part: of.digest for part, of in self.parts.items() if part in parts}
        return digest([self.plain.digest, shown]) if shown else self.plain.digest

    @property
    def result(self) -> Result:
        """Where the view as it is elsewhere lies."""
        return self.plain.result

    @property
    def steps(self) -> list[dict]:
        """The chain that makes the view of a new image, which comes as it is."""
        return self.plain.steps

    @property
    def _sources(self) -> dict[str, ImageArray]:
        return {part: self.parts.get(part, self.plain) for part in self.rows}

    def _put_together(self, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
        whole = next(iter(arrays.values()))
        together = np.zeros(whole.shape, whole.dtype)
        for part, array in arrays.items():
            rows = self.rows[part]
            together[rows] = array[rows]
        return together


@dataclass(frozen=True)
class CutArray(ImageArray):
    """A view whose cells a detector of the same split has found.

    Attributes
    ----------
    detector
        Its training.
    """

    detector: Result

    @property
    def steps(self) -> list[dict]:
        """The chain that makes the view of a new image, with that detector where it lies now."""
        return cut_steps(super().steps, self.detector)


def cut_steps(steps: list[dict], detector: Result) -> list[dict]:
    """Let a trained detector find what a step of a chain finds by colour.

    Raises
    ------
    UserError
        If the chain does not begin with the files, or no step of it finds a region.
    """
    finders = [
        number for number, (name, _) in enumerate(map(parse_step, steps)) if _finds_region(name)
    ]
    if len(finders) != 1 or parse_step(steps[0])[0] != FULL_RESOLUTION:
        raise UserError(
            "A detector cuts a view that begins with full_resolution and has one step that finds a "
            "region, such as colour_region, in whose place it comes."
        )
    found = {"detector_region": {"model": str(detector.folder)}}
    return [*steps[: finders[0]], found, *steps[finders[0] + 1 :]]


def _finds_region(name: str) -> bool:
    return name in STEPS and STEPS[name].kind == "find_region"


def cut_name(view: str, detector: str, run: Run) -> str:
    """Name a cut view of a run.

    Examples
    --------
    >>> cut_name("roi", "light", Run("source", 0, 1, {}))
    'roi-light/source-0-fold1'
    """
    return f"{view}-{detector}/{run.name}"


def learnt_digest(view: ImageArray | PartedArray) -> str:
    """Digest what a training sees of a view, for its key: without what the test part shows."""
    if isinstance(view, PartedArray):
        return view.digest_of(LEARNT_PARTS)
    key = view.result.key
    if LEARNT not in key["data"]:
        return view.digest
    return digest(
        key | {"data": {name: key["data"][name] for name in key["data"] if name != "view"}}
    )


def views_in_run(
    views: Mapping[str, ImageArray], rows: Mapping[str, np.ndarray]
) -> Mapping[str, ImageArray | PartedArray]:
    """Give a paper's views as a run shows them: each row under the shift of its part.

    Parameters
    ----------
    views
        By name, ``<view>@<part>`` among them where the paper shifts parts.
    rows
        Row numbers of each part of the run.

    Returns
    -------
    Mapping
        Without the names ``<view>@<part>``.
    """
    shifted: dict[str, dict[str, ImageArray]] = {}
    for name, array in views.items():
        view, _, part = name.partition(PART_MARK)
        if part in rows:
            shifted.setdefault(view, {})[part] = array
    return {
        name: PartedArray(array, shifted[name], rows) if name in shifted else array
        for name, array in views.items()
        if PART_MARK not in name
    }


def views_of_variant(
    variant: Variant,
    views: Mapping[str, ImageArray],
    run: Run,
    restorers: Restorers,
    restored: Mapping[str, ImageArray],
    *,
    cut: Mapping[str, ImageArray] | None = None,
) -> Mapping[str, ImageArray | PartedArray]:
    """Give a paper's views as a variant's network sees them in a run, by the paper's names.

    Parameters
    ----------
    variant
        With a restorer or without.
    views
        As of `views_in_run`.
    run
        The run.
    restorers
        The paper's, which say what they restore.
    restored
        What they made of that, by ``<restorer>/<run>``.
    cut
        Views that a run's own detector has cut, by `cut_name`.
    """
    seen = views_in_run(views, run.rows)
    if variant.detector is not None:
        asked = views_of(variant, {name: name for name in seen}).values()
        return {**seen, **{name: cut[cut_name(name, variant.detector, run)] for name in asked}}
    if variant.restorer is None:
        return seen
    view = restorers.root[variant.restorer].view
    return {**seen, view: restored[f"{variant.restorer}/{run.name}"]}
