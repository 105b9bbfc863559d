"""The challenge paper's own tables and figures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.source import Source
from wbc_pipeline.pipelines.challenge.options import ExperimentsOptions, MaturationOptions
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.experiment.shifting import as_shown
from wbc_pipeline.pipelines.ingestion.options import SourcesOptions
from wbc_pipeline.pipelines.preprocessing.options import PART_MARK
from wbc_pipeline.pipelines.reporting.options import PrintedOptions, Published, ScoreOptions
from wbc_pipeline.suggestions import suggestion

pd = lazy.load("pandas")
_log = logging.getLogger(__name__)


def list_experiments(
    *,
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    experiments: ExperimentsOptions,
    published: Published,
    variants: Variants,
    score: ScoreOptions,
) -> dict[str, pd.DataFrame]:
    """List the rows of the paper's tables of experiments beside ours, and on which backbone."""
    from wbc_pipeline.evaluation.scores import experiments as tables

    table = tables.list_experiments(
        predictions,
        manifest,
        experiments.rows,
        published,
        validation=experiments.validation,
        baseline=experiments.baseline,
        resamples=score.resamples,
        level=score.level,
    )
    networks = {
        name: variant.arguments.get("backbone", variant.network)
        for name, variant in variants.networks.items()
    }
    table.insert(2, "backbone", table["variant"].map(networks).fillna("ensemble"))
    return {"experiments": table}


def judge_claims(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    claims: dict[str, dict],
    score: ScoreOptions,
) -> dict[str, pd.DataFrame]:
    """Judge what the paper, and this project, claim."""
    from wbc_pipeline.evaluation.scores.hypotheses import judge_hypotheses
    from wbc_pipeline.evaluation.scores.metrics import class_names, tested

    classes = class_names(predictions)
    named = {
        name: claim | {"classes": _own_names(claim.get("classes", ()), classes, f"claims.{name}")}
        for name, claim in claims.items()
    }
    how = {"resamples": score.resamples, "level": score.level}
    return {"claims": judge_hypotheses(tested(predictions), manifest, named, **how)}


def score_classes(
    predictions: pd.DataFrame,
    families: dict[str, list[str]],
    printed: PrintedOptions,
    score: ScoreOptions,
    dataset: str,
) -> dict[str, Any]:
    """Score each class beside what is printed of it, and compare families of networks."""
    from wbc_pipeline.evaluation.figures.maturation import family_recalls
    from wbc_pipeline.evaluation.scores.experiments import best_by_validation
    from wbc_pipeline.evaluation.scores.fine_classes import recalls_with_support
    from wbc_pipeline.evaluation.scores.metrics import tested

    recalls = recalls_with_support(tested(predictions), printed.recalls, level=score.level)
    protocol = _leak_free(predictions)
    best = best_by_validation(predictions, families, protocol=protocol)
    return {
        "class_recalls": recalls,
        "family_recalls": family_recalls(recalls, best, protocol=protocol, dataset=dataset),
    }


def follow_maturation(
    predictions: pd.DataFrame, maturation: MaturationOptions, score: ScoreOptions, dataset: str
) -> dict[str, Any]:
    """Say how cells are mistaken along the chain of maturation."""
    from wbc_pipeline.evaluation.figures.maturation import chain_matrices
    from wbc_pipeline.evaluation.scores import maturation as tables
    from wbc_pipeline.evaluation.scores.fine_classes import labels_of
    from wbc_pipeline.evaluation.scores.metrics import class_names, tested

    classes = class_names(predictions)
    chain = _own_names(maturation.chain, classes, "maturation.chain")
    precursors = labels_of(maturation.precursors, classes)  # which are of the chain
    test = tested(predictions)
    run = [*test["variant"].unique()]
    shown = [name for name in maturation.shown if name in run] or run[:1]
    drawn = test[test["variant"].isin(shown) & (test["protocol"] == _leak_free(predictions))]
    counts = tables.chain_confusion(drawn, chain)
    return {
        "chain_errors": tables.chain_errors(test, chain, precursors, level=score.level),
        "chain_matrices": chain_matrices(counts, dataset=dataset),
    }


def report_crops(
    manifest: pd.DataFrame, splits: pd.DataFrame, views: dict[str, ImageArray]
) -> dict[str, pd.DataFrame]:
    """Count the images in which a view's step found no cell, and which it shows whole.

    A shifted view ``<view>@<part>`` is counted over the images that play this part in some split,
    and the view as it is over those of the parts that are not shifted.
    """
    from wbc_pipeline.evaluation.localization.misses import count_misses
    from wbc_pipeline.imaging.packing import accepted

    found = {}
    for name, view in views.items():
        if not (view.result.folder / "regions.parquet").is_file():
            continue
        regions, part = view.result.table("regions"), name.partition(PART_MARK)[2]
        shifted = {
            other.partition(PART_MARK)[2] for other in views if other.startswith(name + PART_MARK)
        }
        if part or shifted:
            plays = splits["part"].eq(part) if part else ~splits["part"].isin(shifted)
            regions = regions[regions["image_id"].isin(splits.loc[plays, "image_id"])]
        if len(regions):
            found[name] = regions
    return {"crop_misses": count_misses(found, accepted(manifest))} if found else {}


def list_missed(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    views: dict[str, ImageArray],
    variants: Variants,
    dataset: str,
) -> dict[str, Any]:
    """List the images that every network misses, and show them."""
    from wbc_pipeline.evaluation.audit.suspects import missed_by_all
    from wbc_pipeline.evaluation.figures.suspects import missed_sheet
    from wbc_pipeline.evaluation.scores.metrics import tested
    from wbc_pipeline.pipelines.suspects.nodes import pixels_of

    test = tested(predictions)
    chosen = test["variant"].isin(variants.networks) & (test["condition"] == "clean")
    chosen &= test["protocol"] == _leak_free(predictions)
    missed = missed_by_all(test[chosen])
    view = as_shown(next(iter(views)), "test", views)  # as the networks saw it
    return {
        "missed_by_all": missed,
        "missed_sheet": missed_sheet(missed, partial(pixels_of, manifest, view), dataset=dataset),
    }


def compare_gaps(
    source: Source, sources: SourcesOptions, manifest: pd.DataFrame, printed_gaps: dict[str, dict]
) -> dict[str, pd.DataFrame]:
    """Put the paper's analysis of classes that lack images beside that of the sets at hand."""
    from wbc_pipeline.evaluation.audit import gaps
    from wbc_pipeline.pipelines.audit.nodes import list_data_sets

    counts, _, _ = gaps.analyse_gaps(list_data_sets(source, manifest, sources))
    return {"class_gaps": gaps.compare_gaps(counts, printed_gaps, dataset=source.name)}


def _own_names(names: Sequence[str], classes: Sequence[str], where: str) -> list[str]:
    """Give the data set's names of classes, and warn of those that nobody knows.

    Codes of classes that the data set lacks are left out without a word, as in any set of fewer.
    """
    from wbc_pipeline.evaluation.scores.fine_classes import KNOWN_CODES, labels_of

    known = [*KNOWN_CODES, *classes]
    for name in (each for each in names if each not in known):
        _log.warning(
            "challenge.%s: %s is neither a class of the data set nor a code of the challenge, and "
            "is left out.%s",
            where,
            name,
            suggestion(name, known),
        )
    return labels_of(names, classes)


def _leak_free(predictions: pd.DataFrame) -> str:
    """Name the protocol whose numbers count; the first one if all of them leak."""
    from wbc_pipeline.evaluation.scores.protocols import leak_free_protocol

    protocols = predictions["protocol"].unique()
    return leak_free_protocol(protocols) or protocols[0]
