"""Nodes that describe the trainings of restorers, and the views that these restore."""

from __future__ import annotations

from functools import partial

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.keys import Key, code_digest, digest
from wbc_pipeline.pipelines.experiment.options import Selection, Variants
from wbc_pipeline.pipelines.preprocessing.options import Restorers
from wbc_pipeline.training.options import TrainerOptions

pd = lazy.load("pandas")


def train_restorers(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    views: dict[str, ImageArray],
    paper: str,
    dataset: str,
    variants: Variants,
    chosen: Selection,
    restorers: Restorers,
    trainer: TrainerOptions,
    device: str,
) -> dict[str, Task]:
    """Describe the training of each restorer that a chosen variant looks through, for each run.

    Parameters
    ----------
    manifest, splits, views, paper, dataset, variants, chosen, trainer, device
        As of ``nodes.train``.
    restorers
        The paper's.

    Returns
    -------
    dict of str to Task
        ``<restorer>/<run>``; each makes a folder as trainings do.

    Raises
    ------
    UserError
        If the training part is not degraded.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.restorers import RestorerTraining, pairs_of
    from wbc_pipeline.pipelines.experiment.runs import iterate_runs, refuse_leaks
    from wbc_pipeline.training.devices import choose_device

    used = variants.select(chosen).restorers
    images = accepted(manifest)
    runs = list(iterate_runs(splits, images)) if used else []
    tasks = {}
    for name, options in restorers.root.items():
        if name not in used:
            continue
        refuse_leaks(name, {options.view: views[options.view]}, images, runs)
        pairs = pairs_of(options.view, views)
        for run in runs:
            training = RestorerTraining(
                identity={"paper": paper, "variant": name, "dataset": dataset},
                run=run,
                network=options.network,
                arguments={
                    "image_size": views[options.view].pixels.shape[1],
                    **options.arguments,
                },
                weights=None,
                weights_asked="none",
                stages={"main": options.train},
                trainer=trainer,
                device=choose_device(device),
                views=pairs,
            )
            tasks[f"{name}/{run.name}"] = training.work()
    return tasks


def restore_views(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    views: dict[str, ImageArray],
    trained: dict[str, Result],
    restorers: Restorers,
    device: str,
) -> dict[str, Task]:
    """Describe what each trained restorer makes of its view, as its run shows that.

    Returns
    -------
    dict of str to Task
        ``<restorer>/<run>``; each makes a folder with the array and ``contact_sheet.png``.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.inputs import LEARNT, learnt_digest, views_in_run
    from wbc_pipeline.pipelines.experiment.restorers import write_restored
    from wbc_pipeline.pipelines.experiment.runs import iterate_runs
    from wbc_pipeline.training.devices import choose_device

    runs = {run.name: run for run in iterate_runs(splits, accepted(manifest))} if trained else {}
    tasks = {}
    for place, training in trained.items():
        name, _, run_name = place.partition("/")
        run = runs[run_name]
        view = views_in_run(views, run.rows)[restorers.root[name].view]
        key = Key(
            params={"restorer": name, "steps": view.steps, **run.key},
            data={
                "training": training.digest,
                "view": view.digest,
                LEARNT: learnt_digest(view),
                "rows": digest({part: rows.tolist() for part, rows in run.rows.items()}),
            },
            code=code_digest(write_restored),
        )
        compute = partial(
            write_restored, training=training, view=view, run=run, device=choose_device(device)
        )
        tasks[place] = Task(key, compute)
    return tasks
