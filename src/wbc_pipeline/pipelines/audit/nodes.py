"""Nodes of the audit: measure images, look for leaks, price them, and report."""

from pathlib import Path
from typing import Any

import pandas as pd

from wbc_pipeline.datasets.images import ImageArray
from wbc_pipeline.datasets.results import Result, Task
from wbc_pipeline.datasets.source import Source
from wbc_pipeline.keys import digest, source_digest
from wbc_pipeline.pipelines.audit.options import CompareOptions, GuessOptions
from wbc_pipeline.pipelines.ingestion.nodes import overlapping_originals, recovered_sources
from wbc_pipeline.pipelines.ingestion.options import IngestionOptions, SourcesOptions
from wbc_pipeline.pipelines.reporting.nodes import describe_command
from wbc_pipeline.pipelines.reporting.options import ScoreOptions
from wbc_pipeline.pipelines.splitting.nodes import SplitError, split_images
from wbc_pipeline.pipelines.splitting.options import Protocols, SplittingOptions

SHOWN_EMPTY = ("conflicts", "duplicate_images")  # that there are none is worth a line
TABLE_ROWS = 100  # of each table in the report; the CSV beside it has all
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
TABLE_CAPTIONS = {
    "defects": "What the tables and figures below say, the serious first.",
    "price": "The same small network under each protocol: means over seeds, with the interval of a "
    "typical seed. The differences are to the protocol source.",
    "leaks": "Shares of the test part whose source, or another source of the same cell, training "
    "or validation has too; means over seeds.",
    "originals": "Originals that the copies of each part were traced to, and how surely.",
    "overlaps": "Pairs of originals that overlap. same cell: whether the box around the white cell "
    "of one lies where that of the other does.",
    "filename_groups": "How far the numbers in file names go with the sources.",
    "conflicts": "Images of one source that carry different labels.",
    "duplicate_images": "Groups of files that show the same spot of a slide, by their closest tie: "
    "the same bytes, the same pixels, alike as they lie, or shifted, turned or zoomed.",
    "shared_files": "Files that stand, byte by byte, in another data set of the same folder.",
    "classes": "Images, sources and independent sources (those that show one cell are one).",
    "counts": "The same by class, domain and published part.",
    "confounding": "From how many laboratories or stains each class comes.",
    "background": "Balanced accuracy of a simple model that sees no cell, cross-validated by "
    "source, with a bootstrap interval and a permutation test over sources.",
    "measurements_explained": "Share of the variance of each measurement that lies between classes "
    "or domains, over sources.",
    "measurements_by_group": "Medians and quartiles.",
    "gap_counts": "Independent cells of the 13 classes of WBCBench 2026, and of others, in every "
    "data set that lies in the same folder.",
    "imbalance": "Largest against smallest class of each data set.",
    "gaps": "Classes that no set covers, or only one laboratory, or few cells.",
    "runs": "The trainings behind the price of a leak.",
}
SHEET_ROWS, SHEET_COPIES = 12, 7  # of the contact sheet of copies under their originals


def measure_images(manifest: pd.DataFrame, images: ImageArray, options: IngestionOptions) -> Task:
    """Describe the measuring of every image at the size of its file: a row per ``ok`` image."""
    from wbc_pipeline.imaging import measurements
    from wbc_pipeline.imaging.packing import accepted

    def compute(folder: Path) -> None:
        paths = accepted(manifest)["path"]
        table = measurements.measure_files(paths, max_pixels=options.max_pixels)
        table.to_parquet(folder / "measurements.parquet")

    key = {"images": images.content_digest, "code": source_digest(measurements)}
    return Task(key, compute)


def guess_classes(manifest: pd.DataFrame, images: ImageArray, options: GuessOptions) -> Task:
    """Describe the guessing of label and domain from pixels that show no cell.

    The table ``guesses`` has a row per target and kind of pixels.
    """
    from wbc_pipeline.evaluation import guessing
    from wbc_pipeline.imaging import background
    from wbc_pipeline.imaging.packing import accepted

    rows = accepted(manifest)
    targets = ["label", "domain"]

    def compute(folder: Path) -> None:
        seen = {
            "border": background.border_features(images.pixels, images.masks),
            "background": background.background_features(images.pixels, images.masks),
        }
        guesses = [
            {"target": target, "features": name}
            | _guess(features, rows[target], rows["source_group"], options)
            for target in targets
            if rows[target].nunique() > 1
            for name, features in seen.items()
        ]
        pd.DataFrame(guesses, columns=GUESS_COLUMNS).to_parquet(folder / "guesses.parquet")

    key = {
        "images": images.content_digest,
        "rows": digest(rows[[*targets, "source_group"]].astype(str).to_numpy().tolist()),
        "options": options.model_dump(),
        "code": source_digest(guessing, background),
    }
    return Task(key, compute)


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
    from wbc_pipeline.imaging.packing import accepted

    images = accepted(manifest)
    splitting = splitting.model_copy(update={"folds": 1})  # leaks are counted in one split a seed
    units = images["source_group"].fillna(images["image_id"])
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
            splits.append(split_images(images, Protocols([protocol]), compare.seeds, splitting))
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


def trace_sources(
    manifest: pd.DataFrame, recovery: dict[str, Result]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Say where sources were recovered from pixels, and which of them show one cell.

    Returns
    -------
    copies
        A row per copy: its original, how sure that is, and whether their labels agree.
    originals
        A row per published part: how many originals its copies show.
    overlaps
        A row per pair of originals of one field of view, with their labels and parts.
    """
    from wbc_pipeline.evaluation import tracing

    copies = recovered_sources(recovery)
    if len(copies):
        copies["label_agrees"] = tracing.check_labels(copies)
    return (
        copies,
        tracing.count_originals(manifest, copies),
        tracing.describe_overlaps(manifest, overlapping_originals(recovery)),
    )


def describe_images(
    manifest: pd.DataFrame, duplicates: Result, measurements: Result, guesses: Result
) -> dict[str, pd.DataFrame]:
    """Count, measure and compare the images: a table per question, by name."""
    from wbc_pipeline.evaluation import audit

    sizes, rejects = audit.describe_files(manifest)
    summary, explained = audit.summarise_measurements(measurements.table("measurements"), manifest)
    return {
        "counts": audit.count_images(manifest),
        "classes": audit.count_images(manifest, by=["label"]),
        "sizes": sizes,
        "refused_files": rejects,
        "measurements_by_group": summary,
        "measurements_explained": explained,
        "duplicate_images": audit.list_duplicates(manifest, duplicates.table("groups")),
        "conflicts": audit.list_conflicts(manifest),
        "background": guesses.table("guesses"),
        "confounding": audit.measure_confounding(manifest),
        "filename_groups": audit.examine_filename_groups(manifest),
    }


def price_leaks(
    manifest: pd.DataFrame, splits: pd.DataFrame, predictions: pd.DataFrame, options: ScoreOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Measure how much each protocol leaks, and what that does to the scores of one network.

    Returns
    -------
    leaks
        A row per protocol: which share of its test part training has seen.
    metrics
        A row per protocol and seed.
    price
        A row per protocol: scores, and their difference to those without a leak.
    """
    from wbc_pipeline.evaluation.audit import measure_leaks, price_of_leak
    from wbc_pipeline.evaluation.scores import score_predictions

    metrics = score_predictions(predictions, **options.model_dump())
    return measure_leaks(splits, manifest), metrics, price_of_leak(metrics)


def compare_data_sets(
    source: Source, manifest: pd.DataFrame, options: SourcesOptions
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Count the cells of each class over all data sets that are present.

    Returns
    -------
    gap_counts, imbalance, gaps
        See ``wbc_pipeline.evaluation.gaps.analyse_gaps``.
    shared_files
        A row per other data set that holds files of this one.
    """
    from wbc_pipeline.evaluation.gaps import analyse_gaps, count_shared_files

    fine = options.model_dump(exclude_none=True) | {"pbc": {"labels": "fine"}}
    labels = source.list_images(fine).set_index("image_id")["label"]
    own = manifest.assign(label=manifest["image_id"].map(labels))
    sources = set(manifest["source_id"].dropna())
    others = {
        name: listing
        for name, listing in source.list_other_sets(fine).items()
        if sources.isdisjoint(listing["source_id"].dropna())  # not the same photographs again
    }
    gaps = analyse_gaps({source.name: own} | others)
    return *gaps, count_shared_files(manifest, others)


def find_defects(
    *,
    refused_files: pd.DataFrame,
    measurements_by_group: pd.DataFrame,
    measurements_explained: pd.DataFrame,
    duplicate_images: pd.DataFrame,
    background: pd.DataFrame,
    copies: pd.DataFrame,
    counts: pd.DataFrame,
    manifest: pd.DataFrame,
    **tables: pd.DataFrame,
) -> pd.DataFrame:
    """Read findings from all tables, the serious ones first."""
    from wbc_pipeline.evaluation import defects
    from wbc_pipeline.imaging.packing import accepted

    return defects.find_defects(
        rejects=refused_files,
        summary=measurements_by_group,
        explained=measurements_explained,
        duplicates=duplicate_images,
        guesses=background,
        recovery=copies,
        patients_known=bool(accepted(manifest)["patient"].notna().all()),
        **tables,
    )


def draw_figures(
    *,
    manifest: pd.DataFrame,
    images: ImageArray,
    measurements: Result,
    counts: pd.DataFrame,
    duplicate_images: pd.DataFrame,
    conflicts: pd.DataFrame,
    background: pd.DataFrame,
    leaks: pd.DataFrame,
    metrics: pd.DataFrame,
    gap_counts: pd.DataFrame,
    dataset: str,
) -> dict[str, Any]:
    """Draw what a table does not show, by name."""
    from wbc_pipeline.evaluation import audit_figures as figures

    pixels = images.pixels
    measured = measurements.table("measurements")
    return {
        "counts_by_class": figures.counts_by_class(counts, dataset=dataset),
        "mean_images": figures.mean_images(pixels, manifest, dataset=dataset),
        "measurement_distributions": figures.measurement_distributions(
            measured, manifest, dataset=dataset
        ),
        "guesses": figures.guesses(background, dataset=dataset),
        "duplicate_sheet": figures.duplicate_sheet(
            duplicate_images, pixels, manifest, dataset=dataset
        ),
        "conflict_sheet": figures.conflict_sheet(conflicts, pixels, manifest, dataset=dataset),
        "filename_sources": figures.filename_sources(manifest, dataset=dataset),
        "leak_shares": figures.leak_shares(leaks, dataset=dataset),
        "leak_price": figures.leak_price(metrics, dataset=dataset),
        "gap_heatmap": figures.gap_heatmap(gap_counts, dataset=dataset),
    }


def draw_recovery(
    *,
    source: Source,
    manifest: pd.DataFrame,
    copies: pd.DataFrame,
    overlaps: pd.DataFrame,
    dataset: str,
    options: IngestionOptions,
) -> dict[str, Any]:
    """Draw copies under their originals, pairs of overlapping originals, and the scores."""
    from wbc_pipeline.evaluation import audit_figures as figures
    from wbc_pipeline.imaging.reading import read_image

    def read(paths: pd.Series) -> list:
        return [read_image(path, max_pixels=options.max_pixels).pixels for path in paths]

    files = source.list_originals().set_index("source_id")["path"] if len(copies) else {}
    shown = copies.sample(frac=1, random_state=0).groupby("source_id").head(SHEET_COPIES)
    names = sorted(shown["source_id"].unique()) if len(shown) else []
    names = names[:: max(len(names) // SHEET_ROWS, 1)][:SHEET_ROWS]
    path_of = manifest.set_index("image_id")["path"]
    rows = [shown[shown["source_id"] == name] for name in names]
    return {
        "recovery_sheet": figures.recovery_sheet(
            read(files[names]) if names else [],
            [read(path_of[row["image_id"]]) for row in rows],
            [row["score"].tolist() for row in rows],
            names,
            dataset=dataset,
        ),
        "overlap_sheet": figures.overlap_sheet(
            overlaps, lambda name: read([files[name]])[0], dataset=dataset
        ),
        "recovery_scores": figures.recovery_scores(copies, dataset=dataset),
    }


def write_report(
    *, dataset: str, command: str, splits: pd.DataFrame, refused: pd.DataFrame, **shown: Any
) -> str:
    """Write the audit as one page of HTML that opens offline."""
    from wbc_pipeline.evaluation.audit_figures import CAPTIONS
    from wbc_pipeline.evaluation.report import render_report
    from wbc_pipeline.sources.listing import load_source

    tables = {
        name: table
        for name, table in shown.items()
        if isinstance(table, pd.DataFrame) and (len(table) or name in SHOWN_EMPTY)
    }
    captions = CAPTIONS | TABLE_CAPTIONS
    for name, table in tables.items():
        if len(table) > TABLE_ROWS:
            shown_part = f"The first {TABLE_ROWS} of {len(table):,} rows; all are in {name}.csv."
            captions[name] = f"{captions.get(name, '')} {shown_part}".strip()
    runs = tables["runs"]
    return render_report(
        title="Audit of the data",
        dataset=dataset,
        is_demo=dataset == "demo",
        summary=describe_command(
            dataset,
            command,
            {
                "protocols compared": list(splits["protocol"].unique()),
                "seeds": splits["seed"].nunique(),
                "hardware": sorted(runs["hardware"].unique()),
            },
        ),
        tables={name: table.head(TABLE_ROWS) for name, table in tables.items()},
        figures={name: figure for name, figure in shown.items() if isinstance(figure, bytes)},
        notes=[
            *load_source(dataset).CAVEATS,
            *(f"{row.protocol} was not compared: {row.reason}" for row in refused.itertuples()),
        ],
        captions=captions,
    )


def _guess(
    features: pd.DataFrame, target: pd.Series, groups: pd.Series, options: GuessOptions
) -> dict[str, float]:
    from wbc_pipeline.evaluation.guessing import chance_test, guess_from_features

    try:
        predictions = guess_from_features(features, target, groups, folds=options.folds)
    except ValueError as reason:  # too few sources, or no cell found to look beside
        return {"reason": str(reason)}
    test = chance_test(
        predictions, groups.loc[predictions.index], permutations=options.permutations
    )
    return {**test, "images": len(predictions), "classes": predictions["label"].nunique()}
