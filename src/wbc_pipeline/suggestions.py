"""Did you mean: the closest known name, for error messages."""

import difflib
from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str]) -> str:
    """Ask after the closest known name, with a space before; empty if none is close.

    Examples
    --------
    >>> suggestion("rezise", ["clahe", "resize"])
    " Did you mean 'resize'?"
    >>> suggestion("median", ["clahe", "resize"])
    ''
    """
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
