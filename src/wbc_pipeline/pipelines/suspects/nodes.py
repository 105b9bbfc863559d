"""Nodes that judge labels by classifiers that have not seen their cells."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lazy_loader as lazy
import numpy as np

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.keys import Key, code_digest, digest
from wbc_pipeline.pipelines.reporting.options import ScoreOptions
from wbc_pipeline.pipelines.splitting.nodes import split_images
from wbc_pipeline.pipelines.splitting.options import SplittingOptions
from wbc_pipeline.pipelines.suspects.options import FoldOptions

pd = lazy.load("pandas")

_log = logging.getLogger(__name__)

SPLIT_COLUMNS = ["dataset", "image_id", "protocol", "seed", "fold", "part"]


def deal_folds(
    manifest: pd.DataFrame, options: FoldOptions, splitting: SplittingOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Deal cells into folds, each to be judged by what is trained on the others.

    Returns
    -------
    splits
        See ``design``: splits. Protocols ``source`` and, for each share, ``source-<percent>``,
        without a validation part; of a cell at most ``images_per_cell`` images. None where fewer
        than two classes have enough cells.
    left_out
        A row per class that has too few: ``label``, ``cells``, ``needed``.
    """
    from wbc_pipeline.imaging.packing import accepted, independent_sources

    images = accepted(manifest).dropna(subset="label")
    images = images.assign(source_group=independent_sources(images))
    cells = images.groupby("label")["source_group"].nunique().rename("cells")
    few = cells[cells < options.min_cells]
    left_out = few.reset_index().assign(needed=options.min_cells)
    if len(cells) - len(few) < 2:
        _log.warning(
            "Labels are not judged: fewer than two classes have %d cells. Add cells, or lower "
            "`audit.suspects.split.min_cells`.",
            options.min_cells,
        )
        return pd.DataFrame(columns=SPLIT_COLUMNS), left_out
    images = images[~images["label"].isin(few.index)]
    order = images.sample(frac=1, random_state=0).groupby(["source_group", "label"]).cumcount()
    images = images[order.reindex(images.index) < options.images_per_cell]
    in_folds = splitting.model_copy(update={"folds": options.folds})
    splits = [
        split_images(images, "source", seed, in_folds).replace({"part": {"validation": "train"}})
        for seed in range(options.seeds)
    ]
    shares = [
        _train_on_share(split, images, share) for split in splits for share in options.shares.root
    ]
    return pd.concat([*splits, *shares], ignore_index=True), left_out


def _train_on_share(split: pd.DataFrame, images: pd.DataFrame, percent: int) -> pd.DataFrame:
    """Keep a share of each fold's training cells, class by class; smaller shares lie in larger."""
    from wbc_pipeline.evaluation.audit.ceiling import share_protocol

    found = images.set_index("image_id").loc[split["image_id"], ["source_group", "label"]]
    cells = split.assign(cell=found["source_group"].to_numpy(), label=found["label"].to_numpy())
    training = cells[cells["part"] == "train"].drop_duplicates(["fold", "cell"])
    training = training.sample(frac=1, random_state=int(split["seed"].iloc[0]))
    of_class = training.groupby(["fold", "label"])
    place = (of_class.cumcount() + 1) / of_class["cell"].transform("size")
    kept = training[place <= percent / 100]
    kept = pd.concat([kept, of_class.head(1)])  # a class never vanishes
    is_kept = pd.MultiIndex.from_frame(cells[["fold", "cell"]]).isin(
        pd.MultiIndex.from_frame(kept[["fold", "cell"]])
    )
    rows = split[(split["part"] == "test") | is_kept]
    return rows.assign(protocol=share_protocol(percent))


def describe_cells(
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    views: dict[str, ImageArray],
    described: list[str],
) -> Task:
    """Describe the computing of features of all cells that are judged, from several views.

    Returns
    -------
    Task
        Makes the table ``features``: a row per image, with ``image_id`` and columns
        ``<view>_<feature>``.
    """
    from wbc_pipeline.imaging import cell_features
    from wbc_pipeline.imaging.packing import accepted

    images = accepted(manifest)
    rows = np.flatnonzero(images["image_id"].isin(splits["image_id"]))

    def compute(folder: Path) -> None:
        tables = [
            cell_features.describe_cells(views[name].pixels[rows]).add_prefix(f"{name}_")
            for name in described
        ]
        table = pd.concat(tables, axis=1)
        table.insert(0, "image_id", images["image_id"].to_numpy()[rows])
        table.to_parquet(folder / "features.parquet")

    key = Key(
        params={"described": described},
        data={
            "views": {name: views[name].result.digest for name in described},
            "rows": digest(rows.tolist()),
        },
        code=code_digest(cell_features.describe_cells),
    )
    return Task(key, compute)


def classify(
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    features: Result,
    classifiers: dict[str, dict],
) -> dict[str, Task]:
    """Describe the training and testing of each classifier on each fold.

    Returns
    -------
    dict of str to Task
        ``<classifier>/<run>``; each makes the table ``predictions``.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.runs import iterate_runs
    from wbc_pipeline.pipelines.suspects.classification import classify_fold

    images = accepted(manifest)
    labels = digest(images[["image_id", "source_group", "label"]].astype(str).to_numpy().tolist())
    tasks = {}
    for name, arguments in classifiers.items():
        for run in iterate_runs(splits, images):
            key = Key(
                params={"variant": name, "arguments": arguments, **run.key},
                data={
                    "features": features.digest,
                    "rows": digest({part: rows.tolist() for part, rows in run.rows.items()}),
                    "labels": labels,
                },
                code=code_digest(classify_fold),
            )
            compute = partial(
                classify_fold,
                name=name,
                arguments=arguments,
                run=run,
                images=images,
                features=features,
            )
            tasks[f"{name}/{run.name}"] = Task(key, compute)
    return tasks


def collect_answers(predictions: pd.DataFrame, classified: dict[str, Result]) -> pd.DataFrame:
    """Put the answers of networks and classifiers together; see ``design``: predictions."""
    tables = [result.table("predictions") for result in classified.values()]
    return pd.concat([predictions, *tables], ignore_index=True)


def judge_labels(
    *,
    manifest: pd.DataFrame,
    views: dict[str, ImageArray],
    described: list[str],
    splits: pd.DataFrame,
    left_out: pd.DataFrame,
    answers: pd.DataFrame,
    options: ScoreOptions,
    dataset: str,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Say which labels are suspect, what they explain, and whether more cells would help.

    Returns
    -------
    cells
        A row per cell and label, the worst first, see `find_suspects`.
    items
        ``suspect_counts``, ``suspect_labels`` (the suspect ones of ``cells``), ``suspect_sheet``,
        ``scores_without_suspects``, ``errors_explained``, ``learning_curve`` and two figures.
        Where a set is too small: no rows of ``suspect_counts``, and ``unjudged_classes``.
    """
    from wbc_pipeline.evaluation.audit import ceiling, suspects
    from wbc_pipeline.evaluation.figures import suspects as figures
    from wbc_pipeline.evaluation.report.described import describe

    unjudged = describe(left_out, "Classes that are not judged", "They have too few cells.")
    if answers.empty:
        cells = pd.DataFrame(columns=suspects.COLUMNS)
        counts = suspects.count_suspects(cells)
        return cells, {"suspect_counts": counts, "unjudged_classes": unjudged}
    scores = options.model_dump()
    whole = answers[answers["protocol"] == ceiling.WHOLE]
    cells = suspects.find_suspects(whole)
    found = cells[cells["suspect"]].drop(columns="suspect")
    judged = ceiling.judge_by_others(whole)
    explained = ceiling.explain_errors(whole, judged, level=options.level)
    curve = ceiling.learning_curve(answers, _training_cells(splits, manifest), **scores)
    return cells, {
        "suspect_counts": suspects.count_suspects(cells, level=options.level),
        "suspect_sheet": figures.suspect_sheet(
            cells, partial(pixels_of, manifest, views[described[-1]]), dataset=dataset
        ),
        "suspect_labels": describe(found, "Suspect labels", "The worst first."),
        "scores_without_suspects": ceiling.score_without_suspects(whole, judged, **scores),
        "errors_explained": explained,
        "explained_errors": figures.explained_errors(explained, dataset=dataset),
        "learning_curve": curve,
        "learning_curves": figures.learning_curves(curve, dataset=dataset),
        "unjudged_classes": unjudged,
    }


def _training_cells(splits: pd.DataFrame, manifest: pd.DataFrame) -> dict[int, float]:
    """Count the training cells of a fold on average, by percentage."""
    from wbc_pipeline.evaluation.audit.ceiling import percent_of
    from wbc_pipeline.evaluation.audit.suspects import name_cells

    known = manifest[["image_id", "source_group"]].rename(columns={"source_group": "source_id"})
    training = splits[splits["part"] == "train"].merge(known, on="image_id")
    training = training.assign(cell=name_cells(training))
    of_fold = training.groupby(["protocol", "seed", "fold"])["cell"].nunique()
    means = of_fold.groupby("protocol").mean()
    return {percent_of(protocol): float(mean) for protocol, mean in means.items()}


def pixels_of(
    manifest: pd.DataFrame, view: ImageArray, image_ids: Sequence[str]
) -> list[np.ndarray]:
    """Give the RGB uint8 images ``[H, W, 3]`` of ids, as a view shows them."""
    from wbc_pipeline.imaging.packing import accepted

    names = pd.Index(accepted(manifest)["image_id"])
    return [view.pixels[row] for row in names.get_indexer(image_ids)]
