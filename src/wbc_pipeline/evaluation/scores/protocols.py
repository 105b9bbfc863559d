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


def leak_of(protocol: str) -> str:
    """Say whether one cell may stand on two sides under a protocol, for a mark on every line.

    >>> leak_of("source"), leak_of("random"), leak_of("published")
    ('leak-free', 'LEAKS', 'not checked')
    """
    if protocol in LEAKING:
        return "LEAKS"
    return "leak-free" if protocol in LEAK_FREE else "not checked"


def protocol_rank(protocol: str) -> int:
    """Give a protocol's place in a table: leak-free ones first, leaking ones last.

    >>> sorted(["random", "published", "domain", "source"], key=protocol_rank)
    ['source', 'domain', 'published', 'random']
    """
    order = (*LEAK_FREE, "published", *LEAKING)
    return order.index(protocol) if protocol in order else len(order)
