"""The counts behind a confusion matrix that is printed in per cent."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from wbc_pipeline.evaluation.scores.printed.shares import PrintedShare, Rounding

Table = Sequence[Sequence[object]]  # square, in per cent; None where a cell is not known
SECONDS = 60  # for one question to the solver
INFEASIBLE = 2  # scipy.optimize.milp: status


@dataclass(frozen=True)
class MatrixCounts:
    """All confusion matrices that are printed alike, by their ranges.

    Attributes
    ----------
    low, high
        Least and largest count of each cell, int [C, C]; equal where the print fixes it.
    correct, images
        Least and largest sum of the diagonal, and of the whole matrix.
    """

    low: np.ndarray
    high: np.ndarray
    correct: tuple[int, int]
    images: tuple[int, int]

    @property
    def is_unique(self) -> bool:
        """Whether one matrix alone is printed so."""
        return bool((self.low == self.high).all())

    def accuracy(self) -> tuple[Fraction, Fraction]:
        """Least and largest accuracy, in so far as bounds of its parts tell."""
        return (
            Fraction(self.correct[0], self.images[1]),
            min(Fraction(1), Fraction(self.correct[1], self.images[0])),
        )

    def of_lines(self, axis: int) -> list[tuple[Fraction, Fraction]]:
        """Bounds of each class's diagonal cell as a share of its row (1) or column (0).

        That is recall along the axis of true classes, and precision along the other.
        """
        (low, low_rest), (high, high_rest) = _rests(self.low, axis), _rests(self.high, axis)
        return [
            (_share(a, a + d), _share(b, b + c))
            for a, b, c, d in zip(low, high, low_rest, high_rest, strict=True)
        ]

    def f1(self) -> list[tuple[Fraction, Fraction]]:
        """Bounds of the F1 score of each class."""
        low, high = np.diag(self.low), np.diag(self.high)
        rest_low, rest_high = (
            _rests(cells, 0)[1] + _rests(cells, 1)[1] for cells in (self.low, self.high)
        )
        return [
            (_share(2 * a, 2 * a + d), _share(2 * b, 2 * b + c))
            for a, b, c, d in zip(low, high, rest_low, rest_high, strict=True)
        ]


def score_bounds(
    counts: MatrixCounts, classes: Sequence[str], *, labels: Literal["rows", "columns"] = "rows"
) -> dict[str, tuple[Fraction, Fraction]]:
    """Give the least and the largest value that each score of a printed matrix can have.

    They are exact where the counts are unique, and never too narrow.

    Parameters
    ----------
    counts
        What `find_counts` found.
    classes
        Names, in the matrix's order.
    labels
        Along which axis the true classes are.

    Returns
    -------
    dict
        ``accuracy``, ``macro_f1``, ``macro_recall``,
        ``macro_precision``, and ``recall_<class>``, ``precision_<class>``, ``f1_<class>``.
    """
    axis = 1 if labels == "rows" else 0
    by_class = {
        "recall": counts.of_lines(axis),
        "precision": counts.of_lines(1 - axis),
        "f1": counts.f1(),
    }
    means = {"recall": "macro_recall", "precision": "macro_precision", "f1": "macro_f1"}
    bounds = {"accuracy": counts.accuracy()}
    for score, values in by_class.items():
        bounds[means[score]] = tuple(sum(ends) / len(ends) for ends in zip(*values, strict=True))
        bounds |= {f"{score}_{name}": value for name, value in zip(classes, values, strict=True)}
    return bounds


def find_counts(
    *,
    of_rows: Table | None = None,
    of_columns: Table | None = None,
    of_all: Table | None = None,
    row_totals: Sequence[int] | None = None,
    column_totals: Sequence[int] | None = None,
    images: int | tuple[int, int] | None = None,
    any_order: bool = False,
    rounding: Rounding = "nearest",
) -> MatrixCounts | None:
    """Find the counts behind a confusion matrix in per cent.

    Every condition is linear in the counts with integer coefficients, so an integer program says
    whether there are counts and how far each can go; a matrix that it finds is held against the
    conditions in integers.

    Parameters
    ----------
    of_rows, of_columns, of_all
        Percentages of each row's total, of each column's, or of all images; several where several
        are printed of the same matrix.
    row_totals, column_totals
        Images of each row or column where they are known.
    images
        Of the whole matrix: a number, or the least and the largest.
    any_order
        Whether the totals may belong to the classes in another order than given.
    rounding
        See `possible_sizes`.

    Returns
    -------
    MatrixCounts or None
        None if no counts are printed so. With ``any_order``, the counts of one order that fits.

    Raises
    ------
    ValueError
        If a table is not square, or its images are not limited by totals or ``images``.
    TimeoutError
        If the solver has not decided within a minute.

    Examples
    --------
    >>> counts = find_counts(of_rows=[["81.4", "18.6"], ["9.5", "90.5"]], column_totals=[39, 46])
    >>> counts.is_unique, counts.low.tolist(), counts.correct
    (True, [[35, 8], [4, 38]], (73, 73))
    """
    tables = {"rows": of_rows, "columns": of_columns, "all": of_all}
    tables = {of: _read(table) for of, table in tables.items() if table is not None}
    totals = {1: row_totals, 0: column_totals}
    totals = {axis: [*given] for axis, given in totals.items() if given is not None}
    size, limits = _common_size(tables, totals), _image_limits(totals, images)

    if any_order:
        program = _Program(size, limits, orders=len(totals))
        program.add_tables(tables, rounding)
        program.add_totals_in_any_order(totals)
        matrix = program.solve(np.zeros((size, size), dtype=int))
        if matrix is None:
            return None
        totals = {axis: [int(n) for n in matrix.sum(axis=axis)] for axis in totals}
    program = _Program(size, limits)
    program.add_tables(tables, rounding)
    program.add_totals(totals)
    return program.ranges(rounding)


class _Program:
    """Linear conditions ``low <= row @ variables <= high``, in integers.

    The variables are the cells of a [size, size] matrix, followed by ``orders`` matrices of 0 and 1
    [line, total] that say which total belongs to which line.
    """

    def __init__(self, size: int, limits: tuple[int, int], orders: int = 0):
        self.size, self.most, self.orders = size, limits[1], orders
        self.rows, self.low, self.high = [], [], []
        self.shares: list[tuple[tuple[int, int], PrintedShare, np.ndarray]] = []
        self.add(self._ones(), *limits)

    def add(self, cells: np.ndarray, low: float, high: float, **of_order: np.ndarray) -> None:
        """Add a condition on the cells, and on one of the orders: ``order_<number>=…``."""
        empty = np.zeros((self.size, self.size), dtype=int)
        orders = [of_order.get(f"order_{number}", empty) for number in range(self.orders)]
        self.rows.append(np.concatenate([part.ravel() for part in (cells, *orders)]))
        self.low.append(low)
        self.high.append(high)

    def add_tables(self, tables: dict[str, list[list]], rounding: Rounding) -> None:
        for of, table in tables.items():
            for (i, j), share in np.ndenumerate(np.array(table, dtype=object)):
                lines = {"rows": (1, i), "columns": (0, j)}
                whole = self._line(*lines[of]) if of in lines else self._ones()
                if share is not None:
                    self._add_share((i, j), share, whole, rounding)

    def _add_share(
        self, cell: tuple[int, int], share: PrintedShare, whole: np.ndarray, rounding: Rounding
    ) -> None:
        low, high, unit, closed = share.ends(rounding)
        part = self._cell(cell)
        self.add(unit * part - low * whole, 0, np.inf)
        self.add(high * whole - unit * part, 0 if closed else 1, np.inf)
        if share.digits:  # a share of nothing is not printed as more than 0
            self.add(whole, 1, np.inf)
        self.shares.append((cell, share, whole))

    def add_totals(self, totals: dict[int, list[int]]) -> None:
        for axis, given in totals.items():
            for number, total in enumerate(given):
                self.add(self._line(axis, number), total, total)

    def add_totals_in_any_order(self, totals: dict[int, list[int]]) -> None:
        nothing = np.zeros((self.size, self.size), dtype=int)
        for place, (axis, given) in enumerate(totals.items()):
            order = f"order_{place}"
            for number in range(self.size):
                line = self._line(1, number)  # of the order: the totals that the line may have
                self.add(nothing, 1, 1, **{order: line})
                self.add(nothing, 1, 1, **{order: line.T})
                self.add(self._line(axis, number), 0, 0, **{order: -line * np.array(given)})

    def solve(self, objective: np.ndarray) -> np.ndarray | None:
        """Cells [size, size] of the least ``(objective * cells).sum()``; None if there are none."""
        cells, rows = self.size**2, np.array(self.rows)
        others = rows.shape[1] - cells
        found = milp(
            np.pad(objective.ravel(), (0, others)).astype(float),
            integrality=np.ones(rows.shape[1]),
            bounds=Bounds(0, np.r_[np.full(cells, self.most), np.ones(others)]),
            constraints=LinearConstraint(rows, self.low, self.high),
            options={"mip_rel_gap": 0, "time_limit": SECONDS},
        )
        if found.status == INFEASIBLE:
            return None
        if not found.success:
            raise TimeoutError(f"the counts were not settled within {SECONDS} s")
        exact = np.rint(found.x).astype(int)
        sums = rows.astype(object) @ exact.astype(object)
        limits = zip(self.low, sums, self.high, strict=True)
        if not all(low <= value <= high for low, value, high in limits):
            raise ValueError(
                "printed percentages have more decimals than the solver can tell apart: "
                "give them with fewer"
            )
        return exact[:cells].reshape(self.size, self.size)

    def extremes(self, objective: np.ndarray) -> tuple[int, int] | None:
        """Least and largest ``(objective * cells).sum()``; None if there are no cells."""
        ends = [self.solve(sign * objective) for sign in (1, -1)]
        return None if ends[0] is None else tuple(int((objective * end).sum()) for end in ends)

    def ranges(self, rounding: Rounding) -> MatrixCounts | None:
        """Ask how far the diagonal, the whole and each cell can go; None if nothing fits."""
        correct = self.extremes(np.eye(self.size, dtype=int))
        if correct is None:
            return None
        low = np.zeros((self.size, self.size), dtype=int)
        high = np.full_like(low, self.most)
        totals = {}
        for cell, share, whole in self.shares:
            line = whole.tobytes()
            if line not in totals:
                totals[line] = self.extremes(whole)
            least, most = (share.counts(total, rounding) for total in totals[line])
            low[cell], high[cell] = max(low[cell], least[0]), min(high[cell], most[-1])
        for cell in zip(*np.nonzero(low < high), strict=True):  # the rest is settled
            low[cell], high[cell] = self.extremes(self._cell(cell))
        return MatrixCounts(low, high, correct, self.extremes(self._ones()))

    def _ones(self) -> np.ndarray:
        return np.ones((self.size, self.size), dtype=int)

    def _cell(self, cell: tuple[int, int]) -> np.ndarray:
        """Coefficients of one cell."""
        one = np.zeros((self.size, self.size), dtype=int)
        one[cell] = 1
        return one

    def _line(self, axis: int, number: int) -> np.ndarray:
        """Coefficients of the sum of a row (axis 1) or column (axis 0)."""
        line = np.zeros((self.size, self.size), dtype=int)
        line[(number, slice(None)) if axis else (slice(None), number)] = 1
        return line


def _read(table: Table) -> list[list[PrintedShare | None]]:
    return [
        [None if cell is None else PrintedShare.read(cell, percent=True) for cell in row]
        for row in table
    ]


def _common_size(tables: dict[str, list[list]], totals: dict[int, list[int]]) -> int:
    lengths = {len(line) for table in tables.values() for line in (table, *table)}
    lengths |= {len(given) for given in totals.values()}
    if not tables or len(lengths) != 1:
        raise ValueError(
            "a printed matrix has as many rows as columns and totals, and percentages of rows, "
            f"columns or all; here are lengths {sorted(lengths)}"
        )
    return lengths.pop()


def _image_limits(
    totals: dict[int, list[int]], images: int | tuple[int, int] | None
) -> tuple[int, int]:
    if images is not None:
        return (images, images) if isinstance(images, int) else tuple(images)
    if not totals:
        raise ValueError(
            "a printed matrix has no limit of images: give row totals, column totals or images"
        )
    whole = sum(next(iter(totals.values())))
    return whole, whole


def _rests(cells: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Diagonal and the rest of each row (axis 1) or column (axis 0), [C] each."""
    return np.diag(cells), cells.sum(axis=axis) - np.diag(cells)


def _share(part: int, whole: int) -> Fraction:
    return Fraction(int(part), int(whole)) if whole else Fraction(0)
