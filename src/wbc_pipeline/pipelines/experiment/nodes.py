"""Nodes that describe a paper's trainings and predictions, and combine them."""

from __future__ import annotations

from functools import partial

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.errors import UserError
from wbc_pipeline.keys import Key, code_digest, digest
from wbc_pipeline.pipelines.experiment.options import Selection, Variants, weights_file
from wbc_pipeline.pipelines.preprocessing.options import PART_MARK, Restorers
from wbc_pipeline.pipelines.splitting.options import TESTED_PARTS
from wbc_pipeline.training.options import StageOptions, TrainerOptions, merge_stages

pd = lazy.load("pandas")

ALL = Selection(["all"])
NO_RESTORERS = Restorers()
RUN_COLUMNS = ("variant", "protocol", "seed", "fold")
IDENTITY_COLUMNS = [
    *("dataset", "image_id", "source_id", "part", *RUN_COLUMNS, "condition", "label"),
]


def compose(
    *,
    splits: pd.DataFrame,
    views: dict[str, ImageArray],
    variants: Variants,
    chosen: Selection = ALL,
) -> dict[str, Task]:
    """Describe the composites that variants learn from, for each seed.

    They are made of all images, whatever a run's parts are; a run learns from those of its training
    part alone.

    Parameters
    ----------
    splits, views, variants, chosen
        As in `train`.

    Returns
    -------
    dict of str to Task
        ``<variant>/<seed>``; each makes a folder with the images and their composites.

    Raises
    ------
    UserError
        If a network has several views, of which composites would show one, or parts are shifted.
    """
    from wbc_pipeline.pipelines.experiment.composites import composites_task
    from wbc_pipeline.pipelines.experiment.runs import views_of

    tasks = {}
    for name, variant in variants.select(chosen).networks.items():
        if variant.composites is None:
            continue
        seen = views_of(variant, views)
        if any(PART_MARK in view for view in views):
            raise UserError(
                f"{name} learns from composites, which are made of images as they come, and this "
                "paper shifts its parts: take composites out of it, or set shift to null."
            )
        if len(seen) > 1:
            raise UserError(
                f"{name} looks at {', '.join(seen)}, and composites are of one view: take "
                "composites out of it, or give it a network with one view."
            )
        for seed in sorted(splits["seed"].unique().tolist()):
            [view] = seen.values()
            tasks[f"{name}/{seed}"] = composites_task(view, variant.composites, seed)
    return tasks


def train(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    images: ImageArray,
    views: dict[str, ImageArray],
    composites: dict[str, ImageArray],
    paper: str,
    dataset: str,
    variants: Variants,
    schedule: StageOptions,
    trainer: TrainerOptions,
    device: str,
    chosen: Selection = ALL,
    restorers: Restorers = NO_RESTORERS,
    restored: dict[str, ImageArray] | None = None,
    cut: dict[str, ImageArray] | None = None,
) -> dict[str, Task]:
    """Describe the training of each chosen variant under each protocol, seed and fold.

    Parameters
    ----------
    manifest, splits
        See ``design``.
    images
        The packed images, of which a tracked model takes examples.
    views
        What the networks look at, by name.
    composites
        Of `compose`.
    paper, dataset
        Their names.
    chosen
        The variants that take part.
    variants, schedule, trainer
        The networks, what they are trained by, and where.
    device
        ``auto``, ``cpu`` or ``cuda``.
    restorers, restored
        The paper's restorers and what they restored, by ``<restorer>/<run>``.
    cut
        Views that detectors have cut for each run; see `inputs.views_of_variant`.

    Returns
    -------
    dict of str to Task
        ``<variant>/<run>``; each makes a folder with ``weights.safetensors``, ``network.json``,
        ``history.parquet``, ``paths.parquet`` and ``summary.json``.

    Raises
    ------
    UserError
        If a network would learn from images outside, and there are none, or look at a view that
        was fitted on images which it is tested on.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.models import network_class
    from wbc_pipeline.pipelines.experiment.composites import Composites
    from wbc_pipeline.pipelines.experiment.inputs import views_of_variant
    from wbc_pipeline.pipelines.experiment.own_names import with_own_names
    from wbc_pipeline.pipelines.experiment.runs import (
        iterate_runs,
        learnt_run,
        refuse_leaks,
        training_views,
    )
    from wbc_pipeline.pipelines.experiment.shared_stages import SharedStages
    from wbc_pipeline.pipelines.experiment.trainings import training_of
    from wbc_pipeline.processes import is_launched
    from wbc_pipeline.training.devices import choose_device

    rows = accepted(manifest)
    labelled = rows["image_id"].isin(splits["image_id"])
    rows = rows.assign(label=rows["label"].where(labelled))  # a class left out is no output
    runs = list(iterate_runs(splits, rows))
    classes = sorted(rows["label"].dropna().unique())
    trainings, weights = {}, {}
    for name, variant in variants.select(chosen).networks.items():
        seen = training_views(variant, views)
        refuse_leaks(name, seen, rows, runs)
        size = seen[network_class(variant.network).views[0]].pixels.shape[1]
        asked = variant.arguments.get("backbone"), variant.weights
        if asked not in weights:  # what lacks is warned of once
            weights[asked] = weights_file(variant)
        stages = with_own_names(merge_stages(schedule, variant.stages), classes, variant=name)
        for run in runs:
            training = training_of(
                variant,
                identity={"paper": paper, "variant": name, "dataset": dataset},
                run=learnt_run(run, stages, variant=name),
                arguments={
                    "classes": len(classes),
                    "image_size": size,
                    **variant.arguments,
                },
                weights=weights[asked],
                stages=stages,
                trainer=trainer,
                device=choose_device(device),
                views=training_views(
                    variant, views_of_variant(variant, views, run, restorers, restored, cut=cut)
                ),
                images=rows,
                packed=images,
                composites=variant.composites
                and Composites(composites[f"{name}/{run.seed}"], variant.composites),
            )
            trainings[f"{name}/{run.name}"] = training
    shared = None
    if not is_launched():  # processes of a job would have to agree on what is there
        shared = SharedStages(training.beginning for training in trainings.values())
    return {name: training.work(shared) for name, training in trainings.items()}


def predict(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    views: dict[str, ImageArray],
    trainings: dict[str, Result],
    variants: Variants,
    device: str,
    chosen: Selection = ALL,
    restorers: Restorers = NO_RESTORERS,
    restored: dict[str, ImageArray] | None = None,
    cut: dict[str, ImageArray] | None = None,
) -> dict[str, Task]:
    """Describe the predictions of every training on its validation and test parts.

    Returns
    -------
    dict of str to Task
        ``<variant>/<run>``; each makes a folder with ``predictions.parquet``.
    """
    from wbc_pipeline.imaging.packing import accepted

    conditions = {"clean": views}
    return predict_conditions(
        images=accepted(manifest),
        splits=splits,
        conditions=conditions,
        parts=TESTED_PARTS,  # an ensemble's weights are fitted on the first
        trainings=trainings,
        chosen=chosen,
        variants=variants,
        device=device,
        restorers=restorers,
        restored={"clean": restored},
        cut=cut,
    )


def predict_conditions(
    *,
    images: pd.DataFrame,
    splits: pd.DataFrame,
    conditions: dict[str, dict[str, ImageArray]],
    parts: tuple[str, ...],
    trainings: dict[str, Result],
    variants: Variants,
    device: str,
    chosen: Selection = ALL,
    restorers: Restorers = NO_RESTORERS,
    restored: dict[str, dict[str, ImageArray] | None],
    cut: dict[str, ImageArray] | None = None,
) -> dict[str, Task]:
    """Describe the predictions of images as they come, or under several conditions.

    Parameters
    ----------
    images
        What the rows of the arrays show: rows of the manifest.
    splits
        Which of these images play which part.
    conditions
        The paper's views by the name of what was done to the images before.
    parts
        Those to predict.
    trainings, chosen, variants, device, restorers
        As in the other nodes.
    restored
        By condition, what the restorers made of the views, by ``<restorer>/<run>``.
    cut
        As of `train`; None where detectors have not looked at these images: variants with one are
        then left out.
    """
    from wbc_pipeline.pipelines.experiment.inputs import views_of_variant
    from wbc_pipeline.pipelines.experiment.runs import iterate_runs, predict_run, views_of
    from wbc_pipeline.pipelines.experiment.trainings import task_builder
    from wbc_pipeline.training.devices import choose_device

    place = choose_device(device)
    sources = digest(images[["image_id", "source_group", "label"]].astype(str).to_numpy().tolist())
    tasks = {}
    for name, variant in variants.select(chosen).networks.items():
        if variant.detector is not None and cut is None:
            continue
        build_task = task_builder(variant)
        code = code_digest(predict_run, build_task)
        refined = {} if variant.refine is None else {"refine": variant.refine}
        # As of a key, so that what is off leaves results of before as they are.
        changes = variant.answers
        for run in iterate_runs(splits, images):
            seen = {
                condition: views_of(
                    variant,
                    views_of_variant(variant, views, run, restorers, restored[condition], cut=cut),
                )
                for condition, views in conditions.items()
            }
            looked_at = {
                condition: {view: array.digest for view, array in views.items()}
                for condition, views in seen.items()
            }
            result = trainings[f"{name}/{run.name}"]
            rows = {part: rows.tolist() for part, rows in run.rows.items() if part in parts}
            key = Key(
                params={
                    "variant": name,
                    **run.key,
                    **{what: options.model_dump() for what, options in refined.items()},
                    **changes,
                },
                data={
                    "training": result.digest,
                    "views": looked_at,
                    "rows": digest(rows),
                    "images": sources,
                },
                code=code,
            )
            compute = partial(
                predict_run,
                run=run,
                result=result,
                images=images,
                conditions=seen,
                parts=parts,
                device=place,
                build_task=partial(build_task, **refined),
                prior_correction=variant.prior_correction,
            )
            tasks[f"{name}/{run.name}"] = Task(key, compute)
    return tasks


def combine(
    predicted: dict[str, Result],
    variants: Variants,
    chosen: Selection = ALL,
    fitted_on: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Put the predictions of all trainings of this command together, and add the ensembles.

    Parameters
    ----------
    predicted
        By variant and run.
    chosen, variants
        The variants that take part, and all of them.
    fitted_on
        Predictions whose validation part the weights of ensembles are fitted on; None for those
        that are put together.

    Returns
    -------
    DataFrame
        See ``design``: predictions. Without a training: no rows.
    """
    from wbc_pipeline.evaluation.scores.ensembles import combine_predictions

    selected = variants.select(chosen)
    tables = [
        result.table("predictions")
        for name, result in predicted.items()
        if name.partition("/")[0] in selected.networks
    ]
    if fitted_on is not None:
        of_networks = fitted_on["variant"].isin(selected.networks)
        tables.append(fitted_on[of_networks & (fitted_on["part"] == "validation")])
    if not tables:
        return pd.DataFrame(columns=IDENTITY_COLUMNS)
    combined = combine_predictions(pd.concat(tables, ignore_index=True), selected.combinations())
    if fitted_on is not None:
        combined = combined[combined["part"] == "test"].reset_index(drop=True)
    return combined


def collect_runs(
    trainings: dict[str, Result],
    predicted: dict[str, Result],
    variants: Variants,
    chosen: Selection = ALL,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Put what all trainings of this command left behind into three tables.

    Returns
    -------
    runs
        A row per run: epochs, seconds, precision, hardware, when and at which commit.
    history
        A row per run and epoch: losses and metrics.
    paths
        A row per run, step and tracked scalar; of a cross-validation the first fold.
    """
    selected = variants.select(chosen).networks
    found = [
        (name, {column: result.key["params"][column] for column in RUN_COLUMNS}, result)
        for name, result in trainings.items()
        if name.partition("/")[0] in selected
    ]
    summaries = pd.DataFrame(
        [
            {
                **run,
                **result.json("summary"),
                **_provenance(result),
                "predicted_on": predicted[name].json("summary")["hardware"],
            }
            for name, run, result in found
        ]
    )
    history = [result.table("history").assign(**run) for _, run, result in found]
    paths = [result.table("paths").assign(**run) for _, run, result in found if run["fold"] == 0]
    empty = pd.DataFrame(columns=list(RUN_COLUMNS))
    history, paths = (
        pd.concat(tables, ignore_index=True) if tables else empty for tables in (history, paths)
    )
    return summaries, history, paths


def _provenance(result: Result) -> dict[str, str]:
    made = result.provenance
    return {"made": made["date"], "commit": made.get("git_commit", "none")[:7]}
