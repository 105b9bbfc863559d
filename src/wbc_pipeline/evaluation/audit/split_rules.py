"""Rules on sources and splits: what leaks, and what it is worth.

Each rule looks at one or two tables, never at the name of the data set. A threshold is a line that
somebody drew; it stands below with the reason, and the number itself stands in the sentence.
"""

from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd

from wbc_pipeline.evaluation.audit.tables import KINDS
from wbc_pipeline.evaluation.audit.wording import Finding, count, join_words, percent, with_interval
from wbc_pipeline.evaluation.scores.protocols import leak_free_protocol

GAIN = 0.02  # accuracy: papers on these sets call one to two points a gain; a leak can fake as many
FEW_SOURCES = 10  # all of 10 right, the exact 95% interval of a recall still reaches down to 69%
SOME_SOURCES = 30  # of 30, to 88%
UNCERTAIN = 0.01  # of the copies: more than a handful of odd ones


def judge_leaks(leaks: pd.DataFrame) -> Iterator[Finding]:
    """Judge what each protocol lets training see of the test part."""
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


def judge_price(price: pd.DataFrame, leaks: pd.DataFrame) -> Iterator[Finding]:
    """Judge how much higher scores are under a protocol that leaks."""
    if leaks.empty:
        return
    leaked = leaks.set_index("protocol")[["images_leaked", "images_overlapping"]].sum(axis=1)
    leaked = leaked[leaked > 0]
    sound = leak_free_protocol(price["protocol"])  # None without rows
    leak_free = price[price["protocol"] == sound].set_index("variant")
    compared = price[price["protocol"].isin(leaked.index) & price["accuracy_difference"].notna()]
    for row in compared.itertuples():
        reference, share = leak_free.loc[row.variant], leaked[row.protocol]
        explained = min(row.accuracy_difference, share)  # if every leaked image is right by that
        severity = "note"
        if explained >= GAIN:
            severity = "serious" if row.accuracy_low > reference["accuracy_high"] else "caution"
        yield Finding(
            severity,
            f"The model {row.variant} reaches an accuracy of {with_interval(row._asdict())} under "
            f"the protocol {row.protocol} and {with_interval(reference)} under {sound}, a "
            f"difference of {row.accuracy_difference:+.3f}; {percent(share)} of its test images "
            f"under {row.protocol} show a source, or a part of one, that it was trained on.",
            "price, leak price",
            f"Quote the score under {sound}.",
        )


def judge_test_sources(leaks: pd.DataFrame) -> Iterator[Finding]:
    """Judge how many independent sources the test parts show."""
    if leaks.empty:
        return
    # behind a test part that leaks stand many sources, but few that training has not seen
    sound = leaks[(leaks["images_leaked"] < 0.5) & (leaks["fewest_test_sources"] < SOME_SOURCES)]
    sound = sound.sort_values("fewest_test_sources", kind="stable")
    if len(sound):
        fewest = int(sound["fewest_test_sources"].iloc[0])
        each = join_words(
            f"{row.fewest_test_sources} of class {row.fewest_class} under {row.protocol}"
            for row in sound.itertuples()
        )
        yield Finding(
            "serious" if fewest < FEW_SOURCES else "caution",
            f"A class has as few as {count(fewest, 'independent source')} behind a test part "
            f"({each}): even with all of it right, the exact 95% interval of the recall reaches "
            f"down to {percent(0.025 ** (1 / fewest))}.",
            "leaks, leak price",
            "Repeat the split with several seeds or cross-validate by source, and report intervals "
            "over sources; draw no conclusion from this class alone.",
        )


def judge_filename_groups(filename_groups: pd.DataFrame) -> Iterator[Finding]:
    """Judge whether the files' names tell their sources."""
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


def judge_recovery(recovery: pd.DataFrame) -> Iterator[Finding]:
    """Judge how surely sources were recovered from the pixels."""
    if recovery.empty:
        return
    certain, agrees = recovery["certain"].astype(bool), recovery["label_agrees"].dropna()
    disagree = int((~agrees.astype(bool)).sum())
    yield Finding(
        "caution" if certain.mean() < 1 - UNCERTAIN or disagree else "note",
        f"Sources were recovered from the pixels, with certainty for {certain.sum():,} of "
        f"{len(recovery):,} images; {percent(recovery['mirrored'].mean())} are mirrored, and the "
        f"labels of {len(agrees) - disagree:,} of {len(agrees):,} are those of their originals.",
        "originals, recovery sheet, recovery scores",
        "Look at the pairs of lowest score and at those whose labels differ; uncertain images "
        "should stay without a source.",
    )


def judge_overlaps(overlaps: pd.DataFrame) -> Iterator[Finding]:
    """Judge photographs that show one field of view."""
    if overlaps.empty:
        return
    same = overlaps[overlaps["same_cell"].fillna(False).astype(bool)]
    across, differ = (same[same[name]] for name in ("across_parts", "labels_differ"))
    text = f"{count(len(overlaps), 'pair')} of photographs show{'s' * (len(overlaps) == 1)} one "
    text += "field of view"
    if len(same):
        text += f", {len(same):,} of them the same white cell"
    for pairs, what in ((across, "in two published parts"), (differ, "under two labels")):
        if len(pairs):
            text += f"; {count(len(pairs), 'such cell')} stand{'s' * (len(pairs) == 1)} {what}"
            text += f" ({pairs.iloc[0]['first']} and {pairs.iloc[0]['second']})"
    apart = overlaps[overlaps["across_parts"] & ~overlaps["same_cell"].fillna(True).astype(bool)]
    if len(apart):
        text += f"; {count(len(apart), 'other pair')} across published parts "
        text += f"share{'s' * (len(apart) == 1)} only surroundings"
    yield Finding(
        "serious" if len(across) or len(differ) else "caution",
        f"{text}.",
        "overlaps, overlap sheet",
        "Keep such photographs on one side of a split, as the protocol source does.",
    )


def judge_duplicates(duplicates: pd.DataFrame) -> Iterator[Finding]:
    """Judge files that show what another file shows."""
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
    ties = join_words(f"{kind} {number:,}" for kind, number in kinds.items())
    split = int((groups["published_part"].nunique() > 1).sum())
    torn = int((groups["label"].nunique() > 1).sum())
    first = duplicates.loc[duplicates["group"] == duplicates["group"].iloc[0], "image_id"]
    yield Finding(
        "serious" if split else "caution",
        f"{len(duplicates):,} images in {count(groups.ngroups, 'group')} show what another "
        f"file shows (closest tie: {ties}), such as {join_words(first[:2])}; "
        f"{count(split, 'group')} with two published parts, "
        f"{count(torn, 'group')} with two labels.",
        "duplicate images, duplicate sheet",
        "Remove all but one file of a group, or keep each group on one side of a split.",
    )


def judge_shared_files(shared_files: pd.DataFrame) -> Iterator[Finding]:
    """Judge files that other data sets share."""
    for row in shared_files.itertuples():
        yield Finding(
            "caution",
            f"{count(row.files, 'file')} ({row.classes}) also stand{'s' * (row.files == 1)} in "
            f"the data set {row.dataset}, byte by byte.",
            "shared files",
            "Do not train on one of the two sets and test on the other.",
        )
