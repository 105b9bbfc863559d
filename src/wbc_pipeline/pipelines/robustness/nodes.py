"""Nodes that degrade test images, predict them, and draw how accuracy falls."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray, image_files, open_images
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.keys import Key, digest
from wbc_pipeline.pipelines.experiment.nodes import combine, predict_conditions
from wbc_pipeline.pipelines.experiment.options import Selection, Variants
from wbc_pipeline.pipelines.experiment.shifting import as_shown, steps_by_part
from wbc_pipeline.pipelines.preprocessing.options import Restorers, ShiftOptions
from wbc_pipeline.pipelines.reporting.options import ScoreOptions
from wbc_pipeline.pipelines.robustness.options import CurveOptions, RobustnessOptions

pd = lazy.load("pandas")

RUN_KEYS = ["variant", "protocol", "seed", "image_id"]  # of a prediction, whatever its condition
_COLUMNS = ["row", "dataset", "image_id", "label", "source_group"]


def sample_images(
    manifest: pd.DataFrame, splits: pd.DataFrame, options: RobustnessOptions
) -> pd.DataFrame:
    """Pick the test images that are degraded.

    Returns
    -------
    DataFrame
        ``row`` (in the arrays), ``dataset``, ``image_id``, ``label`` and ``source_group``, sorted
        by row. Each test part that is not taken whole has an equal share of the number asked for,
        spread evenly over each of its classes.
    """
    from wbc_pipeline.evaluation.scores.restoration import sample_evenly
    from wbc_pipeline.imaging.packing import accepted

    images = accepted(manifest).reset_index(names="row")[_COLUMNS]
    tested = splits.loc[splits["part"] == "test", ["image_id", "protocol", "seed", "fold"]]
    tested = tested.merge(images, on="image_id")
    whole = tested["protocol"].isin(options.whole)
    runs = tested[~whole].groupby(["protocol", "seed", "fold"])
    parts = [part.sort_values("row") for _, part in runs]
    if options.images is not None:
        parts = [
            part.iloc[sample_evenly(part["label"], options.images // len(parts))] for part in parts
        ]
    sample = pd.concat([tested[whole], *parts])[_COLUMNS].drop_duplicates("row")
    return sample.sort_values("row", ignore_index=True)


def degrade_views(
    *,
    manifest: pd.DataFrame,
    images: ImageArray,
    sample: pd.DataFrame,
    views: dict[str, ImageArray],
    chosen: Selection,
    variants: Variants,
    options: RobustnessOptions,
    shift: ShiftOptions | None,
    dataset: str,
) -> dict[str, Task]:
    """Describe what the views show of the sampled images under each curve and amount.

    Parameters
    ----------
    manifest
        Names the files, where chains begin that ask for full resolution.
    images
        The packed images, where the others begin.
    sample
        Of `sample_images`.
    views
        The paper's, by name.
    chosen, variants
        The variants that take part, and what all of them look at.
    options
        What is done to the images, after the shift of the test part where the paper has one.
    shift
        The paper's; None for nothing.
    dataset
        Its name: what comes degraded is not shifted.

    Returns
    -------
    dict of Task
        ``<view>/<condition>``; each makes a folder with the array, a row per sampled image. Skips
        unused views. A variant with a detector is not asked about degraded images: every run's
        detector would have to look for the cell under every condition.
    """
    from wbc_pipeline.pipelines.experiment.runs import views_of

    names = {view: view for view in views}
    seen = {
        view
        for variant in variants.select(chosen).networks.values()
        if variant.detector is None
        for view in views_of(variant, names).values()
    }
    return {
        f"{name}/{_folder(condition)}": task
        for name in views
        if name in seen
        for condition, task in _degrade_view(
            views[name],
            shift=steps_by_part(shift, dataset).get("test", []),
            manifest=manifest,
            images=images,
            sample=sample,
            options=options,
        ).items()
    }


def _degrade_view(
    view: ImageArray,
    *,
    shift: list[dict],
    manifest: pd.DataFrame,
    images: ImageArray,
    sample: pd.DataFrame,
    options: RobustnessOptions,
) -> dict[str, Task]:
    from wbc_pipeline.imaging import degraded_views
    from wbc_pipeline.imaging.chain import build_chain, chain_code, chain_data
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.imaging.views import FileImages, PackedImages
    from wbc_pipeline.pipelines.experiment.runs import refuse_fitted

    chain = build_chain(view.steps)
    rows = accepted(manifest)
    tested = sample["row"].to_numpy()

    def compute(folder: Path, *, condition: degraded_views.Condition, title: str) -> None:
        inputs = (
            FileImages(rows["path"], max_pixels=images.max_pixels, sha256=rows["sha256"])
            if chain.full_resolution
            else PackedImages(images.pixels)
        )
        if shift:
            inputs = degraded_views.ChangedImages(inputs, build_chain(shift))
        degraded_views.write_degraded_view(
            chain, inputs, sample["row"].tolist(), image_files(folder)[0], condition, title=title
        )

    tasks = {}
    for name, (curve, level) in options.conditions.items():
        how = options.curves[curve]
        amount = _amount(how, level)
        refuse_fitted(how.restore, rows, tested, f"The curve {curve}", "it is tested on")
        condition = degraded_views.Condition(
            how.degradation, amount, build_chain(how.restore), how.finds_on == "clean"
        )
        key = Key(
            params={
                "steps": view.steps,
                "degradation": how.degradation,
                "amount": amount,
                "restore": how.restore,
                "finds_on": how.finds_on,
                **({"shift": shift} if shift else {}),
            },
            data={
                "view": view.result.digest,
                "images": digest(sample["image_id"].tolist()),
                "fitted": chain_data(how.restore),
            },
            code=chain_code(
                [*view.steps, *how.restore, *shift],
                degraded_views.write_degraded_view,
                degraded_views.Condition,
                FileImages if chain.full_resolution else PackedImages,
                *((degraded_views.ChangedImages,) if shift else ()),
            ),
        )
        compute_condition = partial(compute, condition=condition, title=f"Degrading ({name})")
        tasks[name] = Task(key, compute_condition)
    return tasks


def predict_degraded(
    *,
    sample: pd.DataFrame,
    splits: pd.DataFrame,
    degraded: dict[str, Result],
    trainings: dict[str, Result],
    chosen: Selection,
    variants: Variants,
    options: RobustnessOptions,
    restorers: Restorers,
    trained_restorers: dict[str, Result],
    device: str,
) -> dict[str, Task]:
    """Describe what every training answers to the degraded images of its test part.

    Returns
    -------
    dict of str to Task
        ``<variant>/<run>``; each makes a folder with ``predictions.parquet``, of all conditions.
    """
    from wbc_pipeline.pipelines.experiment.restorers import restore_later

    opened = {name: open_images(result) for name, result in degraded.items()}
    conditions = {
        condition: {
            name.partition("/")[0]: array
            for name, array in opened.items()
            if name.partition("/")[2] == _folder(condition)
        }
        for condition in options.conditions
    }
    return predict_conditions(
        images=sample,
        splits=splits[splits["image_id"].isin(sample["image_id"])],
        conditions=conditions,
        parts=("test",),
        trainings=trainings,
        chosen=chosen,
        variants=variants,
        device=device,
        restorers=restorers,
        restored={
            condition: restore_later(views, restorers, trained_restorers, device)
            for condition, views in conditions.items()
        },
    )


def collect_conditions(
    clean: pd.DataFrame, predicted: dict[str, Result], chosen: Selection, variants: Variants
) -> pd.DataFrame:
    """Put the predictions of all conditions together, with those of the same images as they came.

    Parameters
    ----------
    clean
        Predictions of the images as they came, of which the weights of ensembles are fitted on the
        validation part; those of images that were not sampled stay out.
    predicted, chosen, variants
        See `combine`.

    Returns
    -------
    DataFrame
        See ``design``: predictions; of the test part.
    """
    degraded = combine(predicted, variants, chosen, fitted_on=clean)
    same = clean.merge(degraded[RUN_KEYS].drop_duplicates(), on=RUN_KEYS)
    same = same[same["part"] == "test"]
    return pd.concat([same, degraded], ignore_index=True)


def score_robustness(
    predictions: pd.DataFrame, options: RobustnessOptions, score: ScoreOptions
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Score every curve from the saved predictions alone.

    Returns
    -------
    robustness
        A row per variant, protocol, curve and amount.
    items
        ``robustness_by_amount``, the accuracies of that with a column per amount and what the paper
        prints, and ``robustness_area``, a row per curve, variant and protocol.
    """
    from wbc_pipeline.evaluation.scores import robustness

    if predictions.empty:  # every variant of this command has a detector
        return pd.DataFrame(columns=["variant", "protocol", "curve", "amount"]), {}
    bootstrap = {"resamples": score.resamples, "level": score.level}
    scores = robustness.robustness_scores(predictions, **bootstrap)
    areas = robustness.robustness_areas(predictions, **bootstrap)
    areas = areas.sort_values("curve", key=lambda names: pd.factorize(names)[0], kind="stable")
    return scores, {
        "robustness_by_amount": robustness.widen_scores(scores, options.published),
        "robustness_area": areas,
    }


def draw_robustness(
    *,
    scores: pd.DataFrame,
    sample: pd.DataFrame,
    views: dict[str, ImageArray],
    degraded: dict[str, Result],
    options: RobustnessOptions,
    dataset: str,
) -> tuple[dict[str, Any], Any]:
    """Draw accuracy against the amount of degradation, and one image under every condition.

    Returns
    -------
    items
        ``robustness_curves`` and ``degraded_sheet``.
    chart
        The curves for a browser; nothing is drawn where nothing was degraded.
    """
    import plotly.graph_objects as go

    from wbc_pipeline.evaluation.figures import previews
    from wbc_pipeline.evaluation.figures import robustness as figures

    if not degraded:
        return {}, go.Figure()
    scales = {name: curve.scale for name, curve in options.curves.items()}
    first = sample.iloc[0]
    names = dict.fromkeys(name.partition("/")[0] for name in degraded)
    pictures = {
        (curve, view): {"clean": as_shown(view, "test", views).pixels[first["row"]]}
        | {
            text: open_images(degraded[f"{view}/{_folder(f'{curve} {text}')}"]).pixels[0]
            for text in how.levels
        }
        for curve, how in options.curves.items()
        for view in names
    }
    items = {
        "robustness_curves": figures.robustness_curves(
            scores, options.published, scales=scales, dataset=dataset
        ),
        "degraded_sheet": figures.degraded_sheet(pictures, label=first["label"], dataset=dataset),
    }
    chart = previews.plotly_robustness(scores, options.published, scales=scales, dataset=dataset)
    return items, chart


def _amount(curve: CurveOptions, level: float) -> float:
    """Give the amount behind a level of a curve: that itself, or what a severity stands for."""
    from wbc_pipeline.imaging.degrade import SEVERITIES

    return level if curve.amounts else SEVERITIES[curve.degradation][int(level) - 1]


def _folder(condition: str) -> str:
    return condition.replace(" ", "-")
