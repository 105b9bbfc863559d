"""How well colour finds the box around a white cell: IoU at full resolution."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.localization.mask_quality import dice_score
from wbc_pipeline.evaluation.localization.regions import SIDES, match_regions, summarise_regions
from wbc_pipeline.evaluation.localization.tuning import UNTUNED, Candidate
from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.intervals import mean_interval
from wbc_pipeline.imaging.arrays import map_threads
from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.imaging.masks import UNKNOWN, region_mask
from wbc_pipeline.imaging.packing import independent_sources
from wbc_pipeline.imaging.steps import settle
from wbc_pipeline.imaging.views import FileImages

ALL, ONE = "any number", "one"  # white cells of an image

_KEYS = ["method", "tuned_on", "tested_on", "part", "white_cells"]


def find_regions(
    images: Sequence[np.ndarray],
    image_ids: Sequence[str],
    candidates: Sequence[Candidate],
    *,
    title: str,
) -> pd.DataFrame:
    """Find the region in each image with each candidate; an image is decoded once.

    Parameters
    ----------
    images
        RGB, uint8 ``[H, W, 3]`` each, such as `wbc_pipeline.imaging.views.FileImages`.
    image_ids
        Their names.
    candidates
        Of chains that end with a region.
    title
        Beside the progress bar.

    Returns
    -------
    pd.DataFrame
        ``image_id``, ``candidate`` (its place), the sides in pixels of the image, and ``found``.
    """
    chains = [build_chain(candidate.steps) for candidate in candidates]

    def find(row: int) -> list[tuple]:
        image = images[row]
        return [settle(chain.run(image)).place for chain in chains]

    found = np.array(map_threads(find, range(len(images)), title=title))
    places = pd.MultiIndex.from_product(
        [image_ids, range(len(chains))], names=["image_id", "candidate"]
    )
    table = pd.DataFrame(found.reshape(-1, len(SIDES) + 1), places, columns=[*SIDES, "found"])
    return table.astype({"found": bool}).reset_index()


def find_cells_by_chain(
    images: FileImages, image_ids: Sequence[str], steps: list[dict], *, title: str
) -> pd.DataFrame:
    """Find the region, and perhaps the mask, of the cell in each image with one chain.

    Parameters
    ----------
    images
        Files, perhaps with masks.
    image_ids
        Their names.
    steps
        A chain that ends with a region or a mask.
    title
        Beside the progress bar.

    Returns
    -------
    pd.DataFrame
        ``image_id``, the sides in pixels of the image, ``found``, and ``dice`` of the found mask
        with the true one, missing where one of them is not known.
    """
    chain = build_chain(steps)

    def find(row: int) -> tuple:
        image = images[row]
        frame = chain.run(image)
        settled = settle(frame)
        place = settled.place if frame.mask is None else settled.box
        return *place[:4], settled.place.found, _dice(frame.mask, images, row, image.shape)

    found = map_threads(find, range(len(images)), title=title)
    table = pd.DataFrame(found, columns=[*SIDES, "found", "dice"]).astype({"dice": float})
    table.insert(0, "image_id", list(image_ids))
    return table


def _dice(
    mask: np.ndarray | None, images: FileImages, row: int, shape: tuple[int, ...]
) -> float | None:
    if mask is None or not images.has_masks:
        return None
    true = images.mask(row, shape)
    return None if (true == UNKNOWN).all() else dice_score(mask, region_mask(true, "cell"))


def score_regions(regions: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Compare what each candidate found with the true box that fits best.

    Parameters
    ----------
    regions
        Of `find_regions`.
    truth
        Of `regions.true_boxes`.

    Returns
    -------
    pd.DataFrame
        ``candidate`` and the columns of `match_regions`, a row per candidate and image that has a
        true box.
    """
    matched = [
        match_regions(found, truth).assign(candidate=candidate)
        for candidate, found in regions.groupby("candidate")
    ]
    scores = pd.concat(matched, ignore_index=True)
    return scores.dropna(subset="iou")


@described(
    heading="Boxes around white cells",
    caption="IoU of the found box with the best-fitting one of the image, with an "
    "interval over sources. Tuned parameters were chosen on the half that is not tested. Where "
    "nothing is found the box is the whole image.",
)
def summarise_quality(
    tests: pd.DataFrame,
    scores: pd.DataFrame,
    images: pd.DataFrame,
    *,
    resamples: int,
    level: float,
) -> pd.DataFrame:
    """Describe the IoU of each method and pair of domains.

    Parameters
    ----------
    tests
        Of `tuning.tune_and_test`: ``method``, ``iou``, ``found``, ``boxes``.
    scores
        Of `score_regions`, with ``method``: its first candidates were tuned on nothing, so that
        they may be tested on all images.
    images
        ``image_id``, ``source_group`` and ``domain``.
    resamples, level
        Of the bootstrap over source groups.

    Returns
    -------
    pd.DataFrame
        ``method``, ``tuned_on``, ``tested_on``, ``part`` (``test half`` or ``all``),
        ``white_cells`` (of an image: `ALL`, and `ONE` if others have more), ``candidate``,
        ``images``, ``not_found``, and of the IoU ``mean`` (with ``mean_low`` and ``mean_high``),
        ``min``, ``max``, ``sd``, ``median``.
    """
    untuned = scores[scores["candidate"] == 0].merge(images, on="image_id")
    untuned = untuned.rename(columns={"domain": "tested_on"}).assign(tuned_on=UNTUNED)
    parts = pd.concat(
        [untuned.assign(part="all"), tests.assign(part="test half")], ignore_index=True
    )
    counted = parts.assign(white_cells=ALL)
    alone = parts["boxes"] == 1
    if not alone.all():
        counted = pd.concat([counted, parts[alone].assign(white_cells=ONE)], ignore_index=True)
    keys = [*_KEYS, "candidate"]
    summary = summarise_regions(counted, keys)
    ends = [
        mean_interval(
            group["iou"],
            independent_sources(group),
            resamples=resamples,
            level=level,
        )
        for _, group in counted.groupby(keys, sort=False)
    ]
    place = summary.columns.get_loc("mean") + 1
    summary.insert(place, "mean_low", [low for low, _ in ends])
    summary.insert(place + 1, "mean_high", [high for _, high in ends])
    return summary
