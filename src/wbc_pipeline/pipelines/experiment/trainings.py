"""Trainings: what each leaves behind, and what its result depends on."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.loggers import Logger

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Task
from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.packing import independent_sources
from wbc_pipeline.keys import Key, code_digest, digest
from wbc_pipeline.models import (
    RESTORER,
    TRAINED_AS,
    build_network,
    network_class,
    save_network,
)
from wbc_pipeline.models.joint import is_joint
from wbc_pipeline.models.pretrained import published_digest, weights_digest
from wbc_pipeline.pipelines.experiment.composites import Composites
from wbc_pipeline.pipelines.experiment.inputs import learnt_digest
from wbc_pipeline.pipelines.experiment.options import Variant
from wbc_pipeline.pipelines.experiment.runs import CLASS_COUNTS, Run
from wbc_pipeline.pipelines.experiment.shared_stages import SharedStages, beginning_of
from wbc_pipeline.tracking import track_run
from wbc_pipeline.training import fit
from wbc_pipeline.training.devices import describe_hardware, probe_precision
from wbc_pipeline.training.fit import Fit
from wbc_pipeline.training.options import (
    SAMPLED_BY,
    JointLosses,
    RefineOptions,
    StageOptions,
    TrainerOptions,
)
from wbc_pipeline.training.refine import Refined
from wbc_pipeline.training.sampling import derive_seed
from wbc_pipeline.training.tasks.base import Task as Learning
from wbc_pipeline.training.tasks.classification import ClassificationTask
from wbc_pipeline.training.tasks.joint import JointTask
from wbc_pipeline.training.turns import Turned

PRECISION = ("precision", "channels_last")
# What is said of a training in a word, the first of these that its history has.
OUTCOMES = {
    "val_accuracy": "validation accuracy",
    "val_iou": "validation IoU",
    "val_psnr": "validation PSNR",
    "val_loss": "validation loss",
    "train_loss": "training loss",
}
NEIGHBOURS = "knn"  # the mode of a network that remembers images


def build_classification(
    network: torch.nn.Module, views: Mapping[str, ImageArray], **known
) -> ClassificationTask:
    """Build the task of a classifier from its views; ``known`` are the task's other arguments."""
    pixels = {name: view.pixels for name, view in views.items()}
    return ClassificationTask(network, views=pixels, **known)


def build_joint(network: torch.nn.Module, views: Mapping[str, ImageArray], **known) -> JointTask:
    """Build the task of a joint network, which learns the masks of its first view."""
    pixels = {name: view.pixels for name, view in views.items()}
    masks = views[network.views[0]].masks
    return JointTask(network, views=pixels, masks=masks, **known)


def build_refined(
    network: torch.nn.Module, views: Mapping[str, ImageArray], *, refine: RefineOptions, **known
) -> JointTask:
    """Build the task of a joint network that predicts refined masks."""
    return build_joint(Refined(network, refine), views, **known)


def build_turned(
    network: torch.nn.Module, views: Mapping[str, ImageArray], **known
) -> ClassificationTask:
    """Build the task of a classifier that predicts the mean over flips and turns."""
    return build_classification(Turned(network), views, **known)


def task_builder(variant: Variant) -> Callable[..., ClassificationTask]:
    """Find what builds the task that predicts."""
    if not is_joint(network_class(variant.network)):
        return build_turned if variant.turns else build_classification
    return build_joint if variant.refine is None else build_refined


def describe_outcome(folder: Path) -> str:
    """Say in words how well the kept weights of a finished training do on validation images.

    Parameters
    ----------
    folder
        Of the training.
    """
    history = pd.read_parquet(folder / "history.parquet").set_index("epoch")
    kept = history.loc[json.loads((folder / "summary.json").read_text())["best_epoch"]]
    column = next((name for name in OUTCOMES if name in kept and pd.notna(kept[name])), None)
    return f"{OUTCOMES[column]} {kept[column]:.2f}" if column else "no validation part"


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
                "stages": {name: stage.key() for name, stage in self.stages.items()},
                "processes": self.trainer.devices * self.trainer.num_nodes,  # each has its batch
                **self.own_params(),
            },
            data={
                "views": {name: learnt_digest(view) for name, view in self.views.items()},
                "rows": rows,
                "weights": weights_digest(self.weights),
                **self.own_data(),
            },
            code=code_digest(
                network_class(self.network), build_network, *self.fitting_code(), *self.own_code()
            ),
        )

    def key_with_weights(self) -> Key | None:
        """Give the key of the same with published weights, where they are wished for in vain.

        What began with them on another machine is better than what begins at random here.
        """
        if self.weights is not None or self.weights_asked != "auto":
            return None
        weights = published_digest(self.arguments["backbone"])
        if weights is None:
            return None
        key = self.key
        return replace(key, data={**key.data, "weights": weights})

    def work(self, shared: SharedStages | None = None) -> Task:
        """Describe the training, whose first stages others of the command may share."""
        return Task(
            self.key,
            partial(self.fit, shared=shared),
            collective=True,
            resumes=True,
            instead=self.key_with_weights(),
            finding=describe_outcome,
        )

    @property
    def seed(self) -> int:
        """Seed of first weights, order and augmentation."""
        return self.run.seed

    @cached_property
    def beginning(self) -> dict[str, str]:
        """What each stage's outcome depends on, for `SharedStages`."""
        return beginning_of(self.key, self.stages)

    def own_params(self) -> dict:
        """Say what else YAML tells the task."""
        return {}

    def own_data(self) -> dict[str, str]:
        """Digests of what else flows into the task."""
        raise NotImplementedError

    def fitting_code(self) -> tuple:
        """Give the code of `learn`."""
        return (fit.fit,)

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

    def fit(self, folder: Path, *, shared: SharedStages | None = None) -> None:
        """Train, tracked, and write what it leaves behind into the folder; resumes there."""
        key = self.key
        with track_run(key.as_dict()) as tracked:
            network = build_network(self.network, self.arguments, seed=self.seed)
            if self.weights is not None:
                network.load_pretrained(self.weights)
            taken = shared.bring(self.beginning, folder) if shared else {}
            fitted = self.learn(network, folder, tracked.logger)
            if shared:
                shared.keep(self.beginning, folder, self.identity["variant"])
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
                "asked": self.asked_precision(),
                "shared_stages": ", ".join(f"{stage} of {of}" for stage, of in taken.items()),
            }
            (folder / "summary.json").write_text(json.dumps(summary, indent=2))
            self.write_more(folder)
            tracked.log_result(folder, example=self.example())
            fit.remove_checkpoints(folder, self.stages)

    def learn(self, network: torch.nn.Module, folder: Path, logger: Logger | None) -> Fit:
        """Train the network; resumes in the folder."""
        return fit.fit(
            self.task(network),
            stages=self.stages,
            trainer=self.choose_precision(folder),
            device=self.device,
            seed=self.seed,
            folder=folder,
            logger=logger,
        )

    def asked_precision(self) -> dict | None:
        """Tell what YAML says of precision and memory layout; see `choose_precision`."""
        return self.trainer.model_dump(include=set(PRECISION))

    def choose_precision(self, folder: Path) -> TrainerOptions:
        """Settle precision and memory layout: as YAML says, else as a probe finds.

        The first training of a paper on some hardware is probed, and the others follow: variants
        stay comparable, and a command that goes on with what is missing trains it like the rest.
        """
        asked = self.asked_precision()
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
    composites
        What it learns from beside the images of the training part.
    restorer
        Which restorer has restored what it looks at.
    draw
        Which of several trainings that differ by chance alone.
    answers
        What a served model changes of the network's answers; the training does not depend on it.
    """

    images: pd.DataFrame
    packed: ImageArray
    composites: Composites | None = None
    restorer: str | None = None
    draw: int = 0
    answers: Mapping[str, bool | float] = field(default_factory=dict)

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
        if any("source" in SAMPLED_BY[stage.sampling] for stage in self.stages.values()):
            found["sources"] = digest(self.sources[rows].tolist())
        if self.composites is not None:
            found["composites"] = self.composites.array.result.digest
        return found

    @property
    def seed(self) -> int:
        """Seed of first weights, order and augmentation: that of the run, or of another draw."""
        return derive_seed(self.run.seed, self.draw) if self.draw else self.run.seed

    def own_params(self) -> dict:
        """Name the composites and the draw, where there are any."""
        found = {"draw": self.draw} if self.draw else {}
        if self.composites is not None:
            found["composites"] = self.composites.options.model_dump()
        return found

    def own_code(self) -> tuple:
        """Give the code of classification."""
        return (ClassificationTask,)

    def task(self, network: torch.nn.Module) -> ClassificationTask:
        """Build the classification."""
        return build_classification(network, **self.known())

    def known(self) -> dict:
        """Give the images and say what is known of them; composites stand behind them."""
        known = {"labels": self.labels, "sources": self.sources}
        views, parts = self.views, self.run.rows
        if self.composites is not None:
            views = self.composites.extend_views(views)
            parts = self.composites.extend_parts(parts, len(self.images))
            known = {name: self.composites.repeat(values) for name, values in known.items()}
        return {**known, "classes": self.classes, "views": views, "parts": parts}

    def description(self) -> dict:
        """Add the classes in the order of the outputs, how many images each trained on, and sizes.

        The size is that of packed images. What changes the answers stands there where it is on.
        """
        trained = self.labels[self.run.rows["train"]]
        return {
            **super().description(),
            **({RESTORER: self.restorer} if self.restorer else {}),
            TRAINED_AS: {**self.identity, **self.run.key},
            "classes": self.classes,
            CLASS_COUNTS: np.bincount(trained, minlength=len(self.classes)).tolist(),
            "packed_size": self.packed.pixels.shape[1],
            **self.answers,
        }

    def example(self) -> np.ndarray | None:
        """Give two packed images; None behind a restorer, which is not served with it."""
        return None if self.restorer else self.packed.pixels[:2]


@dataclass(frozen=True, kw_only=True)
class JointTraining(ClassifierTraining):
    """The training of a network that segments and classifies.

    Its masks are those of its first view, and a view's digest is one of its masks too.

    Attributes
    ----------
    losses
        Their weights.
    """

    losses: JointLosses

    def own_params(self) -> dict:
        """Name the weights of the losses; a rim that does not count is no part of them."""
        losses = self.losses.model_dump(exclude=None if self.losses.rim else {"rim"})
        return {**super().own_params(), "losses": losses}

    def own_code(self) -> tuple:
        """Give the code of the joint task."""
        return (JointTask,)

    def task(self, network: torch.nn.Module) -> JointTask:
        """Build the joint task."""
        return build_joint(network, losses=self.losses, **self.known())


def training_of(variant: Variant, **known) -> ClassifierTraining:
    """Describe the training of a variant; ``known`` are the training's other attributes.

    Raises
    ------
    UserError
        If the variant weights losses that its network does not have, refines masks that it does not
        predict, turns images of a network that segments, or has stages and trains nothing.
    """
    known |= {"network": variant.network, "weights_asked": variant.weights}
    known |= {name: getattr(variant, name) for name in ("restorer", "draw", "answers")}
    if variant.refine is not None and variant.refine.turns:
        known["answers"] = known["answers"] | {"turns": True}
    if is_joint(network_class(variant.network)):
        if variant.turns:
            raise UserError(
                f"{variant.network} segments too, and turns are part of what is done to its masks: "
                f"in the variant {known['identity']['variant']}, write refine: {{turns: true}} in "
                "place of turns."
            )
        return JointTraining(**known, losses=variant.losses)
    for name, what in (("losses", "no losses to weight"), ("refine", "no masks to refine")):
        if name in variant.model_fields_set:
            raise UserError(
                f"{variant.network} classifies alone, by its cross-entropy, and has {what}: take "
                f"{name} out of the variant {known['identity']['variant']}, or give it a network "
                "that segments too."
            )
    if variant.arguments.get("mode") == NEIGHBOURS:
        return _neighbours(variant, known)
    return ClassifierTraining(**known)


def _neighbours(variant: Variant, known: dict) -> ClassifierTraining:
    from wbc_pipeline.pipelines.experiment.neighbours import NeighbourTraining

    if "stages" in variant.model_fields_set:
        raise UserError(
            f"{known['identity']['variant']} trains nothing, as its mode is {NEIGHBOURS}: take its "
            "stages out, or set mode to linear, lora or full."
        )
    return NeighbourTraining(**known | {"stages": {}})
