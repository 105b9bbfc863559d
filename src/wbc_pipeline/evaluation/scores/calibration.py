"""Calibration of the confidences, and where a log loss comes from."""

import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.report.described import described
from wbc_pipeline.evaluation.scores.metrics import each_run

KERAS_CLIP = 1e-7  # keras.backend.epsilon(): probabilities stay within [1e-7, 1 - 1e-7]


@described(
    heading="Calibration",
    caption="Images by the confidence of their answer, and the accuracy among them.",
)
def reliability_table(predictions: pd.DataFrame, bins: int = 15) -> pd.DataFrame:
    """Confidence against accuracy: a row per run and bin.

    Returns
    -------
    DataFrame
        ``RUN_KEYS``, ``bin``, its edges ``low`` and ``high``, ``images``, mean ``confidence`` and
        ``accuracy``; the two are NaN in an empty bin.
    """
    edges, tables = np.linspace(0, 1, bins + 1), []
    for keys, _, outcomes in each_run(predictions, bins=bins):
        index = outcomes.confidence_bin
        images = np.bincount(index, minlength=bins)
        divisor = np.where(images > 0, images, np.nan)
        table = {
            "bin": np.arange(bins),
            "low": edges[:-1],
            "high": edges[1:],
            "images": images,
            "confidence": np.bincount(index, outcomes.confidence, bins) / divisor,
            "accuracy": np.bincount(index, outcomes.correct, bins) / divisor,
        }
        tables.append(pd.DataFrame(keys | table))
    return pd.concat(tables, ignore_index=True)


@described(
    heading="What the loss is made of",
    caption="Mean log loss among right and wrong answers, and what each contributes.",
)
def loss_decomposition(predictions: pd.DataFrame) -> pd.DataFrame:
    """Split each run's log loss into what right and what wrong answers carry.

    Returns
    -------
    DataFrame
        A row per run: ``images``, ``share_wrong`` (1 - accuracy), ``loss_right`` and ``loss_wrong``
        (mean nats among them, NaN where there are none), ``contribution_right`` and
        ``contribution_wrong`` (nats; they add up to ``log_loss``), ``share_of_loss_wrong``.
    """
    rows = []
    for keys, run, outcomes in each_run(predictions):
        loss, right = outcomes.loss, outcomes.correct
        from_right, from_wrong = loss[right].sum() / len(run), loss[~right].sum() / len(run)
        rows.append(
            keys
            | {
                "images": len(run),
                "share_wrong": 1 - right.mean(),
                "loss_right": loss[right].mean() if right.any() else np.nan,
                "loss_wrong": loss[~right].mean() if not right.all() else np.nan,
                "contribution_right": from_right,
                "contribution_wrong": from_wrong,
                "log_loss": from_right + from_wrong,
                "share_of_loss_wrong": from_wrong / max(loss.mean(), np.finfo(float).tiny),
            }
        )
    return pd.DataFrame(rows)


def implied_loss_per_error(accuracy: float, loss: float) -> float:
    """Nats that each wrong answer would carry if right answers cost nothing.

    >>> round(implied_loss_per_error(0.9880, 4.0469))
    337
    """
    return loss / (1 - accuracy) if accuracy < 1 else np.inf * np.sign(loss)


def largest_mean_loss(accuracy: float, *, classes: int, clip: float = KERAS_CLIP) -> float:
    """Upper bound in nats on a mean cross-entropy over probabilities clipped from below.

    A wrong answer costs at most ``-ln(clip)``. A right one, being the most probable of
    ``classes``, has a probability of at least ``1 / classes`` and costs at most ``ln(classes)``.

    >>> round(largest_mean_loss(0.9880, classes=5), 3)
    1.784
    """
    return float((1 - accuracy) * -np.log(clip) + accuracy * np.log(classes))


def explain_published_loss(
    accuracy: float, loss: float, *, classes: int, clip: float = KERAS_CLIP
) -> str:
    """Say in words whether a printed loss can be the mean clipped cross-entropy at an accuracy."""
    floor = np.format_float_scientific(clip, trim="-", exp_digits=1)
    from_errors = (1 - accuracy) * -np.log(clip)
    bound = largest_mean_loss(accuracy, classes=classes, clip=clip)
    start = (
        f"A log loss of {loss:g} at an accuracy of {accuracy:.2%} means "
        f"{implied_loss_per_error(accuracy, loss):,.1f} nats per wrong answer if right answers "
        f"cost nothing. With probabilities clipped at {floor}, as Keras does, a wrong answer "
        f"costs at most {-np.log(clip):.2f} nats, so errors explain at most {from_errors:.3f}"
    )
    if loss <= from_errors:
        return f"{start}: the two numbers are compatible."
    if loss <= bound:
        return f"{start}; right answers given with low confidence would have to carry the rest."
    return (
        f"{start}; {classes} classes bound the whole at {bound:.3f}, even if every right answer "
        "were given with the lowest confidence possible. The printed loss is therefore not the "
        "mean clipped cross-entropy at that accuracy alone; what else is in it (unclipped logits, "
        "regularisation terms, …) cannot be told from the two numbers."
    )
