"""Runs of a paper: one protocol, seed and fold, and what a trained network predicts there."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.errors import UserError
from wbc_pipeline.imaging.chain import fitted_on
from wbc_pipeline.keys import run_name
from wbc_pipeline.models import load_network, network_class
from wbc_pipeline.models.joint import is_joint
from wbc_pipeline.pipelines.experiment.options import Variant
from wbc_pipeline.pipelines.splitting.options import TESTED_PARTS, UNUSED
from wbc_pipeline.sources.combined import unique_source_ids
from wbc_pipeline.training.devices import describe_hardware
from wbc_pipeline.training.options import LEARNT_FROM, OUTSIDE, StageOptions
from wbc_pipeline.training.predict import correct_prior, predict_parts
from wbc_pipeline.training.tasks.classification import ClassificationTask
from wbc_pipeline.training.tasks.joint import PRIOR

CLASS_COUNTS = "class_counts"  # in network.json: training images of each class
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

    def without(self, part: str) -> "Run":
        """Give the same run without one of its parts, if it has it."""
        rows = {name: rows for name, rows in self.rows.items() if name != part}
        return replace(self, rows=rows)

    @property
    def key(self) -> dict:
        """What tells it apart, for the key of a result."""
        return {"protocol": self.protocol, "seed": self.seed, "fold": self.fold}


def iterate_runs(splits: pd.DataFrame, images: pd.DataFrame) -> Iterator[Run]:
    """Go through the protocols, seeds and folds of a table of splits.

    Parameters
    ----------
    splits
        See ``design``: splits; of images that are not used nothing is seen.
    images
        The manifest's ``ok`` rows, in the order of the arrays.
    """
    row_of = pd.Series(np.arange(len(images)), index=images["image_id"])
    used = splits[splits["part"] != UNUSED]
    for (protocol, seed, fold), split in used.groupby(RUN, sort=False):
        parts = split.groupby("part")["image_id"]
        rows = {part: row_of[ids].to_numpy() for part, ids in parts}
        yield Run(str(protocol), int(seed), int(fold), rows)


def learnt_run(run: Run, stages: Mapping[str, StageOptions], *, variant: str) -> Run:
    """Give a run with the parts that a training looks at: images outside only if it learns them.

    Raises
    ------
    UserError
        If it does, and there are none.
    """
    asking = [name for name, stage in stages.items() if OUTSIDE in LEARNT_FROM[stage.learn_from]]
    if not asking:
        return run.without(OUTSIDE)
    if OUTSIDE not in run.rows:
        raise UserError(
            f"{variant} learns from images outside (stages.{asking[0]}.learn_from), and there are "
            "none. Add their data sets, and say which of all are tested, such as "
            "--params=dataset=blood_cells+pbc,splitting.datasets=blood_cells, or leave this "
            "variant out: --params=variants=…"
        )
    return run


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
            held_out = [rows for part, rows in run.rows.items() if part in TESTED_PARTS]
            rows = np.concatenate(held_out)
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


def training_views(variant: Variant, views: Mapping[str, object]) -> dict[str, object]:
    """Add to `views_of` what a joint network's saliency is aligned with, if the paper has it."""
    seen, name = views_of(variant, views), variant.views.get(PRIOR, PRIOR)
    is_aligned = is_joint(network_class(variant.network)) and variant.losses.alignment > 0
    return seen | ({PRIOR: views[name]} if is_aligned and name in views else {})


def identify(
    shown: pd.DataFrame, part: pd.Series | str, variant: str, run: Run, condition: str
) -> pd.DataFrame:
    """Say whose predictions follow: the first columns of ``design``: predictions.

    Parameters
    ----------
    shown
        The predicted rows of the manifest, numbered from 0.
    part
        The part that each, or all, of them play.
    variant, run, condition
        What predicted them, and what was done to the images before.
    """
    identity = {
        "dataset": shown["dataset"],
        "image_id": shown["image_id"],
        "source_id": shown["source_group"],  # a cell counts once
        "part": part,
        "variant": variant,
        **run.key,
        "condition": condition,
        "label": shown["label"],
    }
    return pd.DataFrame(identity)


def predict_run(
    folder: Path,
    *,
    run: Run,
    result: Result,
    images: pd.DataFrame,
    conditions: dict[str, dict[str, ImageArray]],
    parts: tuple[str, ...],
    device: torch.device,
    build_task: Callable[..., ClassificationTask],
    prior_correction: float = 0.0,
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
    build_task
        Of the network's kind, see ``trainings``.
    prior_correction
        Power of the classes' shares of the training part that probabilities are divided by.

    Raises
    ------
    UserError
        If an array has not one row for each image, or the training did not count its classes.
    """
    network, description = load_network(result.folder)
    rows = {part: run.rows[part] for part in parts if part in run.rows}
    tables = []
    for condition, views in conditions.items():
        for name, view in views.items():
            if len(view) != len(images):
                raise UserError(
                    f"The view {name} in {view.result.folder} has {len(view)} images, and "
                    f"{len(images)} are to be predicted; it belongs to another manifest. Delete "
                    "that folder and run the command again."
                )
        task = build_task(network, views, classes=description["classes"])
        found = predict_parts(task, rows, device=device)
        if prior_correction:
            columns = [f"p_{name}" for name in description["classes"]]
            counts = _class_counts(description, result)
            found[columns] = correct_prior(
                found[columns].to_numpy(), counts, power=prior_correction
            )
        shown = images.iloc[found.pop("row")].reset_index(drop=True)
        variant = result.key["params"]["variant"]
        identity = identify(shown, found.pop("part"), variant, run, condition)
        tables.append(pd.concat([identity, found], axis=1))
    pd.concat(tables).to_parquet(folder / "predictions.parquet", index=False)
    hardware = {"hardware": describe_hardware(device)}
    (folder / "summary.json").write_text(json.dumps(hardware))


def _class_counts(description: dict, result: Result) -> list[int]:
    if CLASS_COUNTS not in description:
        raise UserError(
            f"{result.folder} does not say how many images of each class it was trained on, which "
            "prior_correction needs: it was made by an earlier version. Delete that folder and run "
            "the command again, or take prior_correction out of the variant."
        )
    return description[CLASS_COUNTS]
