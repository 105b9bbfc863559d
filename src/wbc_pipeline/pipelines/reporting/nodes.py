"""Nodes that score predictions, draw figures and write the report."""

from __future__ import annotations

from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result, policy
from wbc_pipeline.keys import Key, code_digest, run_name
from wbc_pipeline.pipelines.experiment.options import Selection, Variants
from wbc_pipeline.pipelines.predict.options import PredictOptions
from wbc_pipeline.pipelines.preprocessing.options import ShiftOptions
from wbc_pipeline.pipelines.reporting.options import (
    OtherMethods,
    PaperOptions,
    PrintedOptions,
    Published,
    ScoreOptions,
)

pd = lazy.load("pandas")

RUN = ["protocol", "seed", "fold"]
RUN_KEYS = ["variant", "protocol", "seed"]
# What a reader of a paper's report is led to, by the name of its item.
NEXT = {
    "beside_published": "Every printed score beside ours",
    "score_intervals": "Each run's score with its interval",
    "confusion": "Which class is taken for which: click a cell to see the images",
    "robustness_curves": "What is left of the accuracy as images get worse",
    "reliability_diagram": "Whether a confidence means what it says",
    "training_curves": "How the networks learnt",
    "printed_numbers": "Whether the printed numbers can be right",
}


def score_runs(
    predictions: pd.DataFrame, manifest: pd.DataFrame, options: ScoreOptions
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, pd.DataFrame]]:
    """Score every run from its saved predictions alone.

    Returns
    -------
    metrics
        A row per variant, protocol, seed and condition, with intervals.
    metrics_by_fold
        The same with a row per fold, and what it tests.
    items
        ``per_class``: precision, recall, F1 and support of each class. ``overlaps``: IoU and Dice
        of masks by class, where some are predicted. ``reliability``: confidence
        and accuracy in each bin. ``calibration``: what right and wrong answers add to the log loss.
    """
    from wbc_pipeline.evaluation.scores import calibration, metrics, per_class

    test = metrics.tested(predictions)
    how = options.model_dump()
    overlaps = per_class.overlaps_by_class(test, resamples=options.resamples, level=options.level)
    scores = metrics.score_predictions(test, **how)
    return (
        scores,
        metrics.score_by_fold(test, manifest, pooled=scores, **how),
        {
            "per_class": per_class.per_class_scores(test),
            **({} if overlaps.empty else {"overlaps": overlaps}),
            "calibration": calibration.loss_decomposition(test),
            "reliability": calibration.reliability_table(test, options.bins),
        },
    )


def list_ensembles(
    *,
    predictions: pd.DataFrame,
    predicted: dict[str, Result],
    variants: Variants,
    chosen: Selection,
    paper: str,
    dataset: str,
    manifest: pd.DataFrame,
    options: ScoreOptions,
) -> tuple[list[dict[str, Any]], dict[str, pd.DataFrame]]:
    """Say what each ensemble of this command was computed from, and hold it against one network.

    Returns
    -------
    ensembles
        A ``key`` and the members' ``weights`` per ensemble, protocol, seed and fold, for tracking.
    items
        ``ensemble_weights``: members, weights and temperatures, where they were chosen or fitted.
        ``ensembles_against_best``: each ensemble against the network that validation puts first.
    """
    from wbc_pipeline.evaluation.scores import ensembles as combined
    from wbc_pipeline.evaluation.scores.best_network import ensembles_against_best

    how = variants.select(chosen).combinations()
    fitted = combined.ensemble_weights(predictions, how)
    code = code_digest(combined.combine_predictions)
    found = []
    for name, (members, combine, best) in how.items():
        runs = predictions.loc[predictions["variant"] == name, RUN].drop_duplicates()
        for run in runs.to_dict("records"):
            names = [f"{member}/{run_name(**run)}" for member in members]
            key = Key(
                params={
                    "paper": paper,
                    "variant": name,
                    "dataset": dataset,
                    **run,
                    "members": members,
                    "combine": combine,
                    **({} if best is None else {"best": best}),
                },
                data={"predictions": [predicted[each].digest for each in names]},
                code=code,
            )
            own = fitted[(fitted[["variant", *RUN]] == (name, *run.values())).all(axis=1)]
            weights = {
                row.member if pd.isna(row.answer) else f"{row.member}.{row.answer}": row.weight
                for row in own.itertuples()
            }
            found.append({"key": key.as_dict(), "weights": weights})
    compared = ensembles_against_best(
        predictions, manifest, how, resamples=options.resamples, level=options.level
    )
    items = {"ensemble_weights": fitted, "ensembles_against_best": compared}
    return found, {name: table for name, table in items.items() if len(table)}


def check_printed(
    published: Published, printed: PrintedOptions, paper: PaperOptions
) -> dict[str, pd.DataFrame]:
    """Hold the numbers that a paper prints against each other and against what it can have tested.

    Returns
    -------
    items
        ``printed_numbers``: a row per question, answered in words.
    """
    from wbc_pipeline.evaluation.scores.printed.findings import examine_printed

    found = examine_printed(published, classes=paper.classes, **printed.model_dump())
    return {"printed_numbers": found}


def compare_with_paper(
    predictions: pd.DataFrame,
    runs: pd.DataFrame,
    published: Published,
    paper: PaperOptions,
    options: ScoreOptions,
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Put published, reproduced and leak-free numbers side by side, and variants against the first.

    Returns
    -------
    published
        A row per variant and metric.
    items
        ``paired``: a row per protocol and variant, its difference to the first variant on the same
        images.
    """
    from wbc_pipeline.evaluation.scores import comparison
    from wbc_pipeline.evaluation.scores.metrics import tested

    test = tested(predictions)
    reference = test["variant"].iloc[0]
    bootstrap = {"resamples": options.resamples, "level": options.level}
    compared = comparison.compare_published(
        test,
        published,
        paper_protocol=paper.protocol,
        extra=comparison.measured_times(runs, test, reference_variant=reference),
        bins=options.bins,
        **bootstrap,
    )
    return compared, {"paired": comparison.paired_differences(test, reference, **bootstrap)}


def list_other_methods(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    others: OtherMethods,
    paper: PaperOptions,
    score: ScoreOptions,
) -> dict[str, pd.DataFrame]:
    """Put what a paper prints of other people's methods above ours; an own node of some papers."""
    from wbc_pipeline.evaluation.scores.metrics import tested
    from wbc_pipeline.evaluation.scores.printed.beside import others_beside
    from wbc_pipeline.imaging.packing import accepted

    table = others_beside(
        tested(predictions),
        others.model_dump(),
        images=int(accepted(manifest)["label"].notna().sum()),
        paper_protocol=paper.protocol,
        resamples=score.resamples,
        level=score.level,
    )
    return {"other_methods": table}


def lay_tables_beside(
    predictions: pd.DataFrame, manifest: pd.DataFrame, printed: PrintedOptions, paper: PaperOptions
) -> dict[str, pd.DataFrame]:
    """Put printed confusion matrices and counts beside ours; an own node of some papers.

    Returns
    -------
    items
        ``printed_matrices``: a row per line of each. ``printed_parts``: a row per class, where the
        paper prints how many images each part has.
    """
    from wbc_pipeline.evaluation.scores.metrics import tested
    from wbc_pipeline.evaluation.scores.printed.beside import matrices_beside, parts_beside
    from wbc_pipeline.imaging.packing import accepted

    given = printed.model_dump()
    matrices = matrices_beside(
        tested(predictions), given["matrices"], paper_protocol=paper.protocol
    )
    if given["parts"] is None:
        return {"printed_matrices": matrices}
    parts = parts_beside(accepted(manifest), given["parts"])
    return {"printed_matrices": matrices, "printed_parts": parts}


def judge_paper(
    *,
    predictions: pd.DataFrame,
    published: pd.DataFrame,
    paper: PaperOptions,
    name: str,
    dataset: str,
) -> dict[str, Any]:
    """Say in a sentence whether the paper's best number holds, and draw what the sentence is about.

    Returns
    -------
    items
        ``beside_published``: printed scores beside ours. ``verdict``: one row, as ``compare``
        gives it for every paper. ``headline``: the picture.
    """
    from wbc_pipeline.evaluation.figures.headline import headline
    from wbc_pipeline.evaluation.scores import verdicts
    from wbc_pipeline.evaluation.scores.metrics import tested

    facts = {name: describe_paper(paper)}
    beside = verdicts.beside_published({name: published}, facts)
    verdict = verdicts.judge_papers(beside, facts, dataset)
    if verdict.empty:
        verdict = pd.DataFrame([{"paper": name, **verdicts.NOT_TESTED}], columns=verdicts.VERDICTS)
    runs = tested(predictions).groupby(["variant", "protocol"], observed=True)
    cells = {(name, *run): count for run, count in runs["source_id"].nunique().items()}
    shown = verdicts.headline_rows(beside, verdict)
    return {
        "beside_published": beside.drop(columns="paper"),
        "verdict": verdict,
        "headline": headline(shown, cells, dataset=dataset),
    }


def describe_paper(paper: PaperOptions) -> dict[str, Any]:
    """Give what a paper is judged by."""
    return {"protocol": paper.protocol, "datasets": list(dict.fromkeys(paper.datasets.values()))}


def explore_mistakes(
    predictions: pd.DataFrame, manifest: pd.DataFrame, images: ImageArray
) -> dict[str, Any]:
    """Put the images behind confusion matrices, for the report.

    Returns
    -------
    items
        ``confusion``.
    """
    from wbc_pipeline.evaluation.report.explorer import explore_confusion
    from wbc_pipeline.evaluation.scores.metrics import tested
    from wbc_pipeline.imaging.packing import accepted

    names = accepted(manifest)["image_id"]
    rows = dict(zip(names, range(len(names)), strict=True))
    return {"confusion": explore_confusion(tested(predictions), images.pixels, rows)}


def score_abstention(
    predictions: pd.DataFrame, options: PredictOptions, dataset: str
) -> dict[str, Any]:
    """Score what networks answer if they may abstain, by limits of the validation part.

    Returns
    -------
    items
        ``abstention``: a row per run. ``coverage_risk``: errors among the answered images.
    """
    from wbc_pipeline.evaluation.figures.abstention import coverage_risk
    from wbc_pipeline.evaluation.scores.abstention import abstention_scores

    scores = abstention_scores(predictions, answered=options.confidence.answered)
    figure = coverage_risk(predictions, scores, dataset=dataset)
    return {"abstention": scores, "coverage_risk": figure} if len(scores) else {}


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
) -> tuple[dict[str, Any], Any, Any, dict[str, Any]]:
    """Draw the figures that every paper's report has.

    Returns
    -------
    items
        By name.
    scores_chart, curves_chart
        For kedro-viz.
    run_figures
        Each run's own confusion matrix, by file name.
    """
    from wbc_pipeline.evaluation.figures import images, previews, scores, training
    from wbc_pipeline.evaluation.scores.metrics import tested

    test = tested(predictions)
    return (
        {
            "score_intervals": scores.score_intervals(metrics, published, dataset=dataset),
            "samples_per_class": images.samples_per_class(manifest, dataset=dataset),
            "training_curves": training.training_curves(history, dataset=dataset),
            "confusion_matrices": scores.confusion_matrices(test, dataset=dataset),
            "reliability_diagram": scores.reliability_diagram(
                test, bins=options.bins, dataset=dataset
            ),
            "loss_by_outcome": scores.loss_by_outcome(test, dataset=dataset),
            "inference_time": scores.inference_time(metrics, runs, dataset=dataset),
        },
        previews.plotly_scores(metrics, published, dataset=dataset),
        previews.plotly_curves(history, dataset=dataset),
        {
            "-".join(str(key) for key in keys) + ".png": scores.confusion_matrices(
                run, dataset=dataset
            )
            for keys, run in test.groupby(RUN_KEYS)
        },
    )


def write_report(
    *,
    dataset: str,
    command: str,
    name: str,
    paper: PaperOptions,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    metrics: pd.DataFrame,
    metrics_by_fold: pd.DataFrame,
    runs: pd.DataFrame,
    shift: ShiftOptions | None,
    scores_chart: Any,
    curves_chart: Any,
    robustness_chart: Any,
    **items: dict[str, Any],
) -> str:
    """Write the paper's report as one page of HTML that opens offline."""
    from wbc_pipeline.evaluation.figures import previews
    from wbc_pipeline.evaluation.report.described import caption_of, describe, heading_of
    from wbc_pipeline.evaluation.report.page import Opening, render_report
    from wbc_pipeline.pipelines.splitting.absent_classes import (
        describe_absent_classes,
        describe_left_out,
        describe_moved_parts,
        describe_unused,
    )
    from wbc_pipeline.pipelines.splitting.scope import dealt_sets, describe_outside
    from wbc_pipeline.sources.combined import caveats, set_names

    dealt = dealt_sets(dataset, splits)
    own = {item: shown for group in items.values() for item, shown in group.items()}
    (verdict,) = own.pop("verdict").to_dict("records")
    # A chart takes the place of the picture that shows the same; a file has not kept its texts.
    for item, chart, texts in (
        ("score_intervals", scores_chart, previews.plotly_scores),
        ("training_curves", curves_chart, previews.plotly_curves),
        ("robustness_curves", robustness_chart, previews.plotly_robustness),
    ):
        if chart.data:
            own[item] = describe(chart, heading_of(texts), caption_of(texts))
    del own["confusion_matrices"]
    trainings = [runs, *(own[item] for item in ("trained_detectors",) if item in own)]
    facts = {
        "protocols": sorted(splits["protocol"].unique()),
        "seeds": splits["seed"].nunique(),
        "the paper's protocol": paper.protocol,
        "hardware": sorted(runs["hardware"].unique()),
        "precision": sorted(runs["precision"].unique()),
        "runs in MLflow": describe_tracking(name, dataset),
    }
    return render_report(
        title=paper.title,
        dataset=dataset,
        is_demo="demo" in set_names(dataset),
        summary=describe_command(dataset, command, facts),
        opening=Opening(
            verdict["verdict"], verdict["finding"], {"headline": own.pop("headline")}, NEXT
        ),
        items={
            "beside_published": own.pop("beside_published"),
            "score_intervals": own.pop("score_intervals"),
            "metrics": metrics,
            **({"metrics_by_fold": metrics_by_fold} if metrics_by_fold["fold"].any() else {}),
            "confusion": own.pop("confusion"),
            **{item: shown for item, shown in own.items() if not getattr(shown, "empty", False)},
            "runs": describe(runs, "Trainings", "The trainings behind the scores."),
        },
        notes=[
            *_explain_other_images(dealt, paper),
            *describe_outside(splits),
            *paper.notes,
            *(note for table in trainings for note in _explain_weights(table)),
            *describe_shift(shift, dataset),
            *describe_moved_parts(splits, manifest),
            *describe_left_out(splits, manifest),
            *describe_unused(splits),
            *describe_absent_classes(splits, manifest),
            *explain_kept(),
            *caveats(dataset),
        ],
    )


def describe_command(dataset: str, command: str, facts: dict[str, Any]) -> dict[str, Any]:
    """Give the facts for the head of a report: what was run, when and with which versions."""
    from wbc_pipeline.provenance import provenance

    made = provenance()
    return {
        "data set": dataset,
        "command": command,
        "date": made["date"],
        **facts,
        "git commit": made.get("git_commit", "not in a checkout"),
        "versions": made["versions"],
    }


def describe_tracking(paper: str, dataset: str) -> str:
    """Say where MLflow shows the runs behind a report."""
    from wbc_pipeline.tracking import REPORTS, current_tracker

    tracker = current_tracker.get()
    if tracker is None:
        return "not tracked by this command"
    return (
        f"experiment {paper}, filter tags.dataset = '{dataset}'; this page is an artifact of the "
        f"experiment {REPORTS}; mlflow ui --backend-store-uri {tracker.uri} shows both"
    )


def _explain_other_images(dataset: str, paper: PaperOptions) -> list[str]:
    names = list(paper.datasets.values())
    if dataset in names:
        return []
    return [
        f"The published numbers are of other images ({', '.join(names)}): beside those of "
        f"{dataset} they show the paper's method at work, not whether its result holds."
    ]


def describe_shift(shift: ShiftOptions | None, dataset: str) -> list[str]:
    """Say how the parts were shifted, or why they were not."""
    from wbc_pipeline.sources.combined import come_degraded

    if shift is None or not shift.parts:
        return []
    if come_degraded(dataset):
        return [f"Images of {dataset} come degraded: the shift of the parameters was left out."]
    how = "; ".join(f"{part}: {steps}" for part, steps in shift.parts.items())
    return [f"Images were degraded before views were made of them, by the part they play: {how}."]


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


def explain_kept() -> list[str]:
    """Name the results that were used though other code made them."""
    return [
        f"Used though made by other code (rerun leaves code out): {folder} ({'; '.join(reasons)})."
        for folder, reasons in policy().kept.items()
    ]
