"""Which counts can stand behind printed percentages, and whether printed numbers agree.

A percentage of few images takes few values, so a printed one says which test-set sizes are
possible (GRIM); a confusion matrix in per cent often has one set of counts behind it, and these
fix every score printed beside.

References
----------
Brown and Heathers, *The GRIM test*, Social Psychological and Personality Science 8(4), 2017.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Literal

Rounding = Literal["nearest", "truncated", "any"]
LARGEST = 100_000  # test set that is looked at unasked

# Ends of what is printed alike, in halves of the last printed digit, and whether the upper one
# belongs to it. Half up, half even and binary floats differ at the ends of `nearest` alone, so
# both ends belong to it and none of the three is ever called impossible.
_ENDS: dict[Rounding, tuple[int, int, bool]] = {
    "nearest": (-1, 1, True),
    "truncated": (0, 2, False),
    "any": (-1, 2, False),
}


@dataclass(frozen=True)
class PrintedShare:
    """A share as it was printed: ``digits / scale``, where ``scale`` is a power of ten."""

    digits: int
    scale: int

    @classmethod
    def read(cls, printed: object, *, percent: bool = False) -> "PrintedShare":
        """Read a share between 0 and 1, or one in per cent.

        Parameters
        ----------
        printed
            Number, or text where trailing zeros count; a ``%`` at its end means per cent.
        percent
            Whether it is in per cent without saying so.

        Raises
        ------
        ValueError
            If it is no number, or no share.

        Examples
        --------
        >>> PrintedShare.read("0.9880") == PrintedShare.read("98.80 %")
        True
        """
        text = str(printed).strip()
        percent = percent or text.endswith("%")
        try:
            value = Decimal(text.removesuffix("%").strip())
        except InvalidOperation:
            raise ValueError(f"printed share {printed!r} is not a number: write 98.80") from None
        whole = 100 if percent else 1
        if not (value.is_finite() and 0 <= value <= whole):
            raise ValueError(
                f"printed share {printed!r} is not between 0 and {whole}: "
                "give shares as 0.9880, or with a sign as 98.80 %"
            )
        decimals = max(0, -value.as_tuple().exponent)
        return cls(int(value.scaleb(decimals)), whole * 10**decimals)

    @property
    def value(self) -> Fraction:
        """The share itself."""
        return Fraction(self.digits, self.scale)

    def ends(self, rounding: Rounding = "nearest") -> tuple[int, int, int, bool]:
        """Give the shares that are printed so: ``low / unit`` to ``high / unit``.

        Returns
        -------
        low, high, unit
            Integers.
        closed
            Whether ``high / unit`` is among them.
        """
        below, above, closed = _ENDS[rounding]
        return 2 * self.digits + below, 2 * self.digits + above, 2 * self.scale, closed

    def counts(self, total: int, rounding: Rounding = "nearest") -> range:
        """Give the counts of ``total`` that are printed so; empty if there is none.

        Examples
        --------
        >>> list(PrintedShare.read("98.80 %").counts(750))
        [741]
        >>> list(PrintedShare.read("98.80 %").counts(486))
        []
        """
        low, high, unit, closed = self.ends(rounding)
        least = -(-low * total // unit)
        most = (high * total - (not closed)) // unit
        return range(max(0, least), min(total, most) + 1)

    def includes(self, least: Fraction, most: Fraction, rounding: Rounding = "nearest") -> bool:
        """Tell whether a value from ``least`` to ``most`` is printed so."""
        low, high, unit, closed = self.ends(rounding)
        top = Fraction(high, unit)
        return most >= Fraction(low, unit) and (least <= top if closed else least < top)

    def __str__(self) -> str:
        """Write it in per cent, with the decimals printed."""
        return per_cent(self.value, max(0, len(str(self.scale)) - 3))


def per_cent(share: Fraction, decimals: int = 2) -> str:
    """Write a share in per cent, rounded half up.

    Examples
    --------
    >>> per_cent(Fraction(749, 750))
    '99.87 %'
    """
    scaled = int(share * 100 * 10**decimals + Fraction(1, 2))
    return f"{Decimal(scaled).scaleb(-decimals):f} %"


def possible_sizes(
    shares: Iterable[PrintedShare], *, up_to: int | None = None, rounding: Rounding = "nearest"
) -> list[int]:
    """List the test-set sizes of which every one of some printed shares is a share.

    Parameters
    ----------
    shares
        Printed of one test set.
    up_to
        The largest size looked at. By default that from which on every size is possible, as one
        image is then at most a unit of the last printed digit; never more than `LARGEST`.
    rounding
        ``nearest`` (ties either way), ``truncated``, or ``any`` of the two.

    Returns
    -------
    list of int
        Ascending.

    Examples
    --------
    >>> both = [PrintedShare.read("99.07 %"), PrintedShare.read("99.93 %")]
    >>> possible_sizes(both)[0]
    1391
    """
    shares = list(shares)
    largest = up_to or min(LARGEST, max(share.scale for share in shares))
    return [
        size
        for size in range(1, largest + 1)
        if all(share.counts(size, rounding) for share in shares)
    ]


def line_totals(
    shares: Sequence[PrintedShare], *, up_to: int, rounding: Rounding = "nearest"
) -> list[int]:
    """List the totals that one row or column of a matrix in per cent can have.

    Parameters
    ----------
    shares
        Those of the row's cells, which make up the whole of it.
    up_to
        The largest total looked at.
    rounding
        See `possible_sizes`.

    Returns
    -------
    list of int
        Ascending; the first is the smallest that the row can have.
    """
    found = []
    for total in range(1, up_to + 1):
        cells = [share.counts(total, rounding) for share in shares]
        if all(cells) and sum(cell[0] for cell in cells) <= total <= sum(c[-1] for c in cells):
            found.append(total)
    return found


def mean_of_recalls(
    recalls: Sequence[PrintedShare], totals: Sequence[int], rounding: Rounding = "nearest"
) -> tuple[Fraction, Fraction]:
    """Give the least and the largest accuracy that printed recalls allow.

    Parameters
    ----------
    recalls, totals
        Of each class: what is printed, and the number of its images.
    rounding
        See `possible_sizes`.
    """
    ends = [recall.ends(rounding) for recall in recalls]
    least = sum(
        max(Fraction(low, unit), 0) * n for (low, _, unit, _), n in zip(ends, totals, strict=True)
    )
    most = sum(
        min(Fraction(high, unit), 1) * n for (_, high, unit, _), n in zip(ends, totals, strict=True)
    )
    return Fraction(least, sum(totals)), Fraction(most, sum(totals))
