"""Nodes of the audit: measure images, look for leaks, price them, and report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lazy_loader as lazy

from wbc_pipeline.datasets.images import ImageArray, digest_files
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.datasets.source import Source
from wbc_pipeline.keys import Key, code_digest, digest
from wbc_pipeline.pipelines.audit.options import CompareOptions, GuessOptions
from wbc_pipeline.pipelines.ingestion.options import SourcesOptions
from wbc_pipeline.pipelines.reporting.nodes import describe_command, explain_kept
from wbc_pipeline.pipelines.reporting.options import ScoreOptions
from wbc_pipeline.pipelines.splitting.nodes import SplitError, check_splits, split_images
from wbc_pipeline.pipelines.splitting.options import SplittingOptions

pd = lazy.load("pandas")

SHOWN_EMPTY = ("conflicts", "duplicate_images")  # that there are none is worth a line
# What a reader is led to, by the name of its item.
NEXT = {
    "price": "What a leak is worth",
    "leaks": "How many cells each split has on two sides",
    "conflicts": "Images of one cell that carry different labels",
    "suspect_labels": "Labels that look wrong",
    "background": "What the background gives away",
}
GUESSED = ["label", "domain"]
GUESS_COLUMNS = [
    "target",
    "features",
    "balanced_accuracy",
    "balanced_accuracy_low",
    "balanced_accuracy_high",
    "chance",
    "p_permutation",
    "images",
    "classes",
    "reason",  # why nothing could be guessed
]


def measure_images(manifest: pd.DataFrame, images: ImageArray) -> Task:
    """Describe the measuring of every image at the size of its file.

    Returns
    -------
    Task
        Makes the table ``measurements``: a row per ``ok`` image.
    """
    from wbc_pipeline.imaging.measurements import measure_files
    from wbc_pipeline.imaging.packing import accepted

    rows = accepted(manifest)

    def compute(folder: Path) -> None:
        table = measure_files(rows["path"], max_pixels=images.max_pixels)
        table.to_parquet(folder / "measurements.parquet")

    key = Key(
        params={"max_pixels": images.max_pixels},
        data={"images": digest_files(rows)},
        code=code_digest(measure_files),
    )
    return Task(key, compute)


def guess_classes(manifest: pd.DataFrame, images: ImageArray, options: GuessOptions) -> Task:
    """Describe the guessing of label and domain from pixels that show no cell.

    Returns
    -------
    Task
        Makes the table ``guesses``: a row per target and kind of pixels.
    """
    from wbc_pipeline.imaging.background import background_features, border_features
    from wbc_pipeline.imaging.packing import accepted

    rows = accepted(manifest)

    def compute(folder: Path) -> None:
        seen = {
            "border": border_features(images.pixels, images.masks),
            "background": background_features(images.pixels, images.masks),
        }
        guesses = [
            {"target": target, "features": name}
            | _guess(features, rows[target], rows["source_group"], options)
            for target in GUESSED
            if rows[target].nunique() > 1
            for name, features in seen.items()
        ]
        pd.DataFrame(guesses, columns=GUESS_COLUMNS).to_parquet(folder / "guesses.parquet")

    key = Key(
        params=options.model_dump(),
        data={
            "images": images.content_digest,
            "rows": digest(rows[[*GUESSED, "source_group"]].astype(str).to_numpy().tolist()),
        },
        code=code_digest(_guess, border_features, background_features),
    )
    return Task(key, compute)


def _guess(
    features: pd.DataFrame, target: pd.Series, groups: pd.Series, options: GuessOptions
) -> dict[str, float]:
    from wbc_pipeline.evaluation.audit.guessing import chance_test, guess_from_features

    try:
        predictions = guess_from_features(features, target, groups, folds=options.folds)
    except ValueError as reason:  # too few sources, or no cell found to look beside
        return {"reason": str(reason)}
    test = chance_test(
        predictions, groups.loc[predictions.index], permutations=options.permutations
    )
    return {**test, "images": len(predictions), "classes": predictions["label"].nunique()}


def split_for_audit(
    manifest: pd.DataFrame, compare: CompareOptions, splitting: SplittingOptions
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split the images of classes with enough sources under every protocol that can be followed.

    Returns
    -------
    splits
        See ``design``: splits.
    refused
        ``protocol`` and ``reason`` of those that the data set does not allow.

    Raises
    ------
    SplitError
        If no protocol can be followed.
    """
    from wbc_pipeline.imaging.packing import accepted, independent_sources

    images = accepted(manifest)
    splitting = splitting.model_copy(update={"folds": 1})  # leaks are counted in one split a seed
    units = independent_sources(images)
    sources = units.groupby(images["label"]).nunique()
    enough = sources.index[sources >= compare.min_sources]
    if len(enough) < 2:
        counts = ", ".join(f"{label}: {count}" for label, count in sources.items())
        raise SplitError(
            f"A network needs two classes of {compare.min_sources} sources or more to tell apart, "
            f"but there are {counts or 'no labelled images'}. Add images, or lower "
            "`audit.compare.min_sources`."
        )
    images = images[images["label"].isin(enough)]
    splits, refused = [], []
    for protocol in compare.protocols.root:
        try:
            seeds = [
                split_images(images, protocol, seed, splitting) for seed in range(compare.seeds)
            ]
            check_splits(pd.concat(seeds), images)
            splits += seeds
        except SplitError as reason:
            refused.append({"protocol": protocol, "reason": str(reason)})
    if not splits:
        raise SplitError(
            f"No protocol can be followed on these {len(images)} images of {len(enough)} classes "
            f"with {compare.min_sources} sources or more: {refused[0]['reason']}"
        )
    return pd.concat(splits, ignore_index=True), pd.DataFrame(
        refused, columns=["protocol", "reason"]
    )


def price_leaks(
    *,
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    predictions: pd.DataFrame,
    options: ScoreOptions,
    dataset: str,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Measure how much each protocol leaks, and what that does to the scores of one network.

    Returns
    -------
    metrics
        A row per protocol and seed.
    items
        ``price``: scores of each protocol, and their difference to those without a leak.
        ``leaks``: which share of each protocol's test part training has seen. Two figures.
    """
    from wbc_pipeline.evaluation.audit.leaks import measure_leaks, price_of_leak
    from wbc_pipeline.evaluation.figures import leaks as figures
    from wbc_pipeline.evaluation.scores.metrics import score_predictions, tested

    metrics = score_predictions(tested(predictions), **options.model_dump())
    leaks = measure_leaks(splits, manifest)
    return metrics, {
        "price": price_of_leak(metrics),
        "leak_price": figures.leak_price(metrics, dataset=dataset),
        "leaks": leaks,
        "leak_shares": figures.leak_shares(leaks, dataset=dataset),
    }


def compare_images(
    manifest: pd.DataFrame, images: ImageArray, duplicates: Result, dataset: str
) -> dict[str, Any]:
    """Look for images that show one cell: what their names, labels and pixels say of it."""
    from wbc_pipeline.evaluation.audit import tables
    from wbc_pipeline.evaluation.figures import copies as figures

    pixels = images.pixels
    conflicts = tables.list_conflicts(manifest)
    alike = tables.list_duplicates(manifest, duplicates.table("groups"))
    return {
        "filename_groups": tables.examine_filename_groups(manifest),
        "filename_sources": figures.filename_sources(manifest, dataset=dataset),
        "conflicts": conflicts,
        "conflict_sheet": figures.conflict_sheet(conflicts, pixels, manifest, dataset=dataset),
        "duplicate_images": alike,
        "duplicate_sheet": figures.duplicate_sheet(alike, pixels, manifest, dataset=dataset),
    }


def describe_images(
    *,
    manifest: pd.DataFrame,
    images: ImageArray,
    measurements: Result,
    guesses: Result,
    dataset: str,
) -> dict[str, Any]:
    """Count and measure the images, and say what their look depends on."""
    from wbc_pipeline.evaluation.audit import tables
    from wbc_pipeline.evaluation.figures import images as figures
    from wbc_pipeline.evaluation.figures import leaks
    from wbc_pipeline.evaluation.report.described import describe, heading_of

    counts, guessed = tables.count_images(manifest), guesses.table("guesses")
    sizes, refused_files = tables.describe_files(manifest)
    measured = measurements.table("measurements")
    summary, explained = tables.summarise_measurements(measured, manifest)
    return {
        "classes": tables.count_images(manifest, by=["label"]),
        "counts": describe(
            counts, heading_of(counts), "The same by class, domain and published part."
        ),
        "counts_by_class": figures.counts_by_class(counts, dataset=dataset),
        "confounding": tables.measure_confounding(manifest),
        "background": describe(
            guessed,
            "Guessing without the cell",
            "Balanced accuracy of a simple model that sees no cell, cross-validated by source, "
            "with an interval and a permutation test over sources.",
        ),
        "guesses": leaks.guesses(guessed, dataset=dataset),
        "measurements_explained": explained,
        "measurements_by_group": summary,
        "measurement_distributions": figures.measurement_distributions(
            measured, manifest, dataset=dataset
        ),
        "mean_images": figures.mean_images(images.pixels, manifest, dataset=dataset),
        "sizes": sizes,
        "refused_files": refused_files,
    }


def compare_data_sets(
    source: Source, manifest: pd.DataFrame, options: SourcesOptions, dataset: str
) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Count the cells of each class over all data sets that are present.

    Returns
    -------
    shared
        ``shared_files``: a row per other data set that holds files of this one.
    items
        ``gap_counts``, ``imbalance`` and ``gaps``, see `analyse_gaps`, and a figure.
    """
    from wbc_pipeline.evaluation.audit.gaps import analyse_gaps, count_shared_files
    from wbc_pipeline.evaluation.figures.images import gap_heatmap

    listed = list_data_sets(source, manifest, options)
    others = {name: listing for name, listing in listed.items() if name != source.name}
    counts, imbalance, gaps = analyse_gaps(listed)
    return {"shared_files": count_shared_files(manifest, others)}, {
        "gap_counts": counts,
        "gap_heatmap": gap_heatmap(counts, dataset=dataset),
        "imbalance": imbalance,
        "gaps": gaps,
    }


def list_data_sets(
    source: Source, manifest: pd.DataFrame, options: SourcesOptions
) -> dict[str, pd.DataFrame]:
    """List a data set by its finest labels, first, and the others that are present, by name."""
    fine = options.model_dump(exclude_none=True) | {"pbc": {"labels": "fine"}}
    labels = source.list_images(fine).set_index("image_id")["label"]
    own = manifest.assign(label=manifest["image_id"].map(labels))
    sources = set(manifest["source_id"].dropna())
    others = {
        name: listing
        for name, listing in source.list_other_sets(fine).items()
        if sources.isdisjoint(listing["source_id"].dropna())  # not the same photographs again
    }
    return {source.name: own} | others


def find_defects(
    manifest: pd.DataFrame, copies: pd.DataFrame, **items: dict[str, Any]
) -> dict[str, pd.DataFrame]:
    """Read findings from all tables, the serious ones first."""
    from wbc_pipeline.evaluation.audit import defects
    from wbc_pipeline.imaging.packing import accepted

    tables = {name: item for group in items.values() for name, item in group.items()}
    found = defects.find_defects(
        classes=tables["classes"],
        sizes=tables["sizes"],
        rejects=tables["refused_files"],
        summary=tables["measurements_by_group"],
        explained=tables["measurements_explained"],
        duplicates=tables["duplicate_images"],
        conflicts=tables["conflicts"],
        leaks=tables["leaks"],
        filename_groups=tables["filename_groups"],
        confounding=tables["confounding"],
        guesses=tables["background"],
        price=tables["price"],
        suspects=tables["suspect_counts"],
        unjudged=tables["unjudged_classes"],
        recovery=copies,
        overlaps=tables["overlaps"],
        shared_files=tables["shared_files"],
        patients_known=bool(accepted(manifest)["patient"].notna().all()),
    )
    return {"defects": found}


def write_report(
    *,
    dataset: str,
    command: str,
    splits: pd.DataFrame,
    refused: pd.DataFrame,
    runs: pd.DataFrame,
    **items: dict[str, Any],
) -> str:
    """Write the audit as one page of HTML that opens offline."""
    from wbc_pipeline.evaluation.audit.defects import count_findings
    from wbc_pipeline.evaluation.report.described import describe
    from wbc_pipeline.evaluation.report.page import Opening, render_report
    from wbc_pipeline.sources.combined import caveats

    found = {name: item for group in items.values() for name, item in group.items()}
    defects = found.pop("defects")
    facts = {
        "protocols compared": list(splits["protocol"].unique()),
        "seeds": splits["seed"].nunique(),
        "hardware": sorted(runs["hardware"].unique()),
    }
    return render_report(
        title="Audit of the data",
        dataset=dataset,
        is_demo=dataset == "demo",
        summary=describe_command(dataset, command, facts),
        opening=Opening(sentence=count_findings(defects), items={"defects": defects}, next=NEXT),
        items={
            **{
                name: item
                for name, item in found.items()
                if not isinstance(item, pd.DataFrame) or len(item) or name in SHOWN_EMPTY
            },
            "runs": describe(runs, "Trainings", "The trainings behind the price of a leak."),
        },
        notes=[
            *explain_kept(),
            *caveats(dataset),
            *(f"{row.protocol} was not compared: {row.reason}" for row in refused.itertuples()),
        ],
    )
