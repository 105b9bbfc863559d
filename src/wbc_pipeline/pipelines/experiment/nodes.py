"""Nodes that describe the training of a variant and its predictions, run by run."""

import json
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.keys import digest, source_digest
from wbc_pipeline.pipelines.experiment.options import VariantOptions, Variants, weights_file
from wbc_pipeline.training.options import TrainerOptions, TrainOptions

View = TypeVar("View")


def choose_precision(
    view: ImageArray,
    variant: VariantOptions,
    train: TrainOptions,
    trainer: TrainerOptions,
    device: str,
) -> Task:
    """Describe the choice of precision and memory layout: what YAML says, or a probe finds.

    One choice for all variants, kept on disk: variants stay comparable, and a command that
    goes on with what is missing trains it like the rest.
    """
    from wbc_pipeline.models import network_class
    from wbc_pipeline.training import devices

    chosen = devices.choose_device(device)
    image_size = view.pixels.shape[1]
    build = partial(
        network_class(variant.network), classes=2, image_size=image_size, **variant.arguments
    )
    asked = trainer.model_dump(include={"precision", "channels_last"})

    def compute(folder: Path) -> None:
        choice = (
            devices.probe_precision(
                build, image_size=image_size, batch_size=train.batch_size, device=chosen
            )
            if "auto" in asked.values()
            else {}
        )
        choice |= {name: value for name, value in asked.items() if value != "auto"}
        (folder / "precision.json").write_text(json.dumps(choice, indent=2))

    key = {
        "hardware": devices.describe_hardware(chosen),
        "asked": asked,
        "variant": variant.model_dump(),
        "batch_size": train.batch_size,
        "image_size": image_size,
        "code": source_digest(build.func, devices),
    }
    return Task(key, compute)


def train_runs(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    images: ImageArray,
    identity: dict[str, str],
    precision: Result,
    dataset: str,
    chosen: Variants,
    variant: VariantOptions,
    train: TrainOptions,
    trainer: TrainerOptions,
    device: str,
    **views: ImageArray,
) -> dict[str, Task]:
    """Describe the training of a variant under each protocol, seed and fold.

    Parameters
    ----------
    manifest, splits
        See ``design``.
    images
        The packed images, of which a tracked model takes examples.
    identity
        ``paper`` and ``variant``.
    precision
        The kept choice of precision and memory layout.
    dataset
        Name of the data set, for tracking.
    chosen
        The variants that take part: nothing is trained if this one does not.
    variant, train, trainer
        The network, the schedule, and where it runs.
    device
        ``auto``, ``cpu`` or ``cuda``.
    views
        Arrays by the names that the network's ``views`` ask for.

    Returns
    -------
    dict of str to Task
        By run name; each makes a folder with ``weights.safetensors``, ``network.json``,
        ``history.parquet``, ``paths.parquet`` and ``summary.json``.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.runs import Experiment, iterate_runs
    from wbc_pipeline.training.devices import choose_device

    if not chosen.include(identity["variant"]):
        return {}
    choice = precision.json("precision")
    rows = accepted(manifest)
    split = rows["image_id"].isin(splits["image_id"])
    experiment = Experiment(
        identity=identity,
        dataset=dataset,
        images=rows.assign(label=rows["label"].where(split)),  # a class left out is no output
        examples=images.pixels[:2],
        views=views_of(variant, views),
        variant=variant,
        weights=weights_file(variant),
        train=TrainOptions.model_validate(train.model_dump() | variant.train),
        trainer=trainer.model_copy(
            update={name: choice[name] for name in ("precision", "channels_last")}
        ),
        device=choose_device(device),
    )
    return {
        run.name: Task(experiment.key(run), partial(experiment.fit, run=run), collective=True)
        for run in iterate_runs(splits, rows)
    }


def predict_runs(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    identity: dict[str, str],
    runs: dict[str, Result],
    chosen: Variants,
    variant: VariantOptions,
    device: str,
    **views: ImageArray,
) -> dict[str, Task]:
    """Describe the predictions of every run on its test part.

    Returns
    -------
    dict of str to Task
        By run name; each makes a folder with ``predictions.parquet``.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.runs import iterate_runs, predict_run
    from wbc_pipeline.training.devices import choose_device, describe_hardware

    if not chosen.include(identity["variant"]):
        return {}
    images = accepted(manifest)
    place = choose_device(device)
    conditions = {"clean": views_of(variant, views)}
    shared = {"identity": identity, "images": images, "conditions": conditions, "device": place}
    return {
        run.name: Task(
            key={
                "run": runs[run.name].digest,
                "sources": digest(images["source_group"].astype(str).tolist()),
                "hardware": describe_hardware(place),  # it bears on the times
                "code": source_digest(predict_run),
            },
            compute=partial(predict_run, run=run, result=runs[run.name], **shared),
        )
        for run in iterate_runs(splits, images)
    }


def views_of(variant: VariantOptions, views: dict[str, View]) -> dict[str, View]:
    """Give a paper's views under the names that a variant's network knows them by."""
    from wbc_pipeline.models import network_class

    names = network_class(variant.network).views
    return {name: views[variant.views.get(name, name)] for name in names}
