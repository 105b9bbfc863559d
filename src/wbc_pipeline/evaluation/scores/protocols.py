"""Which protocols keep all images of a cell in one part of the split."""

from collections.abc import Iterable

# Best first: the leak-free number of a report comes from the first of them that was run.
LEAK_FREE = ("source", "domain", "dataset")
# `published` is in neither: it depends on the data set (see ``audit.tables.measure_leaks``).
LEAKING = ("random", "filename")


def leak_free_protocol(protocols: Iterable[str]) -> str | None:
    """Choose the protocol that leak-free numbers come from; None if no such protocol was run.

    >>> leak_free_protocol(["random", "domain", "source"])
    'source'
    """
    run = set(protocols)
    return next((protocol for protocol in LEAK_FREE if protocol in run), None)
