"""One sentence on each paper, made from what it prints and what came of running it again."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.comparison import printed_percent, published_values
from wbc_pipeline.evaluation.scores.directions import SHIFTS
from wbc_pipeline.evaluation.scores.entries import metric_label
from wbc_pipeline.evaluation.scores.protocols import leak_of

HEADLINES = (
    "accuracy",
    "macro_f1",
    "auc",
    "iou_cell",
    "dice_cell",
)  # what a sentence is about: shares
ALWAYS = ("accuracy", "macro_f1")
# Papers differ by a few hundredths: a wider interval holds what is far worse than a printed number
# as well, and reaching this number says nothing for it.
WIDEST_INTERVAL = 0.1
MOST_VARIANTS = 8  # of a headline
BESIDE = [
    *("paper", "variant", "metric", "published", "published_on"),
    *(f"reproduced{end}" for end in ("", "_low", "_high", "_sd")),
    "reproduced_under",
    *(f"leak_free{end}" for end in ("", "_low", "_high", "_sd")),
    *("leak_free_under", "difference", "seeds"),
]
NOT_TESTED = {
    "verdict": "not tested",
    "finding": "None of the variants whose numbers the paper prints was run.",
}
VERDICTS = ["paper", "verdict", "finding", "variant", "metric"]


@described(
    heading="Published, reproduced, leak-free",
    caption="What each paper prints and the data set it is of, what we get under the paper's own "
    "protocol, and what is left when no cell is on two sides of the split: means over seeds with "
    "intervals over cells. A protocol that LEAKS is marked.",
)
def beside_published(
    published: Mapping[str, pd.DataFrame], papers: Mapping[str, Mapping]
) -> pd.DataFrame:
    """Put the tables of all papers below each other, with the protocol behind each number.

    Parameters
    ----------
    published
        By paper, as ``comparison.compare_published`` gives it.
    papers
        By name: ``protocol`` (which it followed) and ``datasets`` (names of those it used).

    Returns
    -------
    DataFrame
        `BESIDE`; a row per paper, variant and metric that the paper prints or that is one of
        `ALWAYS`, as far as the variant was run.
    """
    tables = []
    for paper, table in published.items():
        facts = papers[paper]
        printed = table["published"].fillna("").astype(str)
        was_run = table[["reproduced", "leak_free"]].notna().any(axis=1)
        shown = table[was_run & ((printed != "") | table["metric"].isin(ALWAYS))]
        other = shown["leak_free_protocol"].fillna("").astype(str)
        named = {
            "reproduced_under": shown["reproduced"].map(
                lambda value, own=facts["protocol"]: "" if np.isnan(value) else _marked(own)
            ),
            "leak_free_under": other.where(shown["leak_free"].notna(), ""),
            "published": printed[shown.index],
            "published_on": np.where(printed[shown.index] == "", "", " + ".join(facts["datasets"])),
        }
        tables.append(shown.assign(paper=paper, **named))
    if not tables:
        return pd.DataFrame(columns=BESIDE)
    return pd.concat(tables, ignore_index=True).reindex(columns=BESIDE)


@described(
    heading="Verdicts",
    caption="One sentence on each paper, made from the table of published numbers: its best "
    "printed number among the variants that were run. A number survives if the leak-free interval "
    f"reaches it and is at most {100 * WIDEST_INTERVAL:.0f} points wide, or lies above it; that it "
    "was lost to the leak is said only where the same networks reach it like that under the "
    "paper's own protocol, and not where the leak-free one tests another stain, laboratory or data "
    "set, too.",
)
def judge_papers(beside: pd.DataFrame, papers: Mapping[str, Mapping], dataset: str) -> pd.DataFrame:
    """Judge each paper by its best printed number.

    Parameters
    ----------
    beside
        Of `beside_published`.
    papers
        As for `beside_published`.
    dataset
        That the numbers are of.

    Returns
    -------
    DataFrame
        `VERDICTS`, a row per paper that was run. ``verdict`` is one of ``survives``, ``does not
        survive`` (reached under the paper's own protocol, not leak-free), ``not reached``, ``not
        tested``, ``undecided`` (no interval, one wider than `WIDEST_INTERVAL`, or a shift beside
        the leak) and ``other images``.
    """
    rows = []
    for paper in beside["paper"].unique():
        row = _headline(beside[beside["paper"] == paper])
        if row is None:
            rows.append({"paper": paper, **NOT_TESTED})
            continue
        facts = papers[paper]
        verdict, finding = (
            _judge(row, facts)
            if dataset in facts["datasets"]
            else ("other images", _of_other_images(row, facts, dataset))
        )
        names = {"variant": row["variant"], "metric": row["metric"]}
        rows.append({"paper": paper, "verdict": verdict, "finding": finding} | names)
    return pd.DataFrame(rows, columns=VERDICTS)


def count_verdicts(verdicts: pd.DataFrame) -> str:
    """Say in a sentence how the papers were judged.

    >>> count_verdicts(pd.DataFrame({"paper": ["a", "b"], "verdict": ["survives", "not reached"]}))
    'The best printed number of each paper — a: survives, b: not reached.'
    """
    judged = zip(verdicts["paper"], verdicts["verdict"], strict=True)
    each = ", ".join(f"{paper}: {verdict}" for paper, verdict in judged)
    return f"The best printed number of each paper — {each}." if each else "No paper was judged."


def headline_rows(beside: pd.DataFrame, verdicts: pd.DataFrame) -> pd.DataFrame:
    """Take the rows of `beside_published` that a headline shows.

    Parameters
    ----------
    beside
        Of `beside_published`.
    verdicts
        Of `judge_papers`.

    Returns
    -------
    DataFrame
        Of several papers the row that each is judged by. Of a single one also those of other
        variants whose number of that metric is printed, `MOST_VARIANTS` at most; where none is, the
        accuracy of the first ones.
    """
    judged = verdicts.dropna(subset=["variant", "metric"])
    if len(verdicts) > 1:
        keys = ["paper", "variant", "metric"]
        return judged[keys].merge(beside, on=keys)
    if judged.empty:
        return beside[beside["metric"] == ALWAYS[0]].head(MOST_VARIANTS)
    (variant,), (metric,) = judged["variant"], judged["metric"]
    printed = beside[(beside["metric"] == metric) & (beside["published"] != "")]
    is_other = printed["variant"] != variant
    return printed.loc[is_other.sort_values(kind="stable").index].head(MOST_VARIANTS)


def _headline(table: pd.DataFrame) -> dict | None:
    """Take the row of the best printed number, of the first metric that any is printed of."""
    for metric in HEADLINES:
        rows = table[(table["metric"] == metric) & (table["published"] != "")]
        if len(rows):
            best = rows["published"].map(lambda text: max(_numbers(text)))
            return rows.loc[best.idxmax()].to_dict()
    return None


def _judge(row: Mapping, facts: Mapping) -> tuple[str, str]:
    """Hold the leak-free interval, and where it falls short the reproduced one, against a claim."""
    subject = _subject(row)
    least = min(_numbers(row["published"]))
    clean, under = _measured(row, "leak_free"), row["leak_free_under"]
    if np.isnan(row["leak_free"]):
        found = f"{_measured(row, 'reproduced')} under {_marked(facts['protocol'])}"
        return "not tested", f"{subject} is not tested: {found}, and no leak-free protocol was run."
    if np.isnan(row["leak_free_high"]):
        return "undecided", f"{subject} is undecided: {clean} under {under}, without an interval."
    if row["leak_free_high"] >= least:
        free = f"{clean} with no cell on two sides ({under})"
        if _is_vague(row, "leak_free", least):
            return "undecided", (
                f"{subject} is not refuted, and not confirmed: {free} is an interval of "
                f"{_width(row, 'leak_free')} points, too wide to tell."
            )
        return "survives", f"{subject} survives: {free}."
    if row["reproduced_high"] >= least:
        return _blame_leak(row, facts["protocol"], least)
    return "not reached", f"{subject} is not reached{_where_not(row, facts['protocol'])}."


def _blame_leak(row: Mapping, own: str, least: float) -> tuple[str, str]:
    """Judge a number that the paper's own protocol reaches, and none without a leak."""
    subject, clean, under = _subject(row), _measured(row, "leak_free"), row["leak_free_under"]
    after = f"{_measured(row, 'reproduced')} under {_marked(own)}"
    if _is_vague(row, "reproduced", least):
        return "undecided", (
            f"{subject} is not reached with no cell on two sides, {clean} ({under}); whether the "
            f"leak gave it is undecided: {after} is an interval of {_width(row, 'reproduced')} "
            "points, too wide to tell."
        )
    if under in SHIFTS and own not in SHIFTS:
        return "undecided", (
            f"{subject} is undecided: {clean} under {under}, after {after}; {under} also changes "
            "where images come from, and only source tells what the leak alone was worth."
        )
    return "does not survive", (
        f"{subject} does not survive: {clean} once no cell is on two sides ({under}), after "
        f"{after}."
    )


def _is_vague(row: Mapping, kind: str, printed: float) -> bool:
    """Whether an interval reaches a printed number by its width alone."""
    low, high = row[f"{kind}_low"], row[f"{kind}_high"]
    return low < printed and high - low > WIDEST_INTERVAL


def _width(row: Mapping, kind: str) -> str:
    return f"{100 * (row[f'{kind}_high'] - row[f'{kind}_low']):.1f}"


def _where_not(row: Mapping, own: str) -> str:
    """Say what was measured in place of a number that no protocol has reached."""
    clean, under = _measured(row, "leak_free"), row["leak_free_under"]
    if own == under:
        return f": {clean} under {under}, the paper's own protocol"
    free = f"{clean} with no cell on two sides ({under})"
    if np.isnan(row["reproduced"]):
        return f": {free}; the paper's own protocol, {_marked(own)}, was not run"
    ours = f"{_measured(row, 'reproduced')} under {_marked(own)}"
    return f" under the paper's own protocol either: {ours}, {free}"


def _of_other_images(row: Mapping, facts: Mapping, dataset: str) -> str:
    names = " + ".join(facts["datasets"])
    found = [
        f"{_measured(row, kind)} under {_marked(protocol)}"
        for kind, protocol in (
            ("leak_free", row["leak_free_under"]),
            ("reproduced", facts["protocol"]),
        )
        if not np.isnan(row[kind]) and protocol
    ]
    found = list(dict.fromkeys(found))  # one, where the paper's own protocol is leak-free
    return (
        f"{_subject(row)} is of {names}, and images of {dataset} neither confirm nor refute it: "
        f"here {', '.join(found)}."
    )


def _subject(row: Mapping) -> str:
    return f"{_printed(row)} {metric_label(row['metric'])} of {row['variant']}"


def _marked(protocol: str) -> str:
    leak = leak_of(protocol)
    return protocol if leak == "leak-free" else f"{protocol} ({leak})"


def _numbers(text: str) -> list[float]:
    return published_values(text.split(" / "))


def _printed(row: Mapping) -> str:
    return f"{printed_percent(row['published'])} %"


def _measured(row: Mapping, kind: str) -> str:
    value, low, high = (row[f"{kind}{end}"] for end in ("", "_low", "_high"))
    text = f"{100 * value:.1f}"
    return f"{text} [{100 * low:.1f}, {100 * high:.1f}] %" if np.isfinite(low) else f"{text} %"
