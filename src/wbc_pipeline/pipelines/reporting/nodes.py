"""Nodes that gather runs, score predictions, draw figures and write the report."""

import platform
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import version
from typing import Any

import pandas as pd

from wbc_pipeline.datasets.results import Result
from wbc_pipeline.keys import run_name
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.reporting.options import PaperOptions, Published, ScoreOptions
from wbc_pipeline.provenance import git_state

RUN_KEYS = ["variant", "protocol", "seed"]
TABLE_ROWS = 120  # of a paper's own table; the CSV beside the report has all
VERSIONS_SHOWN = ("wbc_pipeline", "kedro", "torch", "lightning", "numpy")


def collect_predictions(
    splits: pd.DataFrame, chosen: Variants, **predictions: dict[str, Result]
) -> pd.DataFrame:
    """Put the predictions of all variants, protocols, seeds and folds of this command together.

    Parameters
    ----------
    splits
        Names the protocols, seeds and folds; results of earlier commands beyond these stay out.
    chosen
        The variants that take part.
    predictions
        By variant, the finished results by run name.

    Returns
    -------
    DataFrame
        See ``design``: predictions.
    """
    results = _results(splits, chosen, predictions)
    tables = [result.table("predictions") for _, result in results]
    return pd.concat(tables, ignore_index=True)


def collect_runs(
    splits: pd.DataFrame, chosen: Variants, **runs: dict[str, Result]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Put what all trainings of this command left behind into three tables.

    Returns
    -------
    runs
        A row per run: epochs, seconds, precision, hardware.
    history
        A row per run and epoch: losses and accuracies.
    paths
        A row per run, step and tracked scalar; of a cross-validation the first fold.
    """
    found = list(_results(splits, chosen, runs))
    summaries = pd.DataFrame([{**run, **result.json("summary")} for run, result in found])
    history = pd.concat([result.table("history").assign(**run) for run, result in found])
    paths = pd.concat(
        [result.table("paths").assign(**run) for run, result in found if run["fold"] == 0]
    )
    return summaries, history.reset_index(drop=True), paths.reset_index(drop=True)


def score_runs(
    predictions: pd.DataFrame, options: ScoreOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Score every run from its saved predictions alone.

    Returns
    -------
    metrics
        A row per variant, protocol, seed and condition, with intervals.
    per_class
        Precision, recall, F1 and support of each class.
    reliability
        Confidence and accuracy in each bin.
    calibration
        What right and wrong answers add to the log loss.
    """
    from wbc_pipeline.evaluation.calibration import loss_decomposition, reliability_table
    from wbc_pipeline.evaluation.scores import per_class_scores, score_predictions

    return (
        score_predictions(predictions, **options.model_dump()),
        per_class_scores(predictions),
        reliability_table(predictions, options.bins),
        loss_decomposition(predictions),
    )


def compare_with_paper(
    predictions: pd.DataFrame,
    runs: pd.DataFrame,
    published: Published,
    paper: PaperOptions,
    options: ScoreOptions,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Put published, reproduced and leak-free numbers side by side, and variants against the first.

    Returns
    -------
    published
        A row per variant and metric.
    paired
        A row per protocol and variant: its difference to the first variant on the same images.
    """
    from wbc_pipeline.evaluation.comparison import (
        compare_published,
        measured_times,
        paired_differences,
    )

    reference = predictions["variant"].iloc[0]
    times = measured_times(runs, predictions, reference_variant=reference)
    bootstrap = {"resamples": options.resamples, "level": options.level}
    return (
        compare_published(
            predictions,
            published,
            paper_protocol=paper.protocol,
            extra=times,
            bins=options.bins,
            **bootstrap,
        ),
        paired_differences(predictions, reference, **bootstrap),
    )


def draw_figures(
    *,
    manifest: pd.DataFrame,
    predictions: pd.DataFrame,
    metrics: pd.DataFrame,
    history: pd.DataFrame,
    runs: pd.DataFrame,
    published: Published,
    dataset: str,
    options: ScoreOptions,
) -> dict[str, Any]:
    """Draw the figures that every paper's report has, by name."""
    from wbc_pipeline.evaluation import figures

    return {
        "samples_per_class": figures.samples_per_class(manifest, dataset=dataset),
        "score_intervals": figures.score_intervals(metrics, published, dataset=dataset),
        "training_curves": figures.training_curves(history, dataset=dataset),
        "confusion_matrices": figures.confusion_matrices(predictions, dataset=dataset),
        "reliability_diagram": figures.reliability_diagram(
            predictions, bins=options.bins, dataset=dataset
        ),
        "loss_by_outcome": figures.loss_by_outcome(predictions, dataset=dataset),
        "inference_time": figures.inference_time(metrics, runs, dataset=dataset),
        "scores_chart": figures.plotly_scores(metrics, dataset=dataset),
        "curves_chart": figures.plotly_curves(history, dataset=dataset),
    }


def draw_run_figures(predictions: pd.DataFrame, dataset: str) -> dict[str, Any]:
    """Draw each run's own confusion matrix, by file name."""
    from wbc_pipeline.evaluation.figures import confusion_matrices

    return {
        "-".join(str(key) for key in keys) + ".png": confusion_matrices(run, dataset=dataset)
        for keys, run in predictions.groupby(RUN_KEYS)
    }


def write_report(
    *,
    dataset: str,
    command: str,
    paper: PaperOptions,
    splits: pd.DataFrame,
    metrics: pd.DataFrame,
    per_class: pd.DataFrame,
    calibration: pd.DataFrame,
    runs: pd.DataFrame,
    published: pd.DataFrame,
    printed: Published,
    paired: pd.DataFrame,
    **shown: pd.DataFrame | bytes,
) -> str:
    """Write the paper's report as one page of HTML that opens offline."""
    from wbc_pipeline.evaluation import localization_figures, robustness, source_figures
    from wbc_pipeline.evaluation.report import TABLE_CAPTIONS, render_report
    from wbc_pipeline.sources.listing import load_source

    captions = (
        TABLE_CAPTIONS
        | source_figures.CAPTIONS
        | robustness.CAPTIONS
        | localization_figures.CAPTIONS
    )
    own = _of(pd.DataFrame, shown)
    trainings = [runs, *(own[name] for name in ("trained_detectors",) if name in own)]
    return render_report(
        title=paper.title,
        dataset=dataset,
        is_demo=dataset == "demo",
        summary=describe_command(
            dataset,
            command,
            {
                "protocols": sorted(splits["protocol"].unique()),
                "seeds": splits["seed"].nunique(),
                "the paper's protocol": paper.protocol,
                "hardware": sorted(runs["hardware"].unique()),
                "precision": sorted(runs["precision"].unique()),
            },
        ),
        tables={
            "published": published,
            "metrics": metrics,
            "paired": paired,
            "per_class": per_class,
            "calibration": calibration,
            "runs": runs,
            **{name: table.head(TABLE_ROWS) for name, table in own.items()},
        },
        figures=_of(bytes, shown),
        notes=[
            *_explain_other_images(dataset, paper),
            *paper.notes,
            *(note for table in trainings for note in _explain_weights(table)),
            *_explain_losses(printed, classes=paper.classes),
            *load_source(dataset).CAVEATS,
        ],
        captions=captions | _say_what_is_cut(own, captions),
    )


def _of(kind: type, shown: dict[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in shown.items() if isinstance(item, kind)}


def _say_what_is_cut(tables: dict[str, pd.DataFrame], captions: dict[str, str]) -> dict[str, str]:
    return {
        name: f"{captions.get(name, '')} The first {TABLE_ROWS} of {len(table):,} rows; all are in "
        f"{name}.csv.".strip()
        for name, table in tables.items()
        if len(table) > TABLE_ROWS
    }


def describe_command(dataset: str, command: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Give the facts for the head of a report: what was run, when and with which versions."""
    import cv2

    return {
        "data set": dataset,
        "command": command,
        "date": f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}",
        **facts,
        "git commit": git_state() or "not in a checkout",
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in VERSIONS_SHOWN}
        | {"opencv": cv2.__version__},
    }


def _explain_other_images(dataset: str, paper: PaperOptions) -> list[str]:
    if dataset in paper.datasets:
        return []
    return [
        f"The published numbers are of other images ({', '.join(paper.datasets)}): beside those of "
        f"{dataset} they show the paper's method at work, not whether its result holds."
    ]


def _explain_weights(runs: pd.DataFrame) -> list[str]:
    """Say which networks began with random weights, though ImageNet's were wished for."""
    if "weights_asked" not in runs:
        return []
    lacking = runs[(runs["weights_asked"] == "auto") & (runs["weights"] == "none")]
    if lacking.empty:
        return []
    names = lacking["variant" if "variant" in lacking else "method"].unique()
    return [
        f"{', '.join(names)}: trained from scratch, as ImageNet's weights "
        "could not be had on this machine; the paper's networks began with them."
    ]


def _explain_losses(printed: Published, classes: int) -> list[str]:
    """Say of each printed loss whether it goes with the accuracy printed beside it."""
    from wbc_pipeline.evaluation.calibration import explain_published_loss
    from wbc_pipeline.evaluation.comparison import published_values

    return [
        f"{variant}: "
        + explain_published_loss(
            published_values(values["accuracy"])[0],
            published_values(values["log_loss"])[0],
            classes=classes,
        )
        for variant, values in printed.items()
        if {"accuracy", "log_loss"} <= values.keys()
    ]


def _results(
    splits: pd.DataFrame, chosen: Variants, by_variant: dict[str, dict[str, Result]]
) -> Iterator[tuple[dict, Result]]:
    asked = splits[["protocol", "seed", "fold"]].drop_duplicates()
    for variant in filter(chosen.include, by_variant):
        for protocol, seed, fold in asked.itertuples(index=False):
            run = {"variant": variant, "protocol": protocol, "seed": int(seed), "fold": int(fold)}
            yield run, by_variant[variant][run_name(protocol, seed, fold)]
