"""Printed numbers held against themselves: which counts, test sets and scores are possible."""

from wbc_pipeline.evaluation.scores.printed.matrix import (
    MatrixCounts,
    find_counts,
    score_bounds,
)
from wbc_pipeline.evaluation.scores.printed.shares import (
    PrintedShare,
    line_totals,
    mean_of_recalls,
    per_cent,
    possible_sizes,
)

__all__ = [
    "MatrixCounts",
    "PrintedShare",
    "find_counts",
    "line_totals",
    "mean_of_recalls",
    "per_cent",
    "possible_sizes",
    "score_bounds",
]
