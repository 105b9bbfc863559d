"""What is wrong, doubtful and right with an image set: sentences read from the tables of ``audit``.

Each rule looks at one or two tables, never at the name of the data set. A threshold is a line that
somebody drew; it stands below with the reason, and the number itself stands in the sentence.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from wbc_pipeline.evaluation.audit import COPIES, KINDS, cramers_v

SEVERITIES = ("serious", "caution", "note")

GAIN = 0.02  # accuracy: papers on these sets call one to two points a gain; a leak can fake as many
FEW_SOURCES = 10  # all of 10 right, the exact 95% interval of a recall still reaches down to 69%
SOME_SOURCES = 30  # of 30, to 88%
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


class Finding(NamedTuple):
    """A row of the table of findings."""

    severity: str
    finding: str
    evidence: str
    advice: str


def find_defects(
    *,
    classes: pd.DataFrame,
    sizes: pd.DataFrame,
    rejects: pd.DataFrame,
    summary: pd.DataFrame,
    explained: pd.DataFrame,
    duplicates: pd.DataFrame,
    conflicts: pd.DataFrame,
    leaks: pd.DataFrame,
    filename_groups: pd.DataFrame,
    confounding: pd.DataFrame,
    guesses: pd.DataFrame,
    price: pd.DataFrame,
    recovery: pd.DataFrame,
    overlaps: pd.DataFrame,
    shared_files: pd.DataFrame,
    patients_known: bool,
) -> pd.DataFrame:
    """Read findings from the tables of an audit.

    Parameters
    ----------
    classes
        Of ``count_images(manifest, by=["label"])``.
    sizes, rejects
        Of ``describe_files``.
    summary, explained
        Of ``summarise_measurements``.
    duplicates, conflicts, leaks, filename_groups, confounding
        Of ``list_duplicates``, ``list_conflicts``, ``measure_leaks``, ``examine_filename_groups``
        and ``measure_confounding``. No rows of duplicates or conflicts mean that none were found.
    guesses
        Classes or domains told from pixels that show no cell: ``target`` (label or domain),
        ``features``, ``balanced_accuracy`` with ``_low`` and ``_high``, ``chance``,
        ``p_permutation``, and ``reason`` where nothing could be guessed. May be empty.
    price
        Of ``price_of_leak``. May be empty.
    recovery
        Sources recovered from pixels: a row per image with ``certain`` and ``mirrored`` (bool),
        ``label_agrees`` (bool or missing). May be empty.
    overlaps
        Of ``tracing.describe_overlaps``. May be empty.
    shared_files
        Of ``gaps.count_shared_files``. May be empty.
    patients_known
        Whether every image says whose blood it shows.

    Returns
    -------
    DataFrame
        A row per finding: ``severity`` (serious, caution, note; in this order), ``finding`` (a
        sentence with its numbers), ``evidence`` (keys of the tables and figures behind it) and
        ``advice``. The evidence is named as the report of the pipeline ``audit`` names it.
    """
    found = [
        *_judge_leaks(leaks),
        *_judge_price(price, leaks),
        *_judge_test_sources(leaks),
        *_judge_filename_groups(filename_groups),
        *_judge_recovery(recovery),
        *_judge_overlaps(overlaps),
        *_judge_duplicates(duplicates),
        *_judge_conflicts(conflicts, classes),
        *_judge_shared_files(shared_files),
        *_judge_confounding(confounding),
        *_judge_guesses(guesses),
        *_judge_sizes(sizes),
        *_judge_measurements(summary, explained),
        *_judge_balance(classes),
        *_judge_files(classes, rejects),
    ]
    found += [] if patients_known else [_PATIENTS]
    table = pd.DataFrame(found, columns=Finding._fields)
    return table.sort_values(
        "severity", key=lambda names: names.map(SEVERITIES.index), kind="stable", ignore_index=True
    )


def percent(share: float) -> str:
    """Write a share so that only none is 0% and only all is 100%.

    >>> percent(0.003), percent(0.97), percent(0.9999), percent(1), percent(0)
    ('0.3%', '97%', 'over 99.9%', '100%', '0%')
    """
    if 0 < share < 0.001:
        return "under 0.1%"
    if 0.999 < share < 1:
        return "over 99.9%"
    decimals = 1 if 0 < share < 0.1 or 0.99 < share < 1 else 0
    return f"{100 * share:.{decimals}f}%"


_PATIENTS = Finding(
    "note",
    "No table names the patient or the slide behind a cell, so cells of one patient may stand on "
    "both sides of every split.",
    "",
    "Ask the authors which cells belong to which patient; report scores as per cell, not per "
    "patient.",
)


def _judge_leaks(leaks: pd.DataFrame) -> Iterator[Finding]:
    for row in leaks.itertuples():
        if pd.notna(row.missing_classes) and row.missing_classes:
            yield Finding(
                "serious",
                f"Under the protocol {row.protocol} parts lack classes ({row.missing_classes}).",
                "leaks",
                "Report no score of such a class under this protocol.",
            )
    if leaks.empty:
        return
    least = leaks.loc[leaks["source_known"].idxmin()]
    if least["source_known"] < 1:
        yield _unknown_sources(least["source_known"], least["images"])
    for row in leaks[leaks["images_leaked"].notna()].itertuples():
        yield _judge_leak(row)
        if row.images_overlapping:
            yield Finding(
                "serious" if row.images_overlapping >= GAIN else "caution",
                f"Under the protocol {row.protocol} {percent(row.images_overlapping)} of the test "
                "images show a source that is not trained on itself, but has the field of view, a "
                "near-duplicate or the patient in common with one that is.",
                "leaks, leak shares, overlaps",
                "Keep such sources on one side of a split.",
            )


def _unknown_sources(known: float, images: int) -> Finding:
    if known:
        consequence = "the shares of leaked images are lower bounds"
    else:
        consequence = "whether a split puts copies of one cell on both sides cannot be told"
    return Finding(
        "caution" if known else "serious",
        f"The source is known for {percent(known)} of the {images:,} images: {consequence}.",
        "leaks",
        "Recover the sources from the pixels or ask the authors; call no score leak-free before.",
    )


def _judge_leak(row: NamedTuple) -> Finding:
    behind = f"{row.test_images:,.0f} test images of {row.test_sources:,.0f} independent sources"
    sources = f"{row.sources:,} sources"
    if row.independent_sources < row.sources:
        sources += f", of which {row.independent_sources:,} are independent"
    if row.images_leaked == 0:
        return Finding(
            "note",
            f"Under the protocol {row.protocol} no source stands in both training and test part "
            f"({behind}).",
            "leaks, leak shares",
            "Scores under this protocol do not gain from copies of test images.",
        )
    return Finding(
        "serious" if row.images_leaked >= GAIN else "caution",
        f"Under the protocol {row.protocol} {percent(row.images_leaked)} of the {behind} show a "
        f"source that is also trained on; {row.images:,} images show {sources}.",
        "leaks, leak shares",
        "Split by source; do not compare scores of this protocol with leak-free ones.",
    )


def _judge_price(price: pd.DataFrame, leaks: pd.DataFrame) -> Iterator[Finding]:
    if leaks.empty:
        return
    leaked = leaks.set_index("protocol")[["images_leaked", "images_overlapping"]].sum(axis=1)
    leaked = leaked[leaked > 0]
    leak_free = price[price["protocol"] == "source"].set_index("variant")
    compared = price[price["protocol"].isin(leaked.index) & price["accuracy_difference"].notna()]
    for row in compared.itertuples():
        source, share = leak_free.loc[row.variant], leaked[row.protocol]
        explained = min(row.accuracy_difference, share)  # if every leaked image is right by that
        severity = "note"
        if explained >= GAIN:
            severity = "serious" if row.accuracy_low > source["accuracy_high"] else "caution"
        yield Finding(
            severity,
            f"The model {row.variant} reaches an accuracy of {_interval(row._asdict())} under the "
            f"protocol {row.protocol} and {_interval(source)} under source, a difference of "
            f"{row.accuracy_difference:+.3f}; {percent(share)} of its test images under "
            f"{row.protocol} show a source, or a part of one, that it was trained on.",
            "price, leak price",
            "Quote the score under source.",
        )


def _judge_test_sources(leaks: pd.DataFrame) -> Iterator[Finding]:
    if leaks.empty:
        return
    # behind a test part that leaks stand many sources, but few that training has not seen
    sound = leaks[(leaks["images_leaked"] < 0.5) & (leaks["fewest_test_sources"] < SOME_SOURCES)]
    sound = sound.sort_values("fewest_test_sources", kind="stable")
    if len(sound):
        fewest = int(sound["fewest_test_sources"].iloc[0])
        each = _and(
            f"{row.fewest_test_sources} of class {row.fewest_class} under {row.protocol}"
            for row in sound.itertuples()
        )
        yield Finding(
            "serious" if fewest < FEW_SOURCES else "caution",
            f"A class has as few as {_count(fewest, 'independent source')} behind a test part "
            f"({each}): even with all of it right, the exact 95% interval of the recall reaches "
            f"down to {percent(0.025 ** (1 / fewest))}.",
            "leaks, leak price",
            "Repeat the split with several seeds or cross-validate by source, and report intervals "
            "over sources; draw no conclusion from this class alone.",
        )


def _judge_filename_groups(filename_groups: pd.DataFrame) -> Iterator[Finding]:
    for row in filename_groups.itertuples():
        agreement = f"adjusted mutual information {row.adjusted_mutual_information:.2f}"
        if row.sources_spread == 0:
            yield Finding(
                "note",
                f"Each of the {row.sources:,} sources stands in one of the "
                f"{row.filename_groups:,} groups that the file names suggest ({agreement}).",
                "filename groups",
                "Splitting by file name keeps sources together.",
            )
            continue
        yield Finding(
            "serious",
            f"The group that a file's name suggests is not its source: one of the "
            f"{row.filename_groups:,} groups covers up to {row.most_sources_per_group} sources "
            f"({row.sources_per_group:.1f} on average; up to {row.most_within_class} within one "
            f"class and published part), and {row.sources_spread:,} of "
            f"{row.sources:,} sources are spread over several groups ({agreement}).",
            "filename groups",
            "Do not split by file name, and do not take such a split for a leak-free one.",
        )


def _judge_recovery(recovery: pd.DataFrame) -> Iterator[Finding]:
    if recovery.empty:
        return
    certain, agrees = recovery["certain"].astype(bool), recovery["label_agrees"].dropna()
    disagree = int((~agrees.astype(bool)).sum())
    yield Finding(
        "caution" if certain.mean() < 1 - MISSED or disagree else "note",
        f"Sources were recovered from the pixels, with certainty for {certain.sum():,} of "
        f"{len(recovery):,} images; {percent(recovery['mirrored'].mean())} are mirrored, and the "
        f"labels of {len(agrees) - disagree:,} of {len(agrees):,} are those of their originals.",
        "originals, recovery sheet, recovery scores",
        "Look at the pairs of lowest score and at those whose labels differ; uncertain images "
        "should stay without a source.",
    )


def _judge_overlaps(overlaps: pd.DataFrame) -> Iterator[Finding]:
    if overlaps.empty:
        return
    same = overlaps[overlaps["same_cell"].fillna(False).astype(bool)]
    across, differ = (same[same[name]] for name in ("across_parts", "labels_differ"))
    text = f"{_count(len(overlaps), 'pair')} of photographs show{'s' * (len(overlaps) == 1)} one "
    text += "field of view"
    if len(same):
        text += f", {len(same):,} of them the same white cell"
    for pairs, what in ((across, "in two published parts"), (differ, "under two labels")):
        if len(pairs):
            text += f"; {_count(len(pairs), 'such cell')} stand{'s' * (len(pairs) == 1)} {what}"
            text += f" ({pairs.iloc[0]['first']} and {pairs.iloc[0]['second']})"
    apart = overlaps[overlaps["across_parts"] & ~overlaps["same_cell"].fillna(True).astype(bool)]
    if len(apart):
        text += f"; {_count(len(apart), 'other pair')} across published parts "
        text += f"share{'s' * (len(apart) == 1)} only surroundings"
    yield Finding(
        "serious" if len(across) or len(differ) else "caution",
        f"{text}.",
        "overlaps, overlap sheet",
        "Keep such photographs on one side of a split, as the protocol source does.",
    )


def _judge_duplicates(duplicates: pd.DataFrame) -> Iterator[Finding]:
    if duplicates.empty:
        yield Finding(
            "note",
            "No two files are identical, and no near-duplicates stand under two sources, labels or "
            "published parts.",
            "duplicate images",
            "Splitting by source is enough to keep duplicates together.",
        )
        return
    groups = duplicates.groupby("group", sort=False)
    kinds = groups["kind"].agg(lambda found: min(found, key=KINDS.index)).value_counts()
    split = int((groups["published_part"].nunique() > 1).sum())
    torn = int((groups["label"].nunique() > 1).sum())
    first = duplicates.loc[duplicates["group"] == duplicates["group"].iloc[0], "image_id"]
    yield Finding(
        "serious" if split else "caution",
        f"{len(duplicates):,} images in {_count(groups.ngroups, 'group')} show what another "
        f"file shows (closest tie: {_and(f'{kind} {kinds[kind]:,}' for kind in kinds.index)}), "
        f"such as {_and(first[:2])}; {_count(split, 'group')} with two published parts, "
        f"{_count(torn, 'group')} with two labels.",
        "duplicate images, duplicate sheet",
        "Remove all but one file of a group, or keep each group on one side of a split.",
    )


def _judge_conflicts(conflicts: pd.DataFrame, classes: pd.DataFrame) -> Iterator[Finding]:
    images = classes["images"].sum()
    if len(conflicts):
        sources = conflicts.drop_duplicates("source_id")
        shown = _and(f"{row.source_id} ({row.labels})" for row in sources[:SHOWN].itertuples())
        share = len(conflicts) / images
        yield Finding(
            "serious" if share >= CONFLICT else "caution",
            f"Images of one source carry different labels: {_count(len(sources), 'source')} with "
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


def _judge_shared_files(shared_files: pd.DataFrame) -> Iterator[Finding]:
    for row in shared_files.itertuples():
        yield Finding(
            "caution",
            f"{_count(row.files, 'file')} ({row.classes}) also stand{'s' * (row.files == 1)} in "
            f"the data set {row.dataset}, byte by byte.",
            "shared files",
            "Do not train on one of the two sets and test on the other.",
        )


def _judge_confounding(confounding: pd.DataFrame) -> Iterator[Finding]:
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


def _judge_guesses(guesses: pd.DataFrame) -> Iterator[Finding]:
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
            f"balanced accuracy of {_interval(row._asdict(), 'balanced_accuracy')} "
            f"(chance {row.chance:.3f}, permutation p {_p(row.p_permutation)})."
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


def _judge_sizes(sizes: pd.DataFrame) -> Iterator[Finding]:
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


def _judge_measurements(summary: pd.DataFrame, explained: pd.DataFrame) -> Iterator[Finding]:
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


def _judge_balance(classes: pd.DataFrame) -> Iterator[Finding]:
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


def _judge_files(classes: pd.DataFrame, rejects: pd.DataFrame) -> Iterator[Finding]:
    unlabelled = classes.loc[classes["label"].isna(), "images"].sum()
    if unlabelled:
        yield Finding(
            "caution",
            f"{unlabelled:,} of {classes['images'].sum():,} images carry no label.",
            "classes",
            "Leave them out of training and test, and say so.",
        )
    if len(rejects):
        reasons = _and(f"{row.images:,} × {row.reason}" for row in rejects.itertuples())
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


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _interval(row: Mapping, name: str = "accuracy") -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    text = f"{row[name]:.3f}"
    return text if pd.isna(low) else f"{text} [{low:.3f}, {high:.3f}]"


def _and(items: Iterable[str]) -> str:
    """Join items in words.

    >>> _and(["a", "b", "c"]), _and(["a"])
    ('a, b and c', 'a')
    """
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last
