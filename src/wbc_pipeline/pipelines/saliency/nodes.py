"""The saliency paper's own tables and figures."""

from __future__ import annotations

from itertools import product

import lazy_loader as lazy
import numpy as np

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.reporting.options import Published, ScoreOptions
from wbc_pipeline.pipelines.saliency.options import AttentionOptions

pd = lazy.load("pandas")

ATTENTION_COLUMNS = [
    *("variant", "protocol", "seed", "fold", "image_id", "source_id", "label"),
    *("right", "saliency_inside"),
]
GRAD_CAM_TEXTS = (
    "Attention of single images",
    "Share of Grad-CAM, and of the network's own saliency map, inside the cell's mask.",
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
    splits: pd.DataFrame,
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
        ``saliency_inside``. ``attention``: their means. Nothing where no image has a mask.
    """
    from wbc_pipeline.evaluation.localization.attention import summarise_attention
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.scores.metrics import read_outcomes, tested
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.runs import iterate_runs, views_of

    first = splits[splits["seed"] == splits["seed"].min()]
    images, test = accepted(manifest), tested(predictions)
    test = test.assign(right=read_outcomes(test).correct)
    tables = []
    for run, (name, variant) in product(iterate_runs(first, images), variants.networks.items()):
        rows = _some_of_each_class(images["label"], run.rows["test"], attention.images)
        own = test[test["variant"] == name].merge(pd.DataFrame([run.key]))
        if len(own):
            training = trainings[f"{name}/{run.name}"]
            shares = _shares_inside(training, views_of(variant, views), rows)
            named = {"image_id": images["image_id"].to_numpy()[rows], "grad_cam_inside": shares}
            tables.append(own.filter(ATTENTION_COLUMNS).merge(pd.DataFrame(named), on="image_id"))
    measured = pd.concat(tables).dropna(subset="grad_cam_inside")
    if measured.empty:
        return {}
    summary = summarise_attention(measured, resamples=score.resamples, level=score.level)
    return {"attention": summary, "grad_cam": describe(measured, *GRAD_CAM_TEXTS)}


def _some_of_each_class(labels: pd.Series, rows: np.ndarray, count: int) -> np.ndarray:
    """Choose so many rows at most, but one of each class in any case, evenly from the classes."""
    own = labels.iloc[rows]
    place = own.groupby(own).cumcount()
    return rows[(place < max(1, count // own.nunique())).to_numpy()]


def _shares_inside(training: Result, views: dict[str, ImageArray], rows: np.ndarray) -> np.ndarray:
    """Measure Grad-CAM inside the cell of each row, [N]; NaN where the mask is not known."""
    from wbc_pipeline.evaluation.localization.grad_cam import grad_cam, share_inside
    from wbc_pipeline.models import load_network

    network, _ = load_network(training.folder)
    masks = views[network.views[0]].masks
    if masks is None or not hasattr(network, "cam_layer"):
        return np.full(len(rows), np.nan)
    maps = grad_cam(network, [views[name].pixels[rows] for name in network.views])
    return share_inside(maps, masks[rows])
