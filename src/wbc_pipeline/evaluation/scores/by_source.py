"""What an accuracy rests on: how many independent cells, which classes, which single cells.

``predictions`` are those of the design, test rows alone; only the condition ``clean`` counts. Their
``source_id`` is the independent unit, a cell with all its images. Where sources are not known, what
needs them is missing, never 0.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import (
    interval_columns,
    printed_text,
    summarise_seeds,
)
from wbc_pipeline.evaluation.scores.intervals import (
    bootstrap_interval,
    mean_of_sums,
    resampling_units,
    widen_for_runs,
    wilson_interval,
)
from wbc_pipeline.evaluation.scores.metrics import Outcomes, class_names, each_run, read_outcomes
from wbc_pipeline.imaging.packing import accepted

PROTOCOL_KEYS = ["variant", "protocol"]
FOLD_KEYS = ["protocol", "seed", "fold"]
SUMMARISED = ("accuracy", "macro_f1")


@described(
    heading="Cells that fail",
    caption="Cells by the share of their images that was recognised, the worst first.",
)
def accuracy_by_source(predictions: pd.DataFrame) -> pd.DataFrame:
    """Score each source by itself: many wrong answers may be copies of a few cells.

    Returns
    -------
    DataFrame
        A row per variant, protocol and ``source_id``: ``label`` (the most frequent of its images,
        should they differ), ``images`` (how often one of them was tested, over all seeds),
        ``accuracy``, ``taken_for`` (the most frequent wrong answer, missing if none) and ``seeds``
        (under which it was tested). Variants and protocols in order of appearance, the worst source
        first, and of equals the one with more images. Images of unknown source are left out.
    """
    clean = _clean(predictions)
    outcomes = read_outcomes(clean)
    answers = np.array(outcomes.classes, object)[outcomes.predicted]
    tests = clean[[*PROTOCOL_KEYS, "seed", "source_id", "label"]].assign(
        right=outcomes.correct, taken_for=answers
    )
    keys = [*PROTOCOL_KEYS, "source_id"]
    wrong = tests[~tests["right"]]
    table = (
        tests.groupby(keys, sort=False, observed=True)
        .agg(images=("right", "size"), accuracy=("right", "mean"), seeds=("seed", "nunique"))
        .join(_most_frequent(tests, keys, "label"))
        .join(_most_frequent(wrong, keys, "taken_for"))
        .reset_index()
    )
    place = {name: pd.factorize(table[name])[0] for name in PROTOCOL_KEYS}
    by = [*PROTOCOL_KEYS, "accuracy", "images", "source_id"]
    order = table.assign(**place, images=-table["images"]).sort_values(by).index
    columns = [*keys, "label", "images", "accuracy", "taken_for", "seeds"]
    return table.loc[order, columns].reset_index(drop=True)


@described(
    heading="Recall of each class",
    caption="Share of each class that was recognised, over all seeds, with intervals over cells.",
)
def recalls(
    predictions: pd.DataFrame,
    published: Mapping[str, Mapping[str, object]],
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Put the recall of each class as printed beside ours under each protocol.

    Parameters
    ----------
    predictions
        One row per image and run.
    published
        ``{variant: {class: recall}}``; a class may be written ``recall_<class>``, as beside other
        metrics. Classes that the predictions lack are skipped: data sets differ in their classes.
    level
        Coverage of Wilson's interval over sources, which leaves out the spread between training
        seeds.

    Returns
    -------
    DataFrame
        A row per variant and class: ``label``, ``printed`` (text, empty if there is none), and
        for each protocol its recall over the images of all seeds, with ``_low`` and ``_high``. NaN
        where a variant was not run or a class not tested; from 0 to 1 where it has one source.
    """
    clean = _clean(predictions)
    found = {
        (run["variant"], run["protocol"]): _recall_of_run(rows, outcomes, level)
        for run, rows, outcomes in each_run(clean, PROTOCOL_KEYS)
    }
    protocols = clean["protocol"].unique()
    table = []
    for variant in clean["variant"].unique():
        in_paper = published.get(variant, {})
        for position, label in enumerate(class_names(clean)):
            value = in_paper.get(f"recall_{label}", in_paper.get(label))
            row = {"variant": variant, "label": label, "printed": printed_text(value)}
            for protocol in protocols:
                run = found.get((variant, protocol))
                recall = {} if run is None else run.loc[position].to_dict()
                row |= {
                    f"{protocol}{end}": recall.get(end, np.nan) for end in ("", "_low", "_high")
                }
            table.append(row)
    return pd.DataFrame(table)


@described(
    heading="What the accuracy rests on",
    caption="What each accuracy rests on: means over seeds with intervals over cells, how many "
    "cells were tested, and the share of test images whose cell was trained on. In source_accuracy "
    "each cell counts once, by the share of its images that was recognised.",
)
def protocol_summary(
    predictions: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    unused: pd.DataFrame | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Summarise each variant and protocol, with how many independent cells stand behind it.

    The folds of a seed are pooled (with cross-validation that is every cell once), but an image
    leaks only where its cell has images outside the test part of its own fold.

    Parameters
    ----------
    predictions
        One row per image and run.
    manifest
        Of the same data set: which images show one cell (``source_group``).
    unused
        Rows of ``splits`` of images that no part has, from which nothing leaks; None for none.
    level, resamples, seed
        Of the bootstrap; see ``comparison.summarise_seeds``.

    Returns
    -------
    DataFrame
        A row per variant and protocol: ``seeds``; means over seeds of ``accuracy``, ``macro_f1``
        and ``source_accuracy`` (of cells, each by the share of its images that was recognised;
        missing where one is not known), each with ``_low``, ``_high`` and ``_sd``, and of
        ``test_images``,
        ``test_sources`` (independent cells) and ``images_leaked`` (share of the test images, 0 to
        1, whose cell has images outside the test part, which training has seen; of those of known
        source); over all seeds ``fewest_test_sources`` of a class and that
        ``fewest_class``; ``interval_unit``.

    Raises
    ------
    ValueError
        If a predicted image is not in the manifest; the message names it.
    """
    clean = _clean(predictions)
    scores = summarise_seeds(clean, level=level, resamples=resamples, seed=seed)
    scores = scores.set_index([*PROTOCOL_KEYS, "metric"]).to_dict("index")
    images = accepted(manifest).set_index("image_id")
    unknown = ~clean["image_id"].isin(images.index)
    if unknown.any():
        raise ValueError(
            f"image {clean.loc[unknown, 'image_id'].iloc[0]!r} of the predictions is not among the "
            f"{len(images)} accepted images of the manifest: give the manifest of the same data set"
        )
    classes = class_names(clean)
    # a class that was left out is in no part, so that nothing of it leaks
    sizes = images[images["label"].isin(classes)].groupby("source_group").size()
    groups = images["source_group"]
    tests = clean.assign(
        source_group=clean["image_id"].map(groups), right=read_outcomes(clean).correct
    )
    left = pd.DataFrame(columns=["image_id", *FOLD_KEYS]) if unused is None else unused
    left = left.assign(source_group=left["image_id"].map(groups))
    unseen = left.groupby([*FOLD_KEYS, "source_group"]).size()
    bootstrap = {"level": level, "resamples": resamples, "seed": seed}

    rows = []
    for (variant, protocol), run in tests.groupby(PROTOCOL_KEYS, sort=False, observed=True):
        of_metric = {name: scores[variant, protocol, name] for name in SUMMARISED}
        row = {"variant": variant, "protocol": protocol, "seeds": run["seed"].nunique()}
        of_metric["source_accuracy"] = _score_sources(run, **bootstrap)
        for name, score in of_metric.items():
            row |= interval_columns(name, score)
        row |= pd.DataFrame(_count_tests(run, sizes, unseen)).mean().to_dict()
        row |= _fewest_sources(run, classes)
        rows.append(row | {"interval_unit": of_metric["accuracy"]["interval_unit"]})
    return pd.DataFrame(rows).astype({"fewest_test_sources": "Int64"})


def _clean(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[predictions["condition"] == "clean"]


def _most_frequent(frame: pd.DataFrame, by: Sequence[str], column: str) -> pd.Series:
    """Most frequent value of a column in each group, the first in the alphabet of equals."""
    counts = frame.groupby([*by, column], observed=True).size().rename("count").reset_index()
    most = counts.sort_values("count", ascending=False, kind="stable").drop_duplicates([*by])
    return most.set_index([*by])[column]


def _recall_of_run(rows: pd.DataFrame, outcomes: Outcomes, level: float) -> pd.DataFrame:
    """Recall of each class with its interval, a row per class in the order of the classes."""
    units, _ = resampling_units(rows)
    found = []
    for position in range(len(outcomes.classes)):
        seen = outcomes.truth == position
        images = np.bincount(units[seen])
        hits = np.bincount(units[seen], outcomes.correct[seen])[images > 0]
        low, high = (
            wilson_interval(hits, images[images > 0], level) if seen.any() else (np.nan, np.nan)
        )
        recall = outcomes.correct[seen].mean() if seen.any() else np.nan
        found.append({"": recall, "_low": low, "_high": high})
    return pd.DataFrame(found)


def _score_sources(
    run: pd.DataFrame, *, level: float, resamples: int, seed: int
) -> dict[str, float]:
    """Mean accuracy of cells, over the seeds, and its interval; nothing if one is not known."""
    if run["source_id"].isna().any():
        return {}
    by_cell = run.pivot_table("right", index="source_id", columns="seed", observed=True)  # [U, S]
    labels = _most_frequent(run, ["source_id"], "label").reindex(by_cell.index)
    totals = np.stack([by_cell.fillna(0), by_cell.notna()], axis=-1)  # [U, S, 2]

    def score(sums: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # a resample may hold no cell of a seed: NaN
            return mean_of_sums(sums).mean(axis=-2)

    low, high = bootstrap_interval(
        totals,
        score,
        totals[..., -1].sum(axis=1),
        strata=labels.to_numpy(),
        level=level,
        resamples=resamples,
        seed=seed,
    )
    values = mean_of_sums(totals.sum(axis=0))  # [S, 1]
    low, high = (float(end) for (end,) in widen_for_runs(low, high, values, level))
    low, high = np.clip([low, high], 0, 1)
    return {"mean": values.mean(), "low": low, "high": high, "sd": by_cell.mean().std()}


def _count_tests(run: pd.DataFrame, sizes: pd.Series, unseen: pd.Series) -> Iterator[dict]:
    """Count images and cells of each seed's test part, and the share that training has seen."""
    for _, test in run.groupby("seed"):
        known = test[[*FOLD_KEYS, "source_group"]].dropna(subset="source_group")
        tested = known.groupby(["fold", "source_group"])["fold"].transform("size")
        in_all = sizes.reindex(known["source_group"]).to_numpy()
        in_all = in_all - unseen.reindex(pd.MultiIndex.from_frame(known), fill_value=0).to_numpy()
        yield {
            "test_images": len(test),
            "test_sources": known["source_group"].nunique() or np.nan,
            "images_leaked": (tested < in_all).mean(),  # NaN of none
        }


def _fewest_sources(run: pd.DataFrame, classes: Sequence[str]) -> dict:
    """Fewest cells of a class that any seed tests; 0 if it lacks the class altogether."""
    if run["source_group"].isna().all():
        return {"fewest_test_sources": None, "fewest_class": None}
    cells = run.groupby(["seed", "label"], observed=True)["source_group"].nunique().unstack()
    fewest = cells.reindex(columns=classes).fillna(0).min()
    return {"fewest_test_sources": int(fewest.min()), "fewest_class": fewest.idxmin()}
