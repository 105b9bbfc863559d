"""A finding, and how its numbers are put into words."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd


class Finding(NamedTuple):
    """A row of the table of findings."""

    severity: str
    finding: str
    evidence: str
    advice: str


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


def count(number: int, noun: str) -> str:
    """Write a number with its noun, in the plural where needed."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def p_value(value: float) -> str:
    """Write a p value with its sign of relation."""
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def with_interval(row: Mapping, name: str = "accuracy") -> str:
    """Write a value of a row with its interval, where there is one."""
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    text = f"{row[name]:.3f}"
    return text if pd.isna(low) else f"{text} [{low:.3f}, {high:.3f}]"


def join_words(items: Iterable[str]) -> str:
    """Join items in words.

    >>> join_words(["a", "b", "c"]), join_words(["a"])
    ('a, b and c', 'a')
    """
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last
