"""Did you mean: the closest known name, for error messages."""

import difflib
from collections.abc import Iterable


def suggestion(name: str, known: Iterable[str]) -> str:
    """Ask after the closest known name, with a space before; empty if none is close.

    Examples
    --------
    >>> suggestion("rezise", ["clahe", "resize"])
    " Did you mean 'resize'?"
    >>> suggestion("WBC", ["leukemia5", "segmentation_wbc"])
    " Did you mean 'segmentation_wbc'?"
    >>> suggestion("median", ["clahe", "resize"])
    ''
    """
    folded = {each.casefold(): each for each in known}
    wanted = str(name).casefold()
    close = difflib.get_close_matches(wanted, folded, n=1)
    close = close or [each for each in folded if len(wanted) > 2 and wanted in each][:1]
    return f" Did you mean {folded[close[0]]!r}?" if close else ""
