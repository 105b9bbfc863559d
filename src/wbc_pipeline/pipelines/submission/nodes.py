"""Nodes that predict the published test images without labels, and write submissions."""

from __future__ import annotations

import logging
from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.datasets.source import Source
from wbc_pipeline.pipelines.experiment.nodes import combine, predict_conditions
from wbc_pipeline.pipelines.experiment.options import Selection, Variants
from wbc_pipeline.pipelines.experiment.shifting import as_shown
from wbc_pipeline.pipelines.preprocessing.options import PART_MARK, Restorers

pd = lazy.load("pandas")

_log = logging.getLogger(__name__)

PROTOCOL = "published"  # no other trains on all that the challenge gives for training
HEADING = "Submissions"
CAPTION = (
    "The test images have no labels: a submission names the class of each, for the challenge's own "
    "evaluation."
)


def predict_unlabelled(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    views: dict[str, ImageArray],
    trainings: dict[str, Result],
    variants: Variants,
    device: str,
    chosen: Selection,
    restorers: Restorers,
    trained_restorers: dict[str, Result],
) -> dict[str, Task]:
    """Describe what the first seed of ``published`` answers to test images without labels.

    Parameters
    ----------
    manifest, splits, views, trainings, variants, device, chosen
        As in `experiment.nodes.predict`.
    restorers, trained_restorers
        The paper's restorers and their trainings. What they have restored for the trainings leaves
        out images without labels, which are restored here.

    Returns
    -------
    dict of str to Task
        ``<variant>/<run>``; each makes a folder with ``predictions.parquet``, of the part ``test``.
        Nothing where every test image has a label, or ``published`` is not followed.
    """
    from wbc_pipeline.imaging.packing import accepted
    from wbc_pipeline.pipelines.experiment.restorers import restore_later

    images, dealt = accepted(manifest), _first_run(splits)
    tested = _unlabelled_part(images)
    if tested.empty or dealt.empty:
        return {}
    run = dealt.iloc[0][["protocol", "seed", "fold"]].to_dict()
    rows = tested.index.to_numpy()
    tested = tested[["dataset", "image_id"]].assign(**run, part="test")
    shown = {name: as_shown(name, "test", views) for name in views if PART_MARK not in name}
    return predict_conditions(
        images=images,
        splits=pd.concat([dealt[dealt["part"] != "test"], tested], ignore_index=True),
        conditions={"clean": views},
        parts=("test",),
        trainings=trainings,
        chosen=chosen,
        variants=variants,
        device=device,
        restorers=restorers,
        restored={"clean": restore_later(shown, restorers, trained_restorers, device, rows)},
    )


def combine_unlabelled(
    predicted: dict[str, Result],
    predictions: pd.DataFrame,
    variants: Variants,
    chosen: Selection,
) -> pd.DataFrame:
    """Put these predictions together, and add the ensembles, fitted as those of the paper are.

    Parameters
    ----------
    predicted
        Of `predict_unlabelled`.
    predictions
        The paper's, whose validation part ensembles are fitted on.
    variants, chosen
        All variants, and those that take part.

    Returns
    -------
    DataFrame
        See ``design``: predictions; ``label`` is missing. No rows where nothing was predicted.
    """
    if not predicted:
        return predictions.iloc[:0]
    return combine(predicted, variants, chosen, fitted_on=_first_run(predictions))


def write_submissions(
    source: Source, manifest: pd.DataFrame, splits: pd.DataFrame, predictions: pd.DataFrame
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Answer the test images of a challenge, in the order that it lists them.

    Parameters
    ----------
    source
        Says which images a submission names, and by which ID.
    manifest, splits
        See ``design``.
    predictions
        Of `combine_unlabelled`.

    Returns
    -------
    submissions
        ``submission_<variant>``: ``ID`` and ``labels``, a row per test image. None where the data
        set belongs to no challenge, has labels throughout, or no submission would be complete; but
        for the first the reason is logged.
    items
        ``submissions``: a row per variant, or the reason why there is none. Nothing for a data set
        that belongs to no challenge.
    """
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.scores.metrics import class_names

    asked = source.list_submission()
    if asked.empty:
        return {}, {}
    if why := _why_none(asked, manifest, splits, predictions):
        _log.warning("No submission is written: %s", why)
        return {}, {"submissions": describe(pd.DataFrame({"finding": [why]}), HEADING, CAPTION)}
    classes = class_names(predictions)
    submissions, rows = {}, []
    for variant, run in predictions.groupby("variant", sort=False):
        probability = run.set_index("image_id")[[f"p_{name}" for name in classes]]
        answers = probability.idxmax(axis=1).str.removeprefix("p_")
        labels = answers.loc[asked["image_id"]].to_numpy()
        submissions[f"submission_{variant}"] = pd.DataFrame({"ID": asked["ID"], "labels": labels})
        file = f"submission_{variant}.csv"
        rows.append({"variant": variant, "seed": run["seed"].iloc[0], "file": file})
        rows[-1] |= {"images": len(asked), "classes_answered": len(set(labels))}
    return submissions, {"submissions": describe(pd.DataFrame(rows), HEADING, CAPTION)}


def _unlabelled_part(images: pd.DataFrame) -> pd.DataFrame:
    """Take the published test part, if some of it has no labels; else no rows."""
    tested = images[images["published_part"] == "test"]
    return tested if tested["label"].isna().any() else tested.iloc[:0]


def _first_run(rows: pd.DataFrame) -> pd.DataFrame:
    """Take the rows of the first seed of ``published``, which has one fold."""
    published = rows[rows["protocol"] == PROTOCOL]
    return published[published["seed"] == published["seed"].min()]


def _why_none(
    asked: pd.DataFrame, manifest: pd.DataFrame, splits: pd.DataFrame, predictions: pd.DataFrame
) -> str | None:
    if _unlabelled_part(manifest[manifest["image_id"].isin(asked["image_id"])]).empty:
        return "every image of the published test part has a label, so that it is scored here."
    if PROTOCOL not in set(splits["protocol"]):
        return (
            f"{len(asked):,} test images have no labels, and are answered by networks of the "
            f"protocol {PROTOCOL} alone. Ask for --params=protocols={PROTOCOL}."
        )
    lacking = asked[~asked["image_id"].isin(predictions["image_id"])]
    if len(lacking):
        return (
            f"{len(lacking):,} of {len(asked):,} test images were refused, such as "
            f"{lacking['image_id'].iloc[0]!r}, and a submission needs an answer to each. The table "
            "of rejects says why; put these files right and run again."
        )
    return None
