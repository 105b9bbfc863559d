"""The saliency paper's own tables and figures."""

from __future__ import annotations

from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.keys import run_name
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.reporting.options import Published, ScoreOptions
from wbc_pipeline.pipelines.saliency.options import ShownOptions

pd = lazy.load("pandas")

ATTENTION_COLUMNS = [
    *("variant", "protocol", "seed", "fold", "image_id", "source_id", "label"),
    *("right", "saliency_inside"),
]
GRAD_CAM_TEXTS = (
    "Attention of single images",
    "Share of Grad-CAM, and of the network's own saliency map, inside the cell's mask; empty where "
    "no place speaks for the class.",
)


def judge_hypotheses(
    *,
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    variants: Variants,
    hypotheses: dict[str, dict],
    score: ScoreOptions,
) -> dict[str, pd.DataFrame]:
    """Judge what the paper claims, and test its network against every other variant."""
    from wbc_pipeline.evaluation.scores import hypotheses as tests
    from wbc_pipeline.evaluation.scores.metrics import tested

    test = tested(predictions)
    how = {"resamples": score.resamples, "level": score.level}
    reference = next(iter(variants.root))
    return {
        "hypotheses": tests.judge_hypotheses(test, manifest, hypotheses, **how),
        "paired_tests": tests.paired_tests(test, manifest, reference=reference, **how),
    }


def list_printed(
    metrics: pd.DataFrame,
    predictions: pd.DataFrame,
    published: Published,
    published_sd: Published,
    published_classes: dict[str, Published],
) -> dict[str, pd.DataFrame]:
    """List what the paper prints with deviations and of single classes beside ours."""
    from wbc_pipeline.evaluation.scores.metrics import tested
    from wbc_pipeline.evaluation.scores.printed.spread import compare_spread

    table = compare_spread(metrics, tested(predictions), published, published_sd, published_classes)
    return {"published_spread": table}


def measure_attention(
    *,
    manifest: pd.DataFrame,
    views: dict[str, ImageArray],
    trainings: dict[str, Result],
    predictions: pd.DataFrame,
    variants: Variants,
    shown: ShownOptions,
    score: ScoreOptions,
) -> dict[str, pd.DataFrame]:
    """Measure how much of Grad-CAM lies inside the cell, for the networks of the first seed.

    Returns
    -------
    items
        ``grad_cam``: a row per image and run, its class ``right`` or not, ``grad_cam_inside`` and
        ``saliency_inside``. ``attention``: their means. Nothing where neither is known of an image.
    """
    from wbc_pipeline.evaluation.localization.attention import summarise_attention
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.scores.metrics import read_outcomes
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.saliency.looking import Looker

    test = _tests_of_networks(predictions, manifest, variants)
    test = test.assign(right=read_outcomes(test).correct)
    test = test[test["seed"] == test["seed"].min()]
    looker, tables = Looker(accepted(manifest), views, trainings, variants), []
    for training, rows in test.groupby("training", sort=False):
        some = _some_of_each_class(rows, shown.measured)
        _, inside = looker.shares_inside(training, some["image_id"])
        tables.append(some.filter(ATTENTION_COLUMNS).assign(grad_cam_inside=inside))
    measured = pd.concat(tables)
    if measured["grad_cam_inside"].isna().all():
        return {}
    summary = summarise_attention(measured, resamples=score.resamples, level=score.level)
    return {"attention": summary, "grad_cam": describe(measured, *GRAD_CAM_TEXTS)}


def draw_masks_and_attention(
    *,
    manifest: pd.DataFrame,
    views: dict[str, ImageArray],
    trainings: dict[str, Result],
    predictions: pd.DataFrame,
    variants: Variants,
    published_classes: dict[str, Published],
    shown: ShownOptions,
    dataset: str,
) -> dict[str, Any]:
    """Draw how well masks overlap, curves of each class, outlines and where the network looks.

    The printed IoU of classes, and where networks look, are of the paper's own network, the first
    of `variants`, or of the first that was run.
    """
    from wbc_pipeline.evaluation.figures import attention, segmentation, sources
    from wbc_pipeline.evaluation.scores.directions import split_directions
    from wbc_pipeline.evaluation.scores.examples import first_runs, pick_answers
    from wbc_pipeline.evaluation.scores.overlaps import with_overlaps
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.saliency.looking import Looker

    test = with_overlaps(_tests_of_networks(predictions, manifest, variants))
    looker = Looker(accepted(manifest), views, trainings, variants)
    names = test["variant"].unique()
    printed = published_classes.get(next(iter(variants.root)), {})
    ious = {label: of["iou_cell"] for label, of in printed.items() if "iou_cell" in of}
    answers = first_runs(split_directions(test[test["variant"] == names[0]]))
    how = {"dataset": dataset, "variants": names}
    return {
        "overlap_boxes": segmentation.overlap_boxes(test, published=ious, **how),
        "roc_curves": sources.roc_curves(split_directions(test), dataset=dataset),
        "precision_recall": segmentation.precision_recall(test, shown.minor_classes, **how),
        "overlays": segmentation.overlay_sheet(test, looker.outlines, **how),
        "attention_sheet": attention.attention_sheet(
            pick_answers(answers, shown.images),
            looker.attention,
            variant=names[0],
            dataset=dataset,
        ),
    }


def _tests_of_networks(
    predictions: pd.DataFrame, manifest: pd.DataFrame, variants: Variants
) -> pd.DataFrame:
    """Take the test rows of networks, with the ``domain`` of the image and the ``training``."""
    from wbc_pipeline.evaluation.scores.metrics import tested

    test = tested(predictions)
    test = test[test["variant"].isin(variants.networks)].reset_index(drop=True)
    runs = zip(*(test[name] for name in ("variant", "protocol", "seed", "fold")), strict=True)
    return test.assign(
        domain=test["image_id"].map(manifest.set_index("image_id")["domain"]),
        training=[f"{variant}/{run_name(*run)}" for variant, *run in runs],
    )


def _some_of_each_class(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Keep so many rows at most, but one of each class in any case, evenly from the classes."""
    place = rows.groupby("label").cumcount()
    return rows[place < max(1, count // rows["label"].nunique())]
