"""Predictions as arrays, and what each image adds to the sums behind a score."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import confusion_matrix


@dataclass(frozen=True)
class Outcomes:
    """The arrays behind the scores of N predictions over C classes."""

    classes: list[str]
    truth: np.ndarray  # [N], position of the label's class
    probability: np.ndarray  # [N, C], rows sum to 1
    bins: int = 15  # equal-width confidence bins of the calibration error
    measured: Mapping[str, np.ndarray] = field(default_factory=dict)  # [N] each, NaN: not known

    @cached_property
    def predicted(self) -> np.ndarray:
        """Most probable class, the first of equals, [N]."""
        return self.probability.argmax(axis=1)

    @cached_property
    def confidence(self) -> np.ndarray:
        """Probability of the predicted class, [N]."""
        return self.probability.max(axis=1)

    @cached_property
    def correct(self) -> np.ndarray:
        """Whether the predicted class is the label, [N]."""
        return self.predicted == self.truth

    @cached_property
    def loss(self) -> np.ndarray:
        """Cross-entropy in nats, [N]; probabilities are clipped at 2e-16, as in scikit-learn."""
        chosen = self.probability[np.arange(len(self.truth)), self.truth]
        return -np.log(np.maximum(chosen, np.finfo(float).eps))

    @cached_property
    def confidence_bin(self) -> np.ndarray:
        """Index of the equal-width bin (low, high] of [0, 1] that holds the confidence, [N]."""
        edges = np.linspace(0, 1, self.bins + 1)
        return np.maximum(np.searchsorted(edges, self.confidence, side="left") - 1, 0)

    @cached_property
    def confusion(self) -> np.ndarray:
        """Images by [label, predicted], int [C, C]."""
        return confusion_matrix(self.truth, self.predicted, labels=range(len(self.classes)))

    def take(self, rows: np.ndarray) -> "Outcomes":
        """Outcomes of some of the predictions."""
        measured = {name: values[rows] for name, values in self.measured.items()}
        return Outcomes(self.classes, self.truth[rows], self.probability[rows], self.bins, measured)


def squared_error(outcomes: Outcomes) -> np.ndarray:
    """Squared distance of the probabilities from certainty of the label, 0 to 2, [N]."""
    target = np.eye(len(outcomes.classes))[outcomes.truth]
    return ((outcomes.probability - target) ** 2).sum(axis=1)


def calibration_gap(outcomes: Outcomes) -> np.ndarray:
    """Put confidence minus correctness into the column of its confidence bin, [N, bins]."""
    images = np.arange(len(outcomes.truth))
    gaps = np.zeros((len(images), outcomes.bins))
    gaps[images, outcomes.confidence_bin] = outcomes.confidence - outcomes.correct
    return gaps


def placements(outcomes: Outcomes) -> np.ndarray:
    """Place each image on the one-vs-rest ROC curve of each class, [N, 4 * C].

    Of an image of the class the share of all others that lie below it, of another image the share
    of the class that lies above it (DeLong's structural components), whether it is of the class,
    and the area itself.
    """
    parts = []
    for position in range(len(outcomes.classes)):
        score, positive = outcomes.probability[:, position], outcomes.truth == position
        below = rankdata(score)
        for side in (positive, ~positive):
            below[side] -= rankdata(score[side])  # how many of the other side lie below
        below /= np.where(positive, max((~positive).sum(), 1), max(positive.sum(), 1))
        area = below[positive].mean() if positive.any() else np.nan
        parts += [below * positive, (1 - below) * ~positive, positive, np.full(len(score), area)]
    return np.stack(parts, axis=1)


def macro_auc(sums: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Mean one-vs-rest area under the ROC curve over the tested classes, linear in units.

    NaN where only one class is tested, and where a resample lost one.
    """
    above, below, positives, areas = np.moveaxis(sums.reshape(*sums.shape[:-1], -1, 4), -1, 0)
    images = images[..., None]
    tested = ~np.isnan(areas)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = above / positives + below / (images - positives) - areas / images
        return np.where(tested, each, 0).sum(axis=-1) / tested.sum(axis=-1)
