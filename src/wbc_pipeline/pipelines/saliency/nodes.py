"""The saliency paper's own tables and figures."""

from __future__ import annotations

import lazy_loader as lazy
import numpy as np

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.keys import run_name
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.reporting.options import Published, ScoreOptions
from wbc_pipeline.pipelines.saliency.options import AttentionOptions

pd = lazy.load("pandas")

RUN = ["variant", "protocol", "seed", "fold"]
ATTENTION_COLUMNS = [*RUN, "image_id", "source_id", "label", "right", "saliency_inside"]
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
    """Judge what the paper claims, by direction, and test its network against the others."""
    from wbc_pipeline.evaluation.scores import hypotheses as tests
    from wbc_pipeline.evaluation.scores.metrics import tested

    test = tested(predictions)
    how = {"resamples": score.resamples, "level": score.level}
    reference = next(iter(variants.root))
    return {
        "hypotheses": tests.judge_hypotheses(test, manifest, hypotheses, **how),
        "directions": tests.scores_by_direction(test, manifest, **how),
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
    attention: AttentionOptions,
    score: ScoreOptions,
) -> dict[str, pd.DataFrame]:
    """Measure how much of Grad-CAM lies inside the cell, for the networks of the first seed.

    Returns
    -------
    items
        ``grad_cam``: a row per image and run, its class ``right`` or not, ``grad_cam_inside`` and
        ``saliency_inside``. ``attention``: their means. Nothing where Grad-CAM is known of no
        image.
    """
    from wbc_pipeline.evaluation.localization.attention import summarise_attention
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.scores.metrics import read_outcomes, tested
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.runs import views_of

    test = tested(predictions)
    outcomes = read_outcomes(test)
    test = test.assign(right=outcomes.correct, answer=outcomes.predicted)
    test = test[(test["seed"] == test["seed"].min()) & test["variant"].isin(variants.networks)]
    images = accepted(manifest)
    row_of = pd.Series(images.index, index=images["image_id"])
    tables = []
    for (name, *run), rows in test.groupby(RUN, sort=False):
        some = _some_of_each_class(rows, attention.images)
        inside = _grad_cam_inside(
            trainings[f"{name}/{run_name(*run)}"],
            views_of(variants.root[name], views),
            row_of[some["image_id"]].to_numpy(),
            some["answer"].to_numpy(),
        )
        tables.append(some.filter(ATTENTION_COLUMNS).assign(grad_cam_inside=inside))
    measured = pd.concat(tables)
    if measured["grad_cam_inside"].isna().all():
        return {}
    summary = summarise_attention(measured, resamples=score.resamples, level=score.level)
    return {"attention": summary, "grad_cam": describe(measured, *GRAD_CAM_TEXTS)}


def _some_of_each_class(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """Keep so many rows at most, but one of each class in any case, evenly from the classes."""
    place = rows.groupby("label").cumcount()
    return rows[place < max(1, count // rows["label"].nunique())]


def _grad_cam_inside(
    training: Result, views: dict[str, ImageArray], rows: np.ndarray, answers: np.ndarray
) -> np.ndarray:
    """Measure the share of Grad-CAM of each answer inside the cell, [N]; NaN where not known."""
    from wbc_pipeline.evaluation.localization.grad_cam import grad_cam, share_inside
    from wbc_pipeline.models import load_network

    network, _ = load_network(training.folder)
    masks = views[network.views[0]].masks
    if masks is None or not hasattr(network, "cam_layer"):
        return np.full(len(rows), np.nan)
    arrays = [views[name].pixels[rows] for name in network.views]
    maps = grad_cam(network, arrays, labels=answers)
    return share_inside(maps, masks[rows])
