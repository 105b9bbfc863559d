"""Ids of patients, cells and stains as people write them: with blanks, as NaN, in two spellings."""

import re
from collections import Counter
from collections.abc import Sequence

from wbc_pipeline.sources.spelling import fold

_NO_VALUE = {"", "nan", "na", "n/a", "<na>", "none", "null"}


def reads_as_missing(text: str) -> bool:
    """Whether a cell holds what programs write for no value.

    Examples
    --------
    >>> [reads_as_missing(text) for text in ("NaN", "None", "n/a", "", "Nanette")]
    [True, True, True, False, False]
    """
    return text != "" and fold(text) in _NO_VALUE


def missing_value(text: str, what: str) -> str | None:
    """Warn of a cell that is taken for empty because of :func:`reads_as_missing`; else None."""
    return f"{what} missing: {text!r} reads as no value" if reads_as_missing(text) else None


def clean_ids(ids: Sequence[str], what: str) -> tuple[list[str], list[str | None]]:
    """Strip ids, empty those that mean no value, and give look-alikes one spelling.

    Ids that differ only by what `.spelling.fold` levels, spaces, hyphens or underscores become the
    most frequent of them: were they two people, a split would keep them together for nothing; were
    they one and stayed apart, that person would stand on both sides. Between two digits a
    separator counts, so ``P1-1`` and ``P11`` are two.

    Parameters
    ----------
    ids
        One per row; empty where missing.
    what
        Whose ids they are, for the warnings.

    Returns
    -------
    ids
        The cleaned ones.
    warnings
        Per row, what was changed that was more than blanks at its ends; else None.

    Examples
    --------
    >>> clean_ids(["P1", "P1 ", "p-1", "nan"], "patient")
    (['P1', 'P1', 'P1', ''], [None, None, "patient taken for one spelled alike: 'p-1' for 'P1'", \
"patient missing: 'nan' reads as no value"])
    """
    stripped = [text.strip() for text in ids]
    missing = [missing_value(text, what) for text in stripped]
    kept = ["" if lost else text for text, lost in zip(stripped, missing, strict=True)]
    counts = Counter(filter(None, kept))
    spelling: dict[str, str] = {}
    for text in sorted(counts, key=lambda text: (-counts[text], text)):
        spelling.setdefault(_key(text), text)
    cleaned = [spelling[_key(text)] if text else "" for text in kept]
    warnings: list[str | None] = []
    for text, clean, lost in zip(stripped, cleaned, missing, strict=True):
        alike = f"{what} taken for one spelled alike: {text!r} for {clean!r}"
        warnings.append(lost or (alike if text != clean else None))
    return cleaned, warnings


def _key(text: str) -> str:
    folded = re.sub(r"(?<=\d)[\s_-]+(?=\d)", ".", fold(text))
    if not any(map(str.isalpha, folded)):
        return folded  # of numbers, -1 and 1 are two
    return re.sub(r"[\s_-]+", "", folded)
