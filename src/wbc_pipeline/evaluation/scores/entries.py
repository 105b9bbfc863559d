"""The metrics, each an entry of `METRICS`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from wbc_pipeline.evaluation.scores.confusion import (
    ConfusionScore,
    accuracy,
    macro_f1,
    macro_precision,
    macro_recall,
)
from wbc_pipeline.evaluation.scores.outcomes import (
    Outcomes,
    calibration_gap,
    macro_auc,
    placements,
    squared_error,
)
from wbc_pipeline.evaluation.scores.overlaps import (
    REGIONS,
    known_values,
    mean_over_known,
    pixel_accuracy,
    region_dice,
    region_iou,
)


def _mean(sums: np.ndarray, images: np.ndarray) -> np.ndarray:
    return sums[..., 0] / images


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score of a run, or a time measured beside it; the entry in `METRICS` is all it takes.

    Parameters
    ----------
    label
        Its name in figures and tables.
    of_confusion
        The score from a confusion matrix, ``[..., label, predicted] -> [...]``, between 0 and 1.
        Its interval is that of ``confusion_intervals``.
    of_image
        Instead of ``of_confusion``, what each image adds to the sums behind the score,
        ``Outcomes -> [N] or [N, k]``. Its interval is a bootstrap's, which needs nothing but these
        sums. A metric with neither is measured elsewhere, as times are.
    of_sums
        The score from sums [..., k] and the number of images [...]; by default the mean.
    bounds
        Of a score with ``of_image``: its interval ends there at the latest.
    columns
        Of the predictions, beside labels and probabilities, that it needs; a run that has nothing
        in one of them has no such score.
    interval
        Whether metrics.csv has an interval of it; such a metric is also compared with the paper
        whether or not the paper prints it.
    tracked
        Whether MLflow gets it.
    """

    label: str
    of_confusion: ConfusionScore | None = None
    of_image: Callable[[Outcomes], np.ndarray] | None = None
    of_sums: Callable[[np.ndarray, np.ndarray], np.ndarray] = _mean
    bounds: tuple[float, float] = (-np.inf, np.inf)
    columns: tuple[str, ...] = ()
    interval: bool = False
    tracked: bool = False

    def __post_init__(self) -> None:
        if self.interval and not self.is_score:
            raise ValueError(
                f"metric {self.label!r} has an interval but no of_image or of_confusion to "
                "compute it from: give one, or leave interval out"
            )

    @property
    def is_score(self) -> bool:
        """Whether it follows from predictions."""
        return bool(self.of_image or self.of_confusion)

    def is_measured(self, outcomes: Outcomes) -> bool:
        """Whether predictions have what it needs."""
        nothing = np.array(np.nan)
        values = [outcomes.measured.get(column, nothing) for column in self.columns]
        return all(np.isfinite(value).any() for value in values)


SHARE = {"bounds": (0, 1), "interval": True, "tracked": True}


def _overlap(label: str, of_image: Callable[..., np.ndarray], region: str) -> Metric:
    return Metric(
        label=f"{label} of the {region}",
        of_image=partial(of_image, region=region),
        of_sums=mean_over_known,
        columns=(f"intersection_{region}", f"union_{region}"),
        **SHARE,
    )


METRICS: dict[str, Metric] = {
    "accuracy": Metric(label="accuracy", of_confusion=accuracy, interval=True, tracked=True),
    "macro_precision": Metric(label="macro precision", of_confusion=macro_precision),
    "macro_recall": Metric(label="macro recall", of_confusion=macro_recall),
    "macro_f1": Metric(label="macro F1", of_confusion=macro_f1, interval=True, tracked=True),
    "log_loss": Metric(
        label="log loss (nats)",
        of_image=lambda outcomes: outcomes.loss,
        bounds=(0, np.inf),
        interval=True,
        tracked=True,
    ),
    "ece": Metric(
        label="ECE",
        of_image=calibration_gap,
        of_sums=lambda sums, images: np.abs(sums).sum(axis=-1) / images,
        bounds=(0, 1),
        interval=True,
        tracked=True,
    ),
    "brier": Metric(label="Brier score", of_image=squared_error, tracked=True),
    "auc": Metric(
        label="macro AUC",
        of_image=placements,
        of_sums=macro_auc,
        bounds=(0, 1),
        interval=True,
        tracked=True,
    ),
    **{f"iou_{region}": _overlap("IoU", region_iou, region) for region in REGIONS},
    **{f"dice_{region}": _overlap("Dice", region_dice, region) for region in REGIONS},
    "pixel_accuracy": Metric(
        label="pixel accuracy of the cell",
        of_image=pixel_accuracy,
        of_sums=mean_over_known,
        columns=("intersection_cell", "union_cell", "mask_pixels"),
        **SHARE,
    ),
    "saliency_inside": Metric(
        label="saliency inside the cell",
        of_image=lambda outcomes: known_values(outcomes.measured["saliency_inside"]),
        of_sums=mean_over_known,
        columns=("saliency_inside",),
        **SHARE,
    ),
    "inference_ms": Metric(label="inference (ms per image)", tracked=True),
    "training_seconds": Metric(label="training (s)"),
    "seconds_per_epoch": Metric(label="training (s per epoch)"),
    "epoch_time_ratio": Metric(label="epoch time ratio"),
}


def metric_label(name: str) -> str:
    """Return the label of a metric; other names are returned as they are.

    >>> metric_label("macro_f1"), metric_label("dice")
    ('macro F1', 'dice')
    """
    return METRICS[name].label if name in METRICS else name
