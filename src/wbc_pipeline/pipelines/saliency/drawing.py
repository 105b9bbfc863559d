"""Figures of the saliency paper: masks, ROC, precision and recall, and where networks look."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import lazy_loader as lazy
import numpy as np
from pydantic import Field

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.keys import run_name
from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.reporting.options import Published

pd = lazy.load("pandas")

REGION = "cell"  # of which outlines are drawn


class DrawingOptions(Options):
    """What is drawn.

    Parameters
    ----------
    variants
        In box plots and curves; the first ones of this command if it has none of them.
    sheets
        Whose ROC curves are drawn, and outlines and attention on images; likewise.
    minor_classes
        Classes with precision-recall curves.
    images
        How many images of each variant show where it looks.
    """

    variants: list[str] = Field(min_length=1, max_length=8)  # as many as there are colours
    sheets: list[str] = Field(min_length=1, max_length=3)
    minor_classes: list[str]
    images: int = Field(gt=0)


def draw_segmentation(
    *,
    manifest: pd.DataFrame,
    views: dict[str, ImageArray],
    trainings: dict[str, Result],
    predictions: pd.DataFrame,
    variants: Variants,
    published_classes: dict[str, Published],
    drawing: DrawingOptions,
    dataset: str,
) -> dict[str, Any]:
    """Draw how well networks segment and classify, and where they look.

    Parameters
    ----------
    manifest, predictions
        See ``design``.
    views
        What the networks look at, by name.
    trainings
        Finished, by variant and run.
    variants
        All of them; the first is the paper's own, of which it prints the IoU of classes.
    published_classes
        See ``SaliencyOptions``.
    drawing
        What is drawn.
    dataset
        Name of the data set.
    """
    from wbc_pipeline.evaluation.figures import attention, segmentation, sources
    from wbc_pipeline.evaluation.scores import examples
    from wbc_pipeline.imaging.packing import accepted

    tests = _list_tests(predictions, accepted(manifest))
    curves = _choose(tests, drawing.variants)
    sheets = _choose(_comparable(tests[tests["variant"].isin(variants.networks)]), drawing.sheets)
    outlines, attend = _lookers(views, trainings, variants)
    # The order alone of what is drawn, so that no two of them have one colour.
    names = {
        "dataset": dataset,
        "variants": [name for name in variants.root if name in {*curves["variant"]}],
    }
    printed = published_classes.get(next(iter(variants.root)), {})
    ious = {label: scores["iou_cell"] for label, scores in printed.items() if "iou_cell" in scores}
    return {
        "cell_overlaps": segmentation.overlap_boxes(curves, published=ious, **names),
        "nucleus_overlaps": segmentation.overlap_boxes(curves, region="nucleus", **names),
        "roc_curves": sources.roc_curves(_choose(tests, drawing.sheets), dataset=dataset),
        "precision_recall": segmentation.precision_recall(curves, drawing.minor_classes, **names),
        "outlines": segmentation.overlay_sheet(sheets, outlines, region=REGION, **names),
        **{
            f"attention_{name}": attention.attention_sheet(
                examples.pick_answers(examples.first_runs(answers), drawing.images),
                attend,
                variant=name,
                dataset=dataset,
            )
            for name, answers in sheets.groupby("variant", sort=False)
        },
    }


def _list_tests(predictions: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Add to the test rows their overlaps, ``run``, ``row`` of the arrays, and ``domain``.

    Each direction of a shift becomes a protocol of its own.
    """
    from wbc_pipeline.evaluation.figures.style import clean_rows
    from wbc_pipeline.evaluation.scores.directions import split_directions
    from wbc_pipeline.evaluation.scores.metrics import tested
    from wbc_pipeline.evaluation.scores.overlaps import with_overlaps

    test = with_overlaps(clean_rows(tested(predictions))).reset_index(drop=True)
    shown = images.assign(row=np.arange(len(images))).set_index("image_id")[["row", "domain"]]
    runs = zip(test["protocol"], test["seed"], test["fold"], strict=True)
    test = test.assign(run=[run_name(*run) for run in runs], dealt=test["protocol"])
    return split_directions(test.join(shown, on="image_id"))


def _comparable(tests: pd.DataFrame) -> pd.DataFrame:
    """Keep what was dealt without a leak, if anything was."""
    from wbc_pipeline.evaluation.scores.protocols import LEAK_FREE

    kept = tests["dealt"].isin(LEAK_FREE)
    return tests[kept] if kept.any() else tests


def _choose(tests: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Keep the variants of these names; as many of the first ones if there are none of them."""
    run = [*tests["variant"].unique()]
    chosen = [name for name in run if name in names] or run[: len(names)]
    return tests[tests["variant"].isin(chosen)]


def _lookers(
    views: dict[str, ImageArray], trainings: dict[str, Result], variants: Variants
) -> tuple[Callable[[pd.Series], Any], Callable[[pd.Series], Any]]:
    """Make what shows a test row's outlines, and what shows where its network looks."""
    import torch

    from wbc_pipeline.evaluation.figures.attention import Attention
    from wbc_pipeline.evaluation.figures.sheets import Outlines
    from wbc_pipeline.evaluation.localization.grad_cam import grad_cam, share_inside
    from wbc_pipeline.imaging.masks import UNKNOWN, region_mask
    from wbc_pipeline.models import load_network
    from wbc_pipeline.models.joint import REGIONS, is_joint
    from wbc_pipeline.pipelines.experiment.runs import views_of
    from wbc_pipeline.training.maps import predict_maps
    from wbc_pipeline.training.refine import Refined

    @lru_cache(maxsize=4)  # failures of a variant come from each direction in turn
    def network_of(name: str) -> torch.nn.Module:
        return load_network(trainings[name].folder)[0]

    def look(test: pd.Series) -> tuple[torch.nn.Module, list[np.ndarray], np.ndarray, dict]:
        network = network_of(f"{test['variant']}/{test['run']}")
        variant = variants.root[test["variant"]]
        seen = views_of(variant, views)
        rows = [test["row"]]
        arrays = [seen[name].pixels[rows] for name in network.views]  # [1, H, W, 3]
        masks = seen[network.views[0]].masks
        shape = arrays[0].shape[:3]
        mask = np.full(shape, UNKNOWN, np.uint8) if masks is None else masks[rows]
        predicting = network if variant.refine is None else Refined(network, variant.refine)
        is_mapped = is_joint(network)
        cpu = torch.device("cpu")
        maps = predict_maps(predicting, arrays, [0], device=cpu) if is_mapped else {}
        return network, arrays, mask, maps

    def show_outlines(test: pd.Series) -> Outlines:
        _, (pixels, *_), mask, maps = look(test)
        found = np.ascontiguousarray(maps["masks"][0, ..., REGIONS.index(REGION)])
        return Outlines(pixels[0], region_mask(mask[0], REGION), found)

    def show_attention(test: pd.Series) -> Attention:
        network, arrays, mask, maps = look(test)
        answer = int(np.argmax(test[[name for name in test.index if name.startswith("p_")]]))
        can_explain = hasattr(network, "cam_layer")
        cams = grad_cam(network, arrays, labels=[answer]) if can_explain else None
        return Attention(
            arrays[0][0],
            region_mask(mask[0], REGION),
            saliency=maps["saliency"][0] if "saliency" in maps else None,
            grad_cam=None if cams is None else cams[0],
            cam_inside=np.nan if cams is None else share_inside(cams, mask)[0],
        )

    return show_outlines, show_attention
