"""What two spellings of a name have in common, whichever signs they are written with."""

import re
import unicodedata

_DASHES = re.compile("[\u2010-\u2015\u2212]")


def fold(text: str) -> str:
    r"""Give names that look the same one spelling: for comparisons, never to be shown.

    Case, invisible signs, blanks at the ends, and ways to write a letter (é as one sign or as two)
    or a dash make no difference.

    Examples
    --------
    >>> fold("\ufeffNon–Blast ")
    'non-blast'
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    seen = "".join(sign for sign in plain if unicodedata.category(sign) != "Cf")
    return _DASHES.sub("-", unicodedata.normalize("NFKC", seen)).strip()
