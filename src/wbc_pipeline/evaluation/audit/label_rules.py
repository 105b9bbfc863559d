"""Rules on labels that cross-validated classifiers deny."""

from collections.abc import Iterator

import pandas as pd

from wbc_pipeline.evaluation.audit.wording import Finding, count, percent

MANY = 0.02  # of the labels: two points of accuracy that no network can gain
# Agreement with the labels, mean over classes. Where it was 0.95 or more, 9 of 10 suspects among
# labels of which 5 % had been changed on purpose were changed ones; where it was 0.85, 4 of 10.
TRUSTED = 0.9
_EVIDENCE = "suspect counts, suspect labels, suspect sheet"


def judge_suspects(suspects: pd.DataFrame, unjudged: pd.DataFrame) -> Iterator[Finding]:
    """Judge how many labels are suspect, and whether the set is large enough to tell.

    Parameters
    ----------
    suspects
        Of ``suspects.count_suspects``; no rows where no label was judged.
    unjudged
        A row per class that was left out: ``label``, ``cells``, ``needed``.
    """
    if suspects.empty and unjudged.empty:
        return
    classes = ", ".join(f"{row.label} ({row.cells})" for row in unjudged.itertuples())
    if suspects.empty:
        yield Finding(
            "note",
            "The set is too small to say which labels are suspect: fewer than two classes have "
            f"{unjudged['needed'].iloc[0]} cells. Too few have {classes}.",
            "unjudged classes",
            "Add cells, or lower `audit.suspects.split.min_cells` and trust the outcome less.",
        )
        return
    agreement = (suspects["agreed"] / suspects["cells"]).mean()
    total, cells = suspects["suspects"].sum(), suspects["cells"].sum()
    found = (
        f"{count(total, 'label')} of {count(cells, 'cell')} ({percent(total / cells)}) are "
        "suspect: classifiers that have not seen the cell take it for something else. They agree "
        f"with {percent(agreement)} of the labels, mean over classes"
    )
    if agreement < TRUSTED:
        yield Finding(
            "caution",
            f"{found}: too few cells, or classes too alike, for most suspicions to be right.",
            _EVIDENCE,
            "Look at the sheet; take a suspicion as a question to an expert, not as an answer.",
        )
    else:
        yield Finding(
            "serious" if total / cells >= MANY else "caution" if total else "note",
            f"{found}.",
            _EVIDENCE,
            "Have an expert look at them. Report scores with all labels; those without suspect "
            "ones stand beside them, never alone.",
        )
    if len(unjudged):
        yield Finding(
            "note",
            f"Labels of classes with fewer than {unjudged['needed'].iloc[0]} cells were not "
            f"judged: {classes}.",
            "unjudged classes",
            "Add cells of these classes.",
        )
