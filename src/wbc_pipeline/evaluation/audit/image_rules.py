"""Rules on images and labels: conflicts, confounding, balance and what gives classes away.

Each rule looks at one or two tables, never at the name of the data set. A threshold is a line that
somebody drew; it stands below with the reason, and the number itself stands in the sentence.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from wbc_pipeline.evaluation.audit.tables import COPIES, cramers_v
from wbc_pipeline.evaluation.audit.wording import (
    Finding,
    count,
    join_words,
    p_value,
    percent,
    with_interval,
)

IMBALANCE = 10.0  # largest class over smallest: one that never gives the smallest loses < 9%
CONFLICT = 0.01  # images; no accuracy above 1 minus this can be told from the labels' own errors
STRONG = 0.5  # Cramér's V: what Cohen calls a large effect, or more
LARGE = 0.14  # eta squared: what Cohen calls a large effect
GUESSED = 0.25  # of the way from chance to always right, by pixels that show no cell
MISSED = 0.01  # of all files: more than a handful of damaged or odd ones
BLACK = 0.01  # of an image: more than the dark edge that a camera leaves
RARE_SIZE = 0.01  # of the images: rarer sizes of files are counted together
SHOWN = 3  # examples in a sentence
BESIDE_THE_CELL = ("black_border", "background_red", "background_green", "background_blue")


def judge_conflicts(conflicts: pd.DataFrame, classes: pd.DataFrame) -> Iterator[Finding]:
    """Judge sources whose images carry different labels."""
    images = classes["images"].sum()
    if len(conflicts):
        sources = conflicts.drop_duplicates("source_id")
        shown = join_words(
            f"{row.source_id} ({row.labels})" for row in sources[:SHOWN].itertuples()
        )
        share = len(conflicts) / images
        yield Finding(
            "serious" if share >= CONFLICT else "caution",
            f"Images of one source carry different labels: {count(len(sources), 'source')} with "
            f"{len(conflicts):,} images ({percent(share)} of all), such as {shown}.",
            "conflicts, conflict sheet",
            "Look at them: one label is wrong, or the images show two cells and each label is of "
            "one. Have an expert decide, or leave them out.",
        )
    elif classes["sources"].sum() and images / classes["sources"].sum() >= COPIES:
        yield Finding(
            "note",
            "All images of a source carry the same label.",
            "conflicts",
            "Sources may be split without regard to conflicting labels.",
        )


def judge_confounding(confounding: pd.DataFrame) -> Iterator[Finding]:
    """Judge how far the stain or laboratory gives the class away."""
    known = confounding.dropna(subset=["main_domain"]) if len(confounding) else confounding
    if known.empty:
        yield Finding(
            "caution",
            "The stain or laboratory of the images is not recorded.",
            "confounding",
            "Ask the authors; without it nobody can tell whether it goes with the class.",
        )
        return
    association, single = known["cramers_v"].iloc[0], known[known["domains"] == 1]
    if pd.isna(association):
        yield Finding(
            "note",
            f"All images come from one stain or laboratory ({known['main_domain'].iloc[0]}).",
            "confounding",
            "Scores say nothing about images of another laboratory; test on one.",
        )
        return
    severity = "serious" if association >= STRONG else "caution" if len(single) else "note"
    text = f"Cramér's V of class and domain is {association:.2f}"
    if len(single):
        of_domain = single.groupby("main_domain")["label"].agg(", ".join)
        listed = "; ".join(f"{domain}: {labels}" for domain, labels in of_domain.items())
        text = (
            f"{len(single)} of {len(confounding)} classes come from one stain or laboratory only "
            f"({listed}); {text}"
        )
    yield Finding(
        severity,
        f"{text}.",
        "confounding, counts by class",
        "A network may tell laboratories apart instead of cells: compare classes within one "
        "laboratory, or test on another.",
    )


def judge_guesses(guesses: pd.DataFrame) -> Iterator[Finding]:
    """Judge what can be told from pixels that show no cell."""
    for row in guesses.itertuples():
        if pd.isna(row.balanced_accuracy):
            yield Finding(
                "note",
                f"Whether the {row.features} tells the {row.target} could not be tested: "
                f"{row.reason}",
                "background",
                "Add images, or judge by eye.",
            )
            continue
        text = (
            f"From the {row.features} alone, which shows no cell, the {row.target} is told with a "
            f"balanced accuracy of {with_interval(row._asdict(), 'balanced_accuracy')} "
            f"(chance {row.chance:.3f}, permutation p {p_value(row.p_permutation)})."
        )
        low = row.balanced_accuracy_low
        low = (
            row.balanced_accuracy if pd.isna(low) else low
        )  # no interval where no resample differs
        surely = (low - row.chance) / (1 - row.chance)
        severity = "note"
        if row.target == "label" and surely > 0:
            severity = "serious" if surely >= GUESSED else "caution"
        yield Finding(severity, text, "background, guesses", _GUESS_ADVICE[row.target, surely > 0])


_GUESS_ADVICE = {
    ("label", True): "Mask or crop the surroundings and score again; a network can use what this "
    "guess uses.",
    ("label", False): "The surroundings give the class away to no simple model.",
    ("domain", True): "Report scores per domain, and normalise the stain if domains are pooled.",
    ("domain", False): "The surroundings tell the domains apart to no simple model.",
}


def judge_sizes(sizes: pd.DataFrame) -> Iterator[Finding]:
    """Judge how far the size of a file gives the class away."""
    if sizes.empty:
        return
    names = sizes["width"].astype(str) + " × " + sizes["height"].astype(str)
    counts = sizes["images"].groupby([names, sizes["label"]]).sum().unstack(fill_value=0)
    is_rare = counts.sum(axis=1) < RARE_SIZE * counts.to_numpy().sum()
    common = pd.concat([counts[~is_rare], counts[is_rare].sum().to_frame("rarer").T])
    association = cramers_v(common)
    if association >= STRONG:
        yield Finding(
            "caution",
            f"The size of a file goes with its class (Cramér's V {association:.2f} over "
            f"{len(counts)} sizes, the most frequent {counts.sum(axis=1).idxmax()} pixels).",
            "sizes",
            "Scaling leaves traces of the size in sharpness and proportions: bring all files to "
            "one resolution and shape first.",
        )


def judge_measurements(summary: pd.DataFrame, explained: pd.DataFrame) -> Iterator[Finding]:
    """Judge how far the look of the surroundings depends on class and domain."""
    beside = explained[explained["measurement"].isin(BESIDE_THE_CELL)]
    for grouping, rows in beside[beside["eta_squared"] >= LARGE].groupby("grouping", sort=False):
        largest = rows.loc[rows["eta_squared"].idxmax()]
        yield Finding(
            "caution" if grouping == "label" else "note",
            f"The {grouping} explains {percent(largest['eta_squared'])} of the variance of "
            f"{largest['measurement']}, which the cell itself does not set (over "
            f"{largest['units']:,} sources).",
            "measurements explained, measurement distributions",
            "Check that scores hold when the surroundings are masked or evened out.",
        )
    if "black_border_high" not in summary:
        return
    classes = summary[(summary["grouping"] == "label") & (summary["black_border_high"] >= BLACK)]
    if len(classes):
        worst = classes.loc[classes["black_border_high"].idxmax()]
        yield Finding(
            "caution",
            f"Images have black borders or corners, as turned or shifted copies do: they fill "
            f"{percent(worst['black_border_high'])} or more of a quarter of the images of "
            f"{worst['group']}, and show in {len(classes)} of "
            f"{(summary['grouping'] == 'label').sum()} classes.",
            "measurements by group, measurement distributions, mean images",
            "Take the files for augmented ones, look for their originals, and test on those.",
        )


def judge_balance(classes: pd.DataFrame) -> Iterator[Finding]:
    """Judge how evenly the classes are covered, in images and in sources."""
    labelled = classes.dropna(subset=["label"])
    images = _extremes(labelled, "images")
    sources = _extremes(labelled.dropna(subset=["sources"]), "independent_sources")
    if images and images.ratio >= IMBALANCE:
        yield Finding(
            "caution",
            f"Classes are unbalanced by {images.ratio:.1f} to 1 ({images.text}).",
            "classes, counts by class",
            "Report macro-averaged scores and recalls of each class beside accuracy.",
        )
    if sources and sources.ratio >= COPIES * images.ratio:
        yield Finding(
            "caution",
            f"Classes are balanced by copies: {images.ratio:.1f} to 1 in images but "
            f"{sources.ratio:.1f} to 1 in sources ({sources.text}).",
            "classes, counts by class",
            "Count sources, not files, when judging how well a class is covered.",
        )


def judge_files(classes: pd.DataFrame, rejects: pd.DataFrame) -> Iterator[Finding]:
    """Judge images without a label and files that were refused."""
    unlabelled = classes.loc[classes["label"].isna(), "images"].sum()
    if unlabelled:
        yield Finding(
            "caution",
            f"{unlabelled:,} of {classes['images'].sum():,} images carry no label.",
            "classes",
            "Leave them out of training and test, and say so.",
        )
    if len(rejects):
        reasons = join_words(f"{row.images:,} × {row.reason}" for row in rejects.itertuples())
        yield Finding(
            "caution" if rejects["share"].sum() >= MISSED else "note",
            f"{rejects['images'].sum():,} files ({percent(rejects['share'].sum())}) could not be "
            f"used ({reasons}).",
            "refused files",
            "Mend or remove the files, and say how many are missing per class.",
        )


class _Extremes(NamedTuple):
    ratio: float
    text: str


def _extremes(classes: pd.DataFrame, column: str) -> _Extremes | None:
    """Ratio of the largest to the smallest class, and both in words; None of one class."""
    if len(classes) < 2:
        return None
    ordered = classes.sort_values(column, kind="stable")
    small, large = ordered.iloc[0], ordered.iloc[-1]
    few = f"{small['label']} {small[column]:,} {column.replace('_', ' ')}"
    text = f"{large['label']} {large[column]:,} against {few}"
    return _Extremes(float(large[column] / small[column]), text)
