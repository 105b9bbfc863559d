"""Nodes that degrade test images, predict them, and draw how accuracy falls."""

from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from wbc_pipeline.datasets.images import ImageArray, ImagesDataset, image_files
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.keys import digest, source_digest
from wbc_pipeline.pipelines.experiment.nodes import views_of
from wbc_pipeline.pipelines.experiment.options import VariantOptions, Variants
from wbc_pipeline.pipelines.reporting.nodes import collect_predictions
from wbc_pipeline.pipelines.reporting.options import ScoreOptions
from wbc_pipeline.pipelines.robustness.options import CurveOptions, RobustnessOptions

RUN_KEYS = ["variant", "protocol", "seed", "image_id"]  # of a prediction, whatever its condition


def sample_images(
    manifest: pd.DataFrame, splits: pd.DataFrame, options: RobustnessOptions
) -> pd.DataFrame:
    """Pick the test images that are degraded.

    Returns
    -------
    DataFrame
        ``row`` (in the arrays), ``image_id``, ``label`` and ``source_group``, sorted by row. Each
        test part has an equal share of them, spread evenly over each of its classes.
    """
    from wbc_pipeline.evaluation.restoration import sample_evenly
    from wbc_pipeline.imaging.packing import accepted

    images = accepted(manifest).reset_index(names="row")
    columns = ["row", "image_id", "label", "source_group"]
    tested = splits[splits["part"] == "test"].merge(images[columns], on="image_id")
    parts = [part.sort_values("row") for _, part in tested.groupby(["protocol", "seed", "fold"])]
    if options.images is not None:
        share = options.images // len(parts)
        parts = [part.iloc[sample_evenly(part["label"], share)] for part in parts]
    sample = pd.concat(parts)[columns].drop_duplicates("row")
    return sample.sort_values("row", ignore_index=True)


def degrade_views(
    *,
    manifest: pd.DataFrame,
    images: ImageArray,
    sample: pd.DataFrame,
    chosen: Variants,
    variants: dict[str, dict],
    options: RobustnessOptions,
    **views: ImageArray,
) -> dict[str, dict[str, Task]]:
    """Describe what the views show of the sampled images under each curve and amount.

    Parameters
    ----------
    manifest
        Names the files, where chains begin that ask for full resolution.
    images
        The packed images, where the others begin.
    sample
        Of `sample_images`.
    chosen, variants
        The variants that take part, and what all of them look at.
    options
        What is done to the images.
    views
        The paper's, by name.

    Returns
    -------
    dict of dict of Task
        By view and condition, makes a folder with the array, a row per sampled image. Nothing of a
        view that no chosen variant looks at.
    """
    taking_part = [
        VariantOptions.model_validate(variant)
        for name, variant in variants.items()
        if chosen.include(name)
    ]
    names = {view: view for view in views}
    seen = {view for variant in taking_part for view in views_of(variant, names).values()}
    return {
        name: _degrade_view(view, manifest, images, sample, options) if name in seen else {}
        for name, view in views.items()
    }


def _degrade_view(
    view: ImageArray,
    manifest: pd.DataFrame,
    images: ImageArray,
    sample: pd.DataFrame,
    options: RobustnessOptions,
) -> dict[str, Task]:
    from wbc_pipeline.imaging import degraded_views
    from wbc_pipeline.imaging.chain import build_chain, chain_digest
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.imaging.views import FileImages, PackedImages

    steps = view.result.key["steps"]
    chain = build_chain(steps)

    def compute(folder: Path, *, condition: degraded_views.Condition, title: str) -> None:
        inputs = (
            FileImages(accepted(manifest)["path"], max_pixels=images.max_pixels)
            if chain.full_resolution
            else PackedImages(images.pixels)
        )
        degraded_views.write_degraded_view(
            chain, inputs, sample["row"].tolist(), image_files(folder)[0], condition, title=title
        )

    tasks = {}
    for name, (curve, level) in options.conditions.items():
        how = options.curves[curve]
        amount = _amount(how, level)
        condition = degraded_views.Condition(
            how.degradation, amount, build_chain(how.restore), how.finds_on == "clean"
        )
        key = {
            "view": view.result.digest,
            "images": digest(sample["image_id"].tolist()),
            "degradation": how.degradation,
            "amount": amount,
            "restore": how.restore,
            "finds_on": how.finds_on,
            "code": digest(
                [chain_digest(steps), chain_digest(how.restore), source_digest(degraded_views)]
            ),
        }
        title = f"Degrading ({name})"
        tasks[_folder(name)] = Task(key, partial(compute, condition=condition, title=title))
    return tasks


def predict_degraded(
    *,
    sample: pd.DataFrame,
    splits: pd.DataFrame,
    identity: dict[str, str],
    runs: dict[str, Result],
    chosen: Variants,
    variant: VariantOptions,
    options: RobustnessOptions,
    device: str,
    **degraded: dict[str, Result],
) -> dict[str, Task]:
    """Describe the predictions of every run on the sampled images of its test part.

    Parameters
    ----------
    sample
        Of `sample_images`.
    splits
        See ``design``.
    identity
        ``paper`` and ``variant``.
    runs
        The variant's trainings by run name.
    chosen
        The variants that take part: nothing is predicted if this one does not.
    variant
        Its network, and what that looks at.
    options
        Names the conditions.
    device
        ``auto``, ``cpu`` or ``cuda``.
    degraded
        By view of the paper, what it shows under each condition.

    Returns
    -------
    dict of str to Task
        By run name; each makes a folder with ``predictions.parquet``, of all conditions.
    """
    from wbc_pipeline.pipelines.experiment.runs import iterate_runs, predict_run
    from wbc_pipeline.training.devices import choose_device, describe_hardware

    if not chosen.include(identity["variant"]):
        return {}
    seen = views_of(variant, degraded)
    conditions = {
        name: {view: _load(results[_folder(name)]) for view, results in seen.items()}
        for name in options.conditions
    }
    place = choose_device(device)
    shared = {"identity": identity, "images": sample, "conditions": conditions, "device": place}
    tested = splits[(splits["part"] == "test") & splits["image_id"].isin(sample["image_id"])]
    return {
        run.name: Task(
            key={
                "run": runs[run.name].digest,
                "conditions": {
                    name: {view: array.result.digest for view, array in views.items()}
                    for name, views in conditions.items()
                },
                "sources": digest(sample["source_group"].astype(str).tolist()),
                "hardware": describe_hardware(place),  # it bears on the times
                "code": source_digest(predict_run),
            },
            compute=partial(predict_run, run=run, result=runs[run.name], **shared),
        )
        for run in iterate_runs(tested, sample)
    }


def collect_conditions(
    clean: pd.DataFrame, splits: pd.DataFrame, chosen: Variants, **predictions: dict[str, Result]
) -> pd.DataFrame:
    """Put the predictions of all conditions together, with those of the same images as they came.

    Parameters
    ----------
    clean
        Predictions of the images as they came; those of images that were not sampled stay out.
    splits, chosen, predictions
        See ``collect_predictions``.

    Returns
    -------
    DataFrame
        See ``design``: predictions.
    """
    degraded = collect_predictions(splits, chosen, **predictions)
    same = clean.merge(degraded[RUN_KEYS].drop_duplicates(), on=RUN_KEYS)
    return pd.concat([same, degraded], ignore_index=True)


def score_robustness(
    predictions: pd.DataFrame, options: RobustnessOptions, score: ScoreOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Score every curve from the saved predictions alone.

    Returns
    -------
    robustness
        A row per variant, protocol, curve and amount.
    robustness_by_amount
        The accuracies of that with a column per amount, and what the paper prints.
    robustness_area
        A row per curve, variant and protocol.
    """
    from wbc_pipeline.evaluation import robustness

    bootstrap = {"resamples": score.resamples, "level": score.level}
    scores = robustness.robustness_scores(predictions, **bootstrap)
    areas = robustness.robustness_areas(predictions, **bootstrap)
    return (
        scores,
        robustness.widen_scores(scores, options.published),
        areas.sort_values("curve", key=lambda names: pd.factorize(names)[0], kind="stable"),
    )


def draw_curves(scores: pd.DataFrame, options: RobustnessOptions, dataset: str) -> Any:
    """Draw accuracy against the amount of degradation, beside what the paper prints."""
    from wbc_pipeline.evaluation.robustness import robustness_curves

    scales = {name: curve.scale for name, curve in options.curves.items()}
    return robustness_curves(scores, options.published, scales=scales, dataset=dataset)


def draw_sheet(
    sample: pd.DataFrame,
    options: RobustnessOptions,
    dataset: str,
    **shown: ImageArray | dict[str, Result],
) -> Any:
    """Draw the first sampled image as it came and under every condition.

    Parameters
    ----------
    sample, options, dataset
        As in the other nodes.
    shown
        The paper's views by name, and what they show under each condition as ``<view>_degraded``.
    """
    from wbc_pipeline.evaluation.robustness import degraded_sheet

    first = sample.iloc[0]
    degraded = {name: shown[f"{name}_degraded"] for name in shown if f"{name}_degraded" in shown}
    pictures = {
        (name, view): {"clean": shown[view].pixels[first["row"]]}
        | {text: _load(results[_folder(f"{name} {text}")]).pixels[0] for text in curve.levels}
        for name, curve in options.curves.items()
        for view, results in degraded.items()
        if results  # else no chosen variant looks at it
    }
    return degraded_sheet(pictures, label=first["label"], dataset=dataset)


def _amount(curve: CurveOptions, level: float) -> float:
    """Give the amount behind a level of a curve: that itself, or what a severity stands for."""
    from wbc_pipeline.imaging.degrade import SEVERITIES

    return level if curve.amounts else SEVERITIES[curve.degradation][int(level) - 1]


def _folder(condition: str) -> str:
    return condition.replace(" ", "-")


def _load(degraded: Result) -> ImageArray:
    return ImagesDataset(filepath=str(degraded.folder)).load()
