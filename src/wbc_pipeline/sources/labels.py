"""Labels that cannot be trusted: missing, not allowed, or another label misspelt."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

from wbc_pipeline.sources.spelling import fold
from wbc_pipeline.suggestions import suggestion

_RARER = 20  # how many times as frequent the right spelling is, if the letters differ
_LETTERS = 6  # shorter words are never taken for misspelt: SNE and BNE are two classes


def label_problems(
    labels: Sequence[str | None], *, classes: Sequence[str] | None, option: str
) -> list[str | None]:
    """Give the reason why each label cannot be used, if any.

    Parameters
    ----------
    labels
        One per row; None or empty where missing.
    classes
        The labels that are allowed; None allows all but those that look misspelt
        (:func:`lookalikes`).
    option
        Name of the parameter that sets ``classes``, for the message.

    Returns
    -------
    A problem, or None, per label.
    """
    counts = Counter(label for label in labels if label)
    if classes is None:
        found = {
            label: f"label looks misspelt: {label!r} ({counts[label]} rows) for {other!r} "
            f"({counts[other]} rows); correct it or, to keep it, list every class in `{option}`"
            for label, other in lookalikes(counts).items()
        }
    else:
        found = {
            label: f"label not among the classes: {label!r}.{suggestion(label, classes)} "
            f"Correct it or add it to `{option}`"
            for label in counts.keys() - set(classes)
        }
    return [found.get(label) if label else "label missing" for label in labels]


def lookalikes(counts: Mapping[str, int]) -> dict[str, str]:
    """Find labels that look like a misspelling of a more frequent one.

    A label does that if it differs only by what `.spelling.fold` levels, spaces, hyphens or
    underscores; or if the other is at least 20 times as frequent and has the same words but for a
    letter or two, in words of six letters or more. A prefix makes another word (myelocyte,
    promyelocyte), and so does a digit.

    Parameters
    ----------
    counts
        How often each label occurs.

    Returns
    -------
    The label that is meant, by the label that looks misspelt.

    Examples
    --------
    >>> lookalikes({"lymphocyte": 400, "Lymphocyte": 30, "lymphocte": 2, "promyelocyte": 1})
    {'Lymphocyte': 'lymphocyte', 'lymphocte': 'lymphocyte'}
    """
    ordered = sorted(counts, key=lambda label: (-counts[label], label))
    found: dict[str, str] = {}
    for place, label in enumerate(ordered):
        right = [other for other in ordered[:place] if other not in found]
        meant = next((other for other in right if _meant(label, other, counts)), None)
        if meant is not None:
            found[label] = meant
    return found


def _meant(label: str, other: str, counts: Mapping[str, int]) -> bool:
    words, others = _words(label), _words(other)
    if "".join(words) == "".join(others):
        return True
    return (
        counts[other] >= _RARER * counts[label]
        and len(words) == len(others)
        and all(one == two or _close(one, two) for one, two in zip(words, others, strict=True))
    )


def _words(label: str) -> list[str]:
    folded = fold(label)
    if not any(map(str.isalpha, folded)):
        return [folded]  # of numbers, -1 and 1 are two
    return re.split(r"[\s_-]+", folded.strip(" _"))


def _close(one: str, two: str) -> bool:
    shorter = min(len(one), len(two))
    if shorter < _LETTERS or not (one.isalpha() and two.isalpha()):
        return False
    if one.endswith(two) or two.endswith(one):
        return False
    steps = SequenceMatcher(None, one, two, autojunk=False).get_opcodes()
    edits = sum(max(j - i, n - m) for kind, i, j, m, n in steps if kind != "equal")
    return edits <= (1 if shorter < 8 else 2)
