"""Warnings about a row of a listing or a manifest."""


def join_warnings(*warnings: str | None) -> str | None:
    """Put warnings of one row into one text; None if there are none.

    Examples
    --------
    >>> join_warnings("mask empty", None, "16 bits scaled: 12 are used")
    'mask empty; 16 bits scaled: 12 are used'
    """
    return "; ".join(filter(None, warnings)) or None
