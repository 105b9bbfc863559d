"""How often intervals hold the truth, simulated on designs like those of the public sets.

A class has a few cells, each shown by copies; a cell is mostly either known or not: its accuracy
is drawn from Beta(0.3 a, 0.3 (1 - a)), where a is that of its class. The table of the docs is what
``python tests/evaluation/interval_coverage.py`` writes.
"""

import sys
from typing import NamedTuple

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.scores.confusion import accuracy, macro_f1
from wbc_pipeline.evaluation.scores.entries import METRICS
from wbc_pipeline.evaluation.scores.intervals import (
    bootstrap_interval,
    bootstrap_totals,
    mean_of_sums,
    sum_by_unit,
    unit_labels,
    wilson_interval,
)
from wbc_pipeline.evaluation.scores.metrics import ImageStatistics, Outcomes, score_runs

IMAGES = 620  # of each class, in copies
DIFFERENCE = 0.05  # of the accuracies of two variants


class Design(NamedTuple):
    """Cells of each class, and the accuracy of each class over all cells that there could be."""

    cells: tuple[int, ...]
    accuracies: tuple[float, ...]


DESIGNS = {
    "published test part": Design((13, 6, 4, 48), (0.87, 0.98, 0.75, 0.87)),
    "fold of source": Design((17, 7, 4, 40), (0.87, 0.9, 0.75, 0.8)),
    "all cells": Design((88, 33, 18, 177), (0.87, 0.9, 0.75, 0.8)),
    "five classes of 150": Design((150,) * 5, (0.95,) * 5),
}


class Draw(NamedTuple):
    """Answers for one sample of cells, a row per image."""

    outcomes: Outcomes
    units: np.ndarray  # cell of each image
    reference: np.ndarray  # whether another variant is right, with a lower accuracy


def draw(design: Design, images: int, random: np.random.Generator) -> Draw:
    """Draw cells and the answers for their copies.

    A cell is always mistaken for the same class, with a confidence of its own. The other variant
    knows half of the cells as well as this one does, the rest independently and worse.
    """
    classes, counts = len(design.cells), np.array(design.cells)
    of_cell = np.repeat(np.arange(classes), counts)
    mean = np.array(design.accuracies)[of_cell]
    ours = random.beta(0.3 * mean, 0.3 * (1 - mean))
    mean = mean - 2 * DIFFERENCE
    theirs = np.where(
        random.random(len(mean)) < 0.5, ours, random.beta(0.3 * mean, 0.3 * (1 - mean))
    )
    confidence = random.uniform(0.55, 0.99, len(mean))
    mistaken_for = (of_cell + random.integers(1, classes, len(mean))) % classes

    starts = np.cumsum(counts) - counts
    units = np.concatenate(
        [start + np.arange(images) % count for start, count in zip(starts, counts, strict=True)]
    )
    truth = of_cell[units]
    right = random.random(len(units)) < ours[units]
    predicted = np.where(right, truth, mistaken_for[units])
    probability = np.repeat((1 - confidence[units])[:, None] / (classes - 1), classes, axis=1)
    probability[np.arange(len(units)), predicted] = confidence[units]
    names = [f"class {number}" for number in range(classes)]
    return Draw(
        Outcomes(names, truth, probability), units, random.random(len(units)) < theirs[units]
    )


def true_scores(design: Design) -> dict[str, float]:
    """Scores over all cells that there could be: exact, or of 40,000 cells a class."""
    many = draw(Design((40_000,) * len(design.cells), design.accuracies), 40_000, _random(0, 0))
    statistics = ImageStatistics.of(many.outcomes)
    scores = dict(
        zip(statistics.columns, statistics.scores(statistics.values.sum(axis=0)), strict=True)
    )
    of_class = np.array(design.accuracies)
    others = (1 - of_class)[:, None] * (1 - np.eye(len(of_class))) / (len(of_class) - 1)
    confusion = np.diag(of_class) + others
    scores |= {"accuracy": accuracy(confusion), "macro_f1": macro_f1(confusion)}
    scores |= {"difference": DIFFERENCE}
    return scores | {f"recall {i}": value for i, value in enumerate(of_class)}


def intervals(sample: Draw, resamples: int, seed: int) -> dict[str, tuple[float, float]]:
    """Intervals of all scores as the reports have them."""
    outcomes, units = sample.outcomes, sample.units
    runs = score_runs(outcomes, units, resamples=resamples, seed=seed)
    found = {name: (run.low, run.high) for name, run in runs.items() if METRICS[name].interval}
    gaps = outcomes.correct.astype(float) - sample.reference
    totals = sum_by_unit(np.column_stack([gaps, np.ones(len(gaps))]), units)
    strata = unit_labels(outcomes.truth, units)
    options = {"strata": strata, "resamples": resamples, "seed": seed}
    low, high = bootstrap_interval(totals, mean_of_sums, totals[:, -1], **options)
    found["difference"] = (low[0], high[0])
    hits = sum_by_unit(outcomes.correct.astype(float), units)
    for label in np.unique(strata):
        rows = strata == label
        found[f"recall {label}"] = wilson_interval(hits[rows], totals[rows, -1])
    return found


def percentile_intervals(sample: Draw, resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Percentiles of the plain bootstrap by cell within each class, for comparison."""
    outcomes, units = sample.outcomes, sample.units
    classes, statistics = len(outcomes.classes), ImageStatistics.of(outcomes)
    confusion = np.zeros((len(units), classes, classes))
    confusion[np.arange(len(units)), outcomes.truth, outcomes.predicted] = 1
    gaps = outcomes.correct.astype(float) - sample.reference
    values = np.column_stack([gaps, confusion.reshape(len(units), -1), statistics.values])
    strata = unit_labels(outcomes.truth, units)
    drawn = bootstrap_totals(
        sum_by_unit(values, units), strata=strata, resamples=resamples, seed=seed
    )
    tables = drawn[:, 1 : 1 + classes**2].reshape(-1, classes, classes)
    spread = {"accuracy": accuracy(tables), "macro_f1": macro_f1(tables)}
    spread["difference"] = drawn[:, 0] / len(units)
    scores = statistics.scores(drawn[:, 1 + classes**2 :])
    spread |= dict(zip(statistics.columns, scores.T, strict=True))
    for label in range(classes):
        spread[f"recall {label}"] = tables[:, label, label] / tables[:, label].sum(axis=-1)
    return {name: np.quantile(values, [0.025, 0.975]) for name, values in spread.items()}


LABELS = {
    "accuracy": "class-mean accuracy",
    "macro_f1": "macro F1",
    "difference": "difference of two accuracies",
    "recall": "recall (the class with the lowest coverage)",
    "auc": "macro AUC",
    "log_loss": "log loss",
    "ece": "ECE",
}
SAMPLES = 800
METHODS = {"percentiles": percentile_intervals, "these": intervals}


def coverage(samples: int = SAMPLES, resamples: int = 1000) -> pd.DataFrame:
    """Simulate all designs: ``coverage`` and mean ``width`` by design, score and method."""
    rows = []
    for place, (name, design) in enumerate(DESIGNS.items()):
        truth = true_scores(design)
        for seed in range(samples):
            sample = draw(design, IMAGES, _random(place + 1, seed))
            for method, function in METHODS.items():
                rows += [
                    (name, score, method, low <= truth[score] <= high, high - low)
                    for score, (low, high) in function(sample, resamples, seed).items()
                    if score in truth
                ]
    keys = ["design", "score", "method"]
    table = pd.DataFrame(rows, columns=[*keys, "coverage", "width"])
    return table.groupby(keys, sort=False).mean().reset_index()


def as_markdown(table: pd.DataFrame) -> str:
    """Put coverage, and widths in brackets, of plain percentiles and of these intervals."""
    table = table.assign(score=table["score"].str.replace(r"recall .*", "recall", regex=True))
    table = table[table["score"].isin(LABELS)]
    of_score = table.groupby(["score", "design", "method"], sort=False)
    cells = of_score.agg(coverage=("coverage", "min"), width=("width", "mean")).to_dict("index")
    lines = [f"| | {' | '.join(DESIGNS)} |", "|---" * (len(DESIGNS) + 1) + "|"]
    for score, label in LABELS.items():
        row = [label]
        for design in DESIGNS:
            old, new = (cells[score, design, method] for method in METHODS)
            row.append(
                f"{old['coverage']:.2f} → {new['coverage']:.2f} "
                f"({old['width']:.2f} → {new['width']:.2f})"
            )
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _random(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


if __name__ == "__main__":
    sys.stdout.write(as_markdown(coverage()) + "\n")
