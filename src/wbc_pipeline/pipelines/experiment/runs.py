"""Trainings of a paper: one network under one protocol, seed and fold."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.chain import fitted_on
from wbc_pipeline.imaging.packing import independent_sources
from wbc_pipeline.keys import Key, code_digest, digest, run_name
from wbc_pipeline.models import build_network, load_network, network_class, save_network
from wbc_pipeline.models.pretrained import imagenet_digest, weights_digest
from wbc_pipeline.pipelines.experiment.options import Variant
from wbc_pipeline.sources.combined import unique_source_ids
from wbc_pipeline.tracking import track_run
from wbc_pipeline.training import fit
from wbc_pipeline.training.devices import describe_hardware, probe_precision
from wbc_pipeline.training.options import StageOptions, TrainerOptions
from wbc_pipeline.training.predict import predict_parts
from wbc_pipeline.training.tasks.base import Task as Learning
from wbc_pipeline.training.tasks.classification import ClassificationTask

PRECISION = ("precision", "channels_last")
RUN = ["protocol", "seed", "fold"]  # what tells the trainings of a variant apart


@dataclass(frozen=True)
class Run:
    """A protocol, a seed and a fold, and which rows of the arrays play which part."""

    protocol: str
    seed: int
    fold: int
    rows: dict[str, np.ndarray]

    @property
    def name(self) -> str:
        """Name of the run among those of its variant, and of its folder."""
        return run_name(self.protocol, self.seed, self.fold)

    @property
    def key(self) -> dict:
        """What tells it apart, for the key of a result."""
        return {"protocol": self.protocol, "seed": self.seed, "fold": self.fold}


def iterate_runs(splits: pd.DataFrame, images: pd.DataFrame) -> Iterator[Run]:
    """Go through the protocols, seeds and folds of a table of splits.

    Parameters
    ----------
    splits
        See ``design``: splits.
    images
        The manifest's ``ok`` rows, in the order of the arrays.
    """
    row_of = pd.Series(np.arange(len(images)), index=images["image_id"])
    for (protocol, seed, fold), split in splits.groupby(RUN, sort=False):
        parts = split.groupby("part")["image_id"]
        rows = {part: row_of[ids].to_numpy() for part, ids in parts}
        yield Run(str(protocol), int(seed), int(fold), rows)


@dataclass(frozen=True)
class Training:
    """What every training has, whatever its task.

    Attributes
    ----------
    identity
        ``paper``, ``variant`` and ``dataset``.
    run
        Protocol, seed and fold, and the rows of each part.
    network, arguments
        Name of the network, and arguments that rebuild it.
    weights
        File of the weights that it begins with; None for random ones.
    weights_asked
        What YAML says of them.
    stages
        Its schedule.
    trainer
        Where it runs.
    device
        The kind of device.
    views
        Arrays by the names that the network's ``views`` ask for.
    """

    identity: dict[str, str]
    run: Run
    network: str
    arguments: dict
    weights: Path | None
    weights_asked: str
    stages: Mapping[str, StageOptions]
    trainer: TrainerOptions
    device: torch.device
    views: dict[str, ImageArray]

    @cached_property
    def key(self) -> Key:
        """Everything that the result depends on; device and precision do not belong to it."""
        rows = digest({part: rows.tolist() for part, rows in self.run.rows.items()})
        return Key(
            params={
                **self.identity,
                **self.run.key,
                "network": self.network,
                "arguments": self.arguments,
                "stages": {name: stage.model_dump() for name, stage in self.stages.items()},
                "processes": self.trainer.devices * self.trainer.num_nodes,  # each has its batch
            },
            data={
                "views": {name: view.result.digest for name, view in self.views.items()},
                "rows": rows,
                "weights": weights_digest(self.weights),
                **self.own_data(),
            },
            code=code_digest(network_class(self.network), build_network, fit.fit, *self.own_code()),
        )

    def key_with_weights(self) -> Key | None:
        """Give the key of the same with ImageNet's weights, where they are wished for in vain.

        What began with them on another machine is better than what begins at random here.
        """
        if self.weights is not None or self.weights_asked != "auto":
            return None
        key = self.key
        weights = imagenet_digest(self.arguments["backbone"])
        return replace(key, data={**key.data, "weights": weights})

    def work(self) -> Task:
        """Describe the training."""
        return Task(
            self.key, self.fit, collective=True, resumes=True, instead=self.key_with_weights()
        )

    def own_data(self) -> dict[str, str]:
        """Digests of what else flows into the task."""
        raise NotImplementedError

    def own_code(self) -> tuple:
        """Give the code of the task."""
        raise NotImplementedError

    def task(self, network: torch.nn.Module) -> Learning:
        """Build the task that is trained."""
        raise NotImplementedError

    def description(self) -> dict:
        """Say what rebuilds the network and feeds it, as ``network.json``."""
        return {
            "name": self.network,
            "arguments": self.arguments,
            "views": {name: view.steps for name, view in self.views.items()},
        }

    def fit(self, folder: Path) -> None:
        """Train, tracked, and write what it leaves behind into the folder; resumes there."""
        key = self.key
        with track_run(key.as_dict()) as tracked:
            network = build_network(self.network, self.arguments, seed=self.run.seed)
            if self.weights is not None:
                network.load_pretrained(self.weights)
            fitted = fit.fit(
                self.task(network),
                stages=self.stages,
                trainer=self.choose_precision(folder),
                device=self.device,
                seed=self.run.seed,
                folder=folder,
                logger=tracked.logger,
            )
            save_network(folder, network, self.description())
            fitted.history.to_parquet(folder / "history.parquet")
            fitted.paths.to_parquet(folder / "paths.parquet")
            summary = {
                "key": key.digest,
                **fitted.summary,
                "weights": self.weights.name if self.weights else "none",
                "weights_asked": self.weights_asked,
                "device": self.device.type,
                "hardware": describe_hardware(self.device),
                "asked": self.trainer.model_dump(include=set(PRECISION)),
            }
            (folder / "summary.json").write_text(json.dumps(summary, indent=2))
            self.write_more(folder)
            tracked.log_result(folder, example=self.example())
            fit.remove_checkpoints(folder, self.stages)

    def choose_precision(self, folder: Path) -> TrainerOptions:
        """Settle precision and memory layout: as YAML says, else as a probe finds.

        The first training of a paper on some hardware is probed, and the others follow: variants
        stay comparable, and a command that goes on with what is missing trains it like the rest.
        """
        asked = self.trainer.model_dump(include=set(PRECISION))
        if "auto" not in asked.values():
            return self.trainer
        found = next(self._siblings(folder, asked), None) or probe_precision(
            partial(build_network, self.network, self.arguments, seed=0),
            image_size=self.arguments["image_size"],
            batch_size=next(iter(self.stages.values())).batch_size,
            device=self.device,
        )
        settled = {name: found[name] if value == "auto" else value for name, value in asked.items()}
        return self.trainer.model_copy(update=settled)

    def _siblings(self, folder: Path, asked: dict) -> Iterator[dict]:
        """Go through what the paper's finished trainings on this hardware settled on."""
        here, _, _ = describe_hardware(self.device).rpartition(",")  # whatever the number of cores
        for file in sorted(folder.parent.parent.glob("*/[!.]*/summary.json")):
            summary = json.loads(file.read_text())
            if summary["hardware"].rpartition(",")[0] == here and summary["asked"] == asked:
                yield summary

    def write_more(self, folder: Path) -> None:
        """Write what else the task leaves behind."""

    def example(self) -> np.ndarray | None:
        """Give a few images as a served model takes them; None for what is not served."""
        return None


@dataclass(frozen=True)
class ClassifierTraining(Training):
    """The training of a classifier.

    Attributes
    ----------
    images
        The manifest's ``ok`` rows, in the order of the arrays; without a label what stands in no
        split.
    packed
        The packed images, of which a served model takes examples.
    """

    images: pd.DataFrame
    packed: ImageArray

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes in the order of the network's outputs."""
        return sorted(self.images["label"].dropna().unique())

    @cached_property
    def labels(self) -> np.ndarray:
        """Class numbers, int8 [N]; -1 without a label, as outside the splits."""
        return pd.Categorical(self.images["label"], categories=self.classes).codes

    @cached_property
    def sources(self) -> np.ndarray:
        """Source of each image, itself where none is known."""
        return independent_sources(self.images).to_numpy()

    def own_data(self) -> dict[str, str]:
        """Digest the labels of the run's images, and their sources where these weight them."""
        rows = np.concatenate([self.run.rows[part] for part in sorted(self.run.rows)])
        found = {"labels": digest([self.classes, self.labels[rows].tolist()])}
        if any(stage.sampling == "source" for stage in self.stages.values()):
            found["sources"] = digest(self.sources[rows].tolist())
        return found

    def own_code(self) -> tuple:
        """Give the code of classification."""
        return (ClassificationTask,)

    def task(self, network: torch.nn.Module) -> ClassificationTask:
        """Build the classification."""
        return ClassificationTask(
            network,
            views={name: view.pixels for name, view in self.views.items()},
            classes=self.classes,
            labels=self.labels,
            parts=self.run.rows,
            sources=self.sources,
        )

    def description(self) -> dict:
        """Add the classes in the order of the outputs, and the size of packed images."""
        size = self.packed.pixels.shape[1]
        return {**super().description(), "classes": self.classes, "packed_size": size}

    def example(self) -> np.ndarray:
        """Give two packed images."""
        return self.packed.pixels[:2]


def refuse_leaks(
    variant: str, views: Mapping[str, ImageArray], images: pd.DataFrame, runs: list[Run]
) -> None:
    """Refuse views whose steps were fitted on images that a run validates or tests on.

    Raises
    ------
    UserError
        Naming the view, the step, the run and an image.
    """
    for name, view in views.items():
        for run in runs:
            rows = np.concatenate([rows for part, rows in run.rows.items() if part != "train"])
            refuse_fitted(
                view.steps,
                images,
                rows,
                f"{variant} cannot be trained: its view {name}",
                f"{run.name} validates or tests on",
            )


def refuse_fitted(
    steps: list[dict], images: pd.DataFrame, rows: np.ndarray, what: str, use: str
) -> None:
    """Refuse a chain whose steps were fitted on some of the images, or on others of their cells.

    Parameters
    ----------
    steps
        The chain.
    images
        The manifest's ``ok`` rows.
    rows
        Row numbers of the images that must not have been seen.
    what, use
        Words for the message: whose chain it is, and what these images are for.

    Raises
    ------
    UserError
        Naming the step and an image.
    """
    columns = ["step", "dataset", "source_id", "sha256"]
    fitted = pd.DataFrame(fitted_on(steps), columns=columns)
    if fitted.empty:
        return
    seen = images["sha256"].isin(fitted["sha256"].dropna())
    seen |= unique_source_ids(images).isin(unique_source_ids(fitted).dropna())
    seen |= images["source_group"].isin(images.loc[seen, "source_group"].dropna())
    seen = seen.to_numpy()[rows]
    if seen.any():
        raise UserError(
            f"{what} has the step {fitted['step'].iloc[0]}, which was fitted on {seen.sum()} of "
            f"the images that {use}, or on others of the same cells, such as "
            f"{images['image_id'].iloc[rows[seen][0]]!r}. Fit it on the training part of the same "
            "split alone, or take a step that is not fitted, such as colour_region."
        )


def views_of(variant: Variant, views: Mapping[str, object]) -> dict[str, object]:
    """Give a paper's views under the names that a variant's network knows them by."""
    names = network_class(variant.network).views
    return {name: views[variant.views.get(name, name)] for name in names}


def predict_run(
    folder: Path,
    *,
    run: Run,
    result: Result,
    images: pd.DataFrame,
    conditions: dict[str, dict[str, ImageArray]],
    parts: tuple[str, ...],
    device: torch.device,
) -> None:
    """Predict parts of a finished run and write ``predictions.parquet``.

    Parameters
    ----------
    folder
        Where to write.
    run
        Which rows play which part.
    result
        The training.
    images
        What the rows of the arrays show: rows of the manifest.
    conditions
        Views by the name of what was done to the images before.
    parts
        Those to predict.
    device
        Where to predict.

    Raises
    ------
    UserError
        If an array has not one row for each image.
    """
    network, description = load_network(result.folder)
    rows = {part: run.rows[part] for part in parts if part in run.rows}
    tables = []
    for condition, views in conditions.items():
        for name, view in views.items():
            if len(view.pixels) != len(images):
                raise UserError(
                    f"The view {name} in {view.result.folder} has {len(view.pixels)} images, and "
                    f"{len(images)} are to be predicted; it belongs to another manifest. Delete "
                    "that folder and run the command again."
                )
        task = ClassificationTask(
            network,
            views={name: view.pixels for name, view in views.items()},
            classes=description["classes"],
        )
        found = predict_parts(task, rows, device=device)
        shown = images.iloc[found.pop("row")].reset_index(drop=True)
        identity = {
            "dataset": shown["dataset"],
            "image_id": shown["image_id"],
            "source_id": shown["source_group"],  # a cell counts once
            "part": found.pop("part"),
            "variant": result.key["params"]["variant"],
            **run.key,
            "condition": condition,
            "label": shown["label"],
        }
        tables.append(pd.concat([pd.DataFrame(identity), found], axis=1))
    pd.concat(tables).to_parquet(folder / "predictions.parquet", index=False)
    hardware = {"hardware": describe_hardware(device)}
    (folder / "summary.json").write_text(json.dumps(hardware))
