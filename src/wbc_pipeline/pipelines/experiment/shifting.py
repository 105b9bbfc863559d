"""Nodes that degrade the images of each part of a split, and make views of them."""

from __future__ import annotations

import logging
from collections import Counter

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Task
from wbc_pipeline.imaging.registry import FULL_RESOLUTION
from wbc_pipeline.pipelines.experiment.options import Selection, Variants
from wbc_pipeline.pipelines.preprocessing.nodes import make_view, make_views
from wbc_pipeline.pipelines.preprocessing.options import (
    PAIRS,
    PART_MARK,
    PreprocessingOptions,
    Restorers,
    ShiftOptions,
    Views,
)

pd = lazy.load("pandas")
_log = logging.getLogger(__name__)

PACKED = "packed"  # where chains begin that do not ask for full resolution


def degrade_parts(
    *,
    images: ImageArray,
    manifest: pd.DataFrame,
    chains: Views,
    options: PreprocessingOptions,
    shift: ShiftOptions | None,
    dataset: str,
    restorers: Restorers,
    variants: Variants,
    chosen: Selection,
) -> dict[str, Task]:
    """Describe the degraded images of each part, which all views of it begin with.

    Parameters
    ----------
    images, manifest, chains, options, shift, dataset, restorers, variants, chosen
        As of `make_shifted_views`.

    Returns
    -------
    dict of str to Task
        ``packed@<part>`` and ``full_resolution@<part>``; each makes a folder as `make_view` does.
        None for what a single view begins with, or where files are not of one size: there the
        chain of the view degrades.
    """
    from wbc_pipeline.imaging.packing import accepted

    sizes = accepted(manifest)[["height", "width"]].drop_duplicates()
    shifts = _shifts(
        chains=chains,
        shift=shift,
        dataset=dataset,
        restorers=restorers,
        variants=variants.select(chosen),
    )
    begun = [
        (_beginning(chains.root[view], part), shift_chain(chains.root[view], own, only=True))
        for view, parts in shifts.items()
        for part, own in parts.items()
    ]
    views_that_begin = Counter(name for name, _ in begun)
    return {
        name: make_view(images, manifest, steps, options)
        for name, steps in begun
        if views_that_begin[name] > 1 and (len(sizes) == 1 or not name.startswith(FULL_RESOLUTION))
    }


def make_shifted_views(
    *,
    images: ImageArray,
    manifest: pd.DataFrame,
    chains: Views,
    options: PreprocessingOptions,
    shift: ShiftOptions | None,
    dataset: str,
    restorers: Restorers,
    variants: Variants,
    chosen: Selection,
    degraded: dict[str, ImageArray],
) -> dict[str, Task]:
    """Describe views by name and, where the paper shifts parts, ``<view>@<part>`` for each.

    Of images that come degraded, ``<view>@pairs`` in place of that, for views with a restorer.

    Parameters
    ----------
    images, manifest, chains, options
        As of `preprocessing.nodes.make_views`.
    shift
        What is done to the images of each part; None for nothing.
    dataset
        Its name: what comes degraded is not degraded again.
    restorers
        The paper's, which say what they restore.
    variants, chosen
        All variants, and those that take part: a view that none of these looks at is not shifted,
        and not made either where only variants that wait for a request look at it.
    degraded
        Of `degrade_parts`.
    """
    shifts = _shifts(
        chains=chains,
        shift=shift,
        dataset=dataset,
        restorers=restorers,
        variants=variants.select(chosen),
    )
    waiting = waiting_views(chains, variants, chosen)
    asked = {view: steps for view, steps in chains.root.items() if view not in waiting}
    return make_views(images, manifest, Views.model_construct(root=asked), options) | {
        f"{view}{PART_MARK}{part}": make_view(
            images,
            manifest,
            shift_chain(chains.root[view], own),
            options,
            begun=degraded.get(_beginning(chains.root[view], part)),
        )
        for view, parts in shifts.items()
        for part, own in parts.items()
    }


def waiting_views(chains: Views, variants: Variants, chosen: Selection) -> set[str]:
    """Give the views that nothing looks at but variants which were not requested."""
    from wbc_pipeline.pipelines.experiment.runs import training_views

    names = {view: view for view in chains.root}
    taking_part = variants.select(chosen).networks
    looked_at: dict[bool, set[str]] = {True: set(), False: set()}
    for name, variant in variants.networks.items():
        waits = variant.on_request and name not in taking_part
        looked_at[waits] |= {*training_views(variant, names).values()}
    return looked_at[True] - looked_at[False]


def shift_chain(steps: list[dict], shift: list[dict], *, only: bool = False) -> list[dict]:
    """Put steps before those of a view, on the image that it begins with; or give these only.

    Examples
    --------
    >>> steps = [{"full_resolution": {}}, {"resize": {"size": 8}}]
    >>> shift_chain(steps, [{"gamma": {}}])
    [{'full_resolution': {}}, {'gamma': {}}, {'resize': {'size': 8}}]
    >>> shift_chain(steps, [{"gamma": {}}], only=True)
    [{'full_resolution': {}}, {'gamma': {}}]
    """
    first = 1 if steps and FULL_RESOLUTION in steps[0] else 0
    return [*steps[:first], *shift, *([] if only else steps[first:])]


def steps_by_part(shift: ShiftOptions | None, dataset: str) -> dict[str, list[dict]]:
    """Give the steps that degrade each part; none where nothing is shifted.

    Parameters
    ----------
    shift
        The paper's.
    dataset
        Its name: what comes degraded is not degraded again.
    """
    from wbc_pipeline.sources.combined import come_degraded

    return {} if shift is None or come_degraded(dataset) else shift.parts


def as_shown(view: str, part: str, views: dict[str, ImageArray]) -> ImageArray:
    """Give a view as a part shows it: shifted, if it is."""
    return views.get(f"{view}{PART_MARK}{part}", views[view])


def _beginning(steps: list[dict], part: str) -> str:
    """Name what a view of a part begins with."""
    is_full = bool(steps) and FULL_RESOLUTION in steps[0]
    return f"{FULL_RESOLUTION if is_full else PACKED}{PART_MARK}{part}"


def _shifts(
    *,
    chains: Views,
    shift: ShiftOptions | None,
    dataset: str,
    restorers: Restorers,
    variants: Variants,
) -> dict[str, dict[str, list[dict]]]:
    """Give the views that are shifted, and by which steps in each part."""
    from wbc_pipeline.pipelines.experiment.runs import training_views

    if shift is None or not shift.parts:
        return {}
    restored = {restorers.root[name].view for name in variants.restorers}
    parts = steps_by_part(shift, dataset)
    if not parts:
        _log.info("%s comes degraded: its parts are not shifted.", dataset)
        pairs = {PAIRS: shift.train} if shift.train else {}
        return {view: pairs for view in chains.root if view in restored}
    names = {view: view for view in chains.root}
    seen = restored | {
        view
        for variant in variants.networks.values()
        for view in training_views(variant, names).values()
    }
    return {view: parts for view in chains.root if view in seen}
