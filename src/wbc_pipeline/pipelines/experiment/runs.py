"""An experiment's runs: one network, trained and tested under each protocol and seed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.keys import digest, run_name, source_digest
from wbc_pipeline.models import build_network, load_network, network_class, save_network
from wbc_pipeline.models.pretrained import weights_digest
from wbc_pipeline.pipelines.experiment.options import VariantOptions
from wbc_pipeline.tracking import track_run
from wbc_pipeline.training import fit, predict
from wbc_pipeline.training.devices import describe_hardware
from wbc_pipeline.training.options import TrainerOptions, TrainOptions

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
        rows = split.groupby("part")["image_id"].agg(lambda ids: row_of[ids].to_numpy())
        yield Run(str(protocol), int(seed), int(fold), rows.to_dict())


@dataclass(frozen=True)
class Experiment:
    """Everything that the runs of a variant share.

    Attributes
    ----------
    identity
        ``paper`` and ``variant``.
    dataset
        Name of the data set.
    images
        The manifest's ``ok`` rows, in the order of the arrays.
    examples
        A few packed images, as a tracked model takes them.
    views
        Arrays by the names that the network's ``views`` ask for.
    variant, train, trainer
        The network, the schedule, and where it runs, with no ``auto`` left in it.
    weights
        File of the weights that it begins with; None for random ones.
    device
        Where to train.
    """

    identity: dict[str, str]
    dataset: str
    images: pd.DataFrame
    examples: np.ndarray
    views: dict[str, ImageArray]
    variant: VariantOptions
    weights: Path | None
    train: TrainOptions
    trainer: TrainerOptions
    device: torch.device

    @cached_property
    def network_type(self) -> type[torch.nn.Module]:
        """The class of the network."""
        return network_class(self.variant.network)

    @cached_property
    def classes(self) -> list[str]:
        """Names of the classes in the order of the network's outputs."""
        return sorted(self.images["label"].dropna().unique())

    @cached_property
    def labels(self) -> np.ndarray:
        """Class numbers, int8 [N]; -1 without a label, as outside the splits."""
        return pd.Categorical(self.images["label"], categories=self.classes).codes

    @cached_property
    def arguments(self) -> dict:
        """Arguments that rebuild the network."""
        image_size = self.views["image"].pixels.shape[1]
        return {"classes": len(self.classes), "image_size": image_size, **self.variant.arguments}

    @cached_property
    def shared_key(self) -> dict:
        """What the result of every run depends on."""
        return {
            **self.identity,
            "dataset": self.dataset,
            "network": self.variant.network,
            "arguments": self.arguments,
            "weights": weights_digest(self.weights),
            "train": self.train.model_dump(),
            "trainer": self.trainer.model_dump(),
            "device": self.device.type,
            "views": {name: self.views[name].result.digest for name in self.network_type.views},
            "labels": digest([self.classes, self.labels.tolist()]),
            "code": source_digest(self.network_type, build_network, fit),
        }

    def key(self, run: Run) -> dict:
        """Everything that the run's result depends on."""
        rows = digest({part: rows.tolist() for part, rows in run.rows.items()})
        run_key = {"protocol": run.protocol, "seed": run.seed, "fold": run.fold, "rows": rows}
        return {**self.shared_key, **run_key}

    def fit(self, folder: Path, *, run: Run) -> None:
        """Train one run, tracked, and write what it leaves behind into the folder."""
        key = self.key(run)
        with track_run(key) as tracked:
            network = build_network(self.variant.network, self.arguments, seed=run.seed)
            if self.weights is not None:
                network.load_pretrained(self.weights)
            fitted = fit.fit_network(
                network,
                arrays=[self.views[name].pixels for name in self.network_type.views],
                labels=self.labels,
                train_rows=run.rows["train"],
                validation_rows=run.rows["validation"],
                train=self.train,
                trainer=self.trainer,
                device=self.device,
                seed=run.seed,
                callbacks=tracked.callbacks,
            )
            save_network(folder, network, self._description())
            fitted.history.to_parquet(folder / "history.parquet")
            fitted.paths.to_parquet(folder / "paths.parquet")
            summary = {
                "key": digest(key),
                **fitted.summary,
                **self._beginning(),
                "precision": self.trainer.precision,
                "channels_last": self.trainer.channels_last,
                "device": self.device.type,
                "hardware": describe_hardware(self.device),
            }
            (folder / "summary.json").write_text(json.dumps(summary, indent=2))
            tracked.log_result(folder, example=self.examples)

    def _beginning(self) -> dict:
        """Say which weights a network with a backbone began with, and which were asked for."""
        if self.variant.weights == "none":
            return {}
        begun = self.weights.name if self.weights else "none"
        return {"weights": begun, "weights_asked": self.variant.weights}

    def _description(self) -> dict:
        return {
            "name": self.variant.network,
            "arguments": self.arguments,
            "classes": self.classes,
            "packed_size": self.examples.shape[1],
            "views": {
                name: self.views[name].result.key["steps"] for name in self.network_type.views
            },
        }


def predict_run(
    folder: Path,
    *,
    run: Run,
    result: Result,
    identity: dict[str, str],
    images: pd.DataFrame,
    conditions: dict[str, dict[str, ImageArray]],
    device: torch.device,
) -> None:
    """Predict the test part of a finished run and write ``predictions.parquet``.

    ``conditions`` are the views by the name of what was done to the images before; their rows, and
    those of the run, are those of ``images``.
    """
    network, description = load_network(result.folder)
    rows = run.rows["test"]
    tested, columns = images.iloc[rows], [f"p_{name}" for name in description["classes"]]
    tables = []
    for condition, views in conditions.items():
        probabilities, milliseconds = predict.predict_probabilities(
            network, [views[name].pixels for name in network.views], rows, device=device
        )
        table = tested[["image_id"]].assign(
            source_id=tested["source_group"],  # two photographs of one cell are one
            variant=identity["variant"],
            protocol=run.protocol,
            seed=run.seed,
            condition=condition,
            label=tested["label"],
            inference_ms=milliseconds,
            **dict(zip(columns, probabilities.T, strict=True)),
        )
        tables.append(table)
    pd.concat(tables).to_parquet(folder / "predictions.parquet", index=False)
